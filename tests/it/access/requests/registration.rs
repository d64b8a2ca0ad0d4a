//! `RegistrationService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PASSWORD, SCHEME, Target, encoded, unwritten};

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    let world = asked.world;
    match rpc {
        "Register" => {
            let code = match asked.target {
                Target::Realm => None,
                target => Some(world.code_of(target).await?),
            };
            encoded(&pb::RegisterRequest {
                email: format!("{}@people.example", world.fresh("newcomer")),
                display_name: "Somebody".to_owned(),
                password: PASSWORD.to_owned(),
                codes: code.into_iter().map(|code| (SCHEME.to_owned(), code)).collect(),
            })
        }
        "VerifyEmail" => {
            world.place(asked.target)?;
            let code = asked.subject(Kind::Unproven).await.extra;
            encoded(&pb::VerifyEmailRequest { code, password: PASSWORD.to_owned() })
        }
        "ResendVerification" => {
            world.place(asked.target)?;
            encoded(&pb::ResendVerificationRequest { email: asked.address(Kind::Newcomer).await })
        }
        "GetRegistrationForm" => {
            asked.is_about_the_realm()?;
            encoded(&pb::GetRegistrationFormRequest {})
        }
        "JoinOrganization" => {
            // Always oneself; into an organization that the rest of the table knows nothing of.
            let code = match asked.target {
                Target::Oneself => world.code_of_an_empty_organization().await,
                Target::Nowhere => world.code_of(Target::Nowhere).await?,
                _ => return None,
            };
            encoded(&pb::JoinOrganizationRequest { codes: [(SCHEME.to_owned(), code)].into(), ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
