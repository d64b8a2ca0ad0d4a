//! What the database's role is allowed to do: serving needs no right to change the schema, and a right that is missing is
//! named.

use std::sync::atomic::{AtomicU32, Ordering};

use countersign::serve::{self, StartError};
use countersign::store::{Error, Location, Schema, Store};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};

use crate::support::{Backend, Reachable as _, TestApp, Throwaway};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A role of the server that goes with this; its rights are in a database that goes before.
struct Role {
    name: String,
    database: Throwaway,
    owner: DatabaseConnection,
}

impl Role {
    async fn on(database: Throwaway) -> Self {
        let name = format!("countersign_role_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let owner = Database::connect(database.url()).await.unwrap();
        owner.execute_unprepared(&format!("CREATE ROLE {name} LOGIN")).await.unwrap();
        Self { name, database, owner }
    }

    fn url(&self) -> String {
        self.database.url_as(&self.name)
    }

    /// Executes what its database's owner says, `ROLE` being the role.
    async fn owner(&self, statements: &str) {
        self.owner.execute_unprepared(&statements.replace("ROLE", &self.name)).await.unwrap();
    }

    async fn store(&self) -> Store {
        Store::open(Location::Postgres(&self.url()), 1).await.unwrap()
    }

    async fn drop(self) {
        let drop = format!("DROP OWNED BY {0} CASCADE; DROP ROLE {0}", self.name);
        self.owner.execute_unprepared(&drop).await.unwrap();
        self.owner.close().await.unwrap();
    }
}

const DATA_ONLY: &str = "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO ROLE; \
                         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ROLE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_read_and_write_rows_alone_can_serve() {
    let role = Role::on(Throwaway::migrated().await).await;
    role.owner(DATA_ONLY).await;
    let app = TestApp::start_with(Backend::Sqlite, &[("database_url", &role.url())]).await;
    app.as_operator().service("till").await.unwrap();

    role.owner("REVOKE INSERT ON audit FROM ROLE; REVOKE UPDATE, DELETE ON users FROM ROLE").await;
    let Err(refused) = serve::start(app.config()).await else { panic!("it starts without rights") };
    let StartError::MissingRights(missing) = &refused else { panic!("{refused}") };
    assert_eq!(missing.len(), 3);
    assert!(refused.to_string().contains("INSERT on audit"), "{refused}");

    role.owner("REVOKE SELECT ON seaql_migrations FROM ROLE").await;
    let Err(StartError::Database(Error::MissingRight(right))) = serve::start(app.config()).await else { panic!() };
    assert!(right.contains("seaql_migrations"), "{right}");
    role.owner("REVOKE USAGE ON SCHEMA public FROM ROLE").await;
    let Err(StartError::Database(Error::MissingRight(right))) = serve::start(app.config()).await else { panic!() };
    assert!(right.contains("USAGE"), "{right}");
    role.owner(DATA_ONLY).await;
    app.finish().await;
    role.drop().await;
}

#[tokio::test]
async fn a_role_that_may_not_change_the_schema_is_told_which_right_it_lacks() {
    let role = Role::on(Throwaway::blank().await).await;
    role.owner("REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO ROLE").await;
    let store = role.store().await;
    assert!(matches!(store.schema().await.unwrap(), Schema::Behind(_)));
    let Err(Error::MissingRight(right)) = store.migrate().await else { panic!() };
    assert!(right.contains("permission denied for schema public"), "{right}");
    store.close().await;
    role.drop().await;
}

#[tokio::test]
async fn trigrams_are_found_in_whichever_schema_they_are() {
    let role = Role::on(Throwaway::blank().await).await;
    role.owner("GRANT CREATE, USAGE ON SCHEMA public TO ROLE").await;
    let store = role.store().await;
    let Err(Error::MissingRight(right)) = store.migrate().await else { panic!() };
    assert!(right.contains("let an administrator of the database run: CREATE EXTENSION"), "{right}");
    role.owner("CREATE SCHEMA tools; CREATE EXTENSION pg_trgm SCHEMA tools; GRANT USAGE ON SCHEMA tools TO ROLE").await;
    store.migrate().await.unwrap();
    assert_eq!(store.schema().await.unwrap(), Schema::Current);
    store.close().await;
    role.drop().await;
}
