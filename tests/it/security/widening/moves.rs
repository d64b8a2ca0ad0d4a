//! One random call of those that write, with arguments that exist.

use countersign::grpc::pb;
use prost_types::FieldMask;

use super::dice::Dice;
use super::roles::PRODUCT;
use super::world::{Organization, Principal, Realm};
use super::{entries, organizations, people, vocabulary};
use crate::support::{Caller, Reachable as _, TestApp, identifiers};

/// What somebody acts by: their own session first, then the keys that they got.
pub(super) type Hands = Vec<(String, Caller)>;

/// A call that was let through: the RPC, and what it was about.
pub(super) type Made = Option<(&'static str, String)>;

/// Makes one call. Answers what it was, if it was let through.
pub(super) async fn play(
    app: &TestApp,
    realm: &mut Realm,
    hands: &mut Hands,
    dice: &mut Dice,
    number: usize,
) -> Option<String> {
    let (who, hand) = dice.pick(hands).clone();
    let made = match dice.below(48) {
        0..=6 => entries::assign(realm, hands, &hand, dice).await,
        7 => entries::revoke(realm, hands, &hand, dice).await,
        8..=10 => entries::grant(realm, hands, &hand, dice).await,
        11 => entries::revoke_grant(realm, &hand, dice).await,
        12 => entries::update(realm, hands, &hand, dice).await,
        13..=15 => vocabulary::create_role(realm, &hand, dice, number).await,
        16..=19 => vocabulary::update_role(realm, &hand, dice).await,
        20 => vocabulary::delete_or_retire(realm, &hand, dice).await,
        21 => vocabulary::declare(&hand, dice, number).await,
        22 | 23 => people::set_manager(realm, &hand, dice).await,
        24..=27 => people::hold_or_lift(realm, &hand, dice).await,
        28 => people::register(realm, dice, number).await,
        29 | 30 => people::decide(realm, hands, &hand, dice).await,
        // Only a person joins.
        31..=33 => people::join(realm, &hands[0].1, dice).await,
        34 => organizations::add_member(realm, &hand, dice).await,
        35 => organizations::update_member(realm, &hand, dice).await,
        36 => organizations::remove_or_move(realm, &hand, dice).await,
        37 => organizations::identify_or_update(realm, &hand, dice).await,
        38 => organizations::suspend_or_reinstate(realm, &hand, dice).await,
        39 => organizations::entitle(realm, &hand, dice).await,
        40 | 41 => create_organization(realm, &hand, dice, number).await,
        42..=44 => configure(realm, &hand, dice).await,
        45 => create_service(realm, &hand, dice, number).await,
        46 => switch_service(realm, &hand, dice).await,
        _ if realm.services.is_empty() => None,
        _ => {
            let name = dice.pick(&realm.services).handle.clone();
            mint(app, hands, &hand, &name).await
        }
    };
    let (rpc, said) = made?;
    *realm.done.entry(rpc).or_default() += 1;
    Some(format!("{who}: {rpc} {said}"))
}

/// A key of the account, into the hands.
pub(super) async fn mint(app: &TestApp, hands: &mut Hands, by: &Caller, name: &str) -> Made {
    let key = super::key_of(by, name).await.ok()?;
    hands.push((name.to_owned(), app.as_key(&key)));
    Some(("CreateApiKey", name.to_owned()))
}

/// Often somebody whom the actor is or controls.
pub(super) fn anybody(realm: &Realm, hands: &Hands, dice: &mut Dice) -> String {
    if dice.chance(50) {
        return dice.pick(hands).0.clone();
    }
    let people = realm.people.iter().map(|person| person.handle.clone());
    let all: Vec<_> = people.chain(realm.services.iter().map(|service| service.handle.clone())).collect();
    dice.pick(&all).clone()
}

/// A slug, or nothing for the whole realm.
pub(super) fn somewhere(realm: &Realm, dice: &mut Dice) -> Option<String> {
    let slugs: Vec<_> = realm.organizations.iter().map(|made| Some(made.slug.clone())).chain([None, None]).collect();
    dice.pick(&slugs).clone()
}

/// The name of a role; often of one of the newest.
pub(super) fn some_role(realm: &Realm, dice: &mut Dice) -> String {
    let newest = realm.roles.len().saturating_sub(3);
    let from = if dice.chance(40) { &realm.roles[newest..] } else { &realm.roles[..] };
    dice.pick(from).name.clone()
}

async fn configure(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let approvals = [pb::ApprovalAuthority::None, pb::ApprovalAuthority::None, pb::ApprovalAuthority::Organization];
    let belongs = [pb::OrganizationsPerUser::Many, pb::OrganizationsPerUser::One];
    let policy = pb::Policy {
        team: (*dice.pick(&[pb::TeamDepth::Chain, pb::TeamDepth::Direct])).into(),
        approval: (*dice.pick(&approvals)).into(),
        founding: pb::Founding::ListedContact.into(),
        founding_role: some_role(realm, dice),
        administrators_create_users: dice.chance(80),
        self_registration: (*dice.pick(&[pb::SelfRegistration::Open, pb::SelfRegistration::Closed])).into(),
        organizations_per_user: (*dice.pick(&belongs)).into(),
        reregistration_after_reject: pb::Reregistration::Allowed.into(),
        unknown_codes: pb::UnknownCodes::CreateOrganization.into(),
        ..Default::default()
    };
    let changes: [&[&str]; 9] = [
        &["policy.team"],
        &["policy.approval"],
        &["policy.approval", "policy.organizations_per_user"],
        &["policy.founding", "policy.founding_role"],
        &["policy.administrators_create_users"],
        &["policy.self_registration"],
        &["policy.organizations_per_user"],
        &["policy.reregistration_after_reject"],
        &["policy.unknown_codes"],
    ];
    let paths: Vec<_> = dice.pick(&changes).iter().map(|path| (*path).to_owned()).collect();
    let said = format!("{paths:?} of {policy:?}");
    let request =
        pb::UpdateRealmRequest { policy: Some(policy), update_mask: Some(FieldMask { paths }), ..Default::default() };
    hand.realms().update_realm(request).await.ok().map(|_| ("UpdateRealm", said))
}

async fn create_organization(realm: &mut Realm, hand: &Caller, dice: &mut Dice, number: usize) -> Made {
    let slug = format!("made{number}");
    let kind = (*dice.pick(&["company", "partner"])).to_owned();
    let request = pb::CreateOrganizationRequest {
        slug: slug.clone(),
        title: slug.clone(),
        kind,
        entitlements: if dice.chance(50) { vec![PRODUCT.to_owned()] } else { vec![] },
        identifiers: if dice.chance(70) { identifiers(&[("code", &slug)]) } else { vec![] },
        ..Default::default()
    };
    let said = format!("{request:?}");
    let made = hand.organizations().create_organization(request).await.ok()?.into_inner().organization.unwrap();
    realm.organizations.push(Organization { slug, id: made.id });
    Some(("CreateOrganization", said))
}

async fn create_service(realm: &mut Realm, hand: &Caller, dice: &mut Dice, number: usize) -> Made {
    let name = format!("service{number}");
    let organization = somewhere(realm, dice).unwrap_or_default();
    let said = format!("{name} of {organization:?}");
    let id = super::create_service(hand, &name, &organization).await.ok()?;
    realm.services.push(Principal { id, handle: name });
    Some(("CreateServiceAccount", said))
}

async fn switch_service(realm: &mut Realm, hand: &Caller, dice: &mut Dice) -> Made {
    if realm.services.is_empty() {
        return None;
    }
    let at = dice.below(realm.services.len());
    let service_account = realm.services[at].handle.clone();
    let said = service_account.clone();
    let mut client = hand.service_accounts();
    match dice.below(6) {
        0 | 1 => {
            let request = pb::DisableServiceAccountRequest { service_account, ..Default::default() };
            client.disable_service_account(request).await.ok()?;
            Some(("DisableServiceAccount", said))
        }
        2 | 3 => {
            let request = pb::EnableServiceAccountRequest { service_account, ..Default::default() };
            client.enable_service_account(request).await.ok()?;
            Some(("EnableServiceAccount", said))
        }
        4 => {
            let request = pb::ListApiKeysRequest { service_account, live: true, ..Default::default() };
            let listed = client.list_api_keys(request).await.ok()?.into_inner().api_keys;
            let api_key = listed.last()?.id.clone();
            let request = pb::RevokeApiKeyRequest { api_key, ..Default::default() };
            client.revoke_api_key(request).await.ok().map(|_| ("RevokeApiKey", said))
        }
        _ => {
            let request = pb::DeleteServiceAccountRequest { service_account, ..Default::default() };
            client.delete_service_account(request).await.ok()?;
            realm.services.remove(at);
            Some(("DeleteServiceAccount", said))
        }
    }
}
