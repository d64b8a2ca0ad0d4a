//! A principal compiled for one catalogue: its entries by where they count, so that a decision looks at few of them.
//!
//! Entries that can't confer whatever is asked (a role that is gone, no ACTIVE membership, the wrong kind) are left
//! out. The rest lie in groups of one scope and one resource, found by hash; a group of many entries has a table of
//! its own, so that a decision costs the same at ten entries and at a thousand.

mod build;
mod table;

use std::hash::BuildHasher;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use self::table::Table;
use super::confer::{confers, standing};
use super::{Place, ResourceRef, World};
use crate::domain::catalogue::{Catalogue, PermissionId, RoleIndex};
use crate::domain::ids::{OrganizationId, Revision};
use crate::domain::permission::{Reach, Reaches};
use crate::domain::snapshot::{Entry, Principal};
use crate::domain::time::Timestamp;

/// A principal's snapshot, compiled for one catalogue.
#[derive(Debug)]
pub struct CompiledPrincipal {
    principal: Arc<Principal>,
    catalogue: Revision,
    platform_operator: bool,
    /// Sorted by group.
    slots: Box<[Slot]>,
    groups: Box<[Group]>,
    /// Open addressing over `groups` by their hash: a power of two long, at most half full. Empty for few groups.
    buckets: Box<[u32]>,
    tables: Box<[Table]>,
    /// The first slot that covers the realm's basic permission.
    first_basic: u32,
}

/// An entry that may confer something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    entry: u32,
    pub(crate) holding: Holding,
    /// Counts in one organization only.
    scoped: bool,
    /// Neither the time nor the organization's kind is to be asked.
    plain: bool,
    /// Covers the realm's basic permission.
    basic: bool,
}

/// What an entry confers, in the terms of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holding {
    Role(RoleIndex),
    /// A run of permissions. A pattern that covers two runs has a slot for each.
    Grant {
        start: u32,
        end: u32,
        reach: Reach,
    },
}

/// The slots of one scope and one resource.
#[derive(Clone, Copy, Debug)]
struct Group {
    hash: u32,
    first: u32,
    length: u32,
    /// Which table it has, if any.
    table: u32,
}

/// No such place in a table.
const NONE: u32 = u32::MAX;

/// A question, as it is put to one slot.
pub(crate) struct Ask<'a> {
    pub(crate) permission: PermissionId,
    /// The reaches that will do.
    pub(crate) wanted: Reaches,
    pub(crate) place: Place<'a>,
    pub(crate) now: Timestamp,
}

impl CompiledPrincipal {
    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The revision of the catalogue that this was compiled for, and may be used with.
    #[must_use]
    pub fn catalogue(&self) -> Revision {
        self.catalogue
    }

    /// What this principal takes in memory, in bytes, the allocator's own share aside.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.slots)
            + size_of_val(&*self.groups)
            + size_of_val(&*self.buckets)
            + self.tables.iter().map(Table::weight).sum::<usize>()
            + self.principal.weight()
    }

    /// Whether some entry opens this, at the place asked about, for one of the reaches wanted. Gates aside.
    pub(crate) fn allows(&self, world: &World<'_>, ask: &Ask<'_>, resource: Option<ResourceRef<'_>>) -> bool {
        let in_scope = |organization| {
            self.group_allows(world, self.group(organization, None), ask)
                || resource.is_some()
                    && self.group_allows(
                        world,
                        self.group(organization, resource),
                        &Ask { wanted: Reaches::EVERY, ..*ask },
                    )
        };
        let organization = ask.place.id().filter(|_| !ask.place.is_suspended());
        in_scope(None) || organization.is_some() && in_scope(organization)
    }

    /// Whether this slot opens what is asked. Its scope covers the place; its resource is not asked about.
    pub(crate) fn slot_allows(&self, world: &World<'_>, slot: &Slot, ask: &Ask<'_>) -> bool {
        let covered = freely(world.catalogue, slot.holding, ask.permission).meets(ask.wanted);
        (covered || self.over_conditions(world, slot, ask)) && self.stands(world.catalogue, slot, ask.place, ask.now)
    }

    /// Whether the slot's entry counts at this place now: window, state of the organization, kind.
    pub(crate) fn stands(&self, catalogue: &Catalogue, slot: &Slot, place: Place<'_>, now: Timestamp) -> bool {
        let entry = self.entry(slot);
        !(slot.scoped && place.is_suspended())
            && (slot.plain
                || entry.window.contains(now)
                    && standing(catalogue, &self.principal, entry).is_sound(place.organization()))
    }

    pub(crate) fn entry(&self, slot: &Slot) -> &Entry {
        &self.principal.entries[slot.entry as usize]
    }

    /// The slots that count at a place and name no resource.
    pub(crate) fn slots_without_resource(&self, place: Place<'_>) -> impl Iterator<Item = &Slot> {
        let there = place.id().and_then(|id| self.group(Some(id), None));
        self.group(None, None).into_iter().chain(there).flat_map(|group| self.slots_of(group))
    }

    pub(super) fn basic_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().skip(self.first_basic as usize).filter(|slot| slot.basic)
    }

    pub(crate) fn is_platform_operator(&self) -> bool {
        self.platform_operator
    }

    fn group_allows(&self, world: &World<'_>, group: Option<&Group>, ask: &Ask<'_>) -> bool {
        let Some(group) = group else { return false };
        match self.tables.get(group.table as usize) {
            Some(table) => table.allows(self, world, ask),
            None => self.slots_of(group).iter().any(|slot| self.slot_allows(world, slot, ask)),
        }
    }

    fn slots_of(&self, group: &Group) -> &[Slot] {
        &self.slots[group.first as usize..][..group.length as usize]
    }

    /// Whether a path of roles whose conditions hold leads to what is asked.
    fn over_conditions(&self, world: &World<'_>, slot: &Slot, ask: &Ask<'_>) -> bool {
        let Holding::Role(root) = slot.holding else { return false };
        let opens = |role: &&RoleIndex| world.catalogue.at(**role).own.reaches(ask.permission.0).meets(ask.wanted);
        let bound = &world.catalogue.at(root).bound;
        bound.iter().filter(opens).any(|role| self.leads(world, root, *role, ask))
    }

    /// Whether every role on some path from one to the other confers.
    fn leads(&self, world: &World<'_>, from: RoleIndex, to: RoleIndex, ask: &Ask<'_>) -> bool {
        let confers = |role| confers(&world.catalogue.at(role).role, self, ask.place, ask.now);
        world.catalogue.route(from, to, confers).is_some()
    }

    /// The group of a scope and a resource.
    fn group(&self, organization: Option<OrganizationId>, resource: Option<ResourceRef<'_>>) -> Option<&Group> {
        let hash = key_hash(organization, resource);
        let is_it = |group: &&Group| group.hash == hash && self.key_of(group) == (organization, resource);
        if self.buckets.is_empty() {
            return self.groups.iter().find(is_it);
        }
        let mask = self.buckets.len() - 1;
        let probed = (0..=mask).map(|step| self.buckets[(hash as usize + step) & mask]);
        probed.map_while(|group| self.groups.get(group as usize)).find(is_it)
    }

    fn key_of(&self, group: &Group) -> (Option<OrganizationId>, Option<ResourceRef<'_>>) {
        key(self.entry(&self.slots[group.first as usize]))
    }
}

fn key(entry: &Entry) -> (Option<OrganizationId>, Option<ResourceRef<'_>>) {
    (entry.scope.organization(), entry.resource.as_deref().map(ResourceRef::from))
}

fn key_hash(organization: Option<OrganizationId>, resource: Option<ResourceRef<'_>>) -> u32 {
    let organization = organization.map_or((0, 0), |id| id.0.as_u64_pair());
    let [a, b, c, d, ..] = FxBuildHasher.hash_one((organization, resource)).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The reaches at which a holding covers the permission without any condition.
fn freely(catalogue: &Catalogue, holding: Holding, permission: PermissionId) -> Reaches {
    match holding {
        Holding::Role(role) => catalogue.at(role).free.reaches(permission.0),
        Holding::Grant { start, end, reach } if (start..end).contains(&permission.0) => reach.into(),
        Holding::Grant { .. } => Reaches::NONE,
    }
}
