//! What a long read has read so far: a batch, a list.
//!
//! A read that finds what it needs here notes nothing. One that has to load something, or that a change overtook, begins
//! again with a set: what it read before is looked at as a whole, only what changed since is loaded again, all at once,
//! and the read goes on at the revision at which everything in the set is valid. So unrelated changes do not concern it,
//! and related ones cost it one more load each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::kept::{Generation, Kept, KeptPrincipal};
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::snapshot::Organization;

pub(super) type Principals = HashMap<PrincipalId, Option<Arc<Kept<KeptPrincipal>>>>;
pub(super) type Organizations = HashMap<OrganizationId, Option<Arc<Kept<Arc<Organization>>>>>;

/// The facts that one read was given, over all its attempts.
#[derive(Debug, Default)]
pub struct ReadSet {
    recording: AtomicBool,
    facts: Mutex<Facts>,
}

/// `None` = asked about, and not at hand.
#[derive(Debug, Default)]
pub(super) struct Facts {
    generation: Option<Generation>,
    pub(super) principals: Principals,
    pub(super) organizations: Organizations,
}

impl ReadSet {
    /// A set that notes from the first attempt on, for a read that is known to load much.
    #[must_use]
    pub fn recording() -> Self {
        Self { recording: AtomicBool::new(true), ..Self::default() }
    }

    /// Has the next attempt note what it reads.
    pub fn record(&self) {
        self.recording.store(true, Ordering::Relaxed);
    }

    /// Whether this attempt notes what it reads.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recording.load(Ordering::Relaxed)
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock()
    }

    pub(super) fn principal(&self, id: &PrincipalId) -> Option<Arc<Kept<KeptPrincipal>>> {
        self.facts.lock().principals.get(id).cloned().flatten()
    }

    pub(super) fn organization(&self, id: &OrganizationId) -> Option<Arc<Kept<Arc<Organization>>>> {
        self.facts.lock().organizations.get(id).cloned().flatten()
    }
}

impl Facts {
    /// Drops what was read of another generation of the realm's cache: nothing says whether it is still true.
    pub(super) fn of_generation(&mut self, generation: Generation) {
        if self.generation.replace(generation) != Some(generation) {
            self.principals.values_mut().for_each(|fact| *fact = None);
            self.organizations.values_mut().for_each(|fact| *fact = None);
        }
    }
}
