//! Security class 30: keys that nobody has, each of valid form and each another one, keep nobody's checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::crypto::api_key::ApiKey;
use countersign::grpc::pb::{self, ErrorReason};
use tonic::Code;

use super::{Ruler, without_end};
use crate::support::{Backend, Reachable as _, TestApp, refusal};

/// So many guess at any time, each as often as this allows: more would measure how fast nothing is said.
const AT_ONCE: usize = 20;
const PAUSE: Duration = Duration::from_millis(40);

async fn made_up_keys_leave_the_checks_of_others_as_they_were(backend: Backend) {
    let app = TestApp::start_with(backend, &[("unknown_keys_per_source", "60")]).await;
    let ruler = Ruler::new(&app).await;
    let (looked_up, limited) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let guess = |_| {
        let caller = app.as_key(ApiKey::generate().expose());
        let (looked_up, limited) = (Arc::clone(&looked_up), Arc::clone(&limited));
        async move {
            let counted = match refusal(caller.sessions().get_me(pb::GetMeRequest {}).await) {
                (Code::Unauthenticated, ErrorReason::CredentialInvalid) => looked_up,
                (Code::ResourceExhausted, ErrorReason::RateLimited) => limited,
                other => panic!("{other:?}"),
            };
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    };
    ruler.unharmed_by(200, without_end(AT_ONCE, guess)).await;
    let (looked_up, limited) = (looked_up.load(Ordering::Relaxed), limited.load(Ordering::Relaxed));
    assert!(looked_up <= 60 + AT_ONCE + 60, "{looked_up} were looked up, {limited} were not");
    assert!(limited > looked_up, "{looked_up} were looked up, {limited} were not");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_keys_leave_the_checks_of_others_as_they_were_on_sqlite() {
    made_up_keys_leave_the_checks_of_others_as_they_were(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_keys_leave_the_checks_of_others_as_they_were_on_postgres() {
    made_up_keys_leave_the_checks_of_others_as_they_were(Backend::Postgres).await;
}
