//! Random calls about organizations and their members.

use std::collections::BTreeMap;

use countersign::grpc::pb;

use super::dice::Dice;
use super::moves::Made;
use super::roles::{ATTRIBUTE, PRODUCT};
use super::world::Realm;
use crate::support::{Caller, identifiers};

fn organization(realm: &Realm, dice: &mut Dice) -> String {
    dice.pick(&realm.organizations).slug.clone()
}

/// Somebody, in an organization.
fn pair(realm: &Realm, dice: &mut Dice) -> (String, String) {
    (dice.pick(&realm.people).handle.clone(), organization(realm, dice))
}

/// What a role's condition may ask for, or nothing.
fn attributes(dice: &mut Dice) -> BTreeMap<String, String> {
    if dice.chance(60) { [(ATTRIBUTE.to_owned(), "north".to_owned())].into() } else { BTreeMap::new() }
}

pub(super) async fn add_member(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let (user, organization) = pair(realm, dice);
    let attributes = attributes(dice);
    let said = format!("{user} to {organization} with {attributes:?}");
    let request = pb::AddMemberRequest { organization, user, attributes, ..Default::default() };
    hand.organizations().add_member(request).await.ok().map(|_| ("AddMember", said))
}

pub(super) async fn update_member(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let (user, organization) = pair(realm, dice);
    let attributes = attributes(dice);
    let said = format!("{user} of {organization} to {attributes:?}");
    let request = pb::UpdateMemberRequest { organization, user, attributes, ..Default::default() };
    hand.organizations().update_member(request).await.ok().map(|_| ("UpdateMember", said))
}

pub(super) async fn remove_or_move(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let (user, organization) = pair(realm, dice);
    if dice.chance(50) {
        let said = format!("{user} of {organization}");
        let request = pb::RemoveMemberRequest { organization, user, ..Default::default() };
        return hand.organizations().remove_member(request).await.ok().map(|_| ("RemoveMember", said));
    }
    let destination = dice.pick(&realm.organizations).slug.clone();
    let attributes = attributes(dice);
    let said = format!("{user} from {organization} to {destination} with {attributes:?}");
    let request = pb::MoveMemberRequest { organization, user, destination, attributes, ..Default::default() };
    hand.organizations().move_member(request).await.ok().map(|_| ("MoveMember", said))
}

pub(super) async fn identify_or_update(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let organization = organization(realm, dice);
    if dice.chance(30) {
        let title = "Another".to_owned();
        let request = pb::UpdateOrganizationRequest { organization: organization.clone(), title, ..Default::default() };
        let updated = hand.organizations().update_organization(request).await;
        return updated.ok().map(|_| ("UpdateOrganization", organization));
    }
    let code = if dice.chance(70) { organization.clone() } else { "other".to_owned() };
    let said = format!("{code} of {organization}");
    let request =
        pb::SetIdentifiersRequest { organization, identifiers: identifiers(&[("code", &code)]), ..Default::default() };
    hand.organizations().set_identifiers(request).await.ok().map(|_| ("SetIdentifiers", said))
}

pub(super) async fn suspend_or_reinstate(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let organization = organization(realm, dice);
    let said = organization.clone();
    if dice.chance(50) {
        let request = pb::ReinstateOrganizationRequest { organization, ..Default::default() };
        let reinstated = hand.organizations().reinstate_organization(request).await;
        return reinstated.ok().map(|_| ("ReinstateOrganization", said));
    }
    let reason = "at random".to_owned();
    let request = pb::SuspendOrganizationRequest { organization, reason, ..Default::default() };
    hand.organizations().suspend_organization(request).await.ok().map(|_| ("SuspendOrganization", said))
}

pub(super) async fn entitle(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let organization = organization(realm, dice);
    let entitlements = if dice.chance(70) { vec![PRODUCT.to_owned()] } else { vec![] };
    let said = format!("{entitlements:?} of {organization}");
    let request = pb::SetEntitlementsRequest { organization, entitlements, ..Default::default() };
    hand.organizations().set_entitlements(request).await.ok().map(|_| ("SetEntitlements", said))
}
