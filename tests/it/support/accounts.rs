//! The verbs of an account's life: each one call, by whoever makes it.

use countersign::grpc::pb;
use tonic::Status;

use super::Caller;

impl Caller {
    pub(crate) async fn update(&self, request: pb::UpdateUserRequest) -> Result<pb::User, Status> {
        Ok(self.users().update_user(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn mark_verified(&self, user: &str) -> Result<pb::User, Status> {
        let request = pb::MarkEmailVerifiedRequest { user: user.to_owned(), ..Default::default() };
        Ok(self.users().mark_email_verified(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn block(&self, user: &str, reason: &str) -> Result<pb::User, Status> {
        let (user, reason) = (user.to_owned(), reason.to_owned());
        let request = pb::BlockUserRequest { user, reason, ..Default::default() };
        Ok(self.users().block_user(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn unblock(&self, user: &str) -> Result<pb::User, Status> {
        let request = pb::UnblockUserRequest { user: user.to_owned(), ..Default::default() };
        Ok(self.users().unblock_user(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn delete(&self, user: &str) -> Result<pb::User, Status> {
        self.delete_led_by(user, "").await
    }

    /// Deletes somebody whose team somebody else leads from now on.
    pub(crate) async fn delete_led_by(&self, user: &str, new_manager: &str) -> Result<pb::User, Status> {
        let (user, new_manager) = (user.to_owned(), new_manager.to_owned());
        let request = pb::DeleteUserRequest { user, new_manager, ..Default::default() };
        Ok(self.users().delete_user(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn restore(&self, user: &str) -> Result<pb::User, Status> {
        let request = pb::RestoreUserRequest { user: user.to_owned(), ..Default::default() };
        Ok(self.users().restore_user(request).await?.into_inner().user.unwrap_or_default())
    }

    pub(crate) async fn clear_tombstone(&self, email: &str, ticket: &str) -> Result<(), Status> {
        let (email, ticket) = (email.to_owned(), ticket.to_owned());
        let request = pb::ClearTombstoneRequest { email, ticket, ..Default::default() };
        self.users().clear_tombstone(request).await.map(drop)
    }

    /// Answers the slug of the organization, and the state of the membership there.
    pub(crate) async fn join(&self, codes: &[(&str, &str)]) -> Result<(String, pb::MembershipState), Status> {
        let codes = codes.iter().map(|(scheme, value)| ((*scheme).to_owned(), (*value).to_owned())).collect();
        let request = pb::JoinOrganizationRequest { codes, ..Default::default() };
        let answer = self.registrations().join_organization(request).await?.into_inner();
        let membership = answer.membership.unwrap_or_default();
        let state = membership.state();
        Ok((membership.organization.unwrap_or_default().slug, state))
    }
}
