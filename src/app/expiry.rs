//! What time does: registrations that nobody decided expire, and what was deleted is erased.
//!
//! A background task asks for it again and again, on every replica. What is due is looked for without a lock and looked
//! at again under the realm's, so that of several who find the same one does it.

use super::error::Result;
use super::facts::Facts;
use super::membership::company;
use super::user::person;
use super::write::Change;
use super::{App, Ctx};
use crate::domain::account::{Approval, ApprovalState, User};
use crate::domain::event::Event;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::realm::Realm;
use crate::domain::snapshot::MembershipState;
use crate::domain::time::{Timestamp, days};

/// So many are done in one change: it holds the realm for as long.
const BATCH: u64 = 50;
/// So many old mails are dropped at once.
const LETTERS: u64 = 1000;

impl App {
    /// Does what is due in every realm, as far as one batch of each kind goes; answers whether more may be. A realm in
    /// which it fails does not keep the others waiting.
    ///
    /// # Errors
    /// The last failure.
    pub async fn let_time_pass(&self) -> Result<bool> {
        let (mut more, mut failed) = (false, None);
        for realm in self.store.realms().await?.iter().filter(|realm| !realm.platform) {
            match self.let_time_pass_in(realm).await {
                Ok(full) => more |= full,
                Err(error) => {
                    tracing::warn!(realm = %realm.id, error = &error as &dyn std::error::Error, "nothing expired here");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(more), Err)
    }

    async fn let_time_pass_in(&self, realm: &Realm) -> Result<bool> {
        let (rows, now) = (self.store.rows(realm.id), self.clock.now());
        let decide_until = now.before(days(realm.policy.registration_days));
        let keep_until = now.before(days(realm.policy.retention_days));
        let mut more = false;

        let users = rows.undecided_users(decide_until, BATCH).await?;
        let memberships = rows.undecided_memberships(decide_until, BATCH).await?;
        if !(users.is_empty() && memberships.is_empty()) {
            let ctx = self.own_call(realm.id, "ExpireRegistrations");
            self.write(&ctx, async |change: &mut Change<'_>| change.expire(&users, &memberships).await).await?;
        }
        more |= full(users.len(), BATCH) || full(memberships.len(), BATCH);

        let users = rows.unerased_users(keep_until, BATCH).await?;
        if !users.is_empty() {
            let ctx = self.own_call(realm.id, "EraseUsers");
            self.write(&ctx, async |change: &mut Change<'_>| change.erase_deleted(&users).await).await?;
        }
        more |= full(users.len(), BATCH);

        let letters = self.store.forget_letters(realm.id, keep_until, LETTERS).await?;
        Ok(more || letters == LETTERS)
    }
}

impl Change<'_> {
    async fn expire(&mut self, users: &[UserId], memberships: &[(UserId, OrganizationId)]) -> Result<()> {
        let until = due(self.ctx, self.catalogue().policy.registration_days);
        for user in self.rows().users_of(users).await? {
            let waits = user.approval.state == ApprovalState::Pending && user.deleted_at.is_none();
            if waits && user.created_at <= until {
                self.expire_registration(user).await?;
            }
        }
        for (user, organization) in memberships {
            self.expire_membership(*user, *organization, until).await?;
        }
        Ok(())
    }

    /// Who is held keeps the address, and with it the hold: registering again would else lift it.
    async fn expire_registration(&mut self, mut user: User) -> Result<()> {
        user.approval = Approval::decided(ApprovalState::Expired, self.ctx.now, None, None);
        self.record(Event::RegistrationExpired { person: person(&user) });
        if user.holds.is_empty() {
            return self.erase(user).await;
        }
        user.session_epoch += 1;
        self.save_user(&mut user).await
    }

    async fn expire_membership(&mut self, user: UserId, organization: OrganizationId, until: Timestamp) -> Result<()> {
        let memberships = self.rows().memberships(user).await?;
        let due = memberships.iter().any(|held| {
            held.organization == organization && held.state == MembershipState::Pending && held.created_at <= until
        });
        let found = (self.rows().user(user).await?, self.rows().organization(organization).await?);
        let (Some(user), Some(organization), true) = (found.0, found.1, due) else { return Ok(()) };
        if user.approval.state != ApprovalState::Pending && user.deleted_at.is_none() {
            self.rows().delete_membership(user.id, organization.id).await?;
            self.forget_facts();
            self.record(Event::MembershipExpired { person: person(&user), organization: company(&organization) });
        }
        Ok(())
    }

    async fn erase_deleted(&mut self, users: &[UserId]) -> Result<()> {
        let until = due(self.ctx, self.catalogue().policy.retention_days);
        for user in self.rows().users_of(users).await? {
            if user.deleted_at.is_some_and(|at| at <= until) && !user.is_erased() {
                self.erase(user).await?;
            }
        }
        Ok(())
    }

    async fn erase(&mut self, user: User) -> Result<()> {
        let mut erased = user.erased();
        erased.version += 1;
        self.rows().erase_user(&erased).await?;
        self.forget_facts();
        self.record(Event::UserErased { user: erased.id });
        Ok(())
    }
}

fn due(ctx: &Ctx, after: u32) -> Timestamp {
    ctx.now.before(days(after))
}

fn full(found: usize, batch: u64) -> bool {
    found as u64 == batch
}
