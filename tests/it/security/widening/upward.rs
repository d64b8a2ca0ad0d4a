//! Nobody reaches up, over random worlds. Security class 11: a helpdesk resets a superior (keycloak#27669).
//!
//! Whoever helps has every tool, everywhere, in their own hands or in those of a service of theirs. Whether it may be used on somebody is worked out a second time here, from
//! what both were given: who holds something reserved at TEAM or ALL is out of reach of whoever lacks it there.

use countersign::domain::permission::Pattern;
use countersign::grpc::pb::{self, ErrorReason, Reach};
use tonic::{Code, Status};

use super::dice::Dice;
use super::roles::anywhere;
use super::{id_of, open_door, powers, somebody, two_companies};
use crate::support::{At, Caller, Person, Portal, Reachable as _, TestApp, both_backends, grants, role};

const ROUNDS: usize = 24;
/// What a helpdesk works with.
const TOOLS: [&str; 11] = [
    "countersign.users.read",
    "countersign.users.suspend",
    "countersign.users.block",
    "countersign.users.verify_email",
    "countersign.users.end_sessions",
    "countersign.users.delete",
    "countersign.users.restore",
    "countersign.users.set_manager",
    "countersign.users.update",
    "countersign.organizations.remove_members",
    "countersign.service_accounts.manage",
];
/// What people hold; nobody is above others for the last one.
const RESERVED: [&str; 8] = [
    "countersign.users.*",
    "countersign.roles.*",
    "countersign.users.approve",
    "countersign.users.suspend",
    "countersign.roles.assign",
    "countersign.roles.grant",
    "countersign.audit.read",
    HARMLESS,
];
const HARMLESS: &str = "countersign.requests.create";
const REACHES: [Reach; 3] = [Reach::Own, Reach::Team, Reach::All];
/// An organization, or the whole realm.
const PLACES: [Option<&str>; 3] = [Some("home"), Some("away"), None];

/// A permission, at a reach, somewhere.
type Held = (&'static str, Reach, Option<&'static str>);

fn name_of(permission: &str, reach: Reach) -> String {
    let short = permission.trim_start_matches("countersign.").replace(['.', '_'], "-").replace('*', "any");
    format!("{short}-{}", reach.as_str_name().trim_start_matches("REACH_").to_lowercase())
}

fn at(place: Option<&str>) -> At<'_> {
    place.map_or(At::Realm, At::Organization)
}

/// Whether one of these holds in the place of what is needed, at its reach or further.
fn covers(held: &[Held], (permission, reach, place): &Held) -> bool {
    let further = |has: Reach| has == *reach || has == Reach::All;
    let pattern = |text: &str| Pattern::parse(text).unwrap();
    held.iter().any(|(has, at, there)| {
        pattern(has).covers_pattern(&pattern(permission)) && further(*at) && (there == place || there.is_none())
    })
}

/// `within`: as far as that organization goes.
fn is_above(target: &[Held], helper: &[Held], within: Option<&str>) -> bool {
    let strong = |held: &&Held| held.0 != HARMLESS && held.1 != Reach::Own;
    let there = |held: &&Held| within.is_none() || held.2.is_none() || held.2 == within;
    target.iter().filter(strong).filter(there).any(|held| !covers(helper, held))
}

fn some(dice: &mut Dice) -> Vec<Held> {
    (0..dice.below(3)).map(|_| (*dice.pick(&RESERVED), *dice.pick(&REACHES), *dice.pick(&PLACES))).collect()
}

async fn give(portal: &Portal, who: &str, held: &[Held]) {
    for (permission, reach, place) in held {
        portal.operator.assign(who, &name_of(permission, *reach), at(*place)).await.unwrap();
    }
}

async fn member_of_both(app: &TestApp, portal: &Portal, email: &str, held: &[Held]) -> Person {
    let person = somebody(app, portal, email, &[], At::Realm).await;
    portal.operator.add_member("away", email).await.unwrap();
    give(portal, email, held).await;
    person
}

/// A key of a service that holds this. Answers the key's id.
async fn key(portal: &Portal, name: &str, held: &[Held]) -> String {
    portal.operator.service(name).await.unwrap();
    give(portal, name, held).await;
    let request = pb::CreateApiKeyRequest { service_account: name.to_owned(), ..Default::default() };
    let made = portal.operator.service_accounts().create_api_key(request).await.unwrap().into_inner();
    made.api_key.unwrap().id
}

/// A service with every tool and this, by its key.
async fn service(app: &TestApp, portal: &Portal, name: &str, held: &[Held]) -> Caller {
    let key = portal.operator.service(name).await.unwrap();
    give(portal, name, held).await;
    portal.operator.assign(name, "tools", At::Realm).await.unwrap();
    app.as_key(&key)
}

async fn rename(by: &Caller, user: &str) -> Result<(), Status> {
    let (user, display_name) = (user.to_owned(), "Another".to_owned());
    by.update(pb::UpdateUserRequest { user, display_name, ..Default::default() }).await.map(drop)
}

async fn remove(by: &Caller, user: &str) -> Result<(), Status> {
    let (organization, user) = ("away".to_owned(), user.to_owned());
    by.organizations()
        .remove_member(pb::RemoveMemberRequest { organization, user, ..Default::default() })
        .await
        .map(drop)
}

async fn revoke(by: &Caller, api_key: String) -> Result<(), Status> {
    let request = pb::RevokeApiKeyRequest { api_key, ..Default::default() };
    by.service_accounts().revoke_api_key(request).await.map(drop)
}

async fn disable(by: &Caller, service_account: &str) -> Result<(), Status> {
    let service_account = service_account.to_owned();
    let request = pb::DisableServiceAccountRequest { service_account, ..Default::default() };
    by.service_accounts().disable_service_account(request).await.map(drop)
}

both_backends!(a_helpdesk_reaches_nobody_who_may_more, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let each = RESERVED.iter().flat_map(|permission| REACHES.map(|reach| (*permission, reach)));
    portal
        .define(each.map(|(permission, reach)| pb::CreateRoleRequest {
            grants: grants(reach, &[permission]),
            assignable: Some(anywhere()),
            ..role(&name_of(permission, reach))
        }))
        .await;
    portal.define([pb::CreateRoleRequest { assignable: Some(anywhere()), ..powers("tools", &TOOLS) }]).await;
    let boss = somebody(app, &portal, "boss@home.example", &[], At::Realm).await;
    assert!(!id_of(&portal, &boss.email).await.is_empty());
    let mut dice = Dice::new(11);
    let (mut reached, mut above) = (0, 0);
    for round in 0..ROUNDS {
        let (mut help, held) = (some(&mut dice), some(&mut dice));
        let helper = member_of_both(app, &portal, &format!("helper{round}@home.example"), &help).await;
        portal.operator.assign(&helper.id, "tools", At::Realm).await.unwrap();
        // By a key that somebody else made: whoever has it is not the target.
        let hands = service(app, &portal, &format!("hands{round}"), &help).await;
        help.extend(TOOLS.map(|tool| (tool, Reach::All, None)));
        let target = member_of_both(app, &portal, &format!("target{round}@home.example"), &held).await;
        let keys = key(&portal, &format!("target{round}"), &held).await;

        let by = if round % 2 == 0 { &helper.caller } else { &hands };
        let tried = [
            ("SetManager", by.set_manager(&target.id, &boss.id).await.map(drop)),
            ("SuspendUser", by.suspend(&target.id, "asked to").await.map(drop)),
            ("ReinstateUser", by.reinstate(&target.id).await.map(drop)),
            ("BlockUser", by.block(&target.id, "asked to").await.map(drop)),
            ("UnblockUser", by.unblock(&target.id).await.map(drop)),
            ("MarkEmailVerified", by.mark_verified(&target.id).await.map(drop)),
            ("RevokeAllSessions", by.revoke_all_sessions(&target.id, false).await.map(drop)),
            ("DeleteUser", by.delete(&target.id).await.map(drop)),
            ("RestoreUser", by.restore(&target.id).await.map(drop)),
            ("RevokeApiKey", revoke(by, keys).await),
            ("DisableServiceAccount", disable(by, &format!("target{round}")).await),
            ("UpdateUser", rename(by, &target.id).await),
            ("RemoveMember", remove(by, &target.id).await),
        ];
        let up = is_above(&held, &help, None);
        for (rpc, outcome) in tried {
            let told = outcome.map_err(|status| crate::support::refusal::<()>(Err(status)));
            let up = if rpc == "RemoveMember" { is_above(&held, &help, Some("away")) } else { up };
            let due = if up { Err((Code::PermissionDenied, ErrorReason::ReachesUp)) } else { Ok(()) };
            assert_eq!(told, due, "round {round}: {rpc} by {help:?} on {held:?}");
        }
        *if up { &mut above } else { &mut reached } += 1;
    }
    assert!(reached > 3 && above > 3, "{reached} were reached and {above} were not");
});
