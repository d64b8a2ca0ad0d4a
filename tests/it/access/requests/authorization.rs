//! `AuthorizationService`.

use countersign::grpc::pb;
use prost_reflect::prost::Message as _;

use super::{Asked, Kind, PAGE, READ, SHIP, Target, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[("ExplainDecision", "of a member of both organizations")];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "ListEffectivePermissions" | "ListAllowedOrganizations" | "ListPrincipalsWithPermission" => {
            list(asked, rpc).await
        }
        "WatchChanges" => asked.is_about_the_realm().and_then(|()| encoded(&pb::WatchChangesRequest::default())),
        _ => question(asked, rpc, form).await,
    }
}

async fn list(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    if rpc == "ListPrincipalsWithPermission" {
        let (organization, owner) = match asked.target {
            Target::OwnTeam | Target::OtherTeam => (asked.scope(), asked.world.resident(asked.target).id.clone()),
            _ => (asked.place()?, String::new()),
        };
        return encoded(&pb::ListPrincipalsWithPermissionRequest {
            permission: SHIP.to_owned(),
            organization,
            owner,
            page_size: PAGE,
            ..Default::default()
        });
    }
    let (principal, permission) = (asked.subject(Kind::Holder).await.id, READ.to_owned());
    let owner = principal.clone();
    if rpc == "ListAllowedOrganizations" {
        use pb::list_allowed_organizations_request::Subject;
        let subject = Some(Subject::Principal(principal));
        return encoded(&pb::ListAllowedOrganizationsRequest { subject, permission, owner, ..Default::default() });
    }
    use pb::list_effective_permissions_request::Subject;
    encoded(&pb::ListEffectivePermissionsRequest {
        subject: Some(Subject::Principal(principal)),
        organization: asked.scope(),
        owner,
        ..Default::default()
    })
}

async fn question(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    if !form.is_empty() {
        return (asked.target == Target::OwnOrganization).then(|| {
            let request = pb::ExplainDecisionRequest {
                subject: Some(pb::explain_decision_request::Subject::Principal(asked.world.of_both.clone())),
                permission: SHIP.to_owned(),
                organization: asked.scope(),
                ..Default::default()
            };
            request.encode_to_vec()
        });
    }
    let principal = asked.subject(Kind::Holder).await.id;
    let (permission, organization, owner) = (READ.to_owned(), asked.scope(), principal.clone());
    match rpc {
        "CheckPermission" => encoded(&pb::CheckPermissionRequest {
            subject: Some(pb::check_permission_request::Subject::Principal(principal)),
            permission,
            organization,
            owner,
            with_reason: true,
            ..Default::default()
        }),
        "BatchCheckPermissions" => encoded(&pb::BatchCheckPermissionsRequest {
            subject: Some(pb::batch_check_permissions_request::Subject::Principal(principal)),
            items: vec![pb::BatchCheckItem { permission, organization, owner, ..Default::default() }],
            with_reason: true,
            ..Default::default()
        }),
        "ExplainDecision" => encoded(&pb::ExplainDecisionRequest {
            subject: Some(pb::explain_decision_request::Subject::Principal(principal)),
            permission,
            organization,
            owner,
            ..Default::default()
        }),
        unknown => unwritten(unknown),
    }
}
