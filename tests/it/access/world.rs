//! The realm of the matrix: two organizations, a team in one of them and another team beside it, and a second realm.
//!
//! A request is about a *subject*: somebody or something that is where the *target* says. Who is refused leaves the
//! subject as it was, so that the next caller is asked about the same one; what a call changed is not used again.

mod subjects;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign::domain::handle::Handle;
use countersign::domain::ids::{OrganizationId, PrincipalId, RealmId};
use countersign::grpc::pb::{self, Reach};
use parking_lot::Mutex;

use super::personas::Persona;
use super::wire::Wire;
use crate::support::{At, Portal, TestApp, grants, role, within};

/// What a request is about, as its caller sees it. Personas that belong somewhere belong to the own organization.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Target {
    /// The realm as a whole, or who belongs to no organization.
    Realm,
    OwnOrganization,
    OtherOrganization,
    /// Somebody of the other organization, in a request that names the own one.
    OtherAsOwn,
    /// Somebody of the own organization whose manager is the persona `manager`.
    OwnTeam,
    /// Somebody of the own organization whose manager is somebody else.
    OtherTeam,
    OtherRealm,
    /// What there is not.
    Nowhere,
    /// What there is not, in a request that names the other organization.
    NowhereInOther,
    Oneself,
}

impl Target {
    pub(crate) const ALL: [Self; 10] = [
        Self::Realm,
        Self::OwnOrganization,
        Self::OtherOrganization,
        Self::OtherAsOwn,
        Self::OwnTeam,
        Self::OtherTeam,
        Self::OtherRealm,
        Self::Nowhere,
        Self::NowhereInOther,
        Self::Oneself,
    ];

    /// As the table has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Realm => "the realm",
            Self::OwnOrganization => "own organization",
            Self::OtherOrganization => "other organization",
            Self::OtherAsOwn => "other as own",
            Self::OwnTeam => "own team",
            Self::OtherTeam => "other team",
            Self::OtherRealm => "other realm",
            Self::Nowhere => "nowhere",
            Self::NowhereInOther => "nowhere in other",
            Self::Oneself => "oneself",
        }
    }
}

/// What a subject is before the call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// Waits for approval.
    Newcomer,
    /// A newcomer whose link was mailed.
    Unproven,
    Member,
    /// A member whose address nobody proved.
    Unvouched,
    /// A member to whom a link was mailed that sets a new password.
    Forgetful,
    /// A member with the role [`READER`].
    Holder,
    /// A member with [`READ`] at OWN, granted.
    Grantee,
    Suspended,
    /// A member to whom a mail could not be delivered.
    Undelivered,
    Blocked,
    Deleted,
    ServiceAccount,
    /// A service account with a key.
    KeyHolder,
    /// A member with a session, and its access token.
    SignedIn,
    /// A member with a session, and its refresh token.
    Refreshable,
    /// An organization that nobody belongs to.
    Company,
    SuspendedCompany,
    /// A service account that is disabled.
    Disabled,
    /// A role that nobody has.
    Role,
    /// A permission, by its name.
    Permission,
}

/// Somebody, or something, that a request is about.
#[derive(Clone, Default, Debug)]
pub(super) struct Subject {
    pub(super) id: String,
    /// E-mail address or name.
    pub(super) handle: String,
    /// What its kind adds: an entry, an API key, the code of a mail.
    pub(super) extra: String,
}

/// What everybody's own things are read with.
pub(super) const READ: &str = "shop.orders.read";
/// What [`World::of_both`] may do in the other organization alone.
pub(super) const SHIP: &str = "shop.orders.ship";
/// A role that confers [`READ`] at OWN.
pub(super) const READER: &str = "reader";
const SHIPPER: &str = "shipper";
/// The scheme of the codes that people register with.
pub(super) const SCHEME: &str = "code";

/// An organization, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: String,
    realm: RealmId,
}

pub(crate) struct World<'a> {
    pub(crate) app: &'a TestApp,
    pub(crate) wire: Wire,
    pub(super) portal: Portal,
    elsewhere: Portal,
    realms: [RealmId; 2],
    pub(super) own: Place,
    other: Place,
    foreign: Place,
    /// The manager of the own team; the persona.
    pub(super) manager: String,
    /// The manager of the other team.
    pub(super) other_manager: String,
    /// Somebody who is in both organizations, and may [`SHIP`] in the other one.
    pub(super) of_both: String,
    /// Who is never acted on, by target: what lists are searched for.
    residents: BTreeMap<(Target, Kind), Subject>,
    pool: Mutex<BTreeMap<(String, Target, Kind), Subject>>,
    counted: AtomicU64,
}

/// The name of the realm of the matrix.
pub(super) const REALM: &str = "matrix";
/// The name of the realm beside it.
pub(super) const ELSEWHERE: &str = "elsewhere";

impl<'a> World<'a> {
    pub(crate) async fn open(app: &'a TestApp) -> Self {
        let portal = furnished(app, REALM).await;
        let elsewhere = furnished(app, ELSEWHERE).await;
        let store = app.inner().app.store();
        let here = store.realm_named(REALM).await.unwrap().unwrap().id;
        let there = store.realm_named(ELSEWHERE).await.unwrap().unwrap().id;
        let own = organization(&portal, here, "own").await;
        let other = organization(&portal, here, "other").await;
        let foreign = organization(&elsewhere, there, "own").await;
        let mut world = Self {
            app,
            wire: Wire::to(app.inner().address),
            portal,
            elsewhere,
            realms: [here, there],
            own,
            other,
            foreign,
            manager: String::new(),
            other_manager: String::new(),
            of_both: String::new(),
            residents: BTreeMap::new(),
            pool: Mutex::default(),
            counted: AtomicU64::new(0),
        };
        world.manager = world.make(Kind::Member, Target::OwnOrganization).await.handle;
        world.other_manager = world.make(Kind::Member, Target::OwnOrganization).await.handle;
        world.settle().await;
        world
    }

    async fn settle(&mut self) {
        use Target::{OtherOrganization, OtherRealm, OtherTeam, OwnOrganization, OwnTeam, Realm};
        for target in [Realm, OwnOrganization, OtherOrganization, OwnTeam, OtherTeam, OtherRealm] {
            for kind in [Kind::Member, Kind::Newcomer] {
                let resident = self.make(kind, target).await;
                self.residents.insert((target, kind), resident);
            }
            self.settle_in(target).await;
        }
        let of_both = self.make(Kind::Holder, OwnOrganization).await;
        let operator = &self.portal.operator;
        operator.add_member(&self.other.id, &of_both.id).await.unwrap();
        operator.assign(&of_both.id, SHIPPER, At::Organization(&self.other.id)).await.unwrap();
        self.of_both = of_both.id;
    }

    /// Gives the resident member something to be listed, and lets a service account live there.
    async fn settle_in(&mut self, target: Target) {
        let (portal, place) = self.home(target);
        let at = place.map_or(At::Realm, |place| At::Organization(&place.id));
        let member = &self.residents[&(target, Kind::Member)].id;
        portal.operator.assign(member, READER, at).await.unwrap();
        subjects::grant(portal, member, at).await;
        let account = self.service_account(portal, place, Kind::ServiceAccount).await;
        self.residents.insert((target, Kind::ServiceAccount), account);
    }

    /// The organization that a request about this target names; `None` = none.
    pub(super) fn scope(&self, target: Target) -> Option<&Place> {
        match target {
            Target::Realm => None,
            Target::OtherOrganization | Target::NowhereInOther => Some(&self.other),
            _ => Some(&self.own),
        }
    }

    /// The organization that a request is about; `None` if there is none of this target.
    pub(super) fn place(&self, target: Target) -> Option<String> {
        match target {
            Target::OwnOrganization => Some(self.own.id.clone()),
            Target::OtherOrganization => Some(self.other.id.clone()),
            Target::OtherRealm => Some(self.foreign.id.clone()),
            Target::Nowhere => Some(nobody()),
            _ => None,
        }
    }

    /// The code that one registers with to wait in an organization.
    pub(super) async fn code(&self, place: &Place) -> String {
        let Handle::Id(id) = Handle::parse(&place.id) else { panic!("{place:?}") };
        let rows = self.app.inner().app.store().rows(place.realm);
        let organization = rows.organization(OrganizationId(id)).await.unwrap().unwrap();
        organization.identifiers.iter().find(|own| own.scheme == SCHEME).unwrap().value.clone()
    }

    /// The code of the organization that a request is about.
    pub(super) async fn code_of(&self, target: Target) -> Option<String> {
        Some(match target {
            Target::OwnOrganization => self.code(&self.own).await,
            Target::OtherOrganization => self.code(&self.other).await,
            Target::OtherRealm => self.code(&self.foreign).await,
            Target::Nowhere => "no-such-code".to_owned(),
            _ => return None,
        })
    }

    /// A name that nothing has.
    pub(super) fn fresh(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.counted.fetch_add(1, Ordering::Relaxed))
    }

    /// The subject of a request: the one that earlier callers of the same request left as it was, or a new one.
    pub(super) async fn subject(&self, request: &str, kind: Kind, target: Target, who: &Persona) -> Subject {
        match target {
            Target::Oneself => return Subject { id: who.id.clone(), handle: who.id.clone(), extra: nobody() },
            Target::Nowhere | Target::NowhereInOther => {
                return Subject { id: nobody(), handle: nobody(), extra: nobody() };
            }
            _ => {}
        }
        let key = (request.to_owned(), target, kind);
        if let Some(known) = self.pool.lock().get(&key) {
            return known.clone();
        }
        let made = self.make(kind, target).await;
        self.pool.lock().insert(key, made.clone());
        made
    }

    /// A call was answered well: what it was about is not what it was.
    pub(crate) fn spent(&self, request: &str, target: Target) {
        self.pool.lock().retain(|(of, at, _), _| (of.as_str(), *at) != (request, target));
    }

    /// Somebody who is never acted on.
    pub(super) fn resident(&self, target: Target) -> &Subject {
        &self.residents[&(target, Kind::Member)]
    }

    /// What there is to be named: ids, addresses, codes, and the names of roles and permissions.
    pub(crate) fn known(&self) -> Vec<String> {
        let places = [&self.own, &self.other, &self.foreign].map(|place| place.id.clone());
        let people = self.residents.values().flat_map(|resident| [resident.id.clone(), resident.handle.clone()]);
        let names = ["own", "other", "code-of-own", READER, SHIPPER, READ, SHIP, SCHEME, REALM, ELSEWHERE];
        places.into_iter().chain(people).chain(names.map(str::to_owned)).collect()
    }

    /// Which residents, and which organization besides the own one, an answer names.
    pub(crate) fn named_in(&self, answer: &[u8]) -> Vec<String> {
        let names = |id: &str| answer.windows(id.len()).any(|part| part == id.as_bytes());
        let kinds =
            [(Kind::Member, ""), (Kind::Newcomer, "newcomer of "), (Kind::ServiceAccount, "service account of ")];
        let mut named = vec![];
        for target in Target::ALL {
            for (kind, prefix) in kinds {
                if self.residents.get(&(target, kind)).is_some_and(|resident| names(&resident.id)) {
                    named.push(format!("{prefix}{}", target.name()));
                }
            }
        }
        if names(&self.of_both) {
            named.push("member of both".to_owned());
        }
        if names(&self.own.id) {
            named.push("own organization itself".to_owned());
        }
        if names(&self.other.id) {
            named.push("other organization itself".to_owned());
        }
        named
    }

    /// A mark that moves with each event of either realm that tells of something done.
    pub(crate) async fn last_done(&self) -> Vec<Option<i64>> {
        let store = self.app.inner().app.store();
        let done = countersign::domain::audit::Outcome::Done;
        let filter = countersign::store::AuditFilter { outcome: Some(done), ..Default::default() };
        let mut last = vec![];
        for realm in self.realms {
            let newest = store.rows(realm).list_audit(&filter, None, 1).await.unwrap();
            last.push(newest.first().map(|event| event.sequence));
        }
        last
    }

    /// What the log of the realm says of the latest calls, newest first: RPC, actor, whether it was refused.
    pub(crate) async fn told(&self, latest: u64) -> Vec<(String, Option<PrincipalId>, bool)> {
        let rows = self.app.inner().app.store().rows(self.realms[0]);
        let events = rows.list_audit(&countersign::store::AuditFilter::default(), None, latest).await.unwrap();
        let refused = |event: &countersign::domain::audit::AuditEvent| {
            event.line.outcome == countersign::domain::audit::Outcome::Refused
        };
        events.iter().map(|event| (event.line.action.clone(), event.line.actor, refused(event))).collect()
    }
}

/// An id that is nobody's.
pub(super) fn nobody() -> String {
    uuid::Uuid::new_v4().to_string()
}

async fn furnished(app: &TestApp, name: &str) -> Portal {
    let scheme = pb::CodeScheme { name: SCHEME.to_owned(), format: pb::CodeFormat::Text.into(), unique: true };
    let policy = pb::Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        code_schemes: vec![scheme],
        approval: pb::ApprovalAuthority::Organization.into(),
        email_verification: pb::EmailVerificationRule::Optional.into(),
        organizations_per_user: pb::OrganizationsPerUser::Many.into(),
        ..Default::default()
    };
    let portal = app.realm(name, policy).await;
    portal.declare(&[READ, SHIP]).await;
    let anywhere = pb::Assignable {
        scopes: vec![pb::AssignmentScope::Organization.into(), pb::AssignmentScope::Realm.into()],
        ..within(&[])
    };
    let reads =
        pb::CreateRoleRequest { grants: grants(Reach::Own, &[READ]), assignable: Some(anywhere), ..role(READER) };
    let ships =
        pb::CreateRoleRequest { grants: grants(Reach::All, &[SHIP]), assignable: Some(within(&[])), ..role(SHIPPER) };
    portal.define([reads, ships].into_iter().chain(super::personas::roles())).await;
    portal
}

async fn organization(portal: &Portal, realm: RealmId, slug: &str) -> Place {
    let identifiers = vec![pb::Identifier { scheme: SCHEME.to_owned(), value: format!("code-of-{slug}") }];
    let (slug, title) = (slug.to_owned(), slug.to_owned());
    let request = pb::CreateOrganizationRequest { slug, title, identifiers, ..Default::default() };
    Place { id: portal.organization(request).await, realm }
}
