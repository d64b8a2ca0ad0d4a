//! Security class 30: API keys and realms that were made up cost a query each, so that their number is bounded by source,
//! and who is known hears nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::crypto::api_key::ApiKey;
use countersign::grpc::pb::{self, ErrorReason};
use tonic::Code;

use super::{Ruler, without_end};
use crate::support::{Backend, Reachable as _, TestApp, refusal};

/// So many callers are at it at any time.
const AT_ONCE: usize = 20;
/// Between two calls of one: what is measured is what look-ups cost, and not how many calls a second are answered.
const PACE: Duration = Duration::from_millis(10);
/// So many made-up credentials are looked up in a minute.
const PER_MINUTE: usize = 60;

async fn made_up_credentials_are_looked_up_in_bounds(backend: Backend) {
    let per_minute = PER_MINUTE.to_string();
    let app = TestApp::start_with(backend, &[("unknown_credentials_per_source", &per_minute)]).await;
    let ruler = Ruler::new(&app).await;
    let (looked_up, limited) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stranger = app.anonymous();
    let call = |number: usize| {
        let (stranger, looked_up, limited) = (stranger.clone(), Arc::clone(&looked_up), Arc::clone(&limited));
        async move {
            let caller = match number % 2 {
                0 => stranger.with_credential(ApiKey::generate().expose()),
                _ => stranger.in_realm(&uuid::Uuid::new_v4().to_string()),
            };
            match refusal(caller.sessions().get_signing_keys(pb::GetSigningKeysRequest {}).await) {
                (Code::ResourceExhausted, ErrorReason::RateLimited) => limited.fetch_add(1, Ordering::Relaxed),
                (Code::Unauthenticated | Code::NotFound, _) => looked_up.fetch_add(1, Ordering::Relaxed),
                other => panic!("{other:?}"),
            };
            tokio::time::sleep(PACE).await;
        }
    };
    let began = countersign::app::clock::Clock::elapsed();
    ruler.unharmed_by(200, without_end(AT_ONCE, call)).await;
    let minutes = (countersign::app::clock::Clock::elapsed() - began).as_secs_f64() / 60.;
    let (looked_up, limited) = (looked_up.load(Ordering::Relaxed), limited.load(Ordering::Relaxed));
    assert!(looked_up as f64 <= PER_MINUTE as f64 * (1. + minutes) + 1., "{looked_up} look-ups");
    assert!(limited > PER_MINUTE, "{limited} calls are no flood");
    // From elsewhere a key that this process has not seen is looked up as ever.
    let elsewhere = app.anonymous_from([127, 0, 0, 2]).with_credential(ApiKey::generate().expose());
    let told = refusal(elsewhere.sessions().get_signing_keys(pb::GetSigningKeysRequest {}).await);
    assert_eq!(told, (Code::Unauthenticated, ErrorReason::CredentialInvalid));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_credentials_are_looked_up_in_bounds_on_sqlite() {
    made_up_credentials_are_looked_up_in_bounds(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_credentials_are_looked_up_in_bounds_on_postgres() {
    made_up_credentials_are_looked_up_in_bounds(Backend::Postgres).await;
}
