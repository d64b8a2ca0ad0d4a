//! Registering: a stranger opens an account for an address that its owner has yet to prove.
//!
//! Whether the address is free, waits or is taken, the caller learns nothing: the same checks, one hash and one
//! transaction, and the same answer. Proving the address is `verification`'s, deciding on the newcomer `approval`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::approvers::{Awaiting, to_hear};
use super::codes::{Place, carrier, place};
use super::error::{Error, Result};
use super::facts::Facts;
use super::membership::company;
use super::read::again;
use super::tombstone::tombstone_of;
use super::user::person;
use super::write::{Change, taken};
use super::{App, Ctx, Draft, Reason, Violation};
use crate::cache::Freshness;
use crate::crypto::Secret;
use crate::crypto::password::Password;
use crate::domain::account::{Approval, ApprovalState, User};
use crate::domain::email::Email;
use crate::domain::event::{Event, Person};
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::organization::{Identifier, Member, Organization};
use crate::domain::policy::{Policy, SelfRegistration};
use crate::domain::registration::{self as rules, Address};
use crate::domain::snapshot::MembershipState;
use crate::store::{Connection, Constraint, NewUser, Rows};

/// What a newcomer says of themself.
#[derive(Clone, Debug)]
pub struct Register {
    /// Absent if it could not be read.
    pub email: Option<Email>,
    pub display_name: String,
    pub password: Secret<String>,
    /// The codes of the form: scheme to value.
    pub codes: BTreeMap<String, String>,
}

/// A registration that passed every check which does not depend on whose the address is.
struct Newcomer<'a> {
    /// The id of the account, should a new one be made.
    id: UserId,
    email: &'a Email,
    said: &'a Register,
    /// In the order of the form.
    codes: Vec<Identifier>,
    password_hash: String,
    /// Who hears of it, if it is one.
    approvers: Vec<Person>,
}

/// What the record knows of an address.
struct Known {
    user: Option<User>,
    memberships: Vec<Member>,
    tombstoned: bool,
}

impl App {
    /// Opens an account, or tells the owner of a taken address by mail that somebody tried. The answer does not tell
    /// which.
    ///
    /// # Errors
    /// Fields that are wrong, the password among them; REGISTRATION_CLOSED, CODES_UNKNOWN, RATE_LIMITED, OVERLOADED.
    pub async fn register(&self, ctx: &Ctx, draft: &Draft<Register>) -> Result<()> {
        let Register { email, display_name, password, codes } = draft.said();
        self.limits.admit(ctx, email.as_ref().map(Email::identity))?;
        let rows = self.store.rows(ctx.realm);
        let realm = rows.realm().await?.ok_or_else(|| Error::internal("the realm of the call is gone"))?;
        let policy = &realm.policy;
        if policy.self_registration == SelfRegistration::Closed {
            draft.sound(vec![])?;
            return Err(Error::refused(Reason::RegistrationClosed, "nobody registers by themself in this realm"));
        }
        let codes = rules::codes(policy, email.as_ref(), codes);
        let found = carrier(rows, codes.as_deref().unwrap_or_default()).await?;
        let mut names = vec![display_name.clone(), realm.title, realm.name];
        names.extend(email.iter().map(|email| email.shown().to_owned()));
        names.extend(found.iter().map(|organization| organization.title.clone()));
        let password = self.new_password(ctx, password, names).await?;
        let (said, (email, codes, password)) = draft.sound_as(all(email.as_ref(), codes, password))?;
        let place = place(rows, policy, &codes, found).await?;
        let id = UserId(self.clock.new_id());
        let approvers = self.approvers_of(ctx, id, &place).await?;
        let password_hash = self.hasher.hash(ctx.network(), password).await?.expose();
        let newcomer = Newcomer { id, email, said, codes, password_hash, approvers };
        self.tell_registration(ctx, policy, &newcomer, &place).await
    }

    /// Looked up whether or not the address is free, and before the transaction: it takes the longer the more there are.
    async fn approvers_of(&self, ctx: &Ctx, newcomer: UserId, place: &Place) -> Result<Vec<Person>> {
        let organization = match place {
            Place::Known(organization) => Some(organization.id),
            Place::Nowhere | Place::New => None,
        };
        let in_organization = !matches!(place, Place::Nowhere);
        let id = newcomer.into();
        let awaiting = Awaiting { id, managers: &[], organization, in_organization, verified: false, known: false };
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            to_hear(&view, self.store.rows(ctx.realm), &awaiting, ctx.now).await
        })
        .await
    }

    /// One transaction; another one if the address, or the organization, was not what it looked like before.
    async fn tell_registration(&self, ctx: &Ctx, policy: &Policy, new: &Newcomer<'_>, place: &Place) -> Result<()> {
        let known = Known::of(self, self.store.rows(ctx.realm), new.email.identity()).await?;
        let outcome = if needs_lock(policy, known.address(policy), place) {
            self.write(ctx, async |change: &mut Change<'_>| change.register(new, true).await).await
        } else {
            self.append(ctx, async |change: &mut Change<'_>| change.register(new, false).await).await
        };
        match outcome {
            Err(error) if error.reason() == Reason::AlreadyExists => {
                self.write(ctx, async |change: &mut Change<'_>| change.register(new, true).await).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }
}

impl Change<'_> {
    /// # Errors
    /// ALREADY_EXISTS if it has to be told again, with the realm `locked`: the address was taken meanwhile, or what it
    /// changes is known to others.
    async fn register(&mut self, new: &Newcomer<'_>, locked: bool) -> Result<()> {
        let policy = Arc::clone(&self.catalogue().policy);
        let found = carrier(self.rows(), &new.codes).await?;
        let place = place(self.rows(), &policy, &new.codes, found).await?;
        let known = Known::of(self.app, self.rows(), new.email.identity()).await?;
        let address = known.address(&policy);
        if address == Address::Taken {
            // To the owner's own spelling: another one of the same identity may be somebody else's mailbox.
            let owner = match known.user {
                Some(owner) => Some(owner),
                None => self.rows().deleted_user(new.email.identity()).await?,
            };
            self.record(Event::AddressTaken { owner: owner.as_ref().map(person) });
            return Ok(());
        }
        if !locked && needs_lock(&policy, address, &place) {
            return Err(Error::refused(Reason::AlreadyExists, "what the registration changes is known to others"));
        }
        let user = match &known.user {
            Some(before) => self.begin_anew(new, before.clone(), &known.memberships).await?,
            None => self.open_account(new).await?,
        };
        let organization = match place {
            Place::Nowhere => None,
            Place::Known(organization) => Some(organization),
            Place::New => Some(self.make_organization(new, user.id).await?),
        };
        if let Some(organization) = &organization {
            self.join(new, &user, organization).await?;
        }
        let verify = self.new_verification(&user).await?;
        let company = organization.as_ref().map(company);
        self.record(Event::Registered {
            person: person(&user),
            organization: company.clone(),
            verify,
            again: address == Address::Undecided,
        });
        if !new.approvers.is_empty() {
            let (approvers, again) = (new.approvers.clone(), user.was_registered_again());
            self.record(Event::ApprovalAwaited { person: person(&user), organization: company, approvers, again });
        }
        Ok(())
    }

    /// The approval that an account starts with.
    fn first_approval(&self) -> Approval {
        match rules::approves_by_itself(&self.catalogue().policy, false) {
            true => Approval::decided(ApprovalState::Approved, self.ctx.now, None, None),
            false => Approval::PENDING,
        }
    }

    async fn open_account(&mut self, new: &Newcomer<'_>) -> Result<User> {
        let email = new.email;
        let user = User {
            id: new.id,
            email: email.shown().to_owned(),
            identity: email.identity().to_owned(),
            display_name: new.said.display_name.clone(),
            approval: self.first_approval(),
            holds: vec![],
            verified: None,
            deleted_at: None,
            deleted_by: None,
            valid_from: None,
            valid_until: None,
            password_set: true,
            password_must_change: false,
            session_epoch: 0,
            manager: None,
            version: 1,
            created_at: self.ctx.now,
            last_sign_in_at: None,
            registrations: 1,
        };
        let row = NewUser { user: &user, password_hash: Some(&new.password_hash) };
        taken(self.rows().insert_user(row).await, Constraint::Identity, "email", email.identity())?;
        Ok(user)
    }

    /// What was registered before gives way to what was said now. Holds stay: they have their own way out.
    async fn begin_anew(&mut self, new: &Newcomer<'_>, before: User, memberships: &[Member]) -> Result<User> {
        let mut user = User {
            email: new.email.shown().to_owned(),
            display_name: new.said.display_name.clone(),
            approval: self.first_approval(),
            verified: None,
            password_set: true,
            session_epoch: before.session_epoch + 1,
            created_at: self.ctx.now,
            registrations: if before.approval.state == ApprovalState::Pending { before.registrations + 1 } else { 1 },
            ..before
        };
        for member in memberships {
            self.rows().delete_membership(user.id, member.organization).await?;
        }
        self.save_user(&mut user).await?;
        self.rows().set_password(user.id, &new.password_hash, self.ctx.now).await?;
        Ok(user)
    }

    async fn make_organization(&mut self, new: &Newcomer<'_>, registrant: UserId) -> Result<Organization> {
        let kind = self.catalogue().policy.kinds.first().map(|kind| kind.name.clone());
        let id = OrganizationId(self.app.clock.new_id());
        let (title, mut slug) = rules::made_of(&new.codes);
        if self.rows().organization_by_slug(&slug).await?.is_some() {
            // The random end of the id tells it from all others.
            let random = id.0.simple().to_string();
            slug = format!("{slug}-{}", &random[random.len() - 8..]);
        }
        let organization = Organization {
            id,
            slug,
            title,
            kind: kind.ok_or_else(|| Error::internal("the realm has no kind of organization"))?,
            suspended: false,
            founded_at: None,
            entitlements: BTreeSet::new(),
            contacts: vec![],
            identifiers: new.codes.iter().cloned().collect(),
            version: 1,
            created_at: self.ctx.now,
        };
        self.rows().insert_organization(&organization).await?;
        self.rows().note_registrant(id, registrant).await?;
        self.record(Event::OrganizationCreated { organization: company(&organization) });
        Ok(organization)
    }

    /// Has the newcomer wait in the organization, or be a member where the policy asks nobody.
    async fn join(&mut self, new: &Newcomer<'_>, user: &User, organization: &Organization) -> Result<()> {
        if user.approval.state == ApprovalState::Approved {
            self.activate_membership(user, organization).await?;
        } else {
            let member = Member {
                user: user.id,
                organization: organization.id,
                state: MembershipState::Pending,
                attributes: BTreeMap::new(),
                created_at: self.ctx.now,
                decided_at: None,
                decided_by: None,
            };
            self.rows().save_membership(&member).await?;
        }
        let given = new.codes.iter().map(|code| (code.scheme.clone(), code.value.clone())).collect();
        Ok(self.rows().keep_codes(user.id, organization.id, &given).await?)
    }
}

impl Known {
    /// Asks the same whatever there is.
    async fn of<C: Connection>(app: &App, rows: Rows<'_, C>, identity: &str) -> Result<Self> {
        let user = rows.user_by_identity(identity).await?;
        let ids: Vec<_> = user.iter().map(|user| user.id).collect();
        let memberships = rows.memberships_of(&ids).await?;
        // Last: who finds nobody because the account was deleted just now finds its tombstone.
        let tombstoned = tombstone_of(app, rows, identity).await?.is_some();
        Ok(Self { user, memberships, tombstoned })
    }

    fn address(&self, policy: &Policy) -> Address {
        let known = self.user.as_ref().map(|user| (user, self.memberships.as_slice()));
        rules::address(policy, known, self.tombstoned)
    }
}

/// Whether a registration changes something that decisions may have been made on.
fn needs_lock(policy: &Policy, address: Address, place: &Place) -> bool {
    address == Address::Undecided || matches!(place, Place::New) || rules::approves_by_itself(policy, false)
}

/// Each of them, or every violation of all. What is wrong with an address that could not be read is told already.
fn all(
    email: Option<&Email>,
    codes: std::result::Result<Vec<Identifier>, Vec<(String, rules::CodeFault)>>,
    password: std::result::Result<Password, Vec<Violation>>,
) -> std::result::Result<(&Email, Vec<Identifier>, Password), Vec<Violation>> {
    let of_code =
        |(scheme, fault): (String, rules::CodeFault)| Violation::new(format!("codes.{scheme}"), fault.to_string());
    match (email, codes.map_err(|faults| faults.into_iter().map(of_code).collect::<Vec<_>>()), password) {
        (Some(email), Ok(codes), Ok(password)) => Ok((email, codes, password)),
        (_, codes, password) => Err([codes.err().unwrap_or_default(), password.err().unwrap_or_default()].concat()),
    }
}
