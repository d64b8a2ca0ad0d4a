//! Whether an answer was right: at the revision that it names, and not older than what had been acknowledged.

use countersign::cache::Freshness;
use countersign::domain::change::Key;
use countersign::domain::ids::Revision;

use super::actors::{Replica, keys};
use super::world::{Acknowledged, SECOND};

/// What a check gathered: facts, all of them of one revision.
pub(super) struct Seen {
    pub(super) revision: Revision,
    pub(super) facts: Vec<(Key, i64)>,
}

/// What bound an answer when its question was asked.
pub(super) struct Asked {
    realm: usize,
    tick: u64,
    /// The oldest state of each fact that the answer may rest on.
    floor: Vec<(Key, i64)>,
    /// The newest revision that this process had answered at.
    answered_at: Revision,
}

impl Replica {
    pub(super) fn asks(&self, realm: usize, freshness: Freshness) -> Asked {
        let answered_at = self.answered_at.lock().unwrap().get(&realm).copied().unwrap_or(Revision(0));
        Asked { realm, tick: self.world.now(), floor: self.floor(realm, freshness), answered_at }
    }

    /// The oldest state of each fact that a check may answer from if it begins now.
    fn floor(&self, realm: usize, freshness: Freshness) -> Vec<(Key, i64)> {
        let (record, now) = (self.world.record(realm), self.world.now());
        // A process that only ever saw a standby can't know what the primary acknowledged elsewhere.
        let knows_others = !self.world.weather.standby;
        let binds = |it: &&Acknowledged| {
            it.replica == self.number
                || (knows_others && it.tick + SECOND <= now)
                || match freshness {
                    Freshness::Latest => false,
                    Freshness::AtLeast(token) => it.at.revision <= token.revision,
                    Freshness::Full => knows_others,
                }
        };
        let of = |key| record.acknowledged.iter().filter(binds).filter(|it| it.key == key).map(|it| it.stamp).max();
        keys(realm).into_iter().map(|key| (key, of(key).unwrap_or(0))).collect()
    }

    pub(super) fn judges(&self, asked: &Asked, seen: &Seen) {
        self.world.count(true);
        if self.failed_over_since(asked) {
            return;
        }
        for &(key, stamp) in &seen.facts {
            self.is_no_older(asked, key, stamp);
            let record = self.world.record(asked.realm);
            // Between a failover and the next look at the log, revisions are of two histories.
            if record.failover.is_none_or(|at| asked.tick > at + SECOND) {
                let truth = record.at(key, seen.revision);
                assert_eq!(stamp, truth, "{key} is not that of {:?}: {}", seen.revision, self.place());
            }
        }
        self.goes_on(asked, seen.revision);
    }

    pub(super) fn judges_a_credential(&self, asked: &Asked, key: Key, stamp: i64) {
        // A key that nobody had is asked about at whatever database answers: nothing here says that it is behind.
        let of_a_standby = self.world.weather.standby && stamp == 0;
        if !self.failed_over_since(asked) && !of_a_standby {
            self.is_no_older(asked, key, stamp);
        }
    }

    /// A process never answers at a revision behind one that it had answered at, unless changes were lost.
    fn goes_on(&self, asked: &Asked, revision: Revision) {
        let mut all = self.answered_at.lock().unwrap();
        let newest = all.entry(asked.realm).or_insert(Revision(0));
        if self.world.record(asked.realm).failover.is_none() {
            let before = asked.answered_at;
            assert!(revision >= before, "answered at {revision:?} after {before:?}: {}", self.place());
        }
        *newest = (*newest).max(revision);
    }

    /// What was acknowledged before that instant may be lost.
    fn failed_over_since(&self, asked: &Asked) -> bool {
        self.world.record(asked.realm).failover.is_some_and(|at| asked.tick <= at)
    }

    fn is_no_older(&self, asked: &Asked, key: Key, stamp: i64) {
        let (_, least) = asked.floor.iter().find(|(of, _)| *of == key).unwrap();
        assert!(stamp >= *least, "{key} is {stamp}, and {least} was acknowledged before: {}", self.place());
    }
}
