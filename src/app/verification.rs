//! Proving an address: the code from the mail, and what follows from it, up to founding an organization.

use super::admission::{FailingGate, gates};
use super::approvers::{Awaiting, to_hear};
use super::error::{Error, Result};
use super::facts::{Facts, managers_of};
use super::limits::in_even_time;
use super::membership::company;
use super::user::person;
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::crypto::Secret;
use crate::crypto::code::{Binding, PresentedCode, Purpose};
use crate::crypto::password::PasswordHash;
use crate::domain::account::{Approval, ApprovalState, User, Verified, VerifiedHow};
use crate::domain::email::Email;
use crate::domain::entry::Origin;
use crate::domain::event::Event;
use crate::domain::ids::{CodeId, RoleId};
use crate::domain::organization::{Member, Organization};
use crate::domain::registration::{VERIFICATION_TTL, approves_by_itself, founding_role};
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
    /// It names a code that there is, and is not that code, or was made for something else.
    Guessed(CodeRow),
    /// There is no such code, or it was used, voided or has expired.
    Nothing,
}

impl App {
    /// Proves an address, and answers what still keeps the person out.
    ///
    /// # Errors
    /// CODE_INVALID, whatever is wrong with the code or the password; OVERLOADED.
    pub async fn verify_email(&self, ctx: &Ctx, cmd: &VerifyEmail) -> Result<Done<Vec<FailingGate>>> {
        let held = match PresentedCode::parse(cmd.code.expose()) {
            Some(presented) => self.held_code(ctx, &presented, Purpose::VerifyEmail).await?,
            None => Held::Nothing,
        };
        let found = match held {
            Held::Proven(proven) => Some(*proven),
            Held::Guessed(_) | Held::Nothing => None,
        };
        let hash = found.as_ref().and_then(|(_, account)| account.password_hash.as_deref());
        let typed = self.hasher.verify(cmd.password.expose(), hash.and_then(PasswordHash::parse).as_ref()).await?;
        let accepted = found.filter(|(_, account)| typed.matches || account.password_hash.is_none());
        let (code, account) = accepted.ok_or_else(invalid)?;
        self.write(ctx, async |change: &mut Change<'_>| {
            let user = change.spend(&code, &account).await?;
            change.verify(user, VerifiedHow::Link).await
        })
        .await
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
                Some(user) if change.awaits_link(&user).await? => {
                    let verify = change.new_verification(&user).await?;
                    change.record(Event::VerificationSent { person: person(&user), verify });
                }
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
        let Some(account) = rows.credentials(&code.address).await? else { return Ok(Held::Nothing) };
        let binding = Binding { code: code.id, purpose, realm: ctx.realm, account: code.user, address: &code.address };
        if !presented.proves(&self.keys, &binding) {
            return Ok(Held::Guessed(code));
        }
        let holds = code.purpose == purpose.text()
            && code.spent_at.is_none()
            && ctx.now < code.expires_at
            && account.user.id == code.user;
        Ok(if holds { Held::Proven(Box::new((code, account))) } else { Held::Nothing })
    }
}

impl Change<'_> {
    /// Makes the code whose link proves the account's address. Older ones are void from now on.
    pub(super) async fn new_verification(&self, user: &User) -> Result<CodeId> {
        let code = CodeRow {
            id: CodeId(self.app.clock.new_id()),
            user: user.id,
            purpose: Purpose::VerifyEmail.text().to_owned(),
            address: user.identity.clone(),
            created_at: self.ctx.now,
            expires_at: self.ctx.now.after(VERIFICATION_TTL),
            spent_at: None,
        };
        self.rows().insert_code(&code).await?;
        Ok(code.id)
    }

    /// Whether the address has yet to be proven, once nobody else can change that.
    async fn awaits_link(&self, user: &User) -> Result<bool> {
        self.rows().lock_user(user.id).await?;
        let user = self.rows().user(user.id).await?;
        Ok(user.is_some_and(|user| {
            let pending = user.approval.state == ApprovalState::Pending;
            let open = pending || user.approval.state == ApprovalState::Approved;
            // Where an administrator vouched for the address, the person's own proof may still approve or found.
            let vouched = |verified: &Verified| pending && !verified.is_own_proof();
            open && user.verified.as_ref().is_none_or(vouched) && user.deleted_at.is_none()
        }))
    }

    /// Uses the code up, if the account is still what it was when code and password were compared with it.
    async fn spend(&self, code: &CodeRow, account: &Credentials) -> Result<User> {
        self.rows().lock_user(code.user).await?;
        let now = self.rows().credentials(&code.address).await?;
        let same = |now: &Credentials| now.user.id == code.user && now.password_hash == account.password_hash;
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
        self.record(Event::EmailVerified { person: person(&user), how, approved });
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
        let registered = self.rows().codes_of(user.id).await?;
        let memberships = self.rows().memberships(user.id).await?;
        let open = |held: &&Member| held.state != MembershipState::Rejected;
        for held in memberships.iter().filter(open).filter(|held| registered.contains_key(&held.organization)) {
            let Some(organization) = self.rows().organization(held.organization).await? else { continue };
            let is_registrant = self.rows().is_registrant(organization.id, user.id).await?;
            let catalogue = self.catalogue();
            let role = founding_role(&catalogue.policy, &organization, &user.identity, is_registrant)
                .and_then(|name| catalogue.role_named(name));
            if let Some(role) = role {
                return Ok(Some((organization, role.id)));
            }
        }
        Ok(None)
    }

    async fn found(&mut self, user: &User, mut organization: Organization, role: RoleId) -> Result<()> {
        organization.founded_at = Some(self.ctx.now);
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
                self.record(Event::ApprovalAwaited { person: person(user), organization, approvers });
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
