//! What has happened in a realm, as far as this process knows.

use std::collections::{HashMap, VecDeque};

use super::Remembered;
use crate::domain::change::Key;
use crate::domain::ids::Revision;
use crate::domain::realm::Position;

/// So many tokens from before the remembered positions are known to be reached.
const TOKENS_REACHED: usize = 64;

/// The newest positions of a realm's history, and when each key changed last.
#[derive(Debug)]
pub(super) struct Ledger {
    position: Position,
    /// The newest positions of this history, one per revision, the current one last.
    recent: VecDeque<Position>,
    /// Older positions that a reading of the log went past since they were asked about.
    reached: VecDeque<Position>,
    /// A position that this process knows to be committed and has not applied.
    owed: Option<Position>,
    /// When each key changed last; what is not listed changed at `floor` or before.
    last_changed: HashMap<Key, Revision>,
    floor: Revision,
    limits: Remembered,
}

impl Ledger {
    pub(super) fn new(position: Position, limits: Remembered) -> Self {
        Self {
            position,
            recent: [position].into(),
            reached: VecDeque::new(),
            owed: None,
            last_changed: HashMap::new(),
            floor: position.revision,
            limits,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The newest position that this process knows of: a database that does not have it is behind.
    pub(super) fn known(&self) -> Position {
        self.owed.filter(|owed| owed.revision > self.position.revision).unwrap_or(self.position)
    }

    /// Notes that a position was committed which can't be applied before the log was read.
    pub(super) fn owe(&mut self, position: Position) {
        if position.revision > self.known().revision {
            self.owed = Some(position);
        }
    }

    /// Moves on, by one revision at the most.
    pub(super) fn move_to(&mut self, position: Position) {
        if position == self.position {
            return;
        }
        if self.recent.len() >= self.limits.positions.max(1) {
            self.recent.pop_front();
        }
        self.recent.push_back(position);
        self.position = position;
    }

    /// Notes that a key changed. Answers whether it had not been listed.
    pub(super) fn changed(&mut self, key: Key, at: Revision) -> bool {
        let keys = self.last_changed.len();
        let changed = self.last_changed.entry(key).or_insert(at);
        *changed = (*changed).max(at);
        self.last_changed.len() > keys
    }

    /// How many keys are listed.
    pub(super) fn keys(&self) -> usize {
        self.last_changed.len()
    }

    /// Forgets which keys changed: any may have, up to here. Answers how many were listed.
    pub(super) fn forget_keys(&mut self) -> usize {
        self.floor = self.position.revision;
        std::mem::take(&mut self.last_changed).len()
    }

    /// When the key changed last, or may have.
    pub(super) fn last_changed(&self, key: &Key) -> Revision {
        self.last_changed.get(key).copied().unwrap_or(self.floor)
    }

    /// Whether what was read of a key at that position is what this history has of it now. A position from before the
    /// oldest one remembered may be of a history that was lost: what was read there is read again.
    pub(super) fn vouches_for(&self, key: &Key, as_of: Position) -> bool {
        self.last_changed(key) <= as_of.revision && self.remembers(as_of)
    }

    /// Whether this very position is among the newest of this history. A commit and a load are judged by nothing else:
    /// that revisions are small says nothing of which history they are of.
    pub(super) fn remembers(&self, position: Position) -> bool {
        let oldest = self.recent.front().map_or(i64::MAX, |oldest| oldest.revision.0);
        let index = usize::try_from(position.revision.0 - oldest).ok();
        index.and_then(|index| self.recent.get(index)).is_some_and(|known| *known == position)
    }

    /// Whether the position is too old to be remembered, if it ever was of this history.
    pub(super) fn is_before_memory(&self, position: Position) -> bool {
        self.recent.front().is_some_and(|oldest| position.revision < oldest.revision)
    }

    /// Whether all is applied here that somebody with a token of that position may know of.
    pub(super) fn has_reached(&self, token: Position) -> bool {
        self.remembers(token) || self.reached.contains(&token)
    }

    /// Notes that the log was read after somebody came with that token. What is applied here is newer, whichever history
    /// the token is of, and stays so. `false` = the token is ahead of the log.
    pub(super) fn reach(&mut self, token: Position) -> bool {
        if self.has_reached(token) {
            return true;
        }
        if token.revision > self.position.revision {
            return false;
        }
        if self.reached.len() == TOKENS_REACHED {
            self.reached.pop_front();
        }
        self.reached.push_back(token);
        true
    }
}
