//! `RoleService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PAGE, READ, Target, encoded, unwritten};
use crate::support::grants;

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[("UpdateRole", "what it confers")];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "GetRole" => encoded(&pb::GetRoleRequest { role: word(asked, Kind::Role).await? }),
        "UpdateRole" => update(asked, form).await,
        "DeleteRole" => encoded(&pb::DeleteRoleRequest { role: word(asked, Kind::Role).await?, ..Default::default() }),
        "RetirePermission" => {
            // Where it is not declared, its name is no name.
            asked.is_about_the_realm()?;
            let name = asked.subject(Kind::Permission).await.id;
            encoded(&pb::RetirePermissionRequest { name, ..Default::default() })
        }
        _ => of_the_realm(asked, rpc),
    }
}

fn of_the_realm(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    asked.is_about_the_realm()?;
    let name = asked.world.fresh("word");
    match rpc {
        "CreateRole" => encoded(&pb::CreateRoleRequest { name, ..Default::default() }),
        "ListRoles" => encoded(&pb::ListRolesRequest { page_size: PAGE, ..Default::default() }),
        "DeclarePermission" => {
            encoded(&pb::DeclarePermissionRequest { name: format!("shop.{name}"), ..Default::default() })
        }
        "ListPermissions" => encoded(&pb::ListPermissionsRequest { page_size: PAGE, ..Default::default() }),
        unknown => unwritten(unknown),
    }
}

async fn update(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    let mut update = pb::UpdateRoleRequest { role: word(asked, Kind::Role).await?, ..Default::default() };
    match form {
        "" => update.title = asked.world.fresh("Role"),
        _ => update.grants = grants(pb::Reach::All, &[READ]),
    }
    encoded(&update)
}

/// A word of a realm's vocabulary is in no organization.
async fn word(asked: &Asked<'_>, kind: Kind) -> Option<String> {
    let target = [Target::Realm, Target::OtherRealm, Target::Nowhere].contains(&asked.target);
    if target { Some(asked.subject(kind).await.id) } else { None }
}
