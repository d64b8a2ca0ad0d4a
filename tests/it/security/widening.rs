//! Nobody widens their own access, by whatever detour, nor learns of people on the way.
//!
//! Each test here is a sequence that once would have worked in a service of this kind: escalation by a container
//! (CVE-2026-9099, CVE-2026-9795), a permission checked on the named organization instead of the target's
//! (CVE-2026-105209, CVE-2025-27507). [`random`] looks for those that nobody thought of.

pub(crate) mod dice;
mod entries;
mod gains;
mod keys_left;
mod moves;
mod newcomers;
mod oneself;
mod oracle;
mod organizations;
mod orphans;
mod people;
mod random;
mod restricted;
mod roles;
mod rules;
mod upward;
mod vocabulary;
mod world;

use countersign::grpc::pb::{self, ErrorReason, Reach};
use prost_types::FieldMask;
use tonic::Code;

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, Reachable as _, TestApp, ask, both_backends, everywhere, grants, refusal,
    role, within,
};

const HOME: At<'_> = At::Organization("home");
const AWAY: At<'_> = At::Organization("away");

/// People become members by the domain of their address, without anybody deciding.
fn open_door() -> pb::Policy {
    pb::Policy {
        approval: pb::ApprovalAuthority::None.into(),
        email_verification: pb::EmailVerificationRule::Optional.into(),
        organizations_per_user: pb::OrganizationsPerUser::Many.into(),
        ..Default::default()
    }
}

/// A realm with two companies, `home` and `away`, whose people's addresses end in `home.example` and `away.example`.
async fn two_companies(app: &TestApp, policy: pb::Policy) -> Portal {
    let portal = app.realm("portal", policy).await;
    for slug in ["home", "away"] {
        company(&portal, slug).await;
    }
    portal.declare(&["orders.read", "contracts.sign"]).await;
    portal
}

/// Answers its id.
async fn company(portal: &Portal, slug: &str) -> String {
    let domain = pb::Identifier { scheme: "domain".to_owned(), value: format!("{slug}.example") };
    let organization = pb::CreateOrganizationRequest {
        slug: slug.to_owned(),
        title: slug.to_owned(),
        identifiers: vec![domain],
        ..Default::default()
    };
    portal.organization(organization).await
}

/// Somebody who registered, with these roles in a place.
async fn somebody(app: &TestApp, portal: &Portal, email: &str, roles: &[&str], place: At<'_>) -> Person {
    portal.stranger.register(email, email, &[]).await.unwrap();
    for name in roles {
        portal.operator.assign(email, name, place).await.unwrap();
    }
    let caller = app.as_token(&portal.stranger.sign_in(email).await.unwrap());
    Person { id: portal.operator.user(email).await.unwrap().id, email: email.to_owned(), caller }
}

/// A role within organizations, with these patterns at ALL.
fn powers(name: &str, patterns: &[&str]) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { grants: grants(Reach::All, patterns), assignable: Some(within(&[])), ..role(name) }
}

/// The same in the whole realm.
fn realm_powers(name: &str, patterns: &[&str]) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { assignable: Some(everywhere(&[])), ..powers(name, patterns) }
}

/// Answers its id. An empty slug stands for the realm.
async fn create_service(caller: &Caller, name: &str, organization: &str) -> Result<String, tonic::Status> {
    let (name, organization) = (name.to_owned(), organization.to_owned());
    let account = pb::CreateServiceAccountRequest { name, organization, ..Default::default() };
    let created = caller.service_accounts().create_service_account(account).await?;
    Ok(created.into_inner().service_account.unwrap_or_default().id)
}

async fn service_of(caller: &Caller, name: &str, organization: &str) -> Result<String, tonic::Status> {
    create_service(caller, name, organization).await?;
    key_of(caller, name).await
}

async fn key_of(caller: &Caller, name: &str) -> Result<String, tonic::Status> {
    let key = pb::CreateApiKeyRequest { service_account: name.to_owned(), ..Default::default() };
    Ok(caller.service_accounts().create_api_key(key).await?.into_inner().secret)
}

async fn may(portal: &Portal, who: &Person, permission: &str, organization: &str, owner: &str) -> bool {
    let (organization, owner) = (organization.to_owned(), owner.to_owned());
    let question = pb::CheckPermissionRequest { organization, owner, ..ask(&who.id, permission) };
    portal.operator.check(question).await.unwrap() == ALLOWED
}

async fn id_of(portal: &Portal, email: &str) -> String {
    portal.operator.user(email).await.unwrap().memberships[0].organization.clone().unwrap().id
}

// A role that passes on something reserved goes to no service: its maker would be given there what it can't take.
both_backends!(a_service_passes_on_nothing_reserved_that_its_maker_could_not_take, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let passing = pb::CreateRoleRequest {
        may_assign: vec!["boss".to_owned()],
        ..powers("chief", &["countersign.roles.assign", "countersign.service_accounts.manage"])
    };
    portal.define([powers("boss", &["countersign.users.delete"]), passing]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["chief"], HOME).await;
    let not_contained = (Code::PermissionDenied, ErrorReason::NotContained);
    assert_eq!(refusal(alice.caller.assign(&alice.id, "boss", HOME).await), not_contained);

    let key = service_of(&alice.caller, "hands", "home").await.unwrap();
    assert_eq!(refusal(alice.caller.assign("hands", "chief", HOME).await), not_contained);
    assert_eq!(refusal(app.as_key(&key).assign(&alice.id, "boss", HOME).await).0, Code::PermissionDenied);

    portal.operator.service("older").await.unwrap();
    portal.operator.assign("older", "chief", HOME).await.unwrap();
    refusal(key_of(&alice.caller, "older").await);
    let home = id_of(&portal, &alice.email).await;
    assert!(!may(&portal, &alice, "countersign.users.delete", &home, "").await);
});

// A key is given like everything that it opens: what only restricted roles confer, by who may assign those.
both_backends!(a_key_opens_nothing_restricted_for_who_may_not_give_that, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let sealed = pb::CreateRoleRequest { restricted: true, ..powers("sealed", &["contracts.sign"]) };
    portal.define([sealed, powers("chief", &["countersign.service_accounts.manage"])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["sealed", "chief"], HOME).await;
    create_service(&alice.caller, "hands", "home").await.unwrap();
    let granted = pb::GrantPermissionRequest {
        principal: "hands".to_owned(),
        pattern: "contracts.sign".to_owned(),
        reach: Reach::All.into(),
        scope: Some(pb::grant_permission_request::Scope::Organization("home".to_owned())),
        ..Default::default()
    };
    portal.operator.assignments().grant_permission(granted).await.unwrap();
    let refused = key_of(&alice.caller, "hands").await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::RoleRestricted));
});

// Whoever made a service's key is the one that acts by it.
both_backends!(a_service_does_not_do_for_its_maker_what_the_maker_may_not, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let chief = [
        "countersign.roles.assign",
        "countersign.service_accounts.manage",
        "countersign.users.read",
        "countersign.users.set_manager",
        "countersign.organizations.add_members",
        "countersign.realm.configure",
    ];
    let passing = pb::CreateRoleRequest { may_assign: vec!["boss".to_owned()], ..realm_powers("passing", &[]) };
    let leader = pb::CreateRoleRequest { grants: grants(Reach::Team, &["orders.read"]), ..realm_powers("leader", &[]) };
    portal
        .define([powers("boss", &["countersign.users.delete"]), passing, realm_powers("chief", &chief), leader])
        .await;
    let alice = somebody(app, &portal, "alice@home.example", &["chief", "leader"], At::Realm).await;
    let bob = somebody(app, &portal, "bob@home.example", &[], At::Realm).await;
    let key = alice.caller.service("hands").await.unwrap();
    alice.caller.assign("hands", "chief", At::Realm).await.unwrap();
    // A key that the service made for itself is still its maker's.
    let second = key_of(&app.as_key(&key), "hands").await.unwrap();
    let hands = app.as_key(&second);

    let gain = (Code::PermissionDenied, ErrorReason::ActorWouldGain);
    assert_eq!(refusal(hands.set_manager(&bob.id, &alice.id).await), gain);
    assert_eq!(refusal(hands.add_member("away", &alice.id).await), gain);
    assert_eq!(refusal(hands.assign(&alice.id, "boss", AWAY).await).0, Code::PermissionDenied);
    portal.operator.assign("hands", "passing", At::Realm).await.unwrap();
    assert_eq!(
        refusal(hands.assign(&alice.id, "boss", HOME).await),
        (Code::PermissionDenied, ErrorReason::NotContained)
    );
    hands.assign(&bob.id, "boss", HOME).await.unwrap();
    portal.operator.set_manager(&bob.id, &alice.id).await.unwrap();
    let deeper = pb::UpdateRealmRequest {
        policy: Some(pb::Policy { team: pb::TeamDepth::Chain.into(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["policy.team".to_owned()] }),
        ..Default::default()
    };
    assert_eq!(refusal(hands.realms().update_realm(deeper).await), gain);
});

// A role that waits for another one opens with it, so that giving that one gives both.
both_backends!(the_role_that_opens_another_is_given_by_who_could_give_both, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let beside = pb::RoleConditionsSpec { roles: vec!["certified".to_owned()], ..Default::default() };
    let signer = pb::CreateRoleRequest { conditions: Some(beside), ..powers("signer", &["contracts.sign"]) };
    let includes = pb::CreateRoleRequest { includes: vec!["signer".to_owned()], ..powers("officer", &[]) };
    portal
        .define([powers("certified", &[]), signer, includes, powers("assigner", &["countersign.roles.assign"])])
        .await;
    let alice = somebody(app, &portal, "alice@home.example", &["officer", "assigner"], HOME).await;
    let bob = somebody(app, &portal, "bob@home.example", &["signer"], HOME).await;
    let carol = somebody(app, &portal, "carol@home.example", &[], HOME).await;
    let not_contained = (Code::PermissionDenied, ErrorReason::NotContained);
    for waiting in [&alice, &bob] {
        assert_eq!(refusal(alice.caller.assign(&waiting.id, "certified", HOME).await), not_contained);
    }
    alice.caller.assign(&carol.id, "certified", HOME).await.unwrap();
    let home = id_of(&portal, &alice.email).await;
    assert!(!may(&portal, &alice, "contracts.sign", &home, "").await);
    portal.operator.assign(&alice.id, "certified", HOME).await.unwrap();
    assert!(may(&portal, &alice, "contracts.sign", &home, "").await);
    alice.caller.assign(&bob.id, "certified", HOME).await.unwrap();
});

// Class 9: a team is a container too.
both_backends!(nobody_makes_their_team_grow_by_way_of_somebody_in_it, async |app: &TestApp| {
    let portal = two_companies(app, pb::Policy { team: pb::TeamDepth::Chain.into(), ..open_door() }).await;
    let leader = pb::CreateRoleRequest { grants: grants(Reach::Team, &["orders.read"]), ..powers("leader", &[]) };
    portal.define([leader, powers("staff", &["countersign.users.read", "countersign.users.set_manager"])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["leader", "staff"], HOME).await;
    let ben = somebody(app, &portal, "ben@home.example", &[], HOME).await;
    let cora = somebody(app, &portal, "cora@home.example", &[], HOME).await;
    let dan = somebody(app, &portal, "dan@home.example", &[], HOME).await;
    portal.operator.set_manager(&ben.id, &alice.id).await.unwrap();
    let gain = (Code::PermissionDenied, ErrorReason::ActorWouldGain);
    assert_eq!(refusal(alice.caller.set_manager(&dan.id, &alice.id).await), gain);
    assert_eq!(refusal(alice.caller.set_manager(&dan.id, &ben.id).await), gain);
    let home = id_of(&portal, &alice.email).await;
    assert!(!may(&portal, &alice, "orders.read", &home, &dan.id).await);
    alice.caller.set_manager(&dan.id, &cora.id).await.unwrap();
    portal.operator.set_manager(&dan.id, &ben.id).await.unwrap();
    alice.caller.set_manager(&dan.id, &alice.id).await.unwrap();
    alice.caller.set_manager(&dan.id, &ben.id).await.unwrap();
});

// Class 5: the actor is at home, the target away, and the organization named is home.
both_backends!(nobody_pulls_in_people_whom_they_do_not_know, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let staff = ["countersign.users.read", "countersign.roles.assign", "countersign.organizations.add_members"];
    portal.define([powers("staff", &staff), powers("guest", &[])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["staff"], HOME).await;
    let bob = somebody(app, &portal, "bob@away.example", &[], HOME).await;
    let unknown = (Code::NotFound, ErrorReason::NotFound);
    assert_eq!(refusal(alice.caller.assign(&bob.email, "guest", HOME).await), unknown);
    assert_eq!(refusal(alice.caller.add_member("home", &bob.id).await), unknown);
    assert_eq!(portal.operator.user(&bob.id).await.unwrap().memberships.len(), 1);
});

// Class 28: with whatever else is wrong with the call, somebody unreadable is like nobody.
both_backends!(what_is_said_of_strangers_does_not_tell_whether_they_are, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let giver = ["countersign.roles.assign", "countersign.roles.grant", "countersign.access.share"];
    portal.define([powers("giver", &giver), powers("guest", &[])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["giver"], HOME).await;
    somebody(app, &portal, "bob@away.example", &[], HOME).await;
    let key = portal.operator.service("hands").await.unwrap();
    portal.operator.assign("hands", "giver", HOME).await.unwrap();
    let hands = app.as_key(&key);
    let resource = Some(pb::Resource { r#type: "order".to_owned(), id: "1".to_owned() });
    let grant = |principal: &str, owner: &str, organization: &str| pb::GrantPermissionRequest {
        principal: principal.to_owned(),
        pattern: "orders.read".to_owned(),
        resource: resource.clone(),
        owner: owner.to_owned(),
        scope: Some(pb::grant_permission_request::Scope::Organization(organization.to_owned())),
        ..Default::default()
    };
    let (there, nobody) = ("bob@away.example", "nobody@away.example");
    for place in ["home", "away", "nowhere"] {
        let said = async |who: &str| alice.caller.assign(who, "guest", At::Organization(place)).await.unwrap_err();
        assert_eq!(said(there).await.message(), said(nobody).await.message(), "assigning at {place}");
        let said = async |who: &str| alice.caller.revoke(who, "guest", At::Organization(place)).await.unwrap_err();
        assert_eq!(said(there).await.message(), said(nobody).await.message(), "revoking at {place}");
        for owner in ["", "alice@home.example"] {
            let said = async |who: &str| {
                let refused = alice.caller.assignments().grant_permission(grant(who, owner, place)).await;
                refused.unwrap_err()
            };
            assert_eq!(said(there).await.message(), said(nobody).await.message(), "granting at {place} of {owner:?}");
        }
        let said = async |owner: &str| {
            let refused = hands.assignments().grant_permission(grant(&alice.id, owner, place)).await;
            refused.unwrap_err()
        };
        assert_eq!(said(there).await.message(), said(nobody).await.message(), "owning at {place}");
    }
});

// Class 9: the policy gives the founding role, with everything that it lets its holders give.
both_backends!(a_founding_role_passes_on_only_what_its_writer_may_give, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let founder = pb::CreateRoleRequest { may_assign: vec!["boss".to_owned()], ..powers("founder", &["orders.read"]) };
    portal
        .define([
            powers("boss", &["countersign.users.delete"]),
            founder,
            powers("plain", &["orders.read"]),
            realm_powers("writer", &["countersign.realm.configure", "countersign.roles.assign", "orders.read"]),
        ])
        .await;
    let alice = somebody(app, &portal, "alice@home.example", &["writer"], At::Realm).await;
    let found = |role: &str| pb::UpdateRealmRequest {
        policy: Some(pb::Policy {
            founding: pb::Founding::ListedContact.into(),
            founding_role: role.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused = alice.caller.realms().update_realm(found("founder")).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::NotContained));
    alice.caller.realms().update_realm(found("plain")).await.unwrap();
});

// Class 9: in an OPEN realm, too, codes alone can make a member.
both_backends!(nobody_makes_the_codes_by_which_they_could_join, async |app: &TestApp| {
    let policy = pb::Policy { self_registration: pb::SelfRegistration::Open.into(), ..open_door() };
    let portal = two_companies(app, policy).await;
    let staff =
        ["countersign.organizations.identify", "countersign.roles.assign", "countersign.service_accounts.manage"];
    portal.define([realm_powers("staff", &staff)]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["staff"], At::Realm).await;
    let key = alice.caller.service("hands").await.unwrap();
    alice.caller.assign("hands", "staff", At::Realm).await.unwrap();
    let mine = pb::Identifier { scheme: "domain".to_owned(), value: "mine.example".to_owned() };
    let request =
        pb::SetIdentifiersRequest { organization: "away".to_owned(), identifiers: vec![mine], ..Default::default() };
    for caller in [&alice.caller, &app.as_key(&key)] {
        let refused = caller.organizations().set_identifiers(request.clone()).await;
        assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::ActorWouldGain));
    }
});

// Class 9: what an organization licenses opens roles, also from its first moment on.
both_backends!(nobody_makes_an_organization_that_opens_a_role_of_theirs, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let licensed = pb::RoleConditionsSpec { any_entitlement: vec!["contracts".to_owned()], ..Default::default() };
    let signer = pb::CreateRoleRequest { conditions: Some(licensed), ..realm_powers("signer", &["contracts.sign"]) };
    portal.define([signer, realm_powers("maker", &["countersign.organizations.create"])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["maker", "signer"], At::Realm).await;
    let bob = somebody(app, &portal, "bob@home.example", &["maker"], At::Realm).await;
    let request = |slug: &str| pb::CreateOrganizationRequest {
        slug: slug.to_owned(),
        title: slug.to_owned(),
        entitlements: vec!["contracts".to_owned()],
        ..Default::default()
    };
    let refused = alice.caller.organizations().create_organization(request("new")).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::ActorWouldGain));
    bob.caller.organizations().create_organization(request("new")).await.unwrap();
});

// No orphaning: who is the last one is asked of somebody as they are, with all that they hold.
both_backends!(the_last_one_who_assigns_is_kept_whatever_else_that_hangs_on, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let beside = pb::RoleConditionsSpec { roles: vec!["certified".to_owned()], ..Default::default() };
    let assigning = powers("administrator", &["countersign.roles.assign"]);
    let administrator = pb::CreateRoleRequest { conditions: Some(beside), ..assigning };
    let robot = ["countersign.users.read", "countersign.users.suspend", "countersign.roles.assign"];
    let (certified, basic) = (realm_powers("certified", &[]), realm_powers("basic", &["orders.read"]));
    portal.define([certified, basic, administrator, powers("robot", &robot)]).await;
    let last = somebody(app, &portal, "last@home.example", &["administrator"], HOME).await;
    let other = somebody(app, &portal, "other@home.example", &["administrator"], HOME).await;
    for (who, name) in [(&last, "certified"), (&last, "basic"), (&other, "certified"), (&other, "basic")] {
        portal.operator.assign(&who.id, name, At::Realm).await.unwrap();
    }
    portal.decide(pb::Policy { basic_permission: "orders.read".to_owned(), ..Default::default() }, &[]).await;
    let key = portal.operator.service("robot").await.unwrap();
    portal.operator.assign("robot", "robot", HOME).await.unwrap();
    let robot = app.as_key(&key);
    robot.suspend(&other.id, "there is another one").await.unwrap();
    let refused = robot.suspend(&last.id, "there is no other one").await;
    assert_eq!(refusal(refused), (Code::FailedPrecondition, ErrorReason::WouldOrphan));
});
