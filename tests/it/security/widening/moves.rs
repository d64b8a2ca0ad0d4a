//! One random call of those that write, with arguments that exist.

use countersign::grpc::pb;
use prost_types::FieldMask;

use super::dice::Dice;
use super::roles::{ATTRIBUTE, OWN, PRODUCT, REACHES, random_role};
use super::world::{Principal, Realm};
use super::{entries, vocabulary};
use crate::support::{At, Caller, Reachable as _, TestApp};

/// What somebody acts by: their own session first, then the keys that they got.
pub(super) type Hands = Vec<(String, Caller)>;

/// Makes one call. Answers what it was, if it was let through.
pub(super) async fn play(
    app: &TestApp,
    realm: &mut Realm,
    hands: &mut Hands,
    dice: &mut Dice,
    number: usize,
) -> Option<String> {
    let (who, hand) = dice.pick(hands).clone();
    let said = match dice.below(33) {
        0..=4 => assign(realm, hands, &hand, dice).await,
        5 => revoke(realm, hands, &hand, dice).await,
        6..=8 => grant(realm, hands, &hand, dice).await,
        9 => create_role(realm, &hand, dice, number).await,
        10 => declare(&hand, dice, number).await,
        11 | 12 => set_manager(realm, &hand, dice).await,
        13 => hold(realm, &hand, dice).await,
        14 => add_member(realm, &hand, dice).await,
        15 => configure(realm, &hand, dice).await,
        16 => identify(realm, &hand, dice).await,
        17 => create_organization(realm, &hand, dice, number).await,
        18 => create_service(realm, &hand, dice, number).await,
        19 => suspend_organization(realm, &hand, dice).await,
        20 => entitle(realm, &hand, dice).await,
        21 | 22 => update_member(realm, &hand, dice).await,
        23 => remove_member(realm, &hand, dice).await,
        24 => move_member(realm, &hand, dice).await,
        25..=27 => vocabulary::update_role(realm, &hand, dice).await,
        28 => vocabulary::delete_or_retire(realm, &hand, dice).await,
        29 => entries::revoke_grant(realm, hands, &hand, dice).await,
        30 => entries::update(realm, hands, &hand, dice).await,
        31 => switch_service(realm, &hand, dice).await,
        _ if realm.services.is_empty() => None,
        _ => {
            let name = dice.pick(&realm.services).handle.clone();
            mint(app, hands, &hand, &name).await
        }
    };
    said.map(|said| format!("{who}: {said}"))
}

/// A key of the account, into the hands.
pub(super) async fn mint(app: &TestApp, hands: &mut Hands, by: &Caller, name: &str) -> Option<String> {
    let key = super::key_of(by, name).await.ok()?;
    hands.push((name.to_owned(), app.as_key(&key)));
    Some(format!("CreateApiKey {name}"))
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
    let slugs: Vec<_> = realm.organizations.iter().map(|(slug, _)| Some(slug.clone())).chain([None, None]).collect();
    dice.pick(&slugs).clone()
}

fn at(place: &Option<String>) -> At<'_> {
    place.as_deref().map_or(At::Realm, At::Organization)
}

async fn assign(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let (who, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
    let role = dice.pick(&realm.roles).name.clone();
    let given = realm.give(hand, &who, &role, at(&place)).await;
    given.then(|| format!("AssignRole {role} to {who} at {place:?}"))
}

async fn revoke(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let (who, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
    let role = dice.pick(&realm.roles).name.clone();
    let taken = hand.revoke(&who, &role, at(&place)).await.unwrap_or_default();
    (taken > 0).then(|| format!("RevokeRole {role} of {who} at {place:?}"))
}

async fn grant(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Option<String> {
    use pb::grant_permission_request::Scope;
    let (principal, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
    let written = dice.pick(&realm.roles).grants.clone();
    let pattern = match written.first() {
        Some(grant) if dice.chance(60) => grant.pattern.clone(),
        _ => (*dice.pick(&OWN)).to_owned(),
    };
    let reach = *dice.pick(&REACHES);
    let said = format!("GrantPermission {pattern} {reach:?} to {principal} at {place:?}");
    let request = pb::GrantPermissionRequest {
        principal,
        pattern,
        reach: reach.into(),
        scope: Some(place.map_or(Scope::RealmWide(true), Scope::Organization)),
        ..Default::default()
    };
    hand.assignments().grant_permission(request).await.ok().map(|_| said)
}

async fn create_role(realm: &mut Realm, hand: &Caller, dice: &mut Dice, number: usize) -> Option<String> {
    let role = random_role(dice, &format!("made{number}"), &realm.roles);
    hand.roles().create_role(role.clone()).await.ok()?;
    let said = format!("CreateRole {role:?}");
    realm.roles.push(role);
    Some(said)
}

async fn declare(hand: &Caller, dice: &mut Dice, number: usize) -> Option<String> {
    let name = if dice.chance(50) { format!("orders.new{number}") } else { (*dice.pick(&OWN)).to_owned() };
    let said = format!("DeclarePermission {name}");
    let request = pb::DeclarePermissionRequest { name, ..Default::default() };
    hand.roles().declare_permission(request).await.ok().map(|_| said)
}

async fn set_manager(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let user = dice.pick(&realm.people);
    let manager = if dice.chance(85) { dice.pick(&realm.people).handle.clone() } else { String::new() };
    hand.set_manager(&user.id, &manager).await.ok().map(|_| format!("SetManager {} to {manager:?}", user.handle))
}

async fn hold(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let user = dice.pick(&realm.people);
    match dice.chance(40) {
        true => hand.suspend(&user.id, "at random").await.ok().map(|_| format!("SuspendUser {}", user.handle)),
        false => hand.reinstate(&user.id).await.ok().map(|_| format!("ReinstateUser {}", user.handle)),
    }
}

async fn add_member(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let user = dice.pick(&realm.people).handle.clone();
    let organization = dice.pick(&realm.organizations).0.clone();
    let said = format!("AddMember {user} to {organization}");
    let attributes = if dice.chance(50) { [(ATTRIBUTE.to_owned(), "north".to_owned())].into() } else { [].into() };
    let request = pb::AddMemberRequest { organization, user, attributes, ..Default::default() };
    hand.organizations().add_member(request).await.ok().map(|_| said)
}

async fn suspend_organization(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let organization = dice.pick(&realm.organizations).0.clone();
    if dice.chance(50) {
        let said = format!("ReinstateOrganization {organization}");
        let request = pb::ReinstateOrganizationRequest { organization, ..Default::default() };
        return hand.organizations().reinstate_organization(request).await.ok().map(|_| said);
    }
    let said = format!("SuspendOrganization {organization}");
    let reason = "at random".to_owned();
    let request = pb::SuspendOrganizationRequest { organization, reason, ..Default::default() };
    hand.organizations().suspend_organization(request).await.ok().map(|_| said)
}

async fn entitle(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let organization = dice.pick(&realm.organizations).0.clone();
    let entitlements = if dice.chance(70) { vec![PRODUCT.to_owned()] } else { vec![] };
    let said = format!("SetEntitlements {entitlements:?} of {organization}");
    let request = pb::SetEntitlementsRequest { organization, entitlements, ..Default::default() };
    hand.organizations().set_entitlements(request).await.ok().map(|_| said)
}

async fn update_member(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let (user, organization) = (dice.pick(&realm.people).handle.clone(), dice.pick(&realm.organizations).0.clone());
    let attributes = if dice.chance(70) { [(ATTRIBUTE.to_owned(), "south".to_owned())].into() } else { [].into() };
    let said = format!("UpdateMember {user} of {organization} to {attributes:?}");
    let request = pb::UpdateMemberRequest { organization, user, attributes, ..Default::default() };
    hand.organizations().update_member(request).await.ok().map(|_| said)
}

async fn remove_member(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let (user, organization) = (dice.pick(&realm.people).handle.clone(), dice.pick(&realm.organizations).0.clone());
    let said = format!("RemoveMember {user} of {organization}");
    let request = pb::RemoveMemberRequest { organization, user, ..Default::default() };
    hand.organizations().remove_member(request).await.ok().map(|_| said)
}

async fn move_member(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let user = dice.pick(&realm.people).handle.clone();
    let (organization, destination) =
        (dice.pick(&realm.organizations).0.clone(), dice.pick(&realm.organizations).0.clone());
    let attributes = if dice.chance(50) { [(ATTRIBUTE.to_owned(), "west".to_owned())].into() } else { [].into() };
    let said = format!("MoveMember {user} from {organization} to {destination} with {attributes:?}");
    let request = pb::MoveMemberRequest { organization, user, destination, attributes, ..Default::default() };
    hand.organizations().move_member(request).await.ok().map(|_| said)
}

async fn configure(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let policy = pb::Policy {
        team: dice.pick(&[pb::TeamDepth::Chain, pb::TeamDepth::Direct]).to_owned().into(),
        approval: dice.pick(&[pb::ApprovalAuthority::None, pb::ApprovalAuthority::Organization]).to_owned().into(),
        founding: pb::Founding::ListedContact.into(),
        founding_role: dice.pick(&realm.roles).name.clone(),
        administrators_create_users: true,
        self_registration: pb::SelfRegistration::Open.into(),
        ..Default::default()
    };
    let changes: [&[&str]; 5] = [
        &["policy.team"],
        &["policy.approval"],
        &["policy.founding", "policy.founding_role"],
        &["policy.administrators_create_users"],
        &["policy.self_registration"],
    ];
    let paths: Vec<_> = dice.pick(&changes).iter().map(|path| (*path).to_owned()).collect();
    let said = format!("UpdateRealm {paths:?} of {policy:?}");
    let request =
        pb::UpdateRealmRequest { policy: Some(policy), update_mask: Some(FieldMask { paths }), ..Default::default() };
    hand.realms().update_realm(request).await.ok().map(|_| said)
}

async fn identify(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let organization = dice.pick(&realm.organizations).0.clone();
    let value = format!("{}.example", dice.pick(&["home", "away", "other"]));
    let said = format!("SetIdentifiers {value} of {organization}");
    let identifiers = vec![pb::Identifier { scheme: "domain".to_owned(), value }];
    let request = pb::SetIdentifiersRequest { organization, identifiers, ..Default::default() };
    hand.organizations().set_identifiers(request).await.ok().map(|_| said)
}

async fn create_organization(realm: &mut Realm, hand: &Caller, dice: &mut Dice, number: usize) -> Option<String> {
    let slug = format!("made{number}");
    let request = pb::CreateOrganizationRequest {
        slug: slug.clone(),
        title: slug.clone(),
        entitlements: if dice.chance(50) { vec![PRODUCT.to_owned()] } else { vec![] },
        ..Default::default()
    };
    let said = format!("CreateOrganization {slug} with {:?}", request.entitlements);
    let made = hand.organizations().create_organization(request).await.ok()?.into_inner().organization.unwrap();
    realm.organizations.push((slug, made.id));
    Some(said)
}

async fn create_service(realm: &mut Realm, hand: &Caller, dice: &mut Dice, number: usize) -> Option<String> {
    let name = format!("service{number}");
    let organization = somewhere(realm, dice).unwrap_or_default();
    let said = format!("CreateServiceAccount {name} of {organization:?}");
    let id = super::create_service(hand, &name, &organization).await.ok()?;
    realm.services.push(Principal { id, handle: name });
    Some(said)
}

async fn switch_service(realm: &mut Realm, hand: &Caller, dice: &mut Dice) -> Option<String> {
    if realm.services.is_empty() {
        return None;
    }
    let at = dice.below(realm.services.len());
    let service_account = realm.services[at].handle.clone();
    let mut client = hand.service_accounts();
    match dice.below(5) {
        0 | 1 => {
            let request =
                pb::DisableServiceAccountRequest { service_account: service_account.clone(), ..Default::default() };
            client.disable_service_account(request).await.ok()?;
            Some(format!("DisableServiceAccount {service_account}"))
        }
        2 | 3 => {
            let request =
                pb::EnableServiceAccountRequest { service_account: service_account.clone(), ..Default::default() };
            client.enable_service_account(request).await.ok()?;
            Some(format!("EnableServiceAccount {service_account}"))
        }
        _ => {
            let request =
                pb::DeleteServiceAccountRequest { service_account: service_account.clone(), ..Default::default() };
            client.delete_service_account(request).await.ok()?;
            realm.services.remove(at);
            Some(format!("DeleteServiceAccount {service_account}"))
        }
    }
}
