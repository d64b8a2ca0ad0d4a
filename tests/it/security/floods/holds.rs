//! Security class 34: an administrator who blocks, and takes and gives roles, among hundreds that have to be asked whether
//! somebody is left, slows down nobody else's checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Ruler, without_end};
use crate::lock::Yard;
use crate::support::{At, TestApp, both_backends};

/// So many calls are under way at any time.
const AT_ONCE: usize = 3;
const MEMBERS: usize = 300;

both_backends!(blocking_and_revoking_among_many_leaves_the_checks_of_others_as_they_were, async |app: &TestApp| {
    let ruler = Ruler::new(app).await;
    let yard = Yard::open(app).await;
    let company = yard.company(app, "flood", MEMBERS).await;
    let made = Arc::new(AtomicUsize::new(0));
    let change = |number: usize| {
        let (ann, other, made) = (yard.ann.caller.clone(), company.other.clone(), Arc::clone(&made));
        async move {
            let there = At::Organization("flood");
            let done = match number % 4 {
                0 => ann.block(&other, "why").await.is_ok(),
                1 => ann.unblock(&other).await.is_ok(),
                2 => ann.revoke(&other, "administrator", there).await.is_ok(),
                _ => ann.assign(&other, "administrator", there).await.is_ok(),
            };
            made.fetch_add(usize::from(done), Ordering::Relaxed);
        }
    };
    ruler.unharmed_by(150, without_end(AT_ONCE, change)).await;
    assert!(made.load(Ordering::Relaxed) > 0, "a flood of refusals alone shows nothing");
});
