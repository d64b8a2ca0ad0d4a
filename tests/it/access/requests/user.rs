//! `UserService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PAGE, READER, Target, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[("ListUsers", "holders of a role")];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "ListUsers" => users(asked, form).await,
        _ => account(asked, rpc).await,
    }
}

async fn account(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    if asked.names_another_organization() {
        return None;
    }
    let kind = if rpc == "ReinstateUser" { Kind::Suspended } else { Kind::Member };
    let user = asked.subject(kind).await.id;
    match rpc {
        "GetUser" => encoded(&pb::GetUserRequest { user }),
        "SuspendUser" => encoded(&pb::SuspendUserRequest { user, reason: "on leave".to_owned(), ..Default::default() }),
        "ReinstateUser" => encoded(&pb::ReinstateUserRequest { user, ..Default::default() }),
        "SetManager" => encoded(&pb::SetManagerRequest { user, manager: colleague(asked), ..Default::default() }),
        unknown => unwritten(unknown),
    }
}

/// Somebody beside the subject, to be led by.
fn colleague(asked: &Asked<'_>) -> String {
    let beside = match asked.target {
        target @ (Target::Realm | Target::OtherOrganization | Target::OwnTeam | Target::OtherTeam) => target,
        _ => Target::OwnOrganization,
    };
    asked.world.resident(beside).id.clone()
}

async fn users(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    let manager = match asked.target {
        Target::OwnTeam => asked.world.manager.clone(),
        Target::OtherTeam => asked.world.other_manager.clone(),
        Target::Oneself => asked.who.id.clone(),
        _ => String::new(),
    };
    let organization = if manager.is_empty() { asked.place()? } else { String::new() };
    let role = if form.is_empty() { String::new() } else { READER.to_owned() };
    encoded(&pb::ListUsersRequest { organization, role, manager, page_size: PAGE, ..Default::default() })
}
