//! Compiling a principal.

use std::sync::Arc;

use super::super::confer::{Standing, standing};
use super::table::Table;
use super::{CompiledPrincipal, Group, Holding, NONE, Slot, bucket, key, key_hash};
use crate::domain::catalogue::ranges::{Run, number};
use crate::domain::catalogue::{Basic, Catalogue};
use crate::domain::ids::{EntryId, PrincipalId, RealmId};
use crate::domain::permission::{Pattern, Reach, Reaches};
use crate::domain::snapshot::{Confers, Entry, Principal, PrincipalKind, Scope, Window};

/// A group of at most this many slots is walked; a larger one has a table.
const WALKED_MAX: u32 = 4;

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
        let mut grants = Vec::new();
        let mut slots: Vec<Slot> = (0..)
            .zip(&principal.entries)
            .filter_map(|(at, entry)| slot(catalogue, &principal, entry, at, &mut grants))
            .collect();
        if platform_operator {
            grants = vec![[catalogue.reserved_run(), 0..0]];
        }
        slots.sort_by_cached_key(|slot| {
            let entry = &principal.entries[slot.entry as usize];
            (entry.scope, entry.resource.clone(), slot.entry)
        });
        let mut compiled = Self {
            catalogue: catalogue.as_of,
            platform_operator,
            groups: groups(&principal, &slots),
            principal,
            slots: slots.into(),
            buckets: Box::default(),
            tables: Box::default(),
            grants: grants.into(),
            basic: Box::default(),
        };
        compiled.buckets = buckets(&compiled.groups);
        compiled.basic = compiled.find_basic(catalogue);
        compiled.tabulate(catalogue);
        compiled
    }

    fn find_basic(&self, catalogue: &Catalogue) -> Box<[u32]> {
        let Basic::Asked(permission) = catalogue.basic() else { return Box::default() };
        let covers = |slot: &Slot| self.reaches(catalogue, slot.holding, permission) != Reaches::NONE;
        (0..).zip(&self.slots).filter(|(_, slot)| covers(slot)).map(|(at, _)| at).collect()
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

    /// What a grant of this number covers.
    pub(super) fn granted(&self, number: u32) -> impl Iterator<Item = Run> {
        self.grants[number as usize].iter().filter(|run| !run.is_empty()).cloned()
    }
}

/// The slot of an entry, unless that can't confer anything.
fn slot(
    catalogue: &Catalogue,
    principal: &Principal,
    entry: &Entry,
    at: u32,
    grants: &mut Vec<[Run; 2]>,
) -> Option<Slot> {
    let standing = standing(catalogue, principal, entry);
    if matches!(standing, Standing::NoMembership | Standing::WrongKind(_)) {
        return None;
    }
    let holding = match &entry.confers {
        Confers::Role(role) => Holding::Role(catalogue.index(*role)?),
        Confers::Grant { pattern, reach } => {
            let mut runs = catalogue.runs(pattern).into_iter();
            grants.push([runs.next().unwrap_or_default(), runs.next().unwrap_or_default()]);
            Holding::Grant(number(grants.len() - 1), *reach)
        }
    };
    let plain = standing == Standing::Sound && entry.window == Window::ALWAYS;
    Some(Slot { entry: at, holding, scoped: entry.scope != Scope::Realm, plain })
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
    let mut buckets = vec![NONE; (groups.len() * 2).next_power_of_two()];
    let mask = buckets.len() - 1;
    for (number, group) in (0..).zip(groups) {
        let mut at = bucket(group.hash, mask);
        while buckets[at] != NONE {
            at = (at + 1) & mask;
        }
        buckets[at] = number;
    }
    buckets.into()
}
