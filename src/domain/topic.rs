//! Mail topics: who takes which, about whom.
//!
//! Asked where mails are addressed. A topic comes with a role, under that role's conditions, and reaches as far as the
//! role says; whether the person may act on what the mail is about is another question, and the asker's.

use super::catalogue::{Catalogue, RoleIndex};
use super::decision::confer::confers;
use super::decision::{Found, Holding, Place, Slot, World};
use super::ids::{OrganizationId, PrincipalId, RoleId};
use super::permission::Reaches;
use super::time::Timestamp;

/// The topic of those who decide on newcomers.
pub const APPROVALS: &str = "approvals";

/// The roles that carry the topic, themselves or by including another: whom to ask about.
pub fn carriers(catalogue: &Catalogue, topic: &str) -> impl Iterator<Item = RoleId> {
    let carries = move |role: RoleId| {
        catalogue.with_included(role).any(|role| role.topics.iter().any(|(carried, _)| carried == topic))
    };
    catalogue.roles().map(|role| role.id).filter(move |role| carries(*role))
}

/// Whether the world's subject passes its gates and takes the topic about this person, in the organization or realm-wide,
/// conferring now.
///
/// The world has the organization gathered, what the subject's gates need, and the managers of the person.
#[must_use]
pub fn takes(
    world: &World<'_>,
    topic: &str,
    organization: Option<OrganizationId>,
    about: PrincipalId,
    now: Timestamp,
) -> bool {
    let Found::Place(place) = world.find(organization) else { return false };
    if world.gates(now).next().is_some() {
        return false;
    }
    let search = Search { world, topic, reaches: world.wanted(Some(about)), place, now };
    world.subject.slots_without_resource(place).any(|slot| search.taken_by(slot))
}

/// The search for a role that carries the topic.
struct Search<'a> {
    world: &'a World<'a>,
    topic: &'a str,
    reaches: Reaches,
    place: Place<'a>,
    now: Timestamp,
}

impl Search<'_> {
    fn taken_by(&self, slot: &Slot) -> bool {
        let Holding::Role(root) = slot.holding else { return false };
        let catalogue = self.world.catalogue;
        let confers = |role| confers(&catalogue.at(role).role, self.world.subject, self.place, self.now);
        let mut carrying = catalogue.at(root).closure.iter().filter(|role| self.carries(**role));
        self.world.subject.stands(catalogue, slot, self.place, self.now)
            && carrying.any(|role| catalogue.route(root, *role, confers).is_some())
    }

    fn carries(&self, role: RoleIndex) -> bool {
        let topics = &self.world.catalogue.at(role).role.topics;
        topics.iter().any(|(topic, reach)| topic == self.topic && self.reaches.meets((*reach).into()))
    }
}
