//! Conversions that services share. Inbound is parsed once, collecting every violated field; outbound is a plain
//! function that takes the whole value apart.

use std::ops::RangeInclusive;

use prost::Message;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::pb;
use crate::app::{self, Draft, Error, Paging, Reason, Repeat, Violation, Weighed};
use crate::domain::account::{Gate, HoldCause};
use crate::domain::handle::{Handle, LABEL_BYTES_MAX, Named, SLUG_CHARS_MAX, is_label, is_slug};
use crate::domain::ids::PrincipalId;
use crate::domain::permission::{Pattern, Reach};
use crate::domain::snapshot::{RESOURCE_ID_BYTES_MAX, Resource};
use crate::domain::text;
use crate::domain::time::Timestamp;

/// A page of a list has so many items if the caller does not say.
pub(super) const PAGE_SIZE: u64 = 50;
/// More items than this are not answered at once, whatever the caller says.
pub(super) const PAGE_SIZE_MAX: u64 = 1000;
/// The longest reason or note.
pub(super) const NOTE_CHARS_MAX: usize = 1000;
/// The longest title or name of a person.
pub(super) const TITLE_CHARS_MAX: usize = 200;

/// Reads the fields of a request and collects what is wrong with them.
///
/// Every reader answers something, so that reading goes on after a violation; [`Fields::finish`] lets nothing of it out
/// unless all was well. Where the realm has a say in what is well, [`Fields::draft`] hands on what was found.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Violation>);

impl Fields {
    /// What was read, if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Error> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::Invalid(self.0)) }
    }

    /// As [`Fields::finish`], for what is there unless something was wrong.
    pub(super) fn finish_some<T>(self, value: Option<T>) -> Result<T, Error> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Error::Invalid(self.0)),
        }
    }

    /// What was read, with what was wrong with it, for a use case that finds out more.
    pub(super) fn draft<T>(self, value: T) -> Draft<T> {
        Draft::new(value, self.0)
    }

    /// Reads a message within the request, whose fields are named by their paths.
    pub(super) fn within<T>(&mut self, path: &str, read: impl FnOnce(Self) -> Result<T, Error>) -> Option<T> {
        match read(Self::default()) {
            Ok(value) => Some(value),
            Err(Error::Invalid(violations)) => {
                let below =
                    |violation: Violation| Violation { field: format!("{path}.{}", violation.field), ..violation };
                self.0.extend(violations.into_iter().map(below));
                None
            }
            Err(other) => {
                self.wrong(path, other.to_string());
                None
            }
        }
    }

    /// Notes what is wrong with a field.
    pub(super) fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// As [`Fields::wrong`], with a reason of its own.
    pub(super) fn wrong_for(&mut self, reason: Reason, field: &str, description: impl Into<String>) {
        self.0.push(Violation { reason: Some(reason), ..Violation::new(field, description) });
    }

    /// Keeps a value that was read, or notes why it could not be.
    pub(super) fn keep<T, E: std::fmt::Display>(&mut self, field: &str, read: Result<T, E>) -> Option<T> {
        read.map_err(|error| self.wrong(field, error.to_string())).ok()
    }

    /// A text of so many characters for people to read, spaces around it dropped. Control characters and what reorders
    /// text are refused. No more than that is answered: a draft is looked up all the same, and PostgreSQL takes no NUL.
    pub(super) fn text(&mut self, field: &str, text: &str, chars: RangeInclusive<usize>) -> String {
        let text = text.trim();
        let count = text.chars().count();
        let (least, most) = chars.into_inner();
        if !(least..=most).contains(&count) {
            self.wrong(field, format!("has {count} characters, {least} to {most} are allowed"));
        } else if let Some(fault) = text::fault(text) {
            self.wrong(field, fault.to_string());
        } else if least > 0 && text::is_invisible(text) {
            self.wrong(field, "has nothing that can be seen");
        } else {
            return text.to_owned();
        }
        text.chars().filter(|c| text::fault_of(*c).is_none()).take(most).collect()
    }

    /// A name that is also a handle: of a realm, an organization, a service account.
    pub(super) fn slug(&mut self, field: &str, text: &str) -> String {
        if !is_slug(text) {
            let form = format!("1 to {SLUG_CHARS_MAX} of a-z, 0-9 and -, neither first nor last a -, and no id");
            self.wrong(field, format!("is {text:?}, allowed are {form}"));
        }
        text.to_owned()
    }

    /// The name of a kind, scheme, topic, product or attribute.
    pub(super) fn label(&mut self, field: &str, text: &str) -> String {
        if !is_label(text) {
            self.wrong(field, format!("is {text:?}, allowed are 1 to {LABEL_BYTES_MAX} of a-z, 0-9, _ and -"));
        }
        text.to_owned()
    }

    /// Notes a list that is too long or too short.
    pub(super) fn count(&mut self, field: &str, count: usize, allowed: RangeInclusive<usize>) {
        if !allowed.contains(&count) {
            let (least, most) = allowed.into_inner();
            self.wrong(field, format!("has {count} items, {least} to {most} are allowed"));
        }
    }

    /// A handle: an id, or the natural form of what it names. What is neither is nobody's handle.
    pub(super) fn handle(&mut self, named: Named, field: &str, text: &str) -> Handle {
        match Handle::parse(text) {
            Handle::Natural(text) if !named.may_be(&text) => {
                let fault = text::fault(&text).map(|fault| fault.to_string());
                self.wrong(field, fault.unwrap_or_else(|| format!("is {text:?}, {} is required", named.forms())));
                Handle::Natural(String::new())
            }
            handle => handle,
        }
    }

    /// A handle that may be left out.
    pub(super) fn optional_handle(&mut self, named: Named, field: &str, text: &str) -> Option<Handle> {
        (!text.is_empty()).then(|| self.handle(named, field, text))
    }

    /// An id in canonical text.
    pub(super) fn id(&mut self, field: &str, text: &str) -> Uuid {
        Uuid::parse_str(text).unwrap_or_else(|_| {
            self.wrong(field, "is not an id");
            Uuid::nil()
        })
    }

    /// An id that may be left out.
    pub(super) fn optional_id(&mut self, field: &str, text: &str) -> Option<Uuid> {
        (!text.is_empty()).then(|| self.id(field, text))
    }

    /// An instant that may be left out.
    pub(super) fn instant(&mut self, field: &str, at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
        let at = at?;
        let micros =
            at.seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(i64::from(at.nanos / 1000)));
        // What RFC 3339 can print: the years 1 to 9999.
        let printable =
            (-62_135_596_800..=253_402_300_799).contains(&at.seconds) && (0..1_000_000_000).contains(&at.nanos);
        let read = micros.filter(|_| printable).map(Timestamp);
        if read.is_none() {
            self.wrong(field, "is not an instant of the years 1 to 9999");
        }
        read
    }

    /// An instant that may be left out, and that is to come.
    pub(super) fn future(
        &mut self,
        field: &str,
        at: Option<&prost_types::Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let at = self.instant(field, at)?;
        if at <= now {
            self.wrong(field, format!("is {at}; later than now is required"));
        }
        Some(at)
    }

    /// A pattern of permissions.
    pub(super) fn pattern(&mut self, field: &str, text: &str) -> Pattern {
        self.keep(field, Pattern::parse(text)).unwrap_or_else(Pattern::nothing)
    }

    /// A reach; unspecified is an error.
    pub(super) fn reach(&mut self, field: &str, reach: i32) -> Reach {
        match pb::Reach::try_from(reach) {
            Ok(pb::Reach::Own) => Reach::Own,
            Ok(pb::Reach::Team) => Reach::Team,
            Ok(pb::Reach::All) => Reach::All,
            Ok(pb::Reach::Unspecified) | Err(_) => {
                self.wrong(field, format!("is {reach}, OWN, TEAM or ALL are allowed"));
                Reach::Own
            }
        }
    }

    /// A resource that may be left out.
    pub(super) fn resource(&mut self, field: &str, resource: Option<pb::Resource>) -> Option<Resource> {
        let pb::Resource { r#type, id } = resource?;
        let kind = self.label(&format!("{field}.type"), &r#type);
        let field = format!("{field}.id");
        if !(1..=RESOURCE_ID_BYTES_MAX).contains(&id.len()) {
            self.wrong(&field, format!("has {} bytes, 1 to {RESOURCE_ID_BYTES_MAX} are allowed", id.len()));
        } else if id.chars().any(char::is_control) {
            self.wrong(&field, "has a control character");
        }
        Some(Resource { kind, id: id.chars().filter(|c| !c.is_control()).collect() })
    }

    /// What makes a call repeatable; `body` is the request itself.
    pub(super) fn repeat(&mut self, request_id: &str, body: &impl Message) -> Option<Repeat> {
        if request_id.is_empty() {
            return None;
        }
        let id = Uuid::parse_str(request_id);
        let id = id.map_err(|_| self.wrong("request_id", "is not an id")).ok()?;
        Some(Repeat { request_id: id.to_string(), body_digest: Sha256::digest(body.encode_to_vec()).into() })
    }

    /// Which page. `query` is the request with its page fields cleared: what a token is bound to.
    pub(super) fn page(&mut self, size: i32, token: String, query: &impl Message) -> Paging {
        if size < 0 {
            self.wrong("page_size", format!("is {size}, at least 0 is allowed"));
        }
        let size = match u64::try_from(size).unwrap_or(0) {
            0 => PAGE_SIZE,
            size => size.min(PAGE_SIZE_MAX),
        };
        Paging { size, token, query: Sha256::digest(query.encode_to_vec()).to_vec() }
    }
}

impl<M: Message> Weighed for M {
    fn bytes(&self) -> usize {
        self.encoded_len()
    }
}

/// A text that is empty when there is none.
pub(super) fn none_if_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// An instant on the wire.
pub(super) fn instant(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, micros) = (at.0.div_euclid(1_000_000), at.0.rem_euclid(1_000_000));
    prost_types::Timestamp { seconds, nanos: i32::try_from(micros * 1000).unwrap_or(0) }
}

/// A principal with its natural handle, as far as that is known.
pub(super) fn principal(id: PrincipalId, name: Option<&app::Name>) -> pb::PrincipalRef {
    let kind = match name {
        Some(name) if name.person => pb::PrincipalKind::User,
        Some(_) => pb::PrincipalKind::ServiceAccount,
        None => pb::PrincipalKind::Unspecified,
    };
    let handle = name.map(|name| name.handle.clone()).unwrap_or_default();
    pb::PrincipalRef { id: id.to_string(), kind: kind.into(), handle }
}

/// A reason of the public vocabulary.
pub(super) fn reason(reason: Reason) -> pb::ErrorReason {
    let name = format!("ERROR_REASON_{}", reason.name());
    pb::ErrorReason::from_str_name(&name).unwrap_or(pb::ErrorReason::Unspecified)
}

/// A failing gate, with what people read in this realm.
pub(super) fn gate(gate: Gate, words: Option<String>) -> pb::Gate {
    let cause = match gate {
        Gate::Suspended(cause) => hold_cause(cause),
        Gate::Blocked => pb::HoldCause::Blocked,
        _ => pb::HoldCause::Unspecified,
    };
    pb::Gate {
        reason: reason(gate.into()).into(),
        cause: cause.into(),
        message: words.unwrap_or_default(),
        lifted_by: gate.lifted_by().to_owned(),
    }
}

/// The cause of a hold.
pub(super) fn hold_cause(cause: HoldCause) -> pb::HoldCause {
    match cause {
        HoldCause::Blocked => pb::HoldCause::Blocked,
        HoldCause::Administrator => pb::HoldCause::Administrator,
        HoldCause::Inactivity => pb::HoldCause::Inactivity,
        HoldCause::FailedSignIns => pb::HoldCause::FailedSignIns,
    }
}

/// The cause of a hold, as errors name it.
pub(super) fn cause_name(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Blocked => "BLOCKED",
        HoldCause::Administrator => "ADMINISTRATOR",
        HoldCause::Inactivity => "INACTIVITY",
        HoldCause::FailedSignIns => "FAILED_SIGN_INS",
    }
}

/// A reach on the wire.
pub(super) fn reach(reach: Reach) -> pb::Reach {
    match reach {
        Reach::Own => pb::Reach::Own,
        Reach::Team => pb::Reach::Team,
        Reach::All => pb::Reach::All,
    }
}
