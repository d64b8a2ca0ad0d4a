//! How often a password may be tried: waits that grow with every failure in a row.
//!
//! An account has one tally, which sign-in, reset codes and ChangePassword share. A place that is known to be the
//! person's, because they got in from there before, has a tally beside it, so that what strangers do elsewhere does not
//! stop the person there. An attempt is under way from before anything is compared until it was found right or wrong; as
//! many may be under way at once as could fail without a wait, and the others come behind them: so many at once are as
//! many as one after the other, and right ones are no failures. Pure; the record keeps the tallies, `app` says where an
//! attempt comes from.

use std::time::Duration;

use super::time::Timestamp;

/// So many failures in a row cost no wait: a person who mistypes has that many tries.
pub const FREE_FAILURES: u32 = 5;

/// The wait after the last of the free failures; each further failure doubles it (NIST SP 800-63B-4 section 3.2.2: "a
/// period of time that increases …, e.g. 30 seconds up to an hour").
pub const FIRST_WAIT: Duration = Duration::from_secs(30);

/// The longest wait (the same source).
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// After so many failures in a row nothing is compared any more until the mailbox is proven (the same source: "no more
/// than 100").
pub const FAILURES_MAX: u32 = 100;

/// So many of them are all that places have which are not known to be the person's; the others are the person's own.
pub const STRANGE_FAILURES_MAX: u32 = 90;

/// A tally that nothing was added to for so long is forgotten, and a place with it.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 86_400);

/// An attempt that did not end for so long was cut off with its process, and counts as a failure. Twice what a call may
/// take.
pub const UNDER_WAY_MAX: Duration = Duration::from_secs(60);

/// Failures in a row, from when on there may be another attempt, and attempts that have not ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    pub failures: u32,
    pub next_attempt_at: Timestamp,
    pub under_way: u32,
    /// When those under way count as failures.
    pub under_way_until: Timestamp,
}

/// What the record knows of the attempts at an account, as far as one place is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Throttle {
    /// All failures in a row. Its wait is for places that are not known.
    pub account: Tally,
    /// The failures of this place, with a wait of its own; absent where the place is not known to be the person's.
    pub own: Option<Tally>,
}

/// What comes of wanting to try a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It may be tried: the tallies with this attempt under way.
    Now(Throttle),
    /// Not before others that are under way have ended: they may fail.
    Behind,
    /// Not before this time has passed.
    After(Duration),
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Right,
    Wrong,
    /// Nothing was compared.
    NotMade,
}

impl Throttle {
    /// What comes of one more attempt.
    #[must_use]
    pub fn attempt(&self, now: Timestamp) -> Turn {
        let account = self.account.as_of(now);
        let own = self.own.map(|own| own.as_of(now));
        let (tally, most) = match own {
            Some(own) => (own, FAILURES_MAX),
            None => (account, STRANGE_FAILURES_MAX),
        };
        if account.failures >= most {
            return Turn::After(LONGEST_WAIT);
        }
        if now < tally.next_attempt_at {
            return Turn::After(tally.next_attempt_at.since(now).min(LONGEST_WAIT));
        }
        let at_once = FREE_FAILURES.saturating_sub(tally.failures).max(1);
        if tally.under_way >= at_once || account.failures + account.under_way >= most {
            return Turn::Behind;
        }
        Turn::Now(Self { account: account.begun(now), own: own.map(|own| own.begun(now)) })
    }

    /// The tallies once an attempt has ended, which began at a place that was known then, or not.
    #[must_use]
    pub fn ended(&self, outcome: Outcome, was_known: bool, now: Timestamp) -> Self {
        let account = self.account.as_of(now).ended();
        let own = self.own.map(|own| own.as_of(now)).map(|own| if was_known { own.ended() } else { own });
        match outcome {
            Outcome::NotMade => Self { account, own },
            Outcome::Right => Self { account: account.forgiven(), own: Some(own.unwrap_or_default().forgiven()) },
            Outcome::Wrong if was_known => {
                // The account's wait is that of places which are not known.
                let account = Tally { failures: account.failures.saturating_add(1), ..account };
                Self { account, own: own.map(|own| own.failed(now)) }
            }
            Outcome::Wrong => Self { account: account.failed(now), own },
        }
    }
}

impl Tally {
    /// With those as failures that should have ended.
    fn as_of(self, now: Timestamp) -> Self {
        if self.under_way == 0 || now < self.under_way_until {
            return self;
        }
        Self { failures: self.failures.saturating_add(self.under_way), under_way: 0, ..self }
    }

    fn begun(self, now: Timestamp) -> Self {
        Self { under_way: self.under_way + 1, under_way_until: now.after(UNDER_WAY_MAX), ..self }
    }

    fn ended(self) -> Self {
        Self { under_way: self.under_way.saturating_sub(1), ..self }
    }

    fn forgiven(self) -> Self {
        Self { failures: 0, next_attempt_at: Timestamp::default(), ..self }
    }

    fn failed(self, now: Timestamp) -> Self {
        let failures = self.failures.saturating_add(1);
        Self { failures, next_attempt_at: now.after(wait_after(failures)), ..self }
    }
}

/// How long nobody may try again after so many failures in a row.
#[must_use]
pub fn wait_after(failures: u32) -> Duration {
    let Some(beyond) = failures.checked_sub(FREE_FAILURES) else { return Duration::ZERO };
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    /// Wrong attempts one after the other, without waiting, until one may not be made.
    fn until_refused(mut throttle: Throttle, now: Timestamp) -> (Throttle, u32) {
        let mut made = 0;
        while let Turn::Now(begun) = throttle.attempt(now) {
            throttle = begun.ended(Outcome::Wrong, begun.own.is_some(), now);
            made += 1;
        }
        (throttle, made)
    }

    /// Attempts that begin at once, until one comes behind the others.
    fn at_once(mut throttle: Throttle) -> (Throttle, u32) {
        let mut begun = 0;
        while let Turn::Now(next) = throttle.attempt(NOW) {
            throttle = next;
            begun += 1;
        }
        assert_eq!(throttle.attempt(NOW), Turn::Behind);
        (throttle, begun)
    }

    #[test]
    fn waits_grow_from_half_a_minute_to_an_hour() {
        let waits: Vec<_> = (4..14).map(|failures| wait_after(failures).as_secs()).collect();
        assert_eq!(waits, [0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn without_waiting_only_the_free_attempts_are_made() {
        let (throttle, made) = until_refused(Throttle::default(), NOW);
        assert_eq!(made, FREE_FAILURES);
        assert_eq!(throttle.attempt(NOW), Turn::After(FIRST_WAIT));
        assert!(matches!(throttle.attempt(NOW.after(FIRST_WAIT)), Turn::Now(_)));
    }

    #[test]
    fn as_many_begin_at_once_as_could_fail_without_a_wait() {
        let (mut throttle, begun) = at_once(Throttle::default());
        assert_eq!(begun, FREE_FAILURES);
        for _ in 0..begun {
            throttle = throttle.ended(Outcome::Wrong, false, NOW);
        }
        assert_eq!(throttle.attempt(NOW), Turn::After(FIRST_WAIT), "no more than one after the other");
        let after = NOW.after(FIRST_WAIT);
        let Turn::Now(one) = throttle.attempt(after) else { panic!("the wait is over") };
        assert_eq!(one.attempt(after), Turn::Behind, "then one at a time");
    }

    #[test]
    fn right_attempts_at_once_are_no_failures() {
        let (mut throttle, begun) = at_once(Throttle::default());
        for _ in 0..begun {
            throttle = throttle.ended(Outcome::Right, false, NOW);
        }
        assert_eq!((throttle.account.failures, throttle.account.under_way), (0, 0));
        assert_eq!(throttle.own, Some(Tally::default()), "the place is the person's from now on");
        assert_eq!(at_once(throttle).1, FREE_FAILURES);
    }

    #[test]
    fn what_was_not_made_leaves_no_trace() {
        let Turn::Now(begun) = Throttle::default().attempt(NOW) else { panic!("it is the first") };
        let Throttle { account, own } = begun.ended(Outcome::NotMade, false, NOW);
        assert_eq!((account.failures, account.under_way, own), (0, 0, None));
    }

    #[test]
    fn attempts_that_were_cut_off_are_failures_in_the_end() {
        let (cut_off, _) = at_once(Throttle::default());
        let late = NOW.after(UNDER_WAY_MAX);
        let Turn::Now(one) = cut_off.attempt(late) else { panic!("nothing is under way any more") };
        assert_eq!((one.account.failures, one.account.under_way), (FREE_FAILURES, 1));
    }

    #[test]
    fn strangers_do_not_use_up_what_a_known_place_has() {
        let (strangers, _) = until_refused(Throttle::default(), NOW);
        let known = Throttle { own: Some(Tally::default()), ..strangers };
        let (after, made) = until_refused(known, NOW);
        assert_eq!(made, FREE_FAILURES);
        assert_eq!(after.account.failures, 2 * FREE_FAILURES, "there is one counter");
        assert_eq!(after.account.next_attempt_at, strangers.account.next_attempt_at);
    }

    proptest! {
        /// However patient, and from wherever: no more than a hundred in a row.
        #[test]
        fn no_more_than_a_hundred_failures_in_a_row(places in prop::collection::vec(any::<bool>(), 0..400)) {
            let (mut account, mut own, mut now) = (Tally::default(), Tally::default(), NOW);
            for known in places {
                now = now.after(LONGEST_WAIT);
                if let Turn::Now(begun) = (Throttle { account, own: known.then_some(own) }).attempt(now) {
                    let after = begun.ended(Outcome::Wrong, known, now);
                    account = after.account;
                    own = after.own.unwrap_or(own);
                }
                prop_assert!(known || account.failures <= FAILURES_MAX);
            }
            prop_assert!(account.failures <= FAILURES_MAX);
        }
    }
}
