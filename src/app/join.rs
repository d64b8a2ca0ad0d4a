//! Asking for one more membership, by an organization's codes.
//!
//! The account is there and stays what it is: what waits for a decision is the membership alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::approvers::{Awaiting, to_hear};
use super::codes::{Place, carrier, place, unknown};
use super::error::{Error, Result};
use super::facts::{Facts, managers_of};
use super::membership::company;
use super::user::{person, require_live};
use super::write::{Change, Done};
use super::{App, Ctx, Draft, Reason, Violation};
use crate::domain::account::{Gate, User, Verified};
use crate::domain::email::Email;
use crate::domain::event::Event;
use crate::domain::ids::UserId;
use crate::domain::organization::{Identifier, Member, Organization};
use crate::domain::policy::{ApprovalBy, CodeFormat, Policy, SelfRegistration};
use crate::domain::registration as rules;
use crate::domain::snapshot::MembershipState;

/// So many memberships of one user wait at once.
const WAITING_MAX: usize = 20;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinOrganization {
    /// The codes of the form: scheme to value.
    pub codes: BTreeMap<String, String>,
}

/// The membership that was asked for, and the organization's slug.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Joined {
    pub member: Member,
    pub slug: String,
}

impl App {
    /// Asks for a membership of the caller in the organization that the codes lead to.
    ///
    /// # Errors
    /// NOT_FOUND for who is no user; REGISTRATION_CLOSED, codes that are wrong, CODES_UNKNOWN, ONE_ORGANIZATION_PER_USER,
    /// EXCLUSIVE_KIND, ALREADY_DECIDED, LIMIT_REACHED, RATE_LIMITED; the gate EMAIL_NOT_VERIFIED where the domain of the
    /// address is a code.
    pub async fn join_organization(&self, ctx: &Ctx, draft: &Draft<JoinOrganization>) -> Result<Done<Joined>> {
        let me = UserId(ctx.actor_id()?.0);
        let user = self.store.rows(ctx.realm).user(me).await?;
        let mailbox = user.as_ref().map(|user| user.identity.as_str());
        self.limits.admit_source(ctx)?;
        self.limits.admit(ctx, mailbox)?;
        self.write(ctx, async |change: &mut Change<'_>| change.ask_to_join(me, draft).await).await
    }
}

impl Change<'_> {
    async fn ask_to_join(&mut self, me: UserId, draft: &Draft<JoinOrganization>) -> Result<Joined> {
        let Some(user) = self.rows().user(me).await? else {
            draft.sound(vec![])?;
            return Err(Error::not_found("user"));
        };
        // Who deletes them may have come first.
        require_live(&user)?;
        let policy = Arc::clone(&self.catalogue().policy);
        let codes = self.codes_of_joining(&policy, &user, draft)?;
        let found = carrier(self.rows(), &codes).await?;
        let organization = match place(self.rows(), &policy, &codes, found).await? {
            Place::Known(organization) => organization,
            // Registering makes organizations; who is in asks to join one that is there.
            Place::New | Place::Nowhere => return Err(codes.last().map_or_else(nowhere, unknown)),
        };
        let memberships = self.rows().memberships(me).await?;
        let known = memberships.iter().find(|held| held.organization == organization.id);
        let member = match known.map(|held| held.state) {
            Some(MembershipState::Active | MembershipState::Pending) => known.cloned(),
            Some(MembershipState::Rejected) if !policy.reregistration_after_reject => {
                return Err(was_rejected(known));
            }
            Some(MembershipState::Rejected) | None => None,
        };
        let slug = organization.slug.clone();
        match member {
            Some(member) => Ok(Joined { member, slug }),
            None => {
                let member = self.wait_or_join(&user, &organization, &memberships, &codes).await?;
                Ok(Joined { member, slug })
            }
        }
    }

    /// The codes in the order of the form. A domain is only whose address was proven by its person.
    fn codes_of_joining(
        &self,
        policy: &Policy,
        user: &User,
        draft: &Draft<JoinOrganization>,
    ) -> Result<Vec<Identifier>> {
        if policy.self_registration == SelfRegistration::Closed {
            draft.sound(vec![])?;
            return Err(Error::refused(Reason::RegistrationClosed, "nobody joins by themself in this realm"));
        }
        let email = Email::parse(&user.email).map_err(Error::internal)?;
        let codes = rules::codes(policy, Some(&email), &draft.said().codes).map_err(|faults| {
            let violation = |(scheme, fault): (String, rules::CodeFault)| {
                Violation::new(format!("codes.{scheme}"), fault.to_string())
            };
            faults.into_iter().map(violation).collect()
        });
        let (_, codes) = draft.sound_as(codes)?;
        if codes.is_empty() {
            return Err(nowhere());
        }
        let asks_domain = policy.code_schemes.iter().any(|scheme| scheme.format == CodeFormat::Domain);
        if asks_domain && !user.verified.as_ref().is_some_and(Verified::is_own_proof) {
            return Err(self.app.gated(self, Gate::EmailNotVerified));
        }
        Ok(codes)
    }

    async fn wait_or_join(
        &mut self,
        user: &User,
        organization: &Organization,
        memberships: &[Member],
        codes: &[Identifier],
    ) -> Result<Member> {
        self.require_room_for(memberships, organization).await?;
        let waiting = memberships.iter().filter(|held| held.state == MembershipState::Pending).count();
        if waiting >= WAITING_MAX {
            let message = format!("{waiting} memberships wait, at most {WAITING_MAX} do at once");
            return Err(Error::refused_with(Reason::LimitReached, message, vec![("limit", WAITING_MAX.to_string())]));
        }
        // One that was rejected begins anew.
        self.rows().delete_membership(user.id, organization.id).await?;
        let pending = self.catalogue().policy.approval != ApprovalBy::Nobody;
        let member = match pending {
            true => {
                let member = waits(user.id, organization, self.ctx.now);
                self.rows().save_membership(&member).await?;
                member
            }
            false => self.activate_membership(user, organization).await?,
        };
        let given = codes.iter().map(|code| (code.scheme.clone(), code.value.clone())).collect();
        self.rows().keep_codes(user.id, organization.id, &given).await?;
        self.forget_facts();
        self.record(Event::MembershipAsked { user: user.id, organization: organization.id, pending });
        if pending {
            self.tell_who_decides(user, organization).await?;
        }
        Ok(member)
    }

    async fn tell_who_decides(&mut self, user: &User, organization: &Organization) -> Result<()> {
        let managers = managers_of(self, user.id.into()).await?;
        let awaiting = Awaiting {
            id: user.id.into(),
            managers: &managers,
            organization: Some(organization.id),
            in_organization: true,
            verified: user.verified.is_some(),
            known: true,
        };
        let approvers = to_hear(self, self.rows(), &awaiting, self.ctx.now).await?;
        if !approvers.is_empty() {
            let organization = Some(company(organization));
            self.record(Event::ApprovalAwaited { person: person(user), organization, approvers, again: false });
        }
        Ok(())
    }
}

fn waits(user: UserId, organization: &Organization, now: crate::domain::time::Timestamp) -> Member {
    Member {
        user,
        organization: organization.id,
        state: MembershipState::Pending,
        attributes: BTreeMap::new(),
        created_at: now,
        decided_at: None,
        decided_by: None,
    }
}

fn nowhere() -> Error {
    Error::field("codes", "name no organization")
}

fn was_rejected(member: Option<&Member>) -> Error {
    let mut facts = vec![("state", "REJECTED".to_owned())];
    facts.extend(member.and_then(|member| member.decided_at).map(|at| ("at", at.to_string())));
    Error::refused_with(Reason::AlreadyDecided, "the membership was rejected", facts)
}
