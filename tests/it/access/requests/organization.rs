//! `OrganizationService`.

use countersign::grpc::pb;

use super::{Asked, Kind, SCHEME, encoded, unwritten};

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
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
        "AddMember" => {
            let organization = world.scope(asked.target)?.id.clone();
            let user = asked.subject(Kind::Newcomer).await.id;
            encoded(&pb::AddMemberRequest { organization, user, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
