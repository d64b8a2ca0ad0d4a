//! Sessions: one sign-in, and which of its refresh tokens counts.
//!
//! Every exchange makes the next generation. The newest token is exchanged; the one before it gets the same answer again
//! for a moment, since that answer may have been lost; whoever comes with an older one, or later, shows that two hold
//! the family.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{SessionId, UserId};
use super::time::Timestamp;

/// How long a session lasts, whatever is done in it (NIST SP 800-63B-4 section 2.1.3: at AAL1 no more than 30 days).
pub const SESSION_TTL: Duration = Duration::from_secs(30 * 86_400);

/// The `client_id` of who signs in by themself.
pub const PUBLIC_CLIENT: &str = "public";

/// One sign-in, as the record has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub user: UserId,
    /// The service account that called SignIn, or [`PUBLIC_CLIENT`].
    pub client: String,
    /// The account's epoch at sign-in; a later one ends the session.
    pub epoch: i64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// When it was ended by itself.
    pub ended_at: Option<Timestamp>,
    /// How often its token was exchanged.
    pub generation: i64,
    /// When last.
    pub rotated_at: Option<Timestamp>,
    /// SHA-256 of the newest refresh token; absent where a release without such tokens began the session.
    pub token_hash: Option<[u8; 32]>,
}

/// What comes of a refresh token that was made for a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exchange {
    /// The next generation begins.
    Rotate,
    /// The answer that was given is given again.
    Repeat,
    /// Two hold the family: it ends.
    Replay,
    /// Nothing any more.
    Refused,
}

impl Session {
    /// Whether tokens of it count, for an account of this epoch.
    #[must_use]
    pub fn is_live(&self, epoch: i64, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.epoch == epoch && now < self.expires_at
    }

    /// When it last got tokens.
    #[must_use]
    pub fn last_used_at(&self) -> Timestamp {
        self.rotated_at.unwrap_or(self.created_at)
    }

    /// Whether an exchange now is the first one within the hour: the others are not told, the generation counts them.
    #[must_use]
    pub fn is_first_refresh_of_the_hour(&self, now: Timestamp) -> bool {
        self.rotated_at.is_none_or(|at| at.hour() != now.hour())
    }

    /// What comes of its token of a generation, for an account of this epoch. For as long as `retry` after an exchange
    /// the answer may be asked for again, unless the token in it was used.
    #[must_use]
    pub fn exchange(&self, generation: i64, epoch: i64, retry: Duration, now: Timestamp) -> Exchange {
        let repeatable = self.rotated_at.is_some_and(|at| now < at.after(retry));
        // A later generation than the newest one is of a record that was since restored from a backup.
        match self.generation.saturating_sub(generation) {
            _ if !self.is_live(epoch, now) => Exchange::Refused,
            0 => Exchange::Rotate,
            1 if repeatable => Exchange::Repeat,
            behind if behind > 0 => Exchange::Replay,
            _ => Exchange::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const RETRY: Duration = Duration::from_secs(10);

    /// A session whose token was exchanged five times, the last time now.
    fn session() -> Session {
        Session {
            id: SessionId(Uuid::from_u128(1)),
            user: UserId(Uuid::from_u128(2)),
            client: PUBLIC_CLIENT.to_owned(),
            epoch: 7,
            created_at: Timestamp(0),
            expires_at: Timestamp(0).after(SESSION_TTL),
            ended_at: None,
            generation: 5,
            rotated_at: Some(NOW),
            token_hash: None,
        }
    }

    #[test]
    fn the_newest_token_is_exchanged_and_an_older_one_ends_the_family() {
        let of = |generation| session().exchange(generation, 7, RETRY, NOW);
        assert_eq!([5, 4, 3, 0, -1].map(of), {
            use Exchange::{Repeat, Replay, Rotate};
            [Rotate, Repeat, Replay, Replay, Replay]
        });
        assert_eq!([6, i64::MAX, i64::MIN].map(of), [Exchange::Refused, Exchange::Refused, Exchange::Replay]);
    }

    #[test]
    fn the_answer_is_given_again_until_before_ten_seconds_have_passed() {
        let after = |by| session().exchange(4, 7, RETRY, NOW.after(by));
        assert_eq!(after(RETRY - Duration::from_micros(1)), Exchange::Repeat);
        assert_eq!(after(RETRY), Exchange::Replay);
        // Another replica's clock may be behind.
        assert_eq!(session().exchange(4, 7, RETRY, NOW.before(Duration::from_secs(60))), Exchange::Repeat);
        let fresh = Session { generation: 0, rotated_at: None, ..session() };
        assert_eq!(fresh.exchange(-1, 7, RETRY, NOW), Exchange::Replay);
    }

    #[test]
    fn nothing_comes_of_a_session_that_is_over() {
        for over in [
            Session { ended_at: Some(NOW), ..session() },
            Session { epoch: 6, ..session() },
            Session { epoch: 8, ..session() },
            Session { expires_at: NOW, ..session() },
        ] {
            assert!(!over.is_live(7, NOW));
            for generation in 0..7 {
                assert_eq!(over.exchange(generation, 7, RETRY, NOW), Exchange::Refused, "{over:?}");
            }
        }
    }
}
