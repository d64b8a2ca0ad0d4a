//! Security class 34: writes of one person, far more than can be made, stop nobody else's checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::grpc::pb::{self, Policy};

use super::{Ruler, without_end};
use crate::support::{TestApp, both_backends};

/// So many calls of one person are under way at any time.
const AT_ONCE: usize = 500;

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
            if users.update_user(request).await.is_ok() {
                made.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    ruler.unharmed_by(200, without_end(AT_ONCE, rename)).await;
    assert!(made.load(Ordering::Relaxed) > 0, "a flood of refusals alone shows nothing");
});
