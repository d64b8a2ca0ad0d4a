//! The table of a group of many entries: by what is asked, the entries that may open it.
//!
//! What entries confer without any condition is joined per run of permissions, and answers most questions at once.
//! The rest stands under the pattern that covers it, so that a question meets only what covers its permission.

use std::ops::Range;

use super::{Ask, CompiledPrincipal, Holding, Slot};
use crate::domain::catalogue::ranges::{Ranges, Run, nested_order, number};
use crate::domain::catalogue::{Catalogue, RoleIndex};
use crate::domain::decision::World;
use crate::domain::permission::Reaches;

#[derive(Debug)]
pub(super) struct Table {
    ranges: Ranges<Cell>,
    /// The candidates of all runs, one after the other.
    candidates: Box<[Candidate]>,
}

/// What a run of permissions has in this group.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Conferred without any condition, here or around.
    plain: Reaches,
    /// Conferred perhaps, here or around.
    perhaps: Reaches,
    first: u32,
    length: u32,
}

/// A slot that confers under a condition: a time, a kind, or that of a role.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    slot: u32,
    reaches: Reaches,
    /// The included role whose pattern this is, where the path to it has conditions.
    bound: Option<RoleIndex>,
}

impl Table {
    /// Makes the table of the slots in this range.
    pub(super) fn new(compiled: &CompiledPrincipal, catalogue: &Catalogue, slots: Range<u32>) -> Self {
        let mut rows: Vec<(Run, bool, Candidate)> = slots.flat_map(|at| rows(compiled, catalogue, at)).collect();
        rows.sort_by_key(|(run, plain, candidate)| (nested_order(run), !plain, candidate.slot));
        let mut candidates = Vec::new();
        let runs = rows.chunk_by(|a, b| a.0 == b.0).map(|alike| {
            let mut cell = Cell { first: number(candidates.len()), ..Cell::default() };
            for (_, plain, candidate) in alike {
                if *plain {
                    cell.plain = cell.plain | candidate.reaches;
                } else {
                    cell.perhaps = cell.perhaps | candidate.reaches;
                    candidates.push(*candidate);
                }
            }
            cell.length = number(candidates.len()) - cell.first;
            (alike[0].0.clone(), cell)
        });
        let ranges = Ranges::new(runs.collect(), |around, own| {
            own.plain = own.plain | around.plain;
            own.perhaps = own.perhaps | around.perhaps;
        });
        Self { ranges, candidates: candidates.into() }
    }

    pub(super) fn allows(&self, compiled: &CompiledPrincipal, world: &World<'_>, ask: &Ask<'_>) -> bool {
        let number = ask.permission.0;
        let Some(innermost) = self.ranges.innermost(number) else { return false };
        let opens = |cell| self.candidates(cell).iter().any(|it| it.allows(compiled, world, ask));
        innermost.plain.meets(ask.wanted) || innermost.perhaps.meets(ask.wanted) && self.ranges.at(number).any(opens)
    }

    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.ranges.heap_bytes() + size_of_val(&*self.candidates)
    }

    fn candidates(&self, cell: &Cell) -> &[Candidate] {
        &self.candidates[cell.first as usize..][..cell.length as usize]
    }
}

impl Candidate {
    fn allows(&self, compiled: &CompiledPrincipal, world: &World<'_>, ask: &Ask<'_>) -> bool {
        let slot = &compiled.slots[self.slot as usize];
        self.reaches.meets(ask.wanted)
            && compiled.stands(world.catalogue, slot, ask.place, ask.now)
            && match (slot.holding, self.bound) {
                (Holding::Role(root), Some(included)) => compiled.leads(world, root, included, ask),
                _ => true,
            }
    }
}

/// What one slot confers: the run, whether without any condition, the candidate.
fn rows(compiled: &CompiledPrincipal, catalogue: &Catalogue, at: u32) -> Vec<(Run, bool, Candidate)> {
    let Slot { holding, plain, .. } = compiled.slots[at as usize];
    let free = |(run, reaches)| (run, plain, Candidate { slot: at, reaches, bound: None });
    match holding {
        Holding::Grant { start, end, .. } if start == end => vec![],
        Holding::Grant { start, end, reach } => vec![free((start..end, reach.into()))],
        Holding::Role(root) => {
            let root = catalogue.at(root);
            let freely = root.free.iter().map(|(run, reaches)| free((run, *reaches)));
            let bound = root.bound.iter().flat_map(|included| {
                let own = catalogue.at(*included).own.iter();
                own.map(|(run, reaches)| {
                    (run, false, Candidate { slot: at, reaches: *reaches, bound: Some(*included) })
                })
            });
            freely.chain(bound).collect()
        }
    }
}
