//! Mails: from a row of the outbox to a message, and out.
//!
//! `templates` has the words, shipped and a realm's own; `html` and `text` keep values from becoming anything else;
//! `transport` carries, by `smtp` if it is told to. Nothing here knows the record, a key or a clock: the relay (`tasks`)
//! brings the realm, the code and the instant, and decides when to try again. The same draft always makes the same bytes,
//! so that a mail that is delivered twice can be told to be one.

mod error;
mod html;
mod smtp;
mod templates;
#[cfg(test)]
mod tests;
mod text;
mod transport;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::address::AddressError;
use lettre::message::header::{ContentTransferEncoding, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, MultiPartKind, SinglePart};

pub use error::DeliveryError;
pub use smtp::{Security, Smtp, SmtpError, SmtpOptions};
pub use templates::{Fault, Part, check};
pub use transport::Transport;

use crate::domain::email::Email;
use crate::domain::ids::MessageId;
use crate::domain::message::{Mail, Template};
use crate::domain::origin::{AllowedOrigin, BaseUrl};
use crate::domain::realm::Realm;
use crate::domain::time::Timestamp;
use text::one_line;

/// A value that fills a template is cut off after so many characters. Names and reasons are bounded where they are
/// read; this bounds what a mail can grow to if one was not.
const VALUE_CHARS_MAX: usize = 1_000;

/// RFC 5322 section 2.1.1, without the line's end.
const LINE_BYTES_MAX: usize = 998;

/// Everything that a message is made of.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    pub id: MessageId,
    pub mail: &'a Mail,
    /// When the mail was put into the outbox: its `Date`, however late it leaves.
    pub created_at: Timestamp,
    /// Whose words, title and base URL the mail has.
    pub realm: &'a Realm,
    /// The code of the mail's link; a secret that lives in the message alone.
    pub code: Option<&'a str>,
    pub from: &'a Mailbox,
}

/// Why a draft makes no message. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("its realm is gone")]
    NoRealm,
    #[error("the code of its link is gone")]
    NoCode,
    #[error("its recipient's address can't be mailed to")]
    Recipient(#[source] AddressError),
    /// A shipped template is wrong: a fault of ours.
    #[error("the shipped words can't be filled")]
    Words(#[source] minijinja::Error),
    #[error("no message could be built")]
    Message(#[source] lettre::error::Error),
}

/// Why a mail did not leave. No text has an address in it.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It never will.
    #[error(transparent)]
    Unsendable(#[from] RenderError),
    /// It would lead where the operator of the server does not allow it.
    #[error("the realm's base_url is not among the server's base_url_origins")]
    Origin,
    /// The transport did not take it.
    #[error(transparent)]
    Undelivered(#[from] DeliveryError),
}

impl SendError {
    /// Whether trying again can't help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Unsendable(_) | Self::Undelivered(DeliveryError::Refused(_)))
    }

    /// What the server said, if it refused this mail for good.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Undelivered(DeliveryError::Refused(cause)) => Some(cause),
            _ => None,
        }
    }

    /// Whether the server refused by its policy.
    #[must_use]
    pub fn is_of_policy(&self) -> bool {
        matches!(self, Self::Undelivered(DeliveryError::Policy(_)))
    }

    /// Whether no other mail would have left either.
    #[must_use]
    pub fn is_of_the_server(&self) -> bool {
        matches!(self, Self::Undelivered(DeliveryError::Server(_)))
    }
}

/// Who the service is when it writes, and how its mails leave.
#[derive(Debug)]
pub struct Mailer {
    pub from: Mailbox,
    pub transport: Transport,
    /// Where links may lead. A realm may have been configured while others were allowed.
    pub base_url_origins: Vec<AllowedOrigin>,
}

impl Mailer {
    /// Makes a message and hands it to the transport. `code` is the code of the mail's link.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::is_final`] says whether trying again can help.
    pub async fn send(
        &self,
        id: MessageId,
        mail: &Mail,
        created_at: Timestamp,
        realm: &Realm,
        code: Option<&str>,
    ) -> Result<(), SendError> {
        if !self.leads_where_allowed(realm) {
            return Err(SendError::Origin);
        }
        let message = render(&Draft { id, mail, created_at, realm, code, from: &self.from })?;
        Ok(self.transport.deliver(id, mail.template, &message).await?)
    }

    fn leads_where_allowed(&self, realm: &Realm) -> bool {
        let url = BaseUrl::parse(&realm.policy.base_url);
        url.is_ok_and(|url| self.base_url_origins.iter().any(|origin| origin.covers(&url)))
    }

    /// Says that no mail follows for now.
    pub async fn rest(&self) {
        self.transport.rest().await;
    }
}

/// Makes the message, as text and as HTML. The realm's own words come first; where they are broken, the shipped ones
/// step in and the log says so.
///
/// # Errors
/// [`RenderError`]; none of them goes away by itself.
pub fn render(draft: &Draft<'_>) -> Result<Message, RenderError> {
    let Draft { id, mail, created_at, realm, code, from } = *draft;
    let link = match (path(mail.template), code) {
        (Some(path), Some(code)) => Some(format!("{}/{path}?code={code}", portal(realm))),
        (Some(_), None) => return Err(RenderError::NoCode),
        (None, _) => None,
    };
    let values = values(mail, realm, link.as_deref());
    let words = templates::words(mail.template, realm, &values).map_err(RenderError::Words)?;
    let html = html::page(&words, link.as_deref()).map_err(RenderError::Words)?;
    let to = Email::parse(&mail.to).map_or_else(|_| mail.to.clone(), |email| email.mailbox());
    let to = to.parse().map_err(RenderError::Recipient)?;
    // A boundary is random by default; this one makes a repeat the same bytes.
    let body = MultiPart::builder().kind(MultiPartKind::Alternative).boundary(id.to_string());
    Message::builder()
        .message_id(Some(format!("<{id}@{}>", host(realm))))
        .date(UNIX_EPOCH + Duration::from_micros(u64::try_from(created_at.0).unwrap_or(0)))
        .from(from.clone())
        // Without a display name: it would be a stranger's choice of words in front of their victim's address.
        .to(Mailbox::new(None, to))
        .subject(words.subject)
        // RFC 3834 section 5: keeps automatic responders from answering.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .multipart(body.singlepart(plain(words.text)).singlepart(SinglePart::html(html)))
        .map_err(RenderError::Message)
}

/// The text part. Where the standard allows it goes out as it is, for the link can then be copied out of a mail's file.
fn plain(text: String) -> SinglePart {
    let as_it_is = text.is_ascii() && text.lines().all(|line| line.len() <= LINE_BYTES_MAX);
    if as_it_is {
        let bytes = text.replace('\n', "\r\n").into_bytes();
        SinglePart::plain(Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::SevenBit))
    } else {
        SinglePart::plain(text)
    }
}

/// The page behind the link of a mail; `None` = the mail has no link.
fn path(template: Template) -> Option<&'static str> {
    match template {
        Template::VerifyEmail => Some("verify-email"),
        Template::PasswordReset | Template::SetPassword => Some("reset-password"),
        Template::ApprovalRequired
        | Template::NewUserWaiting
        | Template::Approved
        | Template::Rejected
        | Template::AddressTaken
        | Template::Suspended
        | Template::SuspendedForFailures
        | Template::PasswordChanged
        | Template::Reinstated
        | Template::Deleted
        | Template::Restored
        | Template::Expired
        | Template::RoleAssigned
        | Template::RoleRevoked => None,
    }
}

/// What templates are filled with: the mail's parameters, and what every mail of the realm knows.
fn values(mail: &Mail, realm: &Realm, link: Option<&str>) -> BTreeMap<String, String> {
    let mut values: BTreeMap<_, _> =
        mail.parameters.iter().map(|(name, value)| (name.clone(), one_line(value, VALUE_CHARS_MAX))).collect();
    // A mail that an earlier release wrote lacks what templates name since.
    for name in templates::variables(mail.template) {
        values.entry(name.to_owned()).or_default();
    }
    values.insert("realm".to_owned(), one_line(&realm.title, VALUE_CHARS_MAX));
    values.insert("portal".to_owned(), portal(realm).to_owned());
    if let Some(link) = link {
        values.insert("link".to_owned(), link.to_owned());
    }
    values
}

/// What links begin with: the configured base URL, and nothing of any request.
fn portal(realm: &Realm) -> &str {
    realm.policy.base_url.trim_end_matches('/')
}

/// The right part of Message-IDs.
fn host(realm: &Realm) -> String {
    let url = realm.policy.base_url.parse::<http::Uri>();
    url.ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_else(|| "localhost".to_owned())
}
