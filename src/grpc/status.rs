//! The only place that builds a [`tonic::Status`].
//!
//! Every error carries `google.rpc.ErrorInfo` with a reason of the public enum. What is a fault of ours is logged here,
//! once, with its chain of causes; the caller gets "internal error" and the call's id.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

use crate::app::{CallId, Error, Kind, Reason};

/// The header that names a call, as `google.rpc.RequestInfo` of its error and its audit event do.
static REQUEST_ID: HeaderName = HeaderName::from_static("countersign-request-id");
/// The `domain` of every `ErrorInfo`.
pub(super) const DOMAIN: &str = "countersign";

// Clients of gRPC take 8 KiB of headers by default and hang up on more. An error is sent in them: its message with up to
// three bytes for each of its own, and its details, in which the message stands again, in base64.
/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 400;
/// The longest text about one field, fact or rule, in bytes.
const TEXT_BYTES_MAX: usize = 300;
/// As much is said of all fields or rules together, in bytes.
const LIST_BYTES_MAX: usize = 2800;
/// What each field or rule takes beside its texts, in bytes.
const ITEM_BYTES: usize = 24;

/// Why a call was refused, as its answer says; `None` for one that was answered, or that was wrong in itself.
pub(super) fn refusal(headers: &HeaderMap) -> Option<Reason> {
    let status = Status::from_header_map(headers)?;
    let named = status.get_details_error_info()?.reason;
    let reason = Reason::ALL.iter().copied().find(|reason| reason.name() == named)?;
    let refused = match reason.kind() {
        Kind::PermissionDenied
        | Kind::NotFound
        | Kind::FailedPrecondition
        | Kind::AlreadyExists
        | Kind::Aborted
        | Kind::ResourceExhausted => true,
        Kind::Unauthenticated => reason == Reason::SignInFailed,
        Kind::InvalidArgument | Kind::Unimplemented | Kind::DeadlineExceeded | Kind::Unavailable | Kind::Internal => {
            false
        }
    };
    refused.then_some(reason)
}

/// The status of a failed call.
#[must_use]
pub(super) fn status(error: &Error, call: CallId) -> Status {
    let reason = error.reason();
    let mut details = ErrorDetails::new();
    let mut facts = HashMap::new();
    let mut message = error.to_string();
    match error {
        Error::Invalid(violations) => {
            let all = violations.iter().map(|violation| (&*violation.field, &*violation.description));
            let told = told(all).into_iter().map(|(field, description)| FieldViolation::new(field, description));
            details.set_bad_request(told.collect::<Vec<_>>());
            // As the reason is that of the first field that has one of its own, so are its facts.
            let telling = violations.iter().find(|violation| violation.reason.is_some());
            let of_it = telling.into_iter().flat_map(|violation| &violation.facts);
            facts.extend(of_it.map(|(name, value)| ((*name).to_owned(), brief(value, TEXT_BYTES_MAX))));
            if let [only] = violations.as_slice() {
                message = format!("{} {}", only.field, only.description);
            }
        }
        Error::Refused(refusal) => {
            facts.extend(refusal.facts.iter().map(|(name, value)| ((*name).to_owned(), brief(value, TEXT_BYTES_MAX))));
        }
        Error::Gated { gate, words } => {
            if let crate::domain::account::Gate::Suspended(cause) = gate {
                facts.insert("cause".to_owned(), super::convert::cause_name(*cause).to_owned());
            }
            if let Some(words) = words {
                details.set_localized_message("en", brief(words, LIST_BYTES_MAX));
            }
        }
        Error::Later { retry_after, .. } => {
            details.set_retry_info(Some(*retry_after));
        }
        Error::Moved => {
            details.set_retry_info(Some(std::time::Duration::from_millis(100)));
        }
        Error::Internal(source) => {
            tracing::error!(error = source.as_ref() as &dyn std::error::Error, %call, "a call failed by a fault of ours");
            message = format!("internal error; the call's id is {call}");
        }
    }
    let message = brief(&message, MESSAGE_BYTES_MAX);
    if reason.kind() == Kind::FailedPrecondition {
        let violations = match error {
            Error::Refused(refusal) if !refusal.each.is_empty() => {
                told(refusal.each.iter().map(|(name, sentence)| (&**name, &**sentence)))
            }
            _ => vec![(String::new(), message.clone())],
        };
        let violations =
            violations.into_iter().map(|(name, told)| PreconditionViolation::new(reason.name(), name, told));
        details.set_precondition_failure(violations.collect::<Vec<_>>());
    }
    details.set_error_info(reason.name(), DOMAIN, facts);
    details.set_request_info(call.to_string(), "");
    Status::with_error_details(code(reason.kind()), message, details)
}

/// What is said of fields or rules: as many as there is room for, then how many more there are.
fn told<'a>(all: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let (count, mut bytes) = (all.len(), 0);
    let mut told = vec![];
    for (name, sentence) in all {
        let (name, sentence) = (brief(name, TEXT_BYTES_MAX), brief(sentence, TEXT_BYTES_MAX));
        bytes += name.len() + sentence.len() + ITEM_BYTES;
        if bytes > LIST_BYTES_MAX {
            told.push((String::new(), format!("{} more are wrong", count - told.len())));
            break;
        }
        told.push((name, sentence));
    }
    told
}

/// A text, or the beginning and the end of one that is too long: what was given may be of any length, and what is said of
/// it stands before or after it.
fn brief(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let half = bytes_max / 2;
    let (start, end) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    format!("{}\u{2026}{}", &text[..start], &text[end..])
}

/// The status of a reason that needs no more words than these.
#[must_use]
pub(super) fn plain(reason: Reason, message: &str, call: CallId) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.name(), DOMAIN, HashMap::new());
    details.set_request_info(call.to_string(), "");
    Status::with_error_details(code(reason.kind()), brief(message, MESSAGE_BYTES_MAX), details)
}

/// What the transport answered by itself, as this service would have: the right code, and a reason.
#[must_use]
pub(super) fn mended(transport: &Status, call: CallId) -> Option<Status> {
    if !transport.details().is_empty() {
        return None;
    }
    let message = transport.message();
    let (reason, told) = match transport.code() {
        Code::Ok => return None,
        Code::OutOfRange => (Reason::MessageTooLarge, message),
        Code::Unimplemented if message.contains("compressed") => (Reason::CompressionUnsupported, message),
        Code::Unimplemented => (Reason::MethodUnknown, "this method is not known here"),
        Code::Cancelled | Code::DeadlineExceeded => (Reason::DeadlineExceeded, "the deadline has passed"),
        Code::ResourceExhausted => (Reason::Overloaded, message),
        Code::Internal if is_decoding(message) => (Reason::MessageMalformed, "the request can't be read"),
        Code::NotFound => (Reason::NotFound, message),
        Code::Unauthenticated => (Reason::CredentialInvalid, message),
        _ => (Reason::Internal, "internal error"),
    };
    Some(plain(reason, told, call))
}

/// The answer of a failed call: its status and, where a message was compressed, what is read instead.
pub(super) fn response(status: Status) -> Response<Body> {
    let compressed = status.code() == Code::Unimplemented;
    let mut response = status.into_http();
    if compressed {
        response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    }
    response
}

/// Names the call in the headers of its answer, as its audit event does.
pub(super) fn name(response: &mut Response<Body>, call: CallId) {
    if let Ok(id) = HeaderValue::try_from(call.to_string()) {
        response.headers_mut().insert(&REQUEST_ID, id);
    }
}

/// tonic and prost say of a request that they can't read it with the code of a server's fault.
fn is_decoding(message: &str) -> bool {
    let signs =
        ["decode", "compression", "Missing request message", "missing request message", "protocol error", "UTF-8"];
    signs.iter().any(|sign| message.contains(sign))
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::Aborted => Code::Aborted,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pb::ErrorReason;
    use super::*;

    #[test]
    fn every_reason_is_in_the_contract_and_no_other() {
        for reason in Reason::ALL {
            let name = format!("ERROR_REASON_{}", reason.name());
            assert!(ErrorReason::from_str_name(&name).is_some(), "{name}");
        }
        let in_contract = (1..200).filter(|number| ErrorReason::try_from(*number).is_ok()).count();
        assert_eq!(in_contract, Reason::ALL.len());
    }

    #[test]
    fn whatever_was_given_an_error_fits_into_the_headers_that_clients_take() {
        let long = "\u{202e}".repeat(1 << 16);
        let one = |field: &str| crate::app::Violation::new(field, format!("is {long:?}, 1 to 9 are allowed"));
        let many: Vec<_> = (0..500).map(|at| one(&format!("contacts[{at}].{long}"))).collect();
        let each = || (0..500).map(|at| (format!("{at} {long}"), long.clone())).collect();
        let facts = vec![("pattern", long.clone()), ("request_id", long.clone())];
        for error in [
            Error::Invalid(many),
            Error::Invalid(vec![one("title")]),
            Error::refused_with(Reason::AlreadyExists, long.clone(), facts),
            Error::refused_for_each(Reason::WouldOrphan, each()),
        ] {
            let headers = status(&error, CallId { process: 1, number: 1 }).into_http::<()>();
            let bytes: usize =
                headers.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(bytes < 8192, "{bytes} bytes");
        }
        let told = status(&Error::Invalid(vec![one("title")]), CallId { process: 1, number: 1 });
        assert!(told.message().ends_with("1 to 9 are allowed"), "{}", told.message());
    }
}
