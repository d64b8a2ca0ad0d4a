//! `OrganizationService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PAGE, SCHEME, Target, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[("ListOrganizations", "by a code")];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "ListOrganizations" => list(asked, form).await,
        "AddMember" | "UpdateMember" | "RemoveMember" | "MoveMember" | "ListMembers" => member(asked, rpc).await,
        _ => organization(asked, rpc).await,
    }
}

async fn organization(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    let world = asked.world;
    match rpc {
        "CreateOrganization" => {
            asked.is_about_the_realm()?;
            let slug = world.fresh("company");
            encoded(&pb::CreateOrganizationRequest { title: slug.clone(), slug, ..Default::default() })
        }
        "SetIdentifiers" => {
            let identifier = pb::Identifier { scheme: SCHEME.to_owned(), value: world.fresh("code") };
            encoded(&pb::SetIdentifiersRequest {
                organization: world.place(asked.target)?,
                identifiers: vec![identifier],
                ..Default::default()
            })
        }
        "GetOrganization" => encoded(&pb::GetOrganizationRequest { organization: world.place(asked.target)? }),
        "UpdateOrganization" => encoded(&pb::UpdateOrganizationRequest {
            organization: world.place(asked.target)?,
            title: world.fresh("Company"),
            ..Default::default()
        }),
        "SuspendOrganization" => encoded(&pb::SuspendOrganizationRequest {
            organization: spare(asked, Kind::Company).await?,
            reason: "no contract".to_owned(),
            ..Default::default()
        }),
        "ReinstateOrganization" => encoded(&pb::ReinstateOrganizationRequest {
            organization: spare(asked, Kind::SuspendedCompany).await?,
            ..Default::default()
        }),
        "SetEntitlements" => encoded(&pb::SetEntitlementsRequest {
            organization: world.place(asked.target)?,
            entitlements: vec![world.fresh("product")],
            ..Default::default()
        }),
        unknown => unwritten(unknown),
    }
}

/// An organization that the others can do without: for who acts realm-wide another one than where they belong.
async fn spare(asked: &Asked<'_>, kind: Kind) -> Option<String> {
    let place = asked.world.place(asked.target)?;
    let succeeds = ["operator", "realm administrator"].contains(&asked.who.name);
    let there = matches!(asked.target, Target::OwnOrganization | Target::OtherOrganization);
    Some(if succeeds && there { asked.subject(kind).await.id } else { place })
}

async fn list(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    let identifier = match form {
        "" => {
            asked.is_about_the_realm()?;
            None
        }
        _ => Some(pb::Identifier { scheme: SCHEME.to_owned(), value: asked.world.code_of(asked.target).await? }),
    };
    encoded(&pb::ListOrganizationsRequest { identifier, page_size: PAGE, ..Default::default() })
}

async fn member(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    let world = asked.world;
    if rpc == "ListMembers" {
        let organization = world.place(asked.target)?;
        return encoded(&pb::ListMembersRequest { organization, page_size: PAGE, ..Default::default() });
    }
    let organization = world.scope(asked.target)?.id.clone();
    let kind = if rpc == "AddMember" { Kind::Newcomer } else { Kind::Member };
    let user = asked.subject(kind).await.id;
    match rpc {
        "AddMember" => encoded(&pb::AddMemberRequest { organization, user, ..Default::default() }),
        "UpdateMember" => {
            let attributes = [("desk".to_owned(), world.fresh("desk"))].into();
            encoded(&pb::UpdateMemberRequest { organization, user, attributes, ..Default::default() })
        }
        "RemoveMember" => encoded(&pb::RemoveMemberRequest { organization, user, ..Default::default() }),
        "MoveMember" => {
            let elsewhere =
                if organization == world.own.id { Target::OtherOrganization } else { Target::OwnOrganization };
            let destination = world.place(elsewhere)?;
            encoded(&pb::MoveMemberRequest { organization, user, destination, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
