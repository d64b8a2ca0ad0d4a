//! `ServiceAccountService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PAGE, encoded, unwritten};

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
        "GetServiceAccount" => {
            let service_account = asked.subject_in_place(Kind::ServiceAccount).await?.id;
            encoded(&pb::GetServiceAccountRequest { service_account })
        }
        "ListServiceAccounts" => encoded(&pb::ListServiceAccountsRequest {
            organization: asked.place()?,
            page_size: PAGE,
            ..Default::default()
        }),
        "DisableServiceAccount" => {
            let service_account = asked.subject_in_place(Kind::ServiceAccount).await?.id;
            encoded(&pb::DisableServiceAccountRequest { service_account, ..Default::default() })
        }
        "EnableServiceAccount" => {
            let service_account = asked.subject_in_place(Kind::Disabled).await?.id;
            encoded(&pb::EnableServiceAccountRequest { service_account, ..Default::default() })
        }
        "DeleteServiceAccount" => {
            let service_account = asked.subject_in_place(Kind::ServiceAccount).await?.id;
            encoded(&pb::DeleteServiceAccountRequest { service_account, ..Default::default() })
        }
        "ListApiKeys" => {
            let service_account = asked.subject_in_place(Kind::KeyHolder).await?.id;
            encoded(&pb::ListApiKeysRequest { service_account, page_size: PAGE, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
