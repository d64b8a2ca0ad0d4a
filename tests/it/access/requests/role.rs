//! `RoleService`.

use countersign::grpc::pb;

use super::{Asked, encoded, unwritten};

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    asked.is_about_the_realm()?;
    let name = asked.world.fresh("word");
    match rpc {
        "CreateRole" => encoded(&pb::CreateRoleRequest { name, ..Default::default() }),
        "DeclarePermission" => {
            encoded(&pb::DeclarePermissionRequest { name: format!("shop.{name}"), ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
