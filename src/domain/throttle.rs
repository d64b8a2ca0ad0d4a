//! How often a password may be tried: waits that grow with every failure in a row.
//!
//! An account has one tally, which sign-in, reset codes and ChangePassword share. A place that is known to be the
//! person's, because they got in from there before, has a tally beside it, so that what strangers do elsewhere does not
//! stop the person there. An attempt counts as a failure from before anything is compared until it was found right: so
//! many at once are as many as one after the other. Pure; the record keeps the tallies, `app` says where an attempt
//! comes from.

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

/// Failures in a row, and from when on there may be another attempt.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    pub failures: u32,
    pub next_attempt_at: Timestamp,
}

/// What the record knows of the attempts at an account, as far as one place is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Throttle {
    /// All failures in a row. Its wait is for places that are not known.
    pub account: Tally,
    /// The failures of this place, with a wait of its own; absent where the place is not known to be the person's.
    pub own: Option<Tally>,
}

impl Throttle {
    /// Counts one more attempt, in advance, as the failure that it may become.
    ///
    /// # Errors
    /// How long to wait, if it may not be made now.
    pub fn attempt(&self, now: Timestamp) -> Result<Self, Duration> {
        let (tally, most) = match self.own {
            Some(own) => (own, FAILURES_MAX),
            None => (self.account, STRANGE_FAILURES_MAX),
        };
        if self.account.failures >= most {
            return Err(LONGEST_WAIT);
        }
        if now < tally.next_attempt_at {
            return Err(tally.next_attempt_at.since(now).min(LONGEST_WAIT));
        }
        let counted = tally.counted(now);
        Ok(match self.own {
            Some(_) => {
                let account = Tally { failures: self.account.failures + 1, ..self.account };
                Self { account, own: Some(counted) }
            }
            None => Self { account: counted, own: None },
        })
    }
}

impl Tally {
    fn counted(self, now: Timestamp) -> Self {
        let failures = self.failures.saturating_add(1);
        Self { failures, next_attempt_at: now.after(wait_after(failures)) }
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

    /// Attempts one after the other, without waiting, until one may not be made.
    fn until_refused(mut throttle: Throttle, now: Timestamp) -> (Throttle, u32) {
        let mut made = 0;
        while let Ok(next) = throttle.attempt(now) {
            throttle = next;
            made += 1;
        }
        (throttle, made)
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
        assert_eq!(throttle.attempt(NOW), Err(FIRST_WAIT));
        assert!(throttle.attempt(NOW.after(FIRST_WAIT)).is_ok());
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
                if let Ok(next) = (Throttle { account, own: known.then_some(own) }).attempt(now) {
                    account = next.account;
                    own = next.own.unwrap_or(own);
                }
                prop_assert!(known || account.failures <= FAILURES_MAX);
            }
            prop_assert!(account.failures <= FAILURES_MAX);
        }
    }
}
