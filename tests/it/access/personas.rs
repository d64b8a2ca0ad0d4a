//! Who calls: from the platform's operator down to a stranger, and whoever comes with a credential that does not count.

use std::time::Duration;

use countersign::crypto::random_mark;
use countersign::domain::account::ApprovalState;
use countersign::domain::change::Key;
use countersign::domain::ids::{RealmId, UserId};
use countersign::domain::realm::PLATFORM_REALM;
use countersign::grpc::pb::{self, Reach};
use countersign::store::{Lock, Tx};

use super::wire::Carried;
use super::world::{ELSEWHERE, READER, REALM, World, nobody};
use crate::support::{At, Caller, Reachable as _, everywhere, grants, role, within};

/// Somebody who calls.
#[derive(Clone, Debug)]
pub(crate) struct Persona {
    pub(crate) name: &'static str,
    /// The principal's; of who is none, nobody's.
    pub(crate) id: String,
    pub(crate) carried: Carried,
}

const REALM_ADMINISTRATOR: &str = "realm-administrator";
const ORGANIZATION_ADMINISTRATOR: &str = "organization-administrator";
const MANAGER: &str = "manager";
const CHECKER: &str = "service";

/// What the administrator of an organization may do there; nothing of it escalates.
const ADMINISTERS: [&str; 11] = [
    "countersign.users.*",
    "countersign.organizations.*",
    "countersign.roles.define",
    "countersign.roles.assign",
    "countersign.roles.grant",
    "countersign.access.*",
    "countersign.audit.read",
    "countersign.mail.manage",
    "countersign.service_accounts.manage",
    "countersign.realm.configure",
    "shop.*",
];

/// What a manager may do about the own team.
const MANAGES: [&str; 10] = [
    "countersign.users.approve",
    "countersign.users.update",
    "countersign.users.suspend",
    "countersign.users.set_manager",
    "countersign.organizations.remove_members",
    "countersign.roles.assign",
    "countersign.roles.grant",
    "countersign.audit.read",
    "countersign.mail.manage",
    "shop.*",
];

/// The roles of the personas. A manager reads all colleagues, and approves, holds, removes and assigns in the team alone.
pub(super) fn roles() -> [pb::CreateRoleRequest; 4] {
    let reads = grants(Reach::All, &["countersign.users.read"]);
    [
        (REALM_ADMINISTRATOR, everywhere(&[]), grants(Reach::All, &["countersign.*", "*"])),
        (ORGANIZATION_ADMINISTRATOR, within(&[]), grants(Reach::All, &ADMINISTERS)),
        (MANAGER, within(&[]), [reads, grants(Reach::Team, &MANAGES)].concat()),
        (CHECKER, everywhere(&[]), grants(Reach::All, &["countersign.access.check"])),
    ]
    .map(|(name, assignable, grants)| pb::CreateRoleRequest { grants, assignable: Some(assignable), ..role(name) })
}

/// Everybody who calls.
pub(crate) struct Cast {
    /// Those who may least first: so that who may acts on what the others left as it was.
    pub(crate) personas: Vec<Persona>,
    /// What else one may come with: a name, and what is carried. None of it counts.
    pub(super) credentials: Vec<(&'static str, Carried)>,
    /// A token and a key that have expired.
    expired: (String, String),
}

impl Cast {
    /// The same cast with new sessions: on a slow machine, to ask everybody everything takes longer than a token lives.
    pub(super) async fn renewed(self, world: &World<'_>) -> Self {
        let Self { mut personas, credentials: _, expired } = self;
        for persona in &mut personas {
            match persona.name {
                "anonymous" | "service" | "operator" => {}
                "newcomer" => {
                    decide(world, &persona.id, ApprovalState::Approved).await;
                    *persona = signed_in_again(world, persona).await;
                    decide(world, &persona.id, ApprovalState::Pending).await;
                }
                _ => *persona = signed_in_again(world, persona).await,
            }
        }
        let credentials = credentials(world, &personas, &expired).await;
        Self { personas, credentials, expired }
    }
}

pub(crate) async fn cast(world: &World<'_>) -> Cast {
    let expired = (bearer(&member_token(world).await.1), expired_key(world).await);
    // Past the life of a token, 5 minutes.
    world.app.clock().advance(Duration::from_secs(6 * 60));
    let personas = personas(world).await;
    let credentials = credentials(world, &personas, &expired).await;
    Cast { personas, credentials, expired }
}

async fn credentials(
    world: &World<'_>,
    personas: &[Persona],
    expired: &(String, String),
) -> Vec<(&'static str, Carried)> {
    let of = |name: &str| personas.iter().find(|persona| persona.name == name).unwrap().carried.credentials[0].clone();
    let (token, key) = (of("realm administrator"), of("operator"));
    let mut tampered = token.clone();
    tampered.pop();
    let (disabled, suspended) = (disabled_key(world).await, suspended_token(world).await);
    vec![
        ("none", carried(&[], REALM)),
        ("nonsense", carried(&["Bearer nonsense"], REALM)),
        ("of another scheme", carried(&[&key.replace("Bearer", "Basic")], REALM)),
        ("a tampered token", carried(&[&tampered], REALM)),
        ("an expired token", carried(&[&expired.0], REALM)),
        ("an expired key", carried(&[&expired.1], REALM)),
        ("a revoked key", carried(&[&revoked_key(world).await], REALM)),
        ("the key of a disabled account", carried(&[&disabled], REALM)),
        ("the token of a suspended person", carried(&[&suspended], REALM)),
        ("two at once", carried(&[&token, &key], REALM)),
        ("the same twice", carried(&[&token, &token], REALM)),
        ("of another realm", carried(&[&token], ELSEWHERE)),
        ("of an unknown realm", carried(&[&token], "no-such-realm")),
        ("the key of a disabled account, of another realm", carried(&[&disabled], ELSEWHERE)),
        ("the token of a suspended person, of an unknown realm", carried(&[&suspended], "no-such-realm")),
        ("none in an unknown realm", carried(&[], "no-such-realm")),
        ("none in the platform's realm", carried(&[], PLATFORM_REALM)),
    ]
}

async fn personas(world: &World<'_>) -> Vec<Persona> {
    let operator = &world.portal.operator;
    let own = At::Organization(&world.own.id);
    let manager = person(world, "manager", &world.manager).await;
    operator.assign(&manager.id, MANAGER, own).await.unwrap();
    let administrator = member(world, "organization administrator").await;
    operator.assign(&administrator.id, ORGANIZATION_ADMINISTRATOR, own).await.unwrap();
    let realm_administrator = member(world, "realm administrator").await;
    operator.assign(&realm_administrator.id, REALM_ADMINISTRATOR, At::Realm).await.unwrap();
    let plain = member(world, "member").await;
    operator.assign(&plain.id, READER, own).await.unwrap();
    let service = keyed(world, operator, "service", "shop", REALM).await;
    operator.assign("shop", CHECKER, At::Realm).await.unwrap();
    let platform = world.app.as_operator().in_realm(PLATFORM_REALM);
    vec![
        Persona { name: "anonymous", id: nobody(), carried: carried(&[], REALM) },
        newcomer(world).await,
        plain,
        service,
        manager,
        administrator,
        realm_administrator,
        keyed(world, &platform, "operator", "night-shift", REALM).await,
    ]
}

fn carried(credentials: &[&str], realm: &str) -> Carried {
    let credentials = credentials.iter().map(|credential| (*credential).to_owned()).collect();
    Carried { credentials, realm: Some(realm.to_owned()) }
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

/// Somebody whose session ends with the call that they make.
pub(crate) const LEAVER: &str = "leaver";

/// A member with a session to lose.
pub(crate) async fn leaver(world: &World<'_>) -> Persona {
    member(world, LEAVER).await
}

/// A member of the own organization who signs in.
async fn member(world: &World<'_>, name: &'static str) -> Persona {
    let newcomer = world.newcomer(&world.portal, Some(&world.own)).await;
    world.prove(&world.portal, &newcomer.handle).await;
    world.portal.operator.approve(&newcomer.id).await.unwrap();
    person(world, name, &newcomer.handle).await
}

async fn person(world: &World<'_>, name: &'static str, email: &str) -> Persona {
    let token = world.portal.stranger.sign_in(email).await.unwrap();
    let id = world.app.as_token(&token).user("").await.unwrap().id;
    Persona { name, id, carried: carried(&[&bearer(&token)], REALM) }
}

/// The same person with a new session.
pub(crate) async fn signed_in_again(world: &World<'_>, who: &Persona) -> Persona {
    let email = world.portal.operator.user(&who.id).await.unwrap().email;
    person(world, who.name, &email).await
}

async fn keyed(world: &World<'_>, maker: &Caller, persona: &'static str, account: &str, realm: &str) -> Persona {
    let key = maker.service(account).await.unwrap();
    let me = world.app.as_key(&key).in_realm(realm);
    let me = me.sessions().get_me(pb::GetMeRequest {}).await.unwrap().into_inner().principal;
    let Some(pb::get_me_response::Principal::ServiceAccount(me)) = me else { panic!("{me:?}") };
    Persona { name: persona, id: me.id, carried: carried(&[&bearer(&key)], realm) }
}

/// Somebody with a token whose approval is still to come: no call leads there.
async fn newcomer(world: &World<'_>) -> Persona {
    let persona = member(world, "newcomer").await;
    decide(world, &persona.id, ApprovalState::Pending).await;
    persona
}

async fn decide(world: &World<'_>, who: &str, state: ApprovalState) {
    let id = UserId(who.parse().unwrap());
    meddle(world, async |tx: &Tx| {
        let mut user = tx.rows().user(id).await.unwrap().unwrap();
        user.approval.state = state;
        tx.rows().update_user(&user).await.unwrap();
        Key::Principal(id.into())
    })
    .await;
}

/// Writes into the record behind the service's back, which is told what went stale.
async fn meddle(world: &World<'_>, write: impl AsyncFnOnce(&Tx) -> Key) {
    let app = &world.app.inner().app;
    let realm: RealmId = app.store().realm_named(REALM).await.unwrap().unwrap().id;
    let tx = app.store().begin(realm, Lock::Realm).await.unwrap();
    let stale = write(&tx).await;
    let committed = tx.commit(vec![stale], random_mark(), app.clock().now()).await.unwrap();
    app.snapshots().committed(&committed).await;
}

async fn suspended_token(world: &World<'_>) -> String {
    let (id, token) = member_token(world).await;
    world.portal.operator.suspend(&id, "on leave").await.unwrap();
    bearer(&token)
}

async fn member_token(world: &World<'_>) -> (String, String) {
    let newcomer = world.newcomer(&world.portal, Some(&world.own)).await;
    world.prove(&world.portal, &newcomer.handle).await;
    world.portal.operator.approve(&newcomer.id).await.unwrap();
    (newcomer.id, world.portal.stranger.sign_in(&newcomer.handle).await.unwrap())
}

async fn expired_key(world: &World<'_>) -> String {
    let soon = world.app.clock().now().after(Duration::from_secs(30)).0;
    let until = prost_types::Timestamp { seconds: soon.div_euclid(1_000_000), nanos: 0 };
    bearer(&key(world, &world.fresh("expired"), Some(until)).await.0)
}

async fn revoked_key(world: &World<'_>) -> String {
    let (secret, id) = key(world, &world.fresh("revoked"), None).await;
    let request = pb::RevokeApiKeyRequest { api_key: id, ..Default::default() };
    world.portal.operator.service_accounts().revoke_api_key(request).await.unwrap();
    bearer(&secret)
}

/// A key of an account that was switched off.
async fn disabled_key(world: &World<'_>) -> String {
    let name = world.fresh("disabled");
    let (secret, _) = key(world, &name, None).await;
    world.portal.operator.assign(&name, REALM_ADMINISTRATOR, At::Realm).await.unwrap();
    let request = pb::DisableServiceAccountRequest { service_account: name, ..Default::default() };
    world.portal.operator.service_accounts().disable_service_account(request).await.unwrap();
    bearer(&secret)
}

async fn key(world: &World<'_>, name: &str, until: Option<prost_types::Timestamp>) -> (String, String) {
    let mut client = world.portal.operator.service_accounts();
    let account = pb::CreateServiceAccountRequest { name: name.to_owned(), ..Default::default() };
    client.create_service_account(account).await.unwrap();
    let request =
        pb::CreateApiKeyRequest { service_account: name.to_owned(), expire_time: until, ..Default::default() };
    let made = client.create_api_key(request).await.unwrap().into_inner();
    (made.secret, made.api_key.unwrap().id)
}
