//! Every query of a list, a check or a change has an indexed path.
//!
//! With sequential scans priced out, the planner takes an index wherever there is one; a table that is read from end to
//! end all the same has none for what was asked. Asked is whatever the contract can be asked, so that an RPC added
//! tomorrow is looked at tomorrow.

use countersign::grpc::access::Methods;
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};

use crate::access::{Aim, Target, World, cast, request};
use crate::support::{Backend, TestApp, Throwaway};

/// Of each there is one row, or a few: realms by all of them, once in ten minutes.
const SMALL: [&str; 3] = ["realms", "meta", "seaql_migrations"];
const TARGETS: [Target; 5] =
    [Target::OwnOrganization, Target::Realm, Target::Oneself, Target::OwnTeam, Target::OtherOrganization];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_from_end_to_end() {
    let database = Throwaway::migrated().await;
    let priced_out = format!("{}?options[enable_seqscan]=off", database.url());
    let app = TestApp::start_with(Backend::Postgres, &[("database_url", &priced_out)]).await;
    {
        let world = World::open(&app).await;
        let personas = Box::pin(cast(&world)).await.personas;
        for (path, method) in Methods::read().unwrap().all() {
            for who in personas.iter().filter(|who| ["operator", "manager", "realm administrator"].contains(&who.name))
            {
                for target in TARGETS {
                    if let Some(message) = Box::pin(request(&world, method, "", Aim { target, who })).await {
                        let _answered = world.wire.call(&who.carried, path, message).await;
                        world.spent(&format!("{} ", method.name), target);
                    }
                }
            }
        }
    }
    // What a connection counted is known once it is closed.
    app.finish().await;
    let looking = Database::connect(database.url()).await.unwrap();
    let query = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE seq_scan > 0";
    let rows = looking.query_all_raw(Statement::from_string(DbBackend::Postgres, query)).await.unwrap();
    let scanned: Vec<(String, i64)> =
        rows.iter().map(|row| (row.try_get("", "relname").unwrap(), row.try_get("", "seq_scan").unwrap())).collect();
    looking.close().await.unwrap();
    let large: Vec<_> = scanned.iter().filter(|(table, _)| !SMALL.contains(&table.as_str())).collect();
    assert!(large.is_empty(), "read from end to end, so often: {large:?}");
}
