//! `UserService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PAGE, READER, Target, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[
    ("ListUsers", "holders of a role"),
    ("UpdateUser", "the time of use"),
    ("UpdateUser", "a forced change of the password"),
];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "ListUsers" => users(asked, form).await,
        "ClearTombstone" => {
            asked.subject_in_place(Kind::Deleted).await?;
            let (email, ticket) = (asked.address(Kind::Deleted).await, "SUP-1".to_owned());
            encoded(&pb::ClearTombstoneRequest { email, ticket, ..Default::default() })
        }
        _ => account(asked, rpc, form).await,
    }
}

async fn account(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    if asked.names_another_organization() {
        return None;
    }
    let kind = match rpc {
        "ReinstateUser" => Kind::Suspended,
        "UnblockUser" => Kind::Blocked,
        "RestoreUser" => Kind::Deleted,
        "MarkEmailVerified" => Kind::Unvouched,
        _ => Kind::Member,
    };
    let user = asked.subject(kind).await.id;
    match rpc {
        "GetUser" => encoded(&pb::GetUserRequest { user }),
        "UpdateUser" => {
            let until = prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 };
            encoded(&match form {
                "" => pb::UpdateUserRequest { user, display_name: "Another".to_owned(), ..Default::default() },
                "the time of use" => pb::UpdateUserRequest { user, valid_until: Some(until), ..Default::default() },
                _ => pb::UpdateUserRequest { user, password_must_change: true, ..Default::default() },
            })
        }
        "MarkEmailVerified" => encoded(&pb::MarkEmailVerifiedRequest { user, ..Default::default() }),
        "BlockUser" => {
            encoded(&pb::BlockUserRequest { user, reason: "a lost laptop".to_owned(), ..Default::default() })
        }
        "UnblockUser" => encoded(&pb::UnblockUserRequest { user, ..Default::default() }),
        "DeleteUser" => encoded(&pb::DeleteUserRequest { user, ..Default::default() }),
        "RestoreUser" => encoded(&pb::RestoreUserRequest { user, ..Default::default() }),
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
