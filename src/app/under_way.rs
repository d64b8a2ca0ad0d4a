//! How many changes of one caller are under way, those that wait for their turn among them.
//!
//! A realm's changes are made one after the other. Without a bound, whoever sends more than can be made fills the queue of
//! their realm, and everybody else there is told to come again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::error::{Error, Result};
use super::{Ctx, Reason};
use crate::domain::ids::{PrincipalId, RealmId};

/// So many changes of one caller may be under way in a realm, a quarter of those that may wait there.
const AT_ONCE: usize = 64;
/// When a caller with so many may come again: at a few milliseconds each, they were made by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Changes under way, by realm and caller.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Mutex<Counts>>);

type Counts = HashMap<(RealmId, PrincipalId), usize>;

/// One change under way.
#[derive(Debug)]
pub(super) struct Counted {
    counts: Arc<Mutex<Counts>>,
    of: (RealmId, PrincipalId),
}

impl UnderWay {
    /// Counts one more. Nobody in particular is not counted: public calls have limits of their own.
    ///
    /// # Errors
    /// OVERLOADED.
    pub(super) fn one_more(&self, ctx: &Ctx) -> Result<Option<Counted>> {
        let Some(actor) = ctx.actor.id() else { return Ok(None) };
        let of = (ctx.realm, actor);
        let mut counts = self.0.lock();
        let count = counts.entry(of).or_insert(0);
        if *count >= AT_ONCE {
            return Err(Error::Later { reason: Reason::Overloaded, retry_after: RETRY_AFTER });
        }
        *count += 1;
        Ok(Some(Counted { counts: Arc::clone(&self.0), of }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}
