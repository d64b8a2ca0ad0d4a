//! `RoleAssignmentService`.

use countersign::grpc::pb::{self, Reach};

use super::{Asked, Kind, PAGE, READ, READER, Target, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[
    ("GrantPermission", "on a resource"),
    ("RevokePermission", "by its id"),
    ("RevokeRole", "by its id"),
    ("UpdateAssignments", "revoking"),
];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "AssignRole" => assign(asked).await,
        "RevokeRole" => revoke(asked, form).await,
        "GrantPermission" => grant(asked, form).await,
        "RevokePermission" => revoke_grant(asked, form).await,
        "UpdateAssignments" => update(asked, form).await,
        "ListAssignments" => {
            let scope = place(asked)?.map(pb::list_assignments_request::Scope::Organization);
            encoded(&pb::ListAssignmentsRequest { scope, page_size: PAGE, ..Default::default() })
        }
        "ListGrants" => {
            let scope = place(asked)?.map(pb::list_grants_request::Scope::Organization);
            encoded(&pb::ListGrantsRequest { scope, page_size: PAGE, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}

async fn assign(asked: &Asked<'_>) -> Option<Vec<u8>> {
    use pb::assign_role_request::Scope;
    let (role, organization) = (READER.to_owned(), asked.scope());
    let principal = asked.subject(Kind::Member).await.id;
    let scope = Some(match organization.is_empty() {
        true => Scope::RealmWide(true),
        false => Scope::Organization(organization),
    });
    encoded(&pb::AssignRoleRequest { principal, role, scope, ..Default::default() })
}

async fn revoke(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    use pb::revoke_role_request::Scope;
    let (role, organization) = (READER.to_owned(), asked.scope());
    let holder = asked.subject(Kind::Holder).await;
    if !form.is_empty() {
        if asked.names_another_organization() || asked.target == Target::Oneself {
            return None;
        }
        let entry = holder.extra;
        return encoded(&pb::RevokeRoleRequest { entry, ..Default::default() });
    }
    let scope = Some(match organization.is_empty() {
        true => Scope::RealmWide(true),
        false => Scope::Organization(organization),
    });
    encoded(&pb::RevokeRoleRequest { principal: holder.id, role, scope, ..Default::default() })
}

async fn grant(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    use pb::grant_permission_request::Scope;
    let organization = asked.scope();
    let scope = Some(match organization.is_empty() {
        true => Scope::RealmWide(true),
        false => Scope::Organization(organization),
    });
    let (reach, resource) = match form {
        "" => (Reach::Own, None),
        _ => (Reach::Unspecified, Some(pb::Resource { r#type: "order".to_owned(), id: "7".to_owned() })),
    };
    encoded(&pb::GrantPermissionRequest {
        principal: asked.subject(Kind::Member).await.id,
        pattern: READ.to_owned(),
        reach: reach.into(),
        scope,
        resource,
        ..Default::default()
    })
}

/// The organization that a list is about; nothing in it for all of them.
fn place(asked: &Asked<'_>) -> Option<Option<String>> {
    Some(Some(asked.place()?).filter(|place| !place.is_empty()))
}

async fn revoke_grant(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    use pb::revoke_permission_request::Scope;
    let organization = asked.scope();
    let holder = asked.subject(Kind::Grantee).await;
    if !form.is_empty() {
        if asked.names_another_organization() || asked.target == Target::Oneself {
            return None;
        }
        return encoded(&pb::RevokePermissionRequest { entry: holder.extra, ..Default::default() });
    }
    let scope = Some(match organization.is_empty() {
        true => Scope::RealmWide(true),
        false => Scope::Organization(organization),
    });
    let (principal, pattern) = (holder.id, READ.to_owned());
    encoded(&pb::RevokePermissionRequest { principal, pattern, scope, ..Default::default() })
}

async fn update(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    let (role, organization) = (READER.to_owned(), asked.scope());
    if form.is_empty() {
        use pb::assignment_addition::Scope;
        let principal = asked.subject(Kind::Member).await.id;
        let scope = Some(match organization.is_empty() {
            true => Scope::RealmWide(true),
            false => Scope::Organization(organization),
        });
        let add = vec![pb::AssignmentAddition { principal, role, scope, ..Default::default() }];
        return encoded(&pb::UpdateAssignmentsRequest { add, ..Default::default() });
    }
    use pb::assignment_removal::Scope;
    let principal = asked.subject(Kind::Holder).await.id;
    let scope = Some(match organization.is_empty() {
        true => Scope::RealmWide(true),
        false => Scope::Organization(organization),
    });
    let remove = vec![pb::AssignmentRemoval { principal, role, scope, ..Default::default() }];
    encoded(&pb::UpdateAssignmentsRequest { remove, ..Default::default() })
}
