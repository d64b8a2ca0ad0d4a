//! `RealmService`.

use countersign::grpc::pb;

use super::{Asked, ELSEWHERE, Target, encoded, unwritten};

/// Further forms of an RPC, with what the form is.
pub(super) const FORMS: &[(&str, &str)] = &[("UpdateRealm", "the state")];

pub(super) async fn request(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    match rpc {
        "CreateRealm" => {
            asked.is_about_the_realm()?;
            encoded(&pb::CreateRealmRequest { name: asked.world.fresh("portal"), ..Default::default() })
        }
        "UpdateRealm" => update(asked, form),
        unknown => unwritten(unknown),
    }
}

fn update(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    let realm = match asked.target {
        Target::Realm => String::new(),
        Target::OtherRealm => ELSEWHERE.to_owned(),
        Target::Nowhere => "no-such-realm".to_owned(),
        _ => return None,
    };
    let (title, state) = match form {
        "" => (asked.world.fresh("Portal"), pb::RealmState::Unspecified),
        _ => (String::new(), pb::RealmState::Active),
    };
    encoded(&pb::UpdateRealmRequest { realm, title, state: state.into(), ..Default::default() })
}
