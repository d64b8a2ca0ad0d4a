//! The verbs of the stories: each one call, by whoever makes it, with what a story cares about as its arguments.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::grpc::pb::{self, Decision, ErrorReason, Reach};
use tonic::Status;

use super::Caller;

/// The password of everybody in a story.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Where something is assigned: an organization by its slug or id, or the whole realm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    Organization(&'a str),
    Realm,
}

/// The answer to a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Allowed,
    Denied(ErrorReason),
}

/// They may.
pub(crate) const ALLOWED: Verdict = Verdict::Allowed;

/// They may not.
pub(crate) fn denied(reason: ErrorReason) -> Verdict {
    Verdict::Denied(reason)
}

/// A question about a principal, of nothing and nobody in particular. Asks why, if the answer is no.
pub(crate) fn ask(principal: &str, permission: &str) -> pb::CheckPermissionRequest {
    pb::CheckPermissionRequest {
        subject: Some(pb::check_permission_request::Subject::Principal(principal.to_owned())),
        permission: permission.to_owned(),
        with_reason: true,
        ..Default::default()
    }
}

/// A role that confers nothing and is assigned nowhere: what its other fields say, they say.
pub(crate) fn role(name: &str) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { name: name.to_owned(), ..Default::default() }
}

/// Patterns at one reach.
pub(crate) fn grants(reach: Reach, patterns: &[&str]) -> Vec<pb::PatternGrant> {
    patterns.iter().map(|pattern| pb::PatternGrant { pattern: (*pattern).to_owned(), reach: reach.into() }).collect()
}

/// Assignable in organizations of these kinds, or of any.
pub(crate) fn within(kinds: &[&str]) -> pb::Assignable {
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    pb::Assignable { scopes: vec![pb::AssignmentScope::Organization.into()], kinds, ..Default::default() }
}

/// Assignable in the whole realm, to members of organizations of these kinds, or to anybody.
pub(crate) fn everywhere(kinds: &[&str]) -> pb::Assignable {
    pb::Assignable { scopes: vec![pb::AssignmentScope::Realm.into()], ..within(kinds) }
}

/// Assignable there, and given with every membership there.
pub(crate) fn by_default(assignable: pb::Assignable) -> pb::Assignable {
    pb::Assignable { by_default: true, ..assignable }
}

/// What an organization is known by: scheme and value.
pub(crate) fn identifiers(codes: &[(&str, &str)]) -> Vec<pb::Identifier> {
    let identifier =
        |(scheme, value): &(&str, &str)| pb::Identifier { scheme: (*scheme).to_owned(), value: (*value).to_owned() };
    codes.iter().map(identifier).collect()
}

/// Texts, as a message holds them.
pub(crate) fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The id of the session of an access token; `None` of what is none.
pub(crate) fn session_of(access_token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(access_token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims["sid"].as_str().map(str::to_owned)
}

impl Caller {
    pub(crate) async fn register(&self, email: &str, name: &str, codes: &[(&str, &str)]) -> Result<String, Status> {
        let codes = codes.iter().map(|(scheme, value)| ((*scheme).to_owned(), (*value).to_owned())).collect();
        let request = pb::RegisterRequest {
            email: email.to_owned(),
            display_name: name.to_owned(),
            password: PASSWORD.to_owned(),
            codes,
        };
        Ok(self.registrations().register(request).await?.into_inner().message)
    }

    /// Answers what still keeps the person out.
    pub(crate) async fn verify(&self, code: &str) -> Result<Vec<ErrorReason>, Status> {
        let request = pb::VerifyEmailRequest { code: code.to_owned(), password: PASSWORD.to_owned() };
        let answer = self.registrations().verify_email(request).await?.into_inner();
        Ok(answer.gates.iter().map(pb::Gate::reason).collect())
    }

    /// Answers the access token.
    pub(crate) async fn sign_in(&self, email: &str) -> Result<String, Status> {
        let request = pb::SignInRequest { email: email.to_owned(), password: PASSWORD.to_owned() };
        Ok(self.sessions().sign_in(request).await?.into_inner().access_token)
    }

    /// Answers both tokens.
    pub(crate) async fn begin(&self, email: &str) -> Result<pb::SignInResponse, Status> {
        let request = pb::SignInRequest { email: email.to_owned(), password: PASSWORD.to_owned() };
        Ok(self.sessions().sign_in(request).await?.into_inner())
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<pb::RefreshSessionResponse, Status> {
        let request = pb::RefreshSessionRequest { refresh_token: refresh_token.to_owned() };
        Ok(self.sessions().refresh_session(request).await?.into_inner())
    }

    pub(crate) async fn sign_out(&self, refresh_token: &str) -> Result<pb::SignOutResponse, Status> {
        let request = pb::SignOutRequest { refresh_token: refresh_token.to_owned() };
        Ok(self.sessions().sign_out(request).await?.into_inner())
    }

    pub(crate) async fn introspect(&self, token: &str) -> Result<pb::IntrospectTokenResponse, Status> {
        let request = pb::IntrospectTokenRequest { token: token.to_owned(), ..Default::default() };
        Ok(self.sessions().introspect_token(request).await?.into_inner())
    }

    /// Answers the live sessions, the newest first. `user` empty = one's own.
    pub(crate) async fn list_sessions(&self, user: &str) -> Result<Vec<pb::Session>, Status> {
        let request = pb::ListSessionsRequest { user: user.to_owned(), ..Default::default() };
        Ok(self.sessions().list_sessions(request).await?.into_inner().sessions)
    }

    pub(crate) async fn revoke_session(&self, session: &str) -> Result<pb::Session, Status> {
        let request = pb::RevokeSessionRequest { session: session.to_owned(), ..Default::default() };
        Ok(self.sessions().revoke_session(request).await?.into_inner().session.unwrap_or_default())
    }

    /// Answers how many ended.
    pub(crate) async fn revoke_all_sessions(&self, user: &str, keep_current: bool) -> Result<i32, Status> {
        let request = pb::RevokeAllSessionsRequest { user: user.to_owned(), keep_current, ..Default::default() };
        Ok(self.sessions().revoke_all_sessions(request).await?.into_inner().ended_count)
    }

    /// Answers what the person is told.
    pub(crate) async fn ask_for_reset(&self, email: &str) -> Result<String, Status> {
        let request = pb::RequestPasswordResetRequest { email: email.to_owned() };
        Ok(self.sessions().request_password_reset(request).await?.into_inner().message)
    }

    /// Answers what still keeps the person out.
    pub(crate) async fn reset(&self, code: &str, new: &str) -> Result<Vec<ErrorReason>, Status> {
        let request = pb::ResetPasswordRequest { code: code.to_owned(), new_password: new.to_owned() };
        let answer = self.sessions().reset_password(request).await?.into_inner();
        Ok(answer.gates.iter().map(pb::Gate::reason).collect())
    }

    /// Answers the access token of the session that goes on.
    pub(crate) async fn change_password(&self, current: &str, new: &str) -> Result<String, Status> {
        let (current_password, new_password) = (current.to_owned(), new.to_owned());
        let request = pb::ChangePasswordRequest { current_password, new_password };
        Ok(self.sessions().change_password(request).await?.into_inner().access_token)
    }

    /// As [`Caller::sign_in`], with another password.
    pub(crate) async fn sign_in_with(&self, email: &str, password: &str) -> Result<String, Status> {
        let request = pb::SignInRequest { email: email.to_owned(), password: password.to_owned() };
        Ok(self.sessions().sign_in(request).await?.into_inner().access_token)
    }

    pub(crate) async fn approve(&self, user: &str) -> Result<pb::User, Status> {
        let request = pb::ApproveRegistrationRequest { user: user.to_owned(), ..Default::default() };
        let answer = self.approvals().approve_registration(request).await?.into_inner();
        Ok(answer.user.unwrap_or_default())
    }

    pub(crate) async fn reject(&self, user: &str, reason: &str) -> Result<pb::User, Status> {
        let (user, reason) = (user.to_owned(), reason.to_owned());
        let request = pb::RejectRegistrationRequest { user, reason, ..Default::default() };
        let answer = self.approvals().reject_registration(request).await?.into_inner();
        Ok(answer.user.unwrap_or_default())
    }

    /// Answers the addresses of those who wait, the oldest first.
    pub(crate) async fn waiting(&self) -> Result<Vec<String>, Status> {
        let answer = self.approvals().list_registrations(pb::ListRegistrationsRequest::default()).await?.into_inner();
        let users = answer.registrations.into_iter().map(|waits| waits.user.unwrap_or_default());
        Ok(users.map(|user| user.email).collect())
    }

    pub(crate) async fn user(&self, user: &str) -> Result<pb::User, Status> {
        let answer = self.users().get_user(pb::GetUserRequest { user: user.to_owned() }).await?.into_inner();
        Ok(answer.user.unwrap_or_default())
    }

    /// Answers the addresses of those who meet the filters, the oldest first.
    pub(crate) async fn list(&self, filters: pb::ListUsersRequest) -> Result<Vec<String>, Status> {
        let answer = self.users().list_users(filters).await?.into_inner();
        Ok(answer.users.into_iter().map(|user| user.email).collect())
    }

    pub(crate) async fn suspend(&self, user: &str, reason: &str) -> Result<pb::User, Status> {
        let (user, reason) = (user.to_owned(), reason.to_owned());
        let request = pb::SuspendUserRequest { user, reason, ..Default::default() };
        Ok(self.users().suspend_user(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn reinstate(&self, user: &str) -> Result<pb::User, Status> {
        let request = pb::ReinstateUserRequest { user: user.to_owned(), ..Default::default() };
        Ok(self.users().reinstate_user(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn set_manager(&self, user: &str, manager: &str) -> Result<pb::User, Status> {
        let (user, manager) = (user.to_owned(), manager.to_owned());
        let request = pb::SetManagerRequest { user, manager, ..Default::default() };
        Ok(self.users().set_manager(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn add_member(&self, organization: &str, user: &str) -> Result<pb::Membership, Status> {
        let (organization, user) = (organization.to_owned(), user.to_owned());
        let request = pb::AddMemberRequest { organization, user, ..Default::default() };
        Ok(self.organizations().add_member(request).await?.into_inner().membership.unwrap_or_default())
    }

    pub(crate) async fn assign(&self, principal: &str, role: &str, at: At<'_>) -> Result<pb::Entry, Status> {
        self.assign_on(principal, role, at, None).await
    }

    /// Assigns a role that counts for one resource: its type and its id.
    pub(crate) async fn assign_on(
        &self,
        principal: &str,
        role: &str,
        at: At<'_>,
        resource: Option<(&str, &str)>,
    ) -> Result<pb::Entry, Status> {
        use pb::assign_role_request::Scope;
        let request = pb::AssignRoleRequest {
            principal: principal.to_owned(),
            role: role.to_owned(),
            scope: Some(match at {
                At::Organization(organization) => Scope::Organization(organization.to_owned()),
                At::Realm => Scope::RealmWide(true),
            }),
            resource: resource.map(|(kind, id)| pb::Resource { r#type: kind.to_owned(), id: id.to_owned() }),
            ..Default::default()
        };
        Ok(self.assignments().assign_role(request).await?.into_inner().entry.unwrap_or_default())
    }

    /// Answers how many assignments were taken.
    pub(crate) async fn revoke(&self, principal: &str, role: &str, at: At<'_>) -> Result<usize, Status> {
        use pb::revoke_role_request::Scope;
        let request = pb::RevokeRoleRequest {
            principal: principal.to_owned(),
            role: role.to_owned(),
            scope: Some(match at {
                At::Organization(organization) => Scope::Organization(organization.to_owned()),
                At::Realm => Scope::RealmWide(true),
            }),
            ..Default::default()
        };
        Ok(self.assignments().revoke_role(request).await?.into_inner().entries.len())
    }

    /// How often each of these was done lately, as the realm's log tells it.
    pub(crate) async fn times<const N: usize>(&self, events: [&str; N]) -> [usize; N] {
        let request = pb::ListEventsRequest { page_size: 1000, ..Default::default() };
        let lines = self.audit().list_events(request).await.unwrap().into_inner().events;
        events.map(|event| lines.iter().filter(|line| line.event == event).count())
    }

    pub(crate) async fn check(&self, question: pb::CheckPermissionRequest) -> Result<Verdict, Status> {
        let answer = self.authorization().check_permission(question).await?.into_inner();
        Ok(match answer.decision() {
            Decision::Allowed => ALLOWED,
            _ => denied(answer.reason()),
        })
    }

    /// Makes a service account of the realm, with a key. Answers the key.
    pub(crate) async fn service(&self, name: &str) -> Result<String, Status> {
        let account = pb::CreateServiceAccountRequest { name: name.to_owned(), ..Default::default() };
        self.service_accounts().create_service_account(account).await?;
        let key = pb::CreateApiKeyRequest { service_account: name.to_owned(), ..Default::default() };
        Ok(self.service_accounts().create_api_key(key).await?.into_inner().secret)
    }
}
