//! PgBouncer hands one session of the database to many clients, which breaks prepared statements and time-outs alike: it
//! is refused with a sentence that says what to do, rather than fail now and then.

use countersign::store::{Error, Location, Store};

use crate::support::{Bouncer, Throwaway};

async fn refusal(url: &str) -> String {
    match Store::open(Location::Postgres(url), 5).await {
        Err(error @ Error::Unusable(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_of_transactions_is_refused_by_name() {
    let database = Throwaway::migrated().await;
    let bouncer = Bouncer::before(&database, "").await;
    let said = refusal(bouncer.url()).await;
    assert!(said.contains("PgBouncer") && said.contains("connect to PostgreSQL itself"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_drops_the_time_outs_without_a_word_is_refused_by_name() {
    let database = Throwaway::migrated().await;
    let bouncer = Bouncer::before(&database, "ignore_startup_parameters = extra_float_digits, options").await;
    let said = refusal(bouncer.url()).await;
    assert!(said.contains("PgBouncer") && said.contains("connect to PostgreSQL itself"), "{said}");
}
