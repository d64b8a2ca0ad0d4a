//! The lists beside the check: what one may, where, and who.

use super::{Subject, about};
use crate::app::{
    At, Ctx, Error, ListAllowedOrganizations, ListEffectivePermissions, ListPrincipals, Listed, Name, Page, Reason,
};
use crate::domain::catalogue::Permission;
use crate::domain::handle::Named;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::grpc::api::Api;
use crate::grpc::convert::{Fields, principal, reason};
use crate::grpc::pb;

impl Api {
    pub(super) fn effective(
        &self,
        ctx: &Ctx,
        request: pb::ListEffectivePermissionsRequest,
    ) -> Result<ListEffectivePermissions, Error> {
        let mut fields = Fields::default();
        let query = pb::ListEffectivePermissionsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
        let pb::ListEffectivePermissionsRequest {
            subject,
            organization,
            owner,
            resource,
            section,
            consistency,
            page_size,
            page_token,
        } = request;
        let query = ListEffectivePermissions {
            about: about(&mut fields, subject.map(Subject::from)),
            organization: fields.optional_handle(Named::Organization, "organization", &organization),
            owner: fields.optional_handle(Named::Principal, "owner", &owner),
            resource: fields.resource("resource", resource),
            section,
            freshness: self.freshness(ctx, &mut fields, consistency),
            page: fields.page(page_size, page_token, &query),
        };
        fields.finish(query)
    }

    pub(super) fn effective_page(
        &self,
        ctx: &Ctx,
        listed: At<Listed<pb::EffectivePermission>>,
    ) -> pb::ListEffectivePermissionsResponse {
        let At { value: Listed { page: Page { items, next }, reason, detail }, revision, position } = listed;
        pb::ListEffectivePermissionsResponse {
            permissions: items,
            next_page_token: next,
            reason: told(reason),
            detail,
            revision: revision.0,
            consistency_token: self.token_at(ctx.realm, position),
        }
    }

    pub(super) fn allowed(
        &self,
        ctx: &Ctx,
        request: pb::ListAllowedOrganizationsRequest,
    ) -> Result<ListAllowedOrganizations, Error> {
        let mut fields = Fields::default();
        let query = pb::ListAllowedOrganizationsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
        let pb::ListAllowedOrganizationsRequest {
            subject,
            permission,
            owner,
            resource,
            consistency,
            page_size,
            page_token,
        } = request;
        let query = ListAllowedOrganizations {
            about: about(&mut fields, subject.map(Subject::from)),
            permission: named(&mut fields, permission),
            owner: fields.optional_handle(Named::Principal, "owner", &owner),
            resource: fields.resource("resource", resource),
            freshness: self.freshness(ctx, &mut fields, consistency),
            page: fields.page(page_size, page_token, &query),
        };
        fields.finish(query)
    }

    pub(super) fn allowed_page(
        &self,
        ctx: &Ctx,
        listed: At<Listed<pb::OrganizationRef>>,
    ) -> pb::ListAllowedOrganizationsResponse {
        let At { value: Listed { page: Page { items, next }, reason, detail: _ }, revision, position } = listed;
        pb::ListAllowedOrganizationsResponse {
            organizations: items,
            next_page_token: next,
            reason: told(reason),
            revision: revision.0,
            consistency_token: self.token_at(ctx.realm, position),
        }
    }

    pub(super) fn holding(
        &self,
        ctx: &Ctx,
        request: pb::ListPrincipalsWithPermissionRequest,
    ) -> Result<ListPrincipals, Error> {
        let mut fields = Fields::default();
        let query =
            pb::ListPrincipalsWithPermissionRequest { page_size: 0, page_token: String::new(), ..request.clone() };
        let pb::ListPrincipalsWithPermissionRequest {
            permission,
            organization,
            owner,
            resource,
            consistency,
            page_size,
            page_token,
        } = request;
        let query = ListPrincipals {
            permission: named(&mut fields, permission),
            organization: fields.optional_handle(Named::Organization, "organization", &organization),
            owner: fields.optional_handle(Named::Principal, "owner", &owner),
            resource: fields.resource("resource", resource),
            freshness: self.freshness(ctx, &mut fields, consistency),
            page: fields.page(page_size, page_token, &query),
        };
        fields.finish(query)
    }

    pub(super) fn holding_page(
        &self,
        ctx: &Ctx,
        listed: At<Listed<pb::PrincipalRef>>,
    ) -> pb::ListPrincipalsWithPermissionResponse {
        let At { value: Listed { page: Page { items, next }, reason, detail: _ }, revision, position } = listed;
        pb::ListPrincipalsWithPermissionResponse {
            principals: items,
            next_page_token: next,
            reason: told(reason),
            revision: revision.0,
            consistency_token: self.token_at(ctx.realm, position),
        }
    }
}

/// A permission on the wire, as far as its holder is concerned.
pub(super) fn permission(permission: Permission) -> pb::EffectivePermission {
    let Permission { name, title, section, protected: _, retired: _ } = permission;
    pb::EffectivePermission { name: name.to_string(), title, section }
}

/// An organization on the wire.
pub(super) fn organization((id, slug): (OrganizationId, String)) -> pb::OrganizationRef {
    pb::OrganizationRef { id: id.to_string(), slug }
}

/// A principal on the wire.
pub(super) fn holder((id, name): (PrincipalId, Option<Name>)) -> pb::PrincipalRef {
    principal(id, name.as_ref())
}

/// A permission that has to be named.
pub(super) fn named(fields: &mut Fields, permission: String) -> String {
    if permission.is_empty() {
        fields.wrong("permission", "is missing");
    }
    permission
}

fn told(why: Option<Reason>) -> i32 {
    why.map_or(pb::ErrorReason::Unspecified, reason).into()
}
