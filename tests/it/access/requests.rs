//! One request for each RPC, given what it is about: one that succeeds for the operator wherever there is something to
//! act on.
//!
//! An RPC of the contract without a request here fails the test, so that who adds one has to write it.

use countersign::grpc::pb::{self, Reach};
use prost_reflect::prost::Message;

use super::personas::Persona;
use super::world::{ELSEWHERE, Kind, READ, READER, SCHEME, SHIP, Subject, Target, World};
use crate::support::PASSWORD;

/// Whom or what a request is about, and who sends it.
#[derive(Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub(crate) target: Target,
    pub(crate) who: &'a Persona,
}

/// RPCs that can be asked in more than one form, with what the further form is.
pub(crate) const FORMS: [(&str, &str); 6] = [
    ("ApproveRegistration", "naming no organization"),
    ("ExplainDecision", "of a member of both organizations"),
    ("GrantPermission", "on a resource"),
    ("ListUsers", "holders of a role"),
    ("RevokeRole", "by its id"),
    ("UpdateRealm", "the state"),
];

/// The encoded request of an RPC, in its first form (empty) or a further one; `None` if it can't be about such a target.
pub(crate) async fn request(world: &World<'_>, rpc: &str, form: &str, aim: Aim<'_>) -> Option<Vec<u8>> {
    let Aim { target, who } = aim;
    let asked = Asked { world, key: format!("{rpc} {form}"), target, who };
    match rpc {
        "ListRegistrations" | "ApproveRegistration" | "RejectRegistration" => approval(&asked, rpc, form).await,
        "ListEvents" => events(&asked).await,
        "CheckPermission" | "BatchCheckPermissions" | "ExplainDecision" => question(&asked, rpc, form).await,
        "CreateOrganization" | "SetIdentifiers" | "AddMember" => organization(&asked, rpc).await,
        "CreateRealm" | "UpdateRealm" => realm(&asked, rpc, form),
        "Register" | "VerifyEmail" | "ResendVerification" => registration(&asked, rpc).await,
        "AssignRole" | "RevokeRole" => assignment(&asked, rpc, form).await,
        "GrantPermission" => grant(&asked, form).await,
        "CreateRole" | "DeclarePermission" => vocabulary(&asked, rpc),
        "CreateServiceAccount" | "CreateApiKey" | "RevokeApiKey" => service_account(&asked, rpc).await,
        "SignIn" | "GetMe" | "GetSigningKeys" => session(&asked, rpc).await,
        "GetUser" | "SuspendUser" | "ReinstateUser" | "SetManager" => user(&asked, rpc).await,
        "ListUsers" => users(&asked, form).await,
        unknown => panic!("{unknown} has no request: write one, and review what it is answered"),
    }
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
}

fn encoded(message: &impl Message) -> Option<Vec<u8>> {
    Some(message.encode_to_vec())
}

/// As many as a page may have.
const PAGE: i32 = 1000;

async fn approval(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    if rpc == "ListRegistrations" {
        let organization = asked.place()?;
        return encoded(&pb::ListRegistrationsRequest { organization, page_size: PAGE, ..Default::default() });
    }
    let user = asked.subject(Kind::Newcomer).await.id;
    let organization = if form.is_empty() { asked.scope() } else { String::new() };
    match rpc {
        "ApproveRegistration" => encoded(&pb::ApproveRegistrationRequest { user, organization, ..Default::default() }),
        _ => {
            let reason = "not one of us".to_owned();
            encoded(&pb::RejectRegistrationRequest { user, organization, reason, ..Default::default() })
        }
    }
}

async fn events(asked: &Asked<'_>) -> Option<Vec<u8>> {
    let actor = match asked.target {
        Target::OwnTeam | Target::OtherTeam => asked.world.resident(asked.target).id.clone(),
        Target::Oneself => asked.who.id.clone(),
        _ => String::new(),
    };
    let organization = if actor.is_empty() { asked.place()? } else { String::new() };
    encoded(&pb::ListEventsRequest { actor, organization, page_size: PAGE, ..Default::default() })
}

async fn question(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    if !form.is_empty() {
        return (asked.target == Target::OwnOrganization).then(|| {
            let request = pb::ExplainDecisionRequest {
                subject: Some(pb::explain_decision_request::Subject::Principal(asked.world.of_both.clone())),
                permission: SHIP.to_owned(),
                organization: asked.scope(),
                ..Default::default()
            };
            request.encode_to_vec()
        });
    }
    let principal = asked.subject(Kind::Holder).await.id;
    let (permission, organization, owner) = (READ.to_owned(), asked.scope(), principal.clone());
    match rpc {
        "CheckPermission" => encoded(&pb::CheckPermissionRequest {
            subject: Some(pb::check_permission_request::Subject::Principal(principal)),
            permission,
            organization,
            owner,
            with_reason: true,
            ..Default::default()
        }),
        "BatchCheckPermissions" => encoded(&pb::BatchCheckPermissionsRequest {
            subject: Some(pb::batch_check_permissions_request::Subject::Principal(principal)),
            items: vec![pb::BatchCheckItem { permission, organization, owner, ..Default::default() }],
            with_reason: true,
            ..Default::default()
        }),
        _ => encoded(&pb::ExplainDecisionRequest {
            subject: Some(pb::explain_decision_request::Subject::Principal(principal)),
            permission,
            organization,
            owner,
            ..Default::default()
        }),
    }
}

async fn organization(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    let world = asked.world;
    match rpc {
        "CreateOrganization" => {
            asked.is_about_the_realm()?;
            let slug = world.fresh("company");
            encoded(&pb::CreateOrganizationRequest { title: slug.clone(), slug, ..Default::default() })
        }
        "SetIdentifiers" => {
            let identifier = pb::Identifier { scheme: SCHEME.to_owned(), value: world.fresh("code") };
            encoded(&pb::SetIdentifiersRequest {
                organization: world.place(asked.target)?,
                identifiers: vec![identifier],
                ..Default::default()
            })
        }
        _ => {
            let organization = world.scope(asked.target)?.id.clone();
            let user = asked.subject(Kind::Newcomer).await.id;
            encoded(&pb::AddMemberRequest { organization, user, ..Default::default() })
        }
    }
}

fn realm(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    if rpc == "CreateRealm" {
        asked.is_about_the_realm()?;
        return encoded(&pb::CreateRealmRequest { name: asked.world.fresh("portal"), ..Default::default() });
    }
    let realm = match asked.target {
        Target::Realm => String::new(),
        Target::OtherRealm => ELSEWHERE.to_owned(),
        Target::Nowhere => "no-such-realm".to_owned(),
        _ => return None,
    };
    let (title, state) = match form {
        "" => (asked.world.fresh("Portal"), pb::RealmState::Unspecified),
        _ => (String::new(), pb::RealmState::Active),
    };
    encoded(&pb::UpdateRealmRequest { realm, title, state: state.into(), ..Default::default() })
}

async fn registration(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    let world = asked.world;
    match rpc {
        "Register" => {
            let code = match asked.target {
                Target::Realm => None,
                target => Some(world.code_of(target).await?),
            };
            encoded(&pb::RegisterRequest {
                email: format!("{}@people.example", world.fresh("newcomer")),
                display_name: "Somebody".to_owned(),
                password: PASSWORD.to_owned(),
                codes: code.into_iter().map(|code| (SCHEME.to_owned(), code)).collect(),
            })
        }
        "VerifyEmail" => {
            world.place(asked.target)?;
            let code = asked.subject(Kind::Unproven).await.extra;
            encoded(&pb::VerifyEmailRequest { code, password: PASSWORD.to_owned() })
        }
        _ => {
            world.place(asked.target)?;
            encoded(&pb::ResendVerificationRequest { email: address(asked, Kind::Newcomer).await })
        }
    }
}

/// The address of a subject, also of one that there is not.
async fn address(asked: &Asked<'_>, kind: Kind) -> String {
    let handle = asked.subject(kind).await.handle;
    if handle.contains('@') { handle } else { format!("{handle}@people.example") }
}

async fn assignment(asked: &Asked<'_>, rpc: &str, form: &str) -> Option<Vec<u8>> {
    let (role, organization) = (READER.to_owned(), asked.scope());
    if rpc == "AssignRole" {
        use pb::assign_role_request::Scope;
        let principal = asked.subject(Kind::Member).await.id;
        let scope = Some(match organization.is_empty() {
            true => Scope::RealmWide(true),
            false => Scope::Organization(organization),
        });
        return encoded(&pb::AssignRoleRequest { principal, role, scope, ..Default::default() });
    }
    use pb::revoke_role_request::Scope;
    let holder = asked.subject(Kind::Holder).await;
    if !form.is_empty() {
        if asked.names_another_organization() || asked.target == Target::Oneself {
            return None;
        }
        let entry = holder.extra;
        return encoded(&pb::RevokeRoleRequest { entry, ..Default::default() });
    }
    let scope = Some(match organization.is_empty() {
        true => Scope::RealmWide(true),
        false => Scope::Organization(organization),
    });
    encoded(&pb::RevokeRoleRequest { principal: holder.id, role, scope, ..Default::default() })
}

async fn grant(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    use pb::grant_permission_request::Scope;
    let organization = asked.scope();
    let scope = Some(match organization.is_empty() {
        true => Scope::RealmWide(true),
        false => Scope::Organization(organization),
    });
    let (reach, resource) = match form {
        "" => (Reach::Own, None),
        _ => (Reach::Unspecified, Some(pb::Resource { r#type: "order".to_owned(), id: "7".to_owned() })),
    };
    encoded(&pb::GrantPermissionRequest {
        principal: asked.subject(Kind::Member).await.id,
        pattern: READ.to_owned(),
        reach: reach.into(),
        scope,
        resource,
        ..Default::default()
    })
}

fn vocabulary(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    asked.is_about_the_realm()?;
    let name = asked.world.fresh("word");
    match rpc {
        "CreateRole" => encoded(&pb::CreateRoleRequest { name, ..Default::default() }),
        _ => encoded(&pb::DeclarePermissionRequest { name: format!("shop.{name}"), ..Default::default() }),
    }
}

async fn service_account(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    match rpc {
        "CreateServiceAccount" => encoded(&pb::CreateServiceAccountRequest {
            name: asked.world.fresh("made"),
            organization: asked.place()?,
            ..Default::default()
        }),
        "CreateApiKey" => {
            let service_account = asked.subject_in_place(Kind::ServiceAccount).await?.id;
            encoded(&pb::CreateApiKeyRequest { service_account, ..Default::default() })
        }
        _ => {
            asked.place()?;
            let api_key = asked.subject_in_place(Kind::KeyHolder).await?.extra;
            encoded(&pb::RevokeApiKeyRequest { api_key, ..Default::default() })
        }
    }
}

async fn session(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    match rpc {
        "GetMe" => (asked.target == Target::Oneself).then(|| pb::GetMeRequest {}.encode_to_vec()),
        "GetSigningKeys" => asked.is_about_the_realm().and_then(|()| encoded(&pb::GetSigningKeysRequest {})),
        _ => {
            asked.world.place(asked.target)?;
            let email = address(asked, Kind::Member).await;
            encoded(&pb::SignInRequest { email, password: PASSWORD.to_owned() })
        }
    }
}

async fn user(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    if asked.names_another_organization() {
        return None;
    }
    let kind = if rpc == "ReinstateUser" { Kind::Suspended } else { Kind::Member };
    let user = asked.subject(kind).await.id;
    match rpc {
        "GetUser" => encoded(&pb::GetUserRequest { user }),
        "SuspendUser" => encoded(&pb::SuspendUserRequest { user, reason: "on leave".to_owned(), ..Default::default() }),
        "ReinstateUser" => encoded(&pb::ReinstateUserRequest { user, ..Default::default() }),
        _ => encoded(&pb::SetManagerRequest { user, manager: colleague(asked), ..Default::default() }),
    }
}

/// Somebody beside the subject, to be led by.
fn colleague(asked: &Asked<'_>) -> String {
    let beside = match asked.target {
        target @ (Target::Realm | Target::OtherOrganization | Target::OwnTeam | Target::OtherTeam) => target,
        _ => Target::OwnOrganization,
    };
    asked.world.resident(beside).id.clone()
}

async fn users(asked: &Asked<'_>, form: &str) -> Option<Vec<u8>> {
    let manager = match asked.target {
        Target::OwnTeam => asked.world.manager.clone(),
        Target::OtherTeam => asked.world.other_manager.clone(),
        Target::Oneself => asked.who.id.clone(),
        _ => String::new(),
    };
    let organization = if manager.is_empty() { asked.place()? } else { String::new() };
    let role = if form.is_empty() { String::new() } else { READER.to_owned() };
    encoded(&pb::ListUsersRequest { organization, role, manager, page_size: PAGE, ..Default::default() })
}
