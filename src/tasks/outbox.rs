//! The mail relay: delivers at least once what changes put into the outbox.
//!
//! A mail is claimed for a while before it is tried, and settled after: whoever dies in between leaves it to the next
//! process, and the mail may arrive twice, under one Message-ID. A process that has the record to itself does not wait
//! for the claims of the one before it to end. Codes are derived here, for the one delivery.
//!
//! A refusal for good ends one mail. Where several recipients in a row are refused alike, it is the server that refuses,
//! and not they: those mails are tried again, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::runner::{Fault, Next, Round};
use crate::app::{App, Carried};
use crate::domain::ids::MessageId;
use crate::domain::time::Timestamp;
use crate::mail::{Mailer, RenderError, SendError};
use crate::store::{Due, Letter, Result};
use crate::telemetry::metrics::Mail;

/// Mails claimed at once.
const BATCH: usize = 50;
/// How long a claim holds. Twice what a batch may take before its last mail begins, which may take `smtp_timeout` (at
/// most 25 s), so that a slow one is not delivered by two.
const LEASE: Duration = Duration::from_secs(60);
/// After so many attempts nobody tries again by itself. With the pauses below that is after some three hours.
const ATTEMPTS_MAX: u32 = 10;
/// The shortest pause after the first failed attempt; each further one is three times as long.
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// How long the mails behind one rest that could not leave because of the server.
const SERVER_PAUSE: Duration = PAUSE_MIN;
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// So many recipients that are refused alike, with none between who is not, are refused by the server's fault.
const REFUSED_ALIKE: usize = 3;

/// Delivers due mails.
pub(super) struct Outbox {
    app: Arc<App>,
    mailer: Mailer,
    metrics: Mail,
    refused: Mutex<Alike>,
    /// Whether mails may still be claimed by a process that is gone.
    inherits: AtomicBool,
}

/// The mails that were refused for good in a row, alike, and to whom.
#[derive(Default)]
struct Alike {
    cause: String,
    mails: Vec<(MessageId, String)>,
}

impl Alike {
    /// Notes a refusal. Answers the mails that are to be tried again, this one among them, once it is the server's fault.
    fn refused(&mut self, cause: &str, due: &Due) -> Vec<MessageId> {
        if self.cause != cause {
            *self = Self { cause: cause.to_owned(), mails: vec![] };
        }
        let known = self.mails.len() == REFUSED_ALIKE || self.mails.iter().any(|(_, to)| *to == due.mail.to);
        if !known {
            self.mails.push((due.id, due.mail.to.clone()));
        }
        if self.mails.len() < REFUSED_ALIKE {
            return vec![];
        }
        let again = self.mails.iter().map(|(mail, _)| *mail).chain([due.id]).collect();
        // Those before it wait for their next attempt from now on; who they are is enough for the next one.
        for (mail, _) in &mut self.mails {
            *mail = due.id;
        }
        again
    }
}

impl Outbox {
    pub(super) fn new(app: Arc<App>, mailer: Mailer) -> Self {
        let inherits = AtomicBool::new(!app.store().is_shared());
        Self { app, mailer, metrics: Mail::register(), refused: Mutex::default(), inherits }
    }

    /// Tries one mail. What became of it is an answer, `None` if its link is of no use any more; an error is the
    /// database's.
    async fn attempt(&self, due: &Due) -> Result<Option<std::result::Result<(), SendError>>> {
        let Some(realm) = self.app.store().realm(due.realm).await? else {
            return Ok(Some(Err(RenderError::NoRealm.into())));
        };
        let code = match self.app.code_of(due).await? {
            Carried::Ended => return Ok(None),
            Carried::Nothing => None,
            Carried::Code(code) => Some(code),
        };
        let code = code.as_ref().map(|code| code.expose().as_str());
        Ok(Some(self.mailer.send(due.id, &due.mail, due.created_at, &realm, code).await))
    }

    /// The mails that are to be tried again because the server, and not their recipients, is at fault.
    fn refused_alike(&self, due: &Due, sent: std::result::Result<&(), &SendError>) -> Vec<MessageId> {
        let mut alike = self.refused.lock();
        match sent {
            Ok(()) => {
                *alike = Alike::default();
                vec![]
            }
            Err(error) => error.refusal().map_or_else(Vec::new, |cause| alike.refused(cause, due)),
        }
    }

    /// Tries claimed mails one after the other, and gives back those that nobody came to try.
    async fn deliver(&self, batch: &[Due], claimed_at: Timestamp) -> Result<Next> {
        for (at, due) in batch.iter().enumerate() {
            let now = self.app.clock().now();
            if now.since(claimed_at) > LEASE / 2 {
                self.app.store().release_mails(&ids(&batch[at..]), now).await?;
                return Ok(Next::AtOnce);
            }
            let Some(sent) = self.attempt(due).await? else {
                let (mail, template) = (due.id, due.mail.template.name());
                tracing::info!(%mail, template, "a mail was dropped: its link had ended before it left");
                self.app.store().drop_mail(due.id).await?;
                continue;
            };
            let now = self.app.clock().now();
            let server_fails = sent.as_ref().is_err_and(SendError::is_of_the_server);
            let again = self.refused_alike(due, sent.as_ref());
            let refused = !again.is_empty() || sent.as_ref().is_err_and(SendError::is_of_policy);
            let letter = match sent {
                Ok(()) => Letter::Delivered,
                Err(error) => undelivered(due, &error, again.is_empty() && error.is_final(), now),
            };
            match letter {
                Letter::Delivered => self.metrics.delivered.increment(1),
                Letter::Retry(..) | Letter::Dead(_) if refused => self.metrics.refused.increment(1),
                Letter::Retry(..) | Letter::Dead(_) => self.metrics.failed.increment(1),
            }
            note(due, &letter);
            for earlier in again.iter().filter(|mail| **mail != due.id) {
                self.app.store().settle_mail(*earlier, letter.clone(), now).await?;
            }
            self.app.store().settle_mail(due.id, letter, now).await?;
            if server_fails {
                // They would fail the same way: an attempt of each would be lost, and the time of one after the other.
                self.app.store().release_mails(&ids(&batch[at + 1..]), now.after(SERVER_PAUSE)).await?;
                return Ok(Next::AfterPeriod);
            }
        }
        Ok(if batch.len() == BATCH { Next::AtOnce } else { Next::AfterPeriod })
    }
}

impl Round for Outbox {
    async fn round(&self) -> std::result::Result<Next, Fault> {
        let claimed_at = self.app.clock().now();
        if self.inherits.load(Ordering::Relaxed) {
            self.app.store().free_mails(claimed_at, LEASE).await?;
            self.inherits.store(false, Ordering::Relaxed);
        }
        let batch = self.app.store().claim_mails(claimed_at, LEASE, BATCH as u64).await?;
        let next = self.deliver(&batch, claimed_at).await;
        self.mailer.rest().await;
        Ok(next?)
    }

    async fn woken(&self) {
        self.app.mail_waits.notified().await;
    }
}

/// What becomes of a mail that was not delivered: another attempt, unless that can't help or there were enough.
fn undelivered(due: &Due, error: &SendError, is_final: bool, now: Timestamp) -> Letter {
    let attempt = u32::try_from(due.attempts).unwrap_or(0).saturating_add(1);
    if is_final || attempt >= ATTEMPTS_MAX {
        Letter::Dead(error.to_string())
    } else {
        Letter::Retry(now.after(pause(due.id, attempt)), error.to_string())
    }
}

fn ids(mails: &[Due]) -> Vec<MessageId> {
    mails.iter().map(|due| due.id).collect()
}

fn note(due: &Due, letter: &Letter) {
    let (mail, template, attempts) = (due.id, due.mail.template.name(), due.attempts);
    match letter {
        Letter::Delivered => {}
        Letter::Retry(_, error) => tracing::warn!(%mail, template, attempts, error, "a mail is tried again later"),
        Letter::Dead(error) => tracing::error!(%mail, template, attempts, error, "a mail was given up"),
    }
}

/// How long a mail rests after its n-th attempt: growing, and up to a quarter longer by bits of its own id, so that
/// mails that failed together do not come back together.
fn pause(id: MessageId, attempt: u32) -> Duration {
    let longest = PAUSE_MAX * 4 / 5;
    let pause = PAUSE_MIN.saturating_mul(3_u32.saturating_pow(attempt.saturating_sub(1))).min(longest);
    let [.., jitter] = id.0.into_bytes();
    pause + pause / 4 * u32::from(jitter) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::io;

    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::RealmId;
    use crate::domain::message::Template;
    use crate::mail::DeliveryError;

    fn due(attempts: i32) -> Due {
        let mail = crate::domain::message::Mail {
            template: Template::Suspended,
            to: "ann@example.com".into(),
            user: None,
            code: None,
            parameters: Default::default(),
        };
        Due { id: MessageId(Uuid::nil()), realm: RealmId(Uuid::nil()), mail, created_at: Timestamp(0), attempts }
    }

    #[test]
    fn pauses_grow_from_five_seconds_to_an_hour() {
        let (least, most) = (MessageId(Uuid::nil()), MessageId(Uuid::from_u128(0xff)));
        let seconds: Vec<_> = (1..10).map(|attempt| pause(least, attempt).as_secs()).collect();
        assert_eq!(seconds, [5, 15, 45, 135, 405, 1_215, 2_880, 2_880, 2_880]);
        assert_eq!(pause(most, 1), Duration::from_millis(6_250));
        assert_eq!(pause(most, u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_mail_is_tried_ten_times() {
        let error = SendError::from(DeliveryError::File(io::ErrorKind::StorageFull));
        let letter = undelivered(&due(8), &error, false, Timestamp(7));
        let text = "the mail's file could not be written: no storage space".to_owned();
        assert_eq!(letter, Letter::Retry(Timestamp(7).after(Duration::from_secs(2_880)), text.clone()));
        assert_eq!(undelivered(&due(9), &error, false, Timestamp(7)), Letter::Dead(text));
    }

    #[test]
    fn what_can_never_be_sent_is_not_tried_again() {
        let letter = undelivered(&due(0), &RenderError::NoCode.into(), true, Timestamp(7));
        assert_eq!(letter, Letter::Dead("the code of its link is gone".to_owned()));
        let refused = SendError::from(DeliveryError::Refused("550 5.1.1".to_owned()));
        let text = "the mail server refused the mail for good: 550 5.1.1".to_owned();
        assert_eq!(undelivered(&due(0), &refused, refused.is_final(), Timestamp(7)), Letter::Dead(text));
    }

    #[test]
    fn what_hits_many_recipients_alike_is_the_servers_fault() {
        let mail = |number: u128, to: &str| {
            let due = due(0);
            Due {
                id: MessageId(Uuid::from_u128(number)),
                mail: crate::domain::message::Mail { to: to.into(), ..due.mail },
                ..due
            }
        };
        let ids = |numbers: &[u128]| numbers.iter().map(|n| MessageId(Uuid::from_u128(*n))).collect::<Vec<_>>();
        let mut alike = Alike::default();
        assert_eq!(alike.refused("550 5.1.1", &mail(1, "ann")), []);
        assert_eq!(alike.refused("550 5.1.1", &mail(2, "ann")), [], "one recipient");
        assert_eq!(alike.refused("550 5.1.2", &mail(3, "bob")), [], "another reason");
        assert_eq!(alike.refused("550 5.1.2", &mail(4, "cid")), []);
        let again = alike.refused("550 5.1.2", &mail(5, "dan"));
        assert!(ids(&[3, 4, 5]).iter().all(|mail| again.contains(mail)), "{again:?}");
        let again = alike.refused("550 5.1.2", &mail(6, "eve"));
        assert!(again.contains(&ids(&[6])[0]) && !again.contains(&ids(&[3])[0]), "{again:?}");
    }
}
