//! What a failed call says.

use countersign::grpc::pb::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The code and the public reason of a call that must have failed. Fails if it did not, or if it says no reason.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, ErrorReason) {
    let status = result.unwrap_err();
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("an error without ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "countersign");
    let name = format!("ERROR_REASON_{}", info.reason);
    let reason = ErrorReason::from_str_name(&name).unwrap_or_else(|| panic!("{name} is no reason: {status:?}"));
    (status.code(), reason)
}

/// All that a failed call says, but for the name of the call itself.
pub(crate) fn said(status: &Status) -> (Code, String, String) {
    let details = status.get_error_details();
    let request = (details.error_info(), details.bad_request(), details.precondition_failure(), details.retry_info());
    (status.code(), status.message().to_owned(), format!("{request:?}"))
}

/// The fields that a call was refused for, each once.
#[track_caller]
pub(crate) fn violations<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.unwrap_err();
    let details = status.get_error_details();
    let request = details.bad_request().unwrap_or_else(|| panic!("an error without BadRequest: {status:?}"));
    let mut fields: Vec<_> = request.field_violations.iter().map(|violation| violation.field.clone()).collect();
    fields.dedup();
    fields
}
