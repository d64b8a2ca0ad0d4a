//! Compiling a principal.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::confer::{Standing, standing};
use super::table::Table;
use super::{CompiledPrincipal, Group, Holding, NONE, Slot, freely, key, key_hash};
use crate::domain::catalogue::ranges::{Run, number};
use crate::domain::catalogue::{Basic, Catalogue, PermissionId};
use crate::domain::ids::{EntryId, PrincipalId, RealmId};
use crate::domain::permission::{Pattern, Reach, Reaches};
use crate::domain::snapshot::{Confers, Entry, Principal, PrincipalKind, Scope, Window};

/// A group of at most this many slots is walked; a larger one has a table.
const WALKED_MAX: u32 = 4;

/// Up to this many groups are looked through by their hash; more have buckets.
const LISTED_MAX: u32 = 8;

impl CompiledPrincipal {
    /// Compiles a principal's snapshot for this catalogue, whose realm it belongs to.
    #[must_use]
    pub fn compile(principal: Arc<Principal>, catalogue: &Catalogue) -> Self {
        Self::build(principal, catalogue, false)
    }

    /// A platform account at work in a realm: holds everything reserved, realm-wide, and no gate of the realm binds
    /// it.
    #[must_use]
    pub fn platform_operator(id: PrincipalId, realm: RealmId, catalogue: &Catalogue) -> Self {
        let everything = Entry {
            id: EntryId(uuid::Uuid::nil()),
            confers: Confers::Grant { pattern: Pattern::everything_reserved(), reach: Reach::All },
            scope: Scope::Realm,
            resource: None,
            window: Window::ALWAYS,
        };
        let principal = Principal {
            id,
            realm,
            as_of: catalogue.as_of,
            kind: PrincipalKind::ServiceAccount { organization: None, disabled: false },
            memberships: vec![],
            manager: None,
            entries: vec![everything],
            session_epoch: 0,
            ended_sessions: vec![],
        };
        Self::build(Arc::new(principal), catalogue, true)
    }

    fn build(principal: Arc<Principal>, catalogue: &Catalogue, platform_operator: bool) -> Self {
        let mut slots: Vec<Slot> =
            (0..).zip(&principal.entries).flat_map(|(at, entry)| slots(catalogue, &principal, entry, at)).collect();
        if platform_operator {
            let everything = catalogue.reserved_run();
            slots.truncate(1);
            for slot in &mut slots {
                slot.holding = grant(everything.clone(), Reach::All);
            }
        }
        slots.sort_by_cached_key(|slot| {
            let entry = &principal.entries[slot.entry as usize];
            (entry.scope, entry.resource.clone(), slot.entry)
        });
        let groups = groups(&principal, &slots);
        let first_basic = slots.iter().position(|slot| slot.basic).unwrap_or(slots.len());
        let mut compiled = Self {
            principal,
            catalogue: catalogue.as_of,
            platform_operator,
            buckets: buckets(&groups),
            first_basic: number(first_basic),
            slots: slots.into(),
            groups,
            tables: Box::default(),
        };
        compiled.tabulate(catalogue);
        compiled
    }

    fn tabulate(&mut self, catalogue: &Catalogue) {
        let mut tables = Vec::new();
        let mut groups = std::mem::take(&mut self.groups);
        for group in groups.iter_mut().filter(|group| group.length > WALKED_MAX) {
            group.table = number(tables.len());
            tables.push(Table::new(self, catalogue, group.first..group.first + group.length));
        }
        (self.groups, self.tables) = (groups, tables.into());
    }
}

/// The slots of an entry, unless that can't confer anything. A grant that covers nothing declared has one: what it
/// covers may be conferred on, before it is declared.
fn slots(catalogue: &Catalogue, principal: &Principal, entry: &Entry, at: u32) -> SmallVec<[Slot; 2]> {
    let standing = standing(catalogue, principal, entry);
    if matches!(standing, Standing::NoMembership | Standing::WrongKind(_)) {
        return SmallVec::new();
    }
    let holdings: SmallVec<[Holding; 2]> = match &entry.confers {
        Confers::Role(role) => catalogue.index(*role).map(Holding::Role).into_iter().collect(),
        Confers::Grant { pattern, reach } => match catalogue.runs(pattern) {
            none if none.is_empty() => [grant(0..0, *reach)].into_iter().collect(),
            runs => runs.into_iter().map(|run| grant(run, *reach)).collect(),
        },
    };
    let plain = standing == Standing::Sound && entry.window == Window::ALWAYS;
    let scoped = entry.scope != Scope::Realm;
    let basic = |holding| match catalogue.basic() {
        Basic::Asked(permission) => reaches(catalogue, holding, permission) != Reaches::NONE,
        Basic::NotAsked | Basic::HeldByNobody => false,
    };
    holdings.into_iter().map(|holding| Slot { entry: at, holding, scoped, plain, basic: basic(holding) }).collect()
}

fn grant(Run { start, end }: Run, reach: Reach) -> Holding {
    Holding::Grant { start, end, reach }
}

/// The reaches at which a holding covers the permission, conditions aside.
fn reaches(catalogue: &Catalogue, holding: Holding, permission: PermissionId) -> Reaches {
    match holding {
        Holding::Role(role) => catalogue.at(role).reaches(permission),
        Holding::Grant { .. } => freely(catalogue, holding, permission),
    }
}

fn groups(principal: &Principal, slots: &[Slot]) -> Box<[Group]> {
    let key = |slot: &Slot| key(&principal.entries[slot.entry as usize]);
    let mut first = 0;
    let alike = slots.chunk_by(|a, b| key(a) == key(b));
    let group = |slots: &[Slot]| {
        let (organization, resource) = key(&slots[0]);
        let length = number(slots.len());
        first += length;
        Group { hash: key_hash(organization, resource), first: first - length, length, table: NONE }
    };
    alike.map(group).collect()
}

fn buckets(groups: &[Group]) -> Box<[u32]> {
    if number(groups.len()) <= LISTED_MAX {
        return Box::default();
    }
    let mut buckets = vec![NONE; (groups.len() * 2).next_power_of_two()];
    let mask = buckets.len() - 1;
    for (number, group) in (0..).zip(groups) {
        let mut at = group.hash as usize & mask;
        while buckets[at] != NONE {
            at = (at + 1) & mask;
        }
        buckets[at] = number;
    }
    buckets.into()
}
