//! The gate of basic access: does the decision below the gates find the realm's basic permission *somewhere*?
//!
//! Somewhere is: for what belongs to no organization, and in each organization of an ACTIVE membership; whoever the
//! owner, whatever the resource. Entries scoped to other organizations count for nothing anyway.

use smallvec::SmallVec;

use super::index::Slot;
use super::{Found, Needs, World};
use crate::domain::catalogue::Basic;
use crate::domain::ids::OrganizationId;
use crate::domain::permission::Reaches;
use crate::domain::time::Timestamp;

impl World<'_> {
    /// What must be gathered before [`World::gates`] can be believed; `None` once nothing is.
    #[must_use]
    pub fn gates_need(&self, now: Timestamp) -> Option<Needs> {
        self.try_holds_basic(now).err()
    }

    /// Whether the gate of basic access is open; service accounts have none.
    ///
    /// # Errors
    /// It is not open by what was gathered, but might be in these organizations. They are asked for a few at a time,
    /// since the first one usually settles it.
    pub(super) fn try_holds_basic(&self, now: Timestamp) -> Result<bool, Needs> {
        let permission = match self.catalogue.basic() {
            _ if !self.subject.principal().is_user() => return Ok(true),
            Basic::NotAsked => return Ok(true),
            Basic::HeldByNobody => return Ok(false),
            Basic::Asked(permission) => permission,
        };
        let mut missing = SmallVec::new();
        for slot in self.subject.basic_slots() {
            for organization in self.places(slot) {
                match self.find(organization) {
                    Found::Place(place) => {
                        let ask = super::Ask { permission, wanted: Reaches::EVERY, place, now };
                        if self.subject.slot_allows(self, slot, &ask) {
                            return Ok(true);
                        }
                    }
                    Found::Unknown => {}
                    Found::NotGathered(id) if missing.len() <= self.organizations.len() && !missing.contains(&id) => {
                        missing.push(id);
                    }
                    Found::NotGathered(_) => {}
                }
            }
        }
        if missing.is_empty() { Ok(false) } else { Err(Needs::Organizations(missing)) }
    }

    /// Where a slot may confer basic access.
    fn places(&self, slot: &Slot) -> impl Iterator<Item = Option<OrganizationId>> {
        let principal = self.subject.principal();
        let scoped = self.subject.entry(slot).scope.organization();
        let nowhere = scoped.is_none().then_some(None);
        let memberships = principal.active_memberships().map(|held| held.organization);
        let everywhere = memberships.filter(move |id| scoped.is_none_or(|scoped| scoped == *id));
        nowhere.into_iter().chain(everywhere.map(Some))
    }
}
