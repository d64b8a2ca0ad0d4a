//! `RealmService`.

use countersign::grpc::pb;

use super::{Asked, ELSEWHERE, PAGE, Target, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[("UpdateRealm", "the state")];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "CreateRealm" => {
            asked.is_about_the_realm()?;
            encoded(&pb::CreateRealmRequest { name: asked.world.fresh("portal"), ..Default::default() })
        }
        "GetRealm" => encoded(&pb::GetRealmRequest { realm: named(asked)? }),
        "ListRealms" => {
            asked.is_about_the_realm()?;
            encoded(&pb::ListRealmsRequest { page_size: PAGE, ..Default::default() })
        }
        "UpdateRealm" => update(asked, form),
        unknown => unwritten(unknown),
    }
}

/// The realm as a request names it; empty = that of the call.
fn named(asked: &Asked<'_>) -> Option<String> {
    match asked.target {
        Target::Realm => Some(String::new()),
        Target::OtherRealm => Some(ELSEWHERE.to_owned()),
        Target::Nowhere => Some("no-such-realm".to_owned()),
        _ => None,
    }
}

fn update(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    let realm = named(asked)?;
    let (title, state) = match form {
        "" => (asked.world.fresh("Portal"), pb::RealmState::Unspecified),
        _ => (String::new(), pb::RealmState::Active),
    };
    encoded(&pb::UpdateRealmRequest { realm, title, state: state.into(), ..Default::default() })
}
