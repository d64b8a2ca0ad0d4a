//! `ApprovalService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PAGE, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[("ApproveRegistration", "naming no organization")];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    if rpc == "ListRegistrations" {
        let organization = asked.place()?;
        return encoded(&pb::ListRegistrationsRequest { organization, page_size: PAGE, ..Default::default() });
    }
    let user = asked.subject(Kind::Newcomer).await.id;
    let organization = if form.is_empty() { asked.scope() } else { String::new() };
    match rpc {
        "ApproveRegistration" => encoded(&pb::ApproveRegistrationRequest { user, organization, ..Default::default() }),
        "RejectRegistration" => {
            let reason = "not one of us".to_owned();
            encoded(&pb::RejectRegistrationRequest { user, organization, reason, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
