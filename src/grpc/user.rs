//! `UserService`.

use tonic::{Request, Response, Status};

use super::account;
use super::api::{Api, Called};
use super::convert::{Fields, NOTE_CHARS_MAX, TITLE_CHARS_MAX, hold_cause, instant, none_if_empty, principal};
use super::pb::{self, user_service_server::UserService};
use super::service_account::api_key;
use crate::app::{KeptOut, ListUsers, ReinstateUser, SetManager, SuspendUser, UserView};
use crate::domain::account::{Approval, ApprovalState, Hold, Status as Shown, User, VerifiedHow};
use crate::domain::handle::Named;
use crate::domain::organization::Member;
use crate::domain::snapshot::MembershipState;

#[tonic::async_trait]
impl UserService for Api {
    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::GetUserResponse>, Status> {
        let (called, pb::GetUserRequest { user }) = Called::new(request)?;
        let mut fields = Fields::default();
        let handle = fields.optional_handle(Named::User, "user", &user);
        let handle = called.parsed(fields.finish(handle))?;
        let view = called.answer(self.app.get_user(&called.ctx, handle.as_ref()).await)?;
        Ok(Response::new(pb::GetUserResponse { user: Some(shown(view)) }))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list(request))?;
        let page = called.answer(self.app.list_users(&called.ctx, &query, shown).await)?;
        Ok(Response::new(pb::ListUsersResponse { users: page.items, next_page_token: page.next }))
    }

    async fn suspend_user(
        &self,
        request: Request<pb::SuspendUserRequest>,
    ) -> Result<Response<pb::SuspendUserResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::SuspendUserRequest { user, reason, etag, request_id: _ } = request;
        let command = SuspendUser {
            user: fields.handle(Named::User, "user", &user),
            reason: fields.text("reason", &reason, 1..=NOTE_CHARS_MAX),
            etag: none_if_empty(etag),
        };
        let command = called.parsed(fields.finish(command))?;
        let done = called.answer(self.app.suspend_user(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::SuspendUserResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn reinstate_user(
        &self,
        request: Request<pb::ReinstateUserRequest>,
    ) -> Result<Response<pb::ReinstateUserResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::ReinstateUserRequest { user, note, etag, request_id: _ } = request;
        let command = ReinstateUser {
            user: fields.handle(Named::User, "user", &user),
            note: none_if_empty(fields.text("note", &note, 0..=NOTE_CHARS_MAX)),
            etag: none_if_empty(etag),
        };
        let command = called.parsed(fields.finish(command))?;
        let done = called.answer(self.app.reinstate_user(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::ReinstateUserResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn set_manager(
        &self,
        request: Request<pb::SetManagerRequest>,
    ) -> Result<Response<pb::SetManagerResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::SetManagerRequest { user, manager, etag, request_id: _ } = request;
        let command = SetManager {
            user: fields.handle(Named::User, "user", &user),
            manager: fields.optional_handle(Named::User, "manager", &manager),
            etag: none_if_empty(etag),
        };
        let command = called.parsed(fields.finish(command))?;
        let done = called.answer(self.app.set_manager(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::SetManagerResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(account::update(fields, request))?;
        let done = called.answer(self.app.update_user(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::UpdateUserResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn mark_email_verified(
        &self,
        request: Request<pb::MarkEmailVerifiedRequest>,
    ) -> Result<Response<pb::MarkEmailVerifiedResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(account::mark_verified(fields, request))?;
        let done = called.answer(self.app.mark_email_verified(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::MarkEmailVerifiedResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn block_user(
        &self,
        request: Request<pb::BlockUserRequest>,
    ) -> Result<Response<pb::BlockUserResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(account::block(fields, request))?;
        let done = called.answer(self.app.block_user(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let KeptOut { user, keys, more_keys } = done.value;
        let (user, api_keys) = (Some(shown(user)), keys.into_iter().map(api_key).collect());
        Ok(Response::new(pb::BlockUserResponse { user, consistency_token, api_keys, more_api_keys: more_keys }))
    }

    async fn unblock_user(
        &self,
        request: Request<pb::UnblockUserRequest>,
    ) -> Result<Response<pb::UnblockUserResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(account::unblock(fields, request))?;
        let done = called.answer(self.app.unblock_user(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::UnblockUserResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(account::delete(fields, request))?;
        let done = called.answer(self.app.delete_user(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let KeptOut { user, keys, more_keys } = done.value;
        let (user, api_keys) = (Some(shown(user)), keys.into_iter().map(api_key).collect());
        Ok(Response::new(pb::DeleteUserResponse { user, consistency_token, api_keys, more_api_keys: more_keys }))
    }

    async fn restore_user(
        &self,
        request: Request<pb::RestoreUserRequest>,
    ) -> Result<Response<pb::RestoreUserResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(account::restore(fields, request))?;
        let done = called.answer(self.app.restore_user(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::RestoreUserResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn clear_tombstone(
        &self,
        request: Request<pb::ClearTombstoneRequest>,
    ) -> Result<Response<pb::ClearTombstoneResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(account::clear_tombstone(fields, request))?;
        called.answer(self.app.clear_tombstone(&called.ctx, &command).await)?;
        Ok(Response::new(pb::ClearTombstoneResponse {}))
    }
}

fn list(request: pb::ListUsersRequest) -> Result<ListUsers, crate::app::Error> {
    let mut fields = Fields::default();
    let query = pb::ListUsersRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListUsersRequest {
        email,
        display_name,
        status,
        organization,
        role,
        manager,
        held,
        unverified,
        page_size,
        page_token,
    } = request;
    let query = ListUsers {
        email: fields.text("email", &email, 0..=254),
        display_name: fields.text("display_name", &display_name, 0..=TITLE_CHARS_MAX),
        status: status_filter(&mut fields, status),
        organization: fields.optional_handle(Named::Organization, "organization", &organization),
        role: fields.optional_handle(Named::Role, "role", &role),
        manager: fields.optional_handle(Named::User, "manager", &manager),
        held,
        unverified,
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn status_filter(fields: &mut Fields, status: i32) -> Option<Shown> {
    match pb::UserStatus::try_from(status) {
        Ok(pb::UserStatus::Unspecified) => None,
        Ok(pb::UserStatus::Initial) => Some(Shown::Initial),
        Ok(pb::UserStatus::Active) => Some(Shown::Active),
        Ok(pb::UserStatus::Suspended) => Some(Shown::Suspended),
        Ok(pb::UserStatus::Deleted) => Some(Shown::Deleted),
        Err(_) => {
            fields.wrong("status", format!("is {status}, which is no status"));
            None
        }
    }
}

/// A user on the wire.
pub(super) fn shown(view: UserView) -> pb::User {
    let UserView { user, memberships, names } = view;
    let (status, etag) = (status(user.facts().status()), user.etag());
    let User {
        id,
        email,
        identity: _,
        display_name,
        approval,
        holds,
        verified,
        deleted_at,
        deleted_by,
        valid_from,
        valid_until,
        password_set: _,
        password_must_change: _,
        session_epoch: _,
        manager,
        version: _,
        created_at,
        last_sign_in_at: _,
        registrations: _,
    } = user;
    let named = |id| principal(id, names.get(&id));
    let Approval { state, at, by, note } = approval;
    let approval = pb::Approval {
        state: approval_state(state).into(),
        at: at.map(instant),
        by: by.map(named),
        note: note.unwrap_or_default(),
    };
    let hold = |hold: Hold| {
        let Hold { cause, at, by, note } = hold;
        let note = note.unwrap_or_default();
        pb::Hold { cause: hold_cause(cause).into(), at: Some(instant(at)), by: by.map(named), note }
    };
    pb::User {
        id: id.to_string(),
        email,
        display_name,
        status: status.into(),
        approval: Some(approval),
        holds: holds.into_iter().map(hold).collect(),
        email_verified: verified.map(|verified| pb::EmailVerification {
            at: Some(instant(verified.at)),
            how: verification(verified.how).into(),
        }),
        deleted: deleted_at.map(|at| pb::Deletion { at: Some(instant(at)), by: deleted_by.map(named) }),
        valid_from: valid_from.map(instant),
        valid_until: valid_until.map(instant),
        memberships: memberships.into_iter().map(membership).collect(),
        manager: manager.map(|manager| named(manager.into())),
        create_time: Some(instant(created_at)),
        etag,
    }
}

/// A membership on the wire, with the organization's slug.
pub(super) fn membership((member, slug): (Member, String)) -> pb::Membership {
    let etag = member.etag();
    let Member { user: _, organization, state, attributes, created_at, decided_at: _, decided_by: _ } = member;
    let state = match state {
        MembershipState::Pending => pb::MembershipState::Pending,
        MembershipState::Active => pb::MembershipState::Active,
        MembershipState::Rejected => pb::MembershipState::Rejected,
    };
    pb::Membership {
        organization: Some(pb::OrganizationRef { id: organization.to_string(), slug }),
        state: state.into(),
        attributes,
        create_time: Some(instant(created_at)),
        etag,
    }
}

fn status(status: Shown) -> pb::UserStatus {
    match status {
        Shown::Initial => pb::UserStatus::Initial,
        Shown::Active => pb::UserStatus::Active,
        Shown::Suspended => pb::UserStatus::Suspended,
        Shown::Deleted => pb::UserStatus::Deleted,
    }
}

fn approval_state(state: ApprovalState) -> pb::ApprovalState {
    match state {
        ApprovalState::Pending => pb::ApprovalState::Pending,
        ApprovalState::Approved => pb::ApprovalState::Approved,
        ApprovalState::Rejected => pb::ApprovalState::Rejected,
        ApprovalState::Expired => pb::ApprovalState::Expired,
    }
}

fn verification(how: VerifiedHow) -> pb::VerificationMethod {
    match how {
        VerifiedHow::Link => pb::VerificationMethod::Link,
        VerifiedHow::Administrator => pb::VerificationMethod::Administrator,
        VerifiedHow::Invitation => pb::VerificationMethod::Invitation,
        VerifiedHow::Reset => pb::VerificationMethod::Reset,
    }
}
