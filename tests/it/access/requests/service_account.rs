//! `ServiceAccountService`.

use countersign::grpc::pb;

use super::{Asked, Kind, encoded, unwritten};

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    match rpc {
        "CreateServiceAccount" => encoded(&pb::CreateServiceAccountRequest {
            name: asked.world.fresh("made"),
            organization: asked.place()?,
            ..Default::default()
        }),
        "CreateApiKey" => {
            let service_account = asked.subject_in_place(Kind::ServiceAccount).await?.id;
            encoded(&pb::CreateApiKeyRequest { service_account, ..Default::default() })
        }
        "RevokeApiKey" => {
            asked.place()?;
            let api_key = asked.subject_in_place(Kind::KeyHolder).await?.extra;
            encoded(&pb::RevokeApiKeyRequest { api_key, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
