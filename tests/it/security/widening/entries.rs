//! Random calls that give and take roles and grants, one by one and several at once.

use countersign::grpc::pb;

use super::dice::Dice;
use super::moves::{Hands, Made, anybody, some_role, somewhere};
use super::roles::{OWN, REACHES};
use super::world::Realm;
use crate::support::{At, Caller};

pub(super) async fn assign(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Made {
    let (who, place, role) = (anybody(realm, hands, dice), somewhere(realm, dice), some_role(realm, dice));
    let given = realm.give(hand, &who, &role, place.as_deref()).await;
    given.then(|| ("AssignRole", format!("{role} to {who} at {place:?}")))
}

pub(super) async fn revoke(realm: &Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Made {
    let (who, place, role) = (anybody(realm, hands, dice), somewhere(realm, dice), some_role(realm, dice));
    let taken = hand.revoke(&who, &role, place.as_deref().map_or(At::Realm, At::Organization)).await.ok()?;
    (taken > 0).then(|| ("RevokeRole", format!("{role} of {who} at {place:?}")))
}

pub(super) async fn grant(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Made {
    use pb::grant_permission_request::Scope;
    let (principal, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
    let written = dice.pick(&realm.roles).grants.clone();
    let pattern = match written.first() {
        Some(grant) if dice.chance(60) => grant.pattern.clone(),
        _ => (*dice.pick(&OWN)).to_owned(),
    };
    let reach = *dice.pick(&REACHES);
    let said = format!("{pattern} {reach:?} to {principal} at {place:?}");
    let request = pb::GrantPermissionRequest {
        principal,
        pattern,
        reach: reach.into(),
        scope: Some(place.map_or(Scope::RealmWide(true), Scope::Organization)),
        ..Default::default()
    };
    realm.granted.push(request.clone());
    hand.assignments().grant_permission(request).await.ok().map(|_| ("GrantPermission", said))
}

/// Takes what was, or was to be, granted on the way.
pub(super) async fn revoke_grant(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    use pb::{grant_permission_request, revoke_permission_request::Scope};
    if realm.granted.is_empty() {
        return None;
    }
    let pb::GrantPermissionRequest { principal, pattern, scope, .. } = dice.pick(&realm.granted).clone();
    let said = format!("{pattern} of {principal} at {scope:?}");
    let scope = Some(match scope {
        Some(grant_permission_request::Scope::Organization(slug)) => Scope::Organization(slug),
        _ => Scope::RealmWide(true),
    });
    let request = pb::RevokePermissionRequest { principal, pattern, scope, ..Default::default() };
    let taken = hand.assignments().revoke_permission(request).await.ok()?.into_inner().entries;
    (!taken.is_empty()).then_some(("RevokePermission", said))
}

/// Gives one or two roles and takes one or none, in one call.
pub(super) async fn update(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Made {
    let mut request = pb::UpdateAssignmentsRequest::default();
    for _ in 0..=dice.below(2) {
        use pb::assignment_addition::Scope;
        let (principal, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
        let role = some_role(realm, dice);
        let scope = Some(place.map_or(Scope::RealmWide(true), Scope::Organization));
        request.add.push(pb::AssignmentAddition { principal, role, scope, ..Default::default() });
    }
    if dice.chance(40) {
        use pb::assignment_removal::Scope;
        let (principal, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
        let role = some_role(realm, dice);
        let scope = Some(place.map_or(Scope::RealmWide(true), Scope::Organization));
        request.remove.push(pb::AssignmentRemoval { principal, role, scope, ..Default::default() });
    }
    hand.assignments().update_assignments(request.clone()).await.ok()?;
    for item in &request.add {
        use pb::assignment_addition::Scope;
        let place = match &item.scope {
            Some(Scope::Organization(slug)) => Some(slug.clone()),
            _ => None,
        };
        realm.given.insert((item.principal.clone(), item.role.clone(), place));
    }
    Some(("UpdateAssignments", format!("{request:?}")))
}
