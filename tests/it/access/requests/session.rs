//! `SessionService`.

use countersign::grpc::pb;
use prost_reflect::prost::Message as _;

use super::{Asked, Kind, PASSWORD, Target, encoded, unwritten};

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    match rpc {
        "GetMe" => (asked.target == Target::Oneself).then(|| pb::GetMeRequest {}.encode_to_vec()),
        "GetSigningKeys" => asked.is_about_the_realm().and_then(|()| encoded(&pb::GetSigningKeysRequest {})),
        "SignIn" => {
            asked.world.place(asked.target)?;
            let email = asked.address(Kind::Member).await;
            encoded(&pb::SignInRequest { email, password: PASSWORD.to_owned() })
        }
        unknown => unwritten(unknown),
    }
}
