//! Which of a set of patterns cover a permission, in one binary search.
//!
//! Permissions are numbered in the order of their names, so whatever a pattern covers is a run of numbers (two, where
//! a namespace is left out). Any two patterns cover runs that are nested or apart, never overlapping: the runs that
//! hold a number are the innermost one and its parents, at most nine.

use std::ops::Range;

use crate::domain::permission::Reaches;

/// A run of permission numbers.
pub(crate) type Run = Range<u32>;

const NONE: u32 = u32::MAX;

/// Up to this many runs are searched without hints.
const UNHINTED_MAX: usize = 8;

/// Distinct runs, nested or apart, each with something attached.
#[derive(Clone, Debug)]
pub(crate) struct Ranges<T> {
    /// Where each run starts, ascending; of equal starts the longest run first.
    starts: Box<[u32]>,
    nodes: Box<[Node<T>]>,
    /// How many runs start before each multiple of `1 << shift`: so that a search in many runs is one look-up and a
    /// few steps. Empty for few runs.
    hints: Box<[u32]>,
    shift: u32,
}

#[derive(Clone, Debug)]
struct Node<T> {
    end: u32,
    parent: u32,
    value: T,
}

impl<T> Ranges<T> {
    /// Takes non-empty, distinct runs in the order of [`nested_order`]; `inherit` hands a parent's value to its child.
    pub(crate) fn new(runs: Vec<(Run, T)>, inherit: impl Fn(&T, &mut T)) -> Self {
        let starts: Box<[u32]> = runs.iter().map(|(run, _)| run.start).collect();
        let (hints, shift) = hints(&starts);
        let mut nodes: Vec<Node<T>> = Vec::with_capacity(runs.len());
        let mut parent = NONE;
        for (run, mut value) in runs {
            while let Some(node) = nodes.get(parent as usize)
                && node.end <= run.start
            {
                parent = node.parent;
            }
            if let Some(node) = nodes.get(parent as usize) {
                inherit(&node.value, &mut value);
            }
            let own = number(nodes.len());
            nodes.push(Node { end: run.end, parent, value });
            parent = own;
        }
        Self { starts, nodes: nodes.into(), hints, shift }
    }

    /// What is attached to the innermost run that holds the number.
    #[inline]
    pub(crate) fn innermost(&self, number: u32) -> Option<&T> {
        self.node(number).map(|node| &node.value)
    }

    /// What is attached to the runs that hold the number, the innermost first.
    pub(crate) fn at(&self, number: u32) -> impl Iterator<Item = &T> {
        std::iter::successors(self.node(number), |node| self.nodes.get(node.parent as usize)).map(|node| &node.value)
    }

    #[inline]
    fn node(&self, number: u32) -> Option<&Node<T>> {
        let mut node = self.nodes.get(self.started_by(number).wrapping_sub(1))?;
        while node.end <= number {
            node = self.nodes.get(node.parent as usize)?;
        }
        Some(node)
    }

    /// How many runs start at the number or before it.
    #[inline]
    fn started_by(&self, number: u32) -> usize {
        let bucket = (number >> self.shift) as usize;
        let (from, to) = match self.hints.get(bucket..) {
            Some([from, to, ..]) => (*from as usize, *to as usize),
            Some([from]) => (*from as usize, self.starts.len()),
            _ if self.hints.is_empty() => (0, self.starts.len()),
            _ => return self.starts.len(),
        };
        from + self.starts[from..to].partition_point(|start| *start <= number)
    }

    /// What lies on the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.nodes) + size_of_val(&*self.hints)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Run, &T)> {
        self.starts.iter().zip(&self.nodes).map(|(start, node)| (*start..node.end, &node.value))
    }
}

impl Ranges<Reaches> {
    /// The reaches at which some pattern covers a number: equal runs are joined, and what a wider run has already is
    /// left out of the narrower ones.
    pub(crate) fn joined(mut runs: Vec<(Run, Reaches)>) -> Self {
        runs.sort_by_key(|(run, _)| nested_order(run));
        runs.dedup_by(|(run, reaches), (kept, joined)| {
            let same = run == kept;
            if same {
                *joined = *joined | *reaches;
            }
            same
        });
        let mut around: Vec<(Run, Reaches)> = Vec::new();
        runs.retain_mut(|(run, reaches)| {
            while around.last().is_some_and(|(outer, _)| outer.end <= run.start) {
                around.pop();
            }
            let outer = around.last().map_or(Reaches::NONE, |(_, reaches)| *reaches);
            *reaches = *reaches | outer;
            let adds = *reaches != outer;
            if adds {
                around.push((run.clone(), *reaches));
            }
            adds
        });
        Self::new(runs, |_, _| ())
    }

    /// The reaches at which some pattern covers the number.
    pub(crate) fn reaches(&self, number: u32) -> Reaches {
        self.innermost(number).copied().unwrap_or_default()
    }
}

/// About as many hints as there are runs, and how wide each is.
fn hints(starts: &[u32]) -> (Box<[u32]>, u32) {
    let last = match starts {
        [.., last] if starts.len() > UNHINTED_MAX => *last,
        _ => return (Box::default(), 0),
    };
    let shift = (last / number(starts.len())).checked_ilog2().map_or(0, |log| log + 1);
    let before = |bucket: u32| number(starts.partition_point(|start| *start < bucket << shift));
    ((0..=last >> shift).map(before).collect(), shift)
}

/// Sorts runs so that each comes after those around it.
pub(crate) fn nested_order(run: &Run) -> (u32, std::cmp::Reverse<u32>) {
    (run.start, std::cmp::Reverse(run.end))
}

/// A length as the 32-bit number that the tables store. None of them comes near the end of it.
pub(crate) fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permission::Reach::{All, Own, Team};

    fn joined(runs: &[(Run, crate::domain::permission::Reach)]) -> Ranges<Reaches> {
        Ranges::joined(runs.iter().map(|(run, reach)| (run.clone(), Reaches::from(*reach))).collect())
    }

    #[test]
    fn the_innermost_run_has_what_those_around_it_have() {
        let ranges = joined(&[(4..5, All), (2..8, Own), (0..10, Team), (6..7, Own)]);
        assert_eq!(ranges.reaches(0), Reaches::from(Team));
        assert_eq!(ranges.reaches(2), Reaches::from(Team) | Reaches::from(Own));
        assert_eq!(ranges.reaches(4), Reaches::EVERY);
        assert_eq!(ranges.reaches(6), ranges.reaches(2));
        assert_eq!(ranges.reaches(9), Reaches::from(Team));
        assert_eq!(ranges.reaches(10), Reaches::NONE);
        assert_eq!(ranges.iter().count(), 3, "the run that adds nothing is left out");
    }

    #[test]
    fn runs_apart_leave_the_gap_uncovered() {
        let ranges = joined(&[(5..7, All), (1..2, Own), (5..7, Own)]);
        let covered: Vec<_> = (0..9).filter(|n| ranges.reaches(*n) != Reaches::NONE).collect();
        assert_eq!(covered, [1, 5, 6]);
        assert_eq!(joined(&[]).reaches(0), Reaches::NONE);
    }

    #[test]
    fn many_runs_are_found_as_few_are() {
        for step in [1, 2, 7, 1_000] {
            let runs: Vec<_> = (1..50).map(|n| n * step..n * step + 1).collect();
            let ranges = Ranges::new(runs.iter().map(|run| (run.clone(), run.start)).collect(), |_, _| ());
            for number in 0..52 * step {
                let found = runs.iter().find(|run| run.contains(&number)).map(|run| run.start);
                assert_eq!(ranges.at(number).next().copied(), found, "{number} by {step}");
            }
        }
    }

    #[test]
    fn the_runs_around_a_number_come_from_the_inside_out() {
        let ranges = Ranges::new(vec![(0..9, 'a'), (0..4, 'b'), (1..2, 'c'), (5..6, 'd')], |_, _| ());
        let at = |n| ranges.at(n).copied().collect::<String>();
        assert_eq!([at(0), at(1), at(3), at(4), at(5)], ["ba", "cba", "ba", "a", "da"]);
    }
}
