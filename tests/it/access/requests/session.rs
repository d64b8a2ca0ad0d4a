//! `SessionService`.

use countersign::domain::time::Timestamp;
use countersign::grpc::pb;
use prost_reflect::prost::Message as _;

use super::{Asked, Kind, LEAVER, PAGE, PASSWORD, Target, encoded, unwritten};
use crate::support::session_of;

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    match rpc {
        // By who may least: whoever has the right password loses the session that other calls come with.
        "ChangePassword" => (asked.target == Target::Oneself).then(|| {
            let current = if asked.who.name == LEAVER { PASSWORD } else { "not the password of anybody" };
            let request = pb::ChangePasswordRequest {
                current_password: current.to_owned(),
                new_password: "seven crooked lanterns hum".to_owned(),
            };
            request.encode_to_vec()
        }),
        "GetMe" => (asked.target == Target::Oneself).then(|| pb::GetMeRequest {}.encode_to_vec()),
        "GetSigningKeys" => asked.is_about_the_realm().and_then(|()| encoded(&pb::GetSigningKeysRequest {})),
        "RefreshSession" => {
            asked.world.place(asked.target)?;
            let refresh_token = asked.subject(Kind::Refreshable).await.extra;
            encoded(&pb::RefreshSessionRequest { refresh_token })
        }
        "SignOut" => {
            asked.world.place(asked.target)?;
            let refresh_token = asked.subject(Kind::Refreshable).await.extra;
            encoded(&pb::SignOutRequest { refresh_token })
        }
        "IntrospectToken" => {
            asked.place()?;
            let token = asked.subject_in_place(Kind::SignedIn).await?.extra;
            encoded(&pb::IntrospectTokenRequest { token, ..Default::default() })
        }
        "ListSessions" | "RevokeSession" | "RevokeAllSessions" => sessions(asked, rpc).await,
        "RequestPasswordReset" => {
            asked.world.place(asked.target)?;
            encoded(&pb::RequestPasswordResetRequest { email: asked.address(Kind::Member).await })
        }
        "ResetPassword" => {
            asked.world.place(asked.target)?;
            let code = asked.subject(Kind::Forgetful).await.extra;
            encoded(&pb::ResetPasswordRequest { code, new_password: "seven crooked lanterns hum".to_owned() })
        }
        "SignIn" => {
            asked.world.place(asked.target)?;
            // Everybody tries the same addresses, and those that are nobody's would have to wait.
            asked.world.app.inner().app.store().forget_throttles(Timestamp(i64::MAX)).await.unwrap();
            let email = asked.address(Kind::Member).await;
            encoded(&pb::SignInRequest { email, password: PASSWORD.to_owned() })
        }
        unknown => unwritten(unknown),
    }
}

/// Ended sessions are not the caller's own: the next call needs that.
async fn sessions(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    if asked.names_another_organization() {
        return None;
    }
    let subject = asked.subject(Kind::SignedIn).await;
    let user = subject.id;
    match rpc {
        "ListSessions" => encoded(&pb::ListSessionsRequest { user, page_size: PAGE, ..Default::default() }),
        "RevokeSession" => {
            let session = match asked.target {
                Target::Oneself => asked.world.another_session_of(&user).await,
                _ => session_of(&subject.extra).unwrap_or(subject.extra),
            };
            encoded(&pb::RevokeSessionRequest { session, ..Default::default() })
        }
        "RevokeAllSessions" => {
            encoded(&pb::RevokeAllSessionsRequest { user, keep_current: true, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}
