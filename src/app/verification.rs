//! Proving an address: the code from the mail, and what follows from it, up to founding an organization.

use super::admission::{FailingGate, gates};
use super::approvers::{Awaiting, to_hear};
use super::error::{Error, Result};
use super::facts::{Facts, managers_of};
use super::limits::in_even_time;
use super::membership::company;
use super::throttle::Place;
use super::user::person;
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::crypto::Secret;
use crate::crypto::code::{Binding, PresentedCode, Purpose};
use crate::crypto::password::PasswordHash;
use crate::crypto::throttle::Aim;
use crate::domain::account::{Approval, ApprovalState, User, Verified, VerifiedHow};
use crate::domain::email::{Email, identity, is_same_mailbox};
use crate::domain::entry::Origin;
use crate::domain::event::Event;
use crate::domain::ids::RoleId;
use crate::domain::organization::{Member, Organization};
use crate::domain::registration::{Unfounded, approves_by_itself, founding_role};
use crate::domain::snapshot::{MembershipState, Scope};
use crate::store::{CodeRow, Credentials, EntryFilter};

/// A code from a mail, and the account's password.
#[derive(Clone, Debug)]
pub struct VerifyEmail {
    pub code: Secret<String>,
    /// Required if the account has one.
    pub password: Secret<String>,
}

/// What a presented code is worth.
#[derive(Debug)]
pub(super) enum Held {
    /// It holds; the account whose address it proves.
    Proven(Box<(CodeRow, Credentials)>),
    /// It names a code that there is, of this account, and is not that code, or was made for something else.
    Guessed(Box<Credentials>),
    /// There is no such code, or it was used, voided or has expired.
    Nothing,
}

impl App {
    /// Proves an address, and answers what still keeps the person out. An account whose password does not count any
    /// more, since somebody vouched for it or approved it before, gets the one that comes with the code.
    ///
    /// Nothing is hashed before the code is proven. A wrong password beside a proven code counts as a failure, of the
    /// account alone: strangers at its address do not stop who has the link.
    ///
    /// # Errors
    /// CODE_INVALID, whatever is wrong with the code or the password; INVALID_FIELDS for a password to be set;
    /// RATE_LIMITED, OVERLOADED.
    pub async fn verify_email(&self, ctx: &Ctx, cmd: &VerifyEmail) -> Result<Done<Vec<FailingGate>>> {
        let held = match PresentedCode::parse(cmd.code.expose()) {
            Some(presented) => self.held_code(ctx, &presented, Purpose::VerifyEmail).await?,
            None => Held::Nothing,
        };
        let Held::Proven(proven) = held else { return Err(invalid()) };
        let (code, account) = *proven;
        let new = match &account.password_hash {
            Some(hash) => self.require_password(ctx, &account, hash, &cmd.password).await.map(|()| None)?,
            None if cmd.password.expose().is_empty() => None,
            None => {
                let new = self.password_for(ctx, &account.user, &cmd.password, "password").await?;
                Some(self.hasher.hash(ctx.network(), new).await?.expose())
            }
        };
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut user = change.spend(&code, &account).await?;
            if let Some(new) = &new {
                change.set_password(&mut user, new).await?;
            }
            change.verify(user, VerifiedHow::Link).await
        })
        .await
    }

    /// Requires that the password with a proven code is the account's.
    async fn require_password(
        &self,
        ctx: &Ctx,
        account: &Credentials,
        hash: &str,
        typed: &Secret<String>,
    ) -> Result<()> {
        let attempt = self.attempt(ctx, Aim::Account(account.user.id), Place::Source).await?;
        if self.compare(ctx, &attempt, typed, PasswordHash::parse(hash).as_ref()).await?.matches {
            return self.right_attempt(ctx, &attempt).await;
        }
        self.failed_attempt(ctx, &attempt, &self.policy(ctx).await?).await?;
        Err(invalid())
    }

    /// Sends a new link to an address that waits for it; of any other, nothing can be seen from outside.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub async fn resend_verification(&self, ctx: &Ctx, email: &Email) -> Result<()> {
        self.limits.admit(ctx, Some(email.identity()))?;
        let resent = self.append(ctx, async |change: &mut Change<'_>| {
            let user = change.rows().user_by_identity(email.identity()).await?;
            match user {
                Some(user) if change.awaits_link(&user).await? => change.send_verification(&user).await?,
                user => change.record(Event::VerificationAsked { user: user.map(|user| user.id) }),
            }
            Ok(())
        });
        in_even_time(resent).await.map(drop)
    }

    /// What a code that somebody presents for a purpose is worth.
    pub(super) async fn held_code(&self, ctx: &Ctx, presented: &PresentedCode, purpose: Purpose) -> Result<Held> {
        let rows = self.store.rows(ctx.realm);
        let Some(code) = rows.code(presented.id()).await? else { return Ok(Held::Nothing) };
        let Some(account) = rows.credentials(&identity(&code.address)).await? else { return Ok(Held::Nothing) };
        ctx.aimed.set(account.user.id);
        let binding = Binding { code: code.id, purpose, realm: ctx.realm, account: code.user, address: &code.address };
        if !presented.proves(&self.keys, &binding) {
            return Ok(Held::Guessed(Box::new(account)));
        }
        let holds = code.purpose == purpose.text()
            && code.spent_at.is_none()
            && ctx.now < code.expires_at
            && account.user.id == code.user
            && is_same_mailbox(&code.address, &account.user.email);
        Ok(if holds { Held::Proven(Box::new((code, account))) } else { Held::Nothing })
    }
}

impl Change<'_> {
    /// Has the mailbox get its link once more; if it got many lately, that somebody asked is all that is noted.
    pub(super) async fn send_verification(&mut self, user: &User) -> Result<()> {
        let sent = self.new_verification(user).await?;
        self.record(match sent {
            Some(verify) => Event::VerificationSent { person: person(user), verify },
            None => Event::VerificationAsked { user: Some(user.id) },
        });
        Ok(())
    }

    /// Whether the address has yet to be proven, once nobody else can change that.
    async fn awaits_link(&self, user: &User) -> Result<bool> {
        self.rows().lock_user(user.id).await?;
        let user = self.rows().user(user.id).await?;
        Ok(user.is_some_and(|user| {
            let open = matches!(user.approval.state, ApprovalState::Pending | ApprovalState::Approved);
            // Where an administrator vouched for the address, the person's own proof is still to come.
            let vouched = |verified: &Verified| !verified.is_own_proof();
            open && user.verified.as_ref().is_none_or(vouched) && user.deleted_at.is_none()
        }))
    }

    /// Uses the code up, if the account is still what it was when code and password were compared with it.
    async fn spend(&self, code: &CodeRow, account: &Credentials) -> Result<User> {
        self.rows().lock_user(code.user).await?;
        let now = self.rows().credentials(&account.user.identity).await?;
        let same = |now: &Credentials| {
            now.user.id == code.user
                && now.user.email == account.user.email
                && now.password_hash == account.password_hash
        };
        let now = now.filter(same).ok_or_else(invalid)?;
        if self.rows().spend_code(code.id, self.ctx.now).await? { Ok(now.user) } else { Err(invalid()) }
    }

    /// Notes that the address is proven, and does what follows from it.
    pub(super) async fn verify(&mut self, mut user: User, how: VerifiedHow) -> Result<Vec<FailingGate>> {
        let known = user.verified.is_some();
        let proven = user.verified.filter(Verified::is_own_proof);
        user.verified = proven.or(Some(Verified { at: self.ctx.now, how }));
        let founds = self.founds(&user).await?;
        let pending = user.approval.state == ApprovalState::Pending;
        let approved = pending && (founds.is_some() || approves_by_itself(&self.catalogue().policy, true));
        if approved {
            user.approval = Approval::decided(ApprovalState::Approved, self.ctx.now, None, None);
        }
        self.save_user(&mut user).await?;
        self.begin_throttle_anew(&user).await?;
        let organization = self.waits_in(&user).await?.first().map(company);
        let awaits_approval = pending && !approved;
        self.record(Event::EmailVerified { person: person(&user), how, approved, awaits_approval, organization });
        match founds {
            Some((organization, role)) => self.found(&user, organization, role).await?,
            None if approved => self.activate_waiting(&user).await?,
            None if pending && !known => self.tell_approvers(&user).await?,
            None => {}
        }
        self.failing_gates(&user).await
    }

    /// The organization that this person founds by proving the address, and the role that comes with it. Whether somebody
    /// approved the registration meanwhile makes no difference.
    async fn founds(&self, user: &User) -> Result<Option<(Organization, RoleId)>> {
        if !matches!(user.approval.state, ApprovalState::Pending | ApprovalState::Approved) {
            return Ok(None);
        }
        let registered = self.rows().codes_of(&[user.id]).await?;
        let memberships = self.rows().memberships(user.id).await?;
        let open = |held: &&Member| held.state != MembershipState::Rejected;
        for held in
            memberships.iter().filter(open).filter(|held| registered.contains_key(&(user.id, held.organization)))
        {
            let Some(organization) = self.rows().organization(held.organization).await? else { continue };
            let unfounded = Unfounded {
                by_registration: self.rows().is_by_registration(organization.id).await?,
                has_members: self.rows().has_other_members(organization.id, user.id).await?,
                is_led: self.is_led(organization.id).await?,
            };
            let catalogue = self.catalogue();
            let role = founding_role(&catalogue.policy, &organization, &user.email, unfounded)
                .and_then(|name| catalogue.role_named(name));
            if let Some(role) = role {
                return Ok(Some((organization, role.id)));
            }
        }
        Ok(None)
    }

    async fn found(&mut self, user: &User, mut organization: Organization, role: RoleId) -> Result<()> {
        organization.founded_at.get_or_insert(self.ctx.now);
        organization.version += 1;
        self.rows().update_organization(&organization).await?;
        self.activate_membership(user, &organization).await?;
        let scope = Scope::Organization(organization.id);
        let (principal, roles) = (Some(user.id.into()), Some(vec![role]));
        let held = EntryFilter { principal, roles, scope: Some(scope), ..EntryFilter::default() };
        if self.rows().entries(&held).await?.is_empty() {
            let title = self.catalogue().role(role).map(|role| role.title.clone()).unwrap_or_default();
            let conferred = self.confer_by_policy(user, &organization, (role, title), Origin::Founding).await?;
            self.record(Event::RoleAssigned(conferred));
        }
        self.record(Event::OrganizationFounded { organization: company(&organization), founder: user.id });
        Ok(())
    }

    async fn activate_waiting(&mut self, user: &User) -> Result<()> {
        for organization in self.waits_in(user).await? {
            self.activate_membership(user, &organization).await?;
        }
        Ok(())
    }

    /// Tells those who did not know of the newcomer before the address was proven.
    pub(super) async fn tell_approvers(&mut self, user: &User) -> Result<()> {
        let managers = managers_of(self, user.id.into()).await?;
        for organization in self.waits_in(user).await? {
            let awaiting = Awaiting {
                id: user.id.into(),
                managers: &managers,
                organization: Some(organization.id),
                in_organization: true,
                verified: true,
                known: false,
            };
            let approvers = to_hear(self, self.rows(), &awaiting, self.ctx.now).await?;
            if !approvers.is_empty() {
                let organization = Some(company(&organization));
                let again = user.was_registered_again();
                self.record(Event::ApprovalAwaited { person: person(user), organization, approvers, again });
            }
        }
        Ok(())
    }

    async fn waits_in(&self, user: &User) -> Result<Vec<Organization>> {
        let memberships = self.rows().memberships(user.id).await?;
        let waiting = memberships.iter().filter(|held| held.state == MembershipState::Pending);
        let ids: Vec<_> = waiting.map(|held| held.organization).collect();
        Ok(self.rows().organizations_of(&ids).await?)
    }

    /// What still keeps the person out.
    pub(super) async fn failing_gates(&self, user: &User) -> Result<Vec<FailingGate>> {
        let subject = self.principal(user.id.into()).await?.ok_or_else(|| Error::internal("the account is gone"))?;
        let policy = &self.catalogue().policy;
        let failing = gates(self, &subject, self.ctx.now).await?;
        Ok(failing.into_iter().map(|gate| FailingGate::new(policy, gate)).collect())
    }
}

pub(super) fn invalid() -> Error {
    Error::refused(Reason::CodeInvalid, "the code is wrong, used, voided or expired, or the password with it is wrong")
}
