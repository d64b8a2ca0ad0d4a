//! Security class 34: writes of one person, far more than can be made, stop nobody else's checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::grpc::pb::{self, Policy};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{Ruler, without_end};
use crate::support::{TestApp, both_backends};

/// So many calls of one person are under way at any time.
const AT_ONCE: usize = 500;

/// Waits for as long as a caller is told to, and not all of them for the same time.
async fn told_to_wait(refused: &Status, number: usize) {
    let delay = refused.get_error_details().retry_info().and_then(|info| info.retry_delay).unwrap();
    tokio::time::sleep(delay + delay * u32::try_from(number % 100).unwrap() / 100).await;
}

both_backends!(five_hundred_updates_of_ones_own_name_leave_the_checks_of_others_as_they_were, async |app: &TestApp| {
    let ruler = Ruler::new(app).await;
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://flood.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("flood", policy).await;
    let person = portal.person(app, "ann@flood.example", &[], &[]).await;
    let made = Arc::new(AtomicUsize::new(0));
    let rename = |number: usize| {
        let (mut users, made) = (person.caller.users(), Arc::clone(&made));
        let request = pb::UpdateUserRequest { display_name: format!("Ann {number}"), ..Default::default() };
        async move {
            match users.update_user(request).await {
                Ok(_) => drop(made.fetch_add(1, Ordering::Relaxed)),
                Err(refused) => told_to_wait(&refused, number).await,
            }
        }
    };
    ruler.unharmed_by(200, without_end(AT_ONCE, rename)).await;
    assert!(made.load(Ordering::Relaxed) > 0, "a flood of refusals alone shows nothing");
});
