//! One request for each RPC, given what it is about: one that succeeds for the operator wherever there is something to
//! act on. Each service has a file of its own.
//!
//! An RPC of the contract without a request here fails the test, so that who adds one has to write it.

mod approval;
mod audit;
mod authorization;
mod notification;
mod organization;
mod realm;
mod registration;
mod role;
mod role_assignment;
mod service_account;
mod session;
mod user;

use countersign::grpc::access::Method;
use prost_reflect::prost::Message;

use super::personas::{LEAVER, Persona};
use super::world::{ELSEWHERE, Kind, READ, READER, SCHEME, SHIP, Subject, Target, World};
use crate::support::PASSWORD;

/// Whom or what a request is about, and who sends it.
#[derive(Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub(crate) target: Target,
    pub(crate) who: &'a Persona,
}

/// What an RPC can be asked in beside its first form, with what the further form is.
pub(crate) fn forms(method: &Method) -> impl Iterator<Item = &'static str> {
    let all = [
        approval::FORMS,
        authorization::FORMS,
        organization::FORMS,
        realm::FORMS,
        role::FORMS,
        role_assignment::FORMS,
        user::FORMS,
    ];
    let of_this: Vec<_> = all.concat().into_iter().filter(|(rpc, _)| *rpc == method.name).collect();
    of_this.into_iter().map(|(_, form)| form)
}

/// The encoded request of an RPC, in its first form (empty) or a further one; `None` if it can't be about such a target.
pub(crate) async fn request(world: &World<'_>, method: &Method, form: &str, aim: Aim<'_>) -> Option<Vec<u8>> {
    let Aim { target, who } = aim;
    let rpc = method.name;
    let asked = Asked { world, key: format!("{rpc} {form}"), target, who };
    let service = method.full_name.split('/').next().and_then(|service| service.rsplit('.').next());
    match service.unwrap() {
        "ApprovalService" => approval::request(&asked, rpc, form).await,
        "AuditService" => audit::request(&asked, rpc).await,
        "AuthorizationService" => authorization::request(&asked, rpc, form).await,
        "NotificationService" => notification::request(&asked, rpc).await,
        "OrganizationService" => organization::request(&asked, rpc, form).await,
        "RealmService" => realm::request(&asked, rpc, form).await,
        "RegistrationService" => registration::request(&asked, rpc).await,
        "RoleService" => role::request(&asked, rpc, form).await,
        "RoleAssignmentService" => role_assignment::request(&asked, rpc, form).await,
        "ServiceAccountService" => service_account::request(&asked, rpc).await,
        "SessionService" => session::request(&asked, rpc).await,
        "UserService" => user::request(&asked, rpc, form).await,
        unknown => unwritten(unknown),
    }
}

fn unwritten(unknown: &str) -> ! {
    panic!("{unknown} has no request: write one, and review what it is answered")
}

/// What a request of one cell of the table is made of.
struct Asked<'a> {
    world: &'a World<'a>,
    key: String,
    target: Target,
    who: &'a Persona,
}

impl Asked<'_> {
    async fn subject(&self, kind: Kind) -> Subject {
        self.world.subject(&self.key, kind, self.target, self.who).await
    }

    /// A subject of RPCs that know of no user, and so of no team.
    async fn subject_in_place(&self, kind: Kind) -> Option<Subject> {
        let in_team = matches!(self.target, Target::OwnTeam | Target::OtherTeam) || self.names_another_organization();
        if in_team { None } else { Some(self.subject(kind).await) }
    }

    /// Whether the target is one in requests alone that name somebody and an organization.
    fn names_another_organization(&self) -> bool {
        matches!(self.target, Target::OtherAsOwn | Target::NowhereInOther)
    }

    /// The id of the organization that the request names; empty = none.
    fn scope(&self) -> String {
        self.world.scope(self.target).map(|place| place.id.clone()).unwrap_or_default()
    }

    /// The id of the organization that the request is about; empty for the whole realm.
    fn place(&self) -> Option<String> {
        if self.target == Target::Realm { Some(String::new()) } else { self.world.place(self.target) }
    }

    fn is_about_the_realm(&self) -> Option<()> {
        (self.target == Target::Realm).then_some(())
    }

    /// The address of a subject, also of one that there is not.
    async fn address(&self, kind: Kind) -> String {
        let handle = self.subject(kind).await.handle;
        if handle.contains('@') { handle } else { format!("{handle}@people.example") }
    }
}

fn encoded(message: &impl Message) -> Option<Vec<u8>> {
    Some(message.encode_to_vec())
}

/// As many as a page may have.
const PAGE: i32 = 1000;
