//! What requests say that change an account.

use super::convert::{Fields, NOTE_CHARS_MAX, TITLE_CHARS_MAX, none_if_empty};
use super::mask::Mask;
use super::pb;
use crate::app::{
    BlockUser, ClearTombstone, DeleteUser, Error, MarkEmailVerified, RestoreUser, UnblockUser, UpdateUser,
};
use crate::domain::email::Email;
use crate::domain::handle::Named;

/// The fields that a mask can name.
const FIELDS: [&str; 4] = ["display_name", "valid_from", "valid_until", "password_must_change"];
/// The longest reference to a ticket.
const TICKET_CHARS_MAX: usize = 200;

pub(super) fn update(mut fields: Fields, request: pb::UpdateUserRequest) -> Result<UpdateUser, Error> {
    let pb::UpdateUserRequest {
        user,
        display_name,
        valid_from,
        valid_until,
        password_must_change,
        update_mask,
        etag,
        request_id: _,
    } = request;
    let mask = Mask::read(&mut fields, update_mask, |path| FIELDS.contains(&path));
    let asks_name = mask.asks("display_name", !display_name.is_empty());
    let asks_from = mask.asks("valid_from", valid_from.is_some());
    let asks_until = mask.asks("valid_until", valid_until.is_some());
    let command = UpdateUser {
        user: fields.optional_handle(Named::User, "user", &user),
        display_name: asks_name.then(|| fields.text("display_name", &display_name, 1..=TITLE_CHARS_MAX)),
        valid_from: asks_from.then(|| fields.instant("valid_from", valid_from.as_ref())),
        valid_until: asks_until.then(|| fields.instant("valid_until", valid_until.as_ref())),
        force_password_change: password_must_change && mask.asks("password_must_change", true),
        etag: none_if_empty(etag),
    };
    if mask.names("password_must_change") && !password_must_change {
        fields.wrong("password_must_change", "is false, and only its person can take a forced change back");
    }
    fields.finish(command)
}

pub(super) fn mark_verified(
    mut fields: Fields,
    request: pb::MarkEmailVerifiedRequest,
) -> Result<MarkEmailVerified, Error> {
    let pb::MarkEmailVerifiedRequest { user, etag, request_id: _ } = request;
    let command = MarkEmailVerified { user: fields.handle(Named::User, "user", &user), etag: none_if_empty(etag) };
    fields.finish(command)
}

pub(super) fn block(mut fields: Fields, request: pb::BlockUserRequest) -> Result<BlockUser, Error> {
    let pb::BlockUserRequest { user, reason, etag, request_id: _, revoke_keys } = request;
    let command = BlockUser {
        user: fields.handle(Named::User, "user", &user),
        reason: fields.text("reason", &reason, 1..=NOTE_CHARS_MAX),
        revoke_keys,
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn unblock(mut fields: Fields, request: pb::UnblockUserRequest) -> Result<UnblockUser, Error> {
    let pb::UnblockUserRequest { user, note, etag, request_id: _ } = request;
    let command = UnblockUser {
        user: fields.handle(Named::User, "user", &user),
        note: read_note(&mut fields, &note),
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn delete(mut fields: Fields, request: pb::DeleteUserRequest) -> Result<DeleteUser, Error> {
    let pb::DeleteUserRequest { user, note, new_manager, etag, request_id: _, revoke_keys } = request;
    let command = DeleteUser {
        user: fields.handle(Named::User, "user", &user),
        new_manager: fields.optional_handle(Named::User, "new_manager", &new_manager),
        note: read_note(&mut fields, &note),
        revoke_keys,
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn restore(mut fields: Fields, request: pb::RestoreUserRequest) -> Result<RestoreUser, Error> {
    let pb::RestoreUserRequest { user, note, etag, request_id: _ } = request;
    let command = RestoreUser {
        user: fields.handle(Named::User, "user", &user),
        note: read_note(&mut fields, &note),
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn clear_tombstone(mut fields: Fields, request: pb::ClearTombstoneRequest) -> Result<ClearTombstone, Error> {
    let pb::ClearTombstoneRequest { email, ticket, request_id: _ } = request;
    let ticket = fields.text("ticket", &ticket, 1..=TICKET_CHARS_MAX);
    let email = fields.keep("email", Email::parse(&email));
    fields.finish_some(email.map(|email| ClearTombstone { email, ticket }))
}

fn read_note(fields: &mut Fields, note: &str) -> Option<String> {
    none_if_empty(fields.text("note", note, 0..=NOTE_CHARS_MAX))
}
