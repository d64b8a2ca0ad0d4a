//! Random calls that take grants, and that give and take several roles at once.

use countersign::grpc::pb;

use super::dice::Dice;
use super::moves::{Hands, anybody, somewhere};
use super::roles::OWN;
use super::world::Realm;
use crate::support::Caller;

pub(super) async fn revoke_grant(realm: &Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Option<String> {
    use pb::revoke_permission_request::Scope;
    let (principal, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
    let pattern = (*dice.pick(&OWN)).to_owned();
    let said = format!("RevokePermission {pattern} of {principal} at {place:?}");
    let scope = Some(place.map_or(Scope::RealmWide(true), Scope::Organization));
    let request = pb::RevokePermissionRequest { principal, pattern, scope, ..Default::default() };
    let taken = hand.assignments().revoke_permission(request).await.ok()?.into_inner().entries;
    (!taken.is_empty()).then_some(said)
}

/// Gives one or two roles and takes one or none, in one call.
pub(super) async fn update(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Option<String> {
    let mut request = pb::UpdateAssignmentsRequest::default();
    for _ in 0..=dice.below(2) {
        use pb::assignment_addition::Scope;
        let (principal, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
        let role = dice.pick(&realm.roles).name.clone();
        let scope = Some(place.map_or(Scope::RealmWide(true), Scope::Organization));
        request.add.push(pb::AssignmentAddition { principal, role, scope, ..Default::default() });
    }
    if dice.chance(40) {
        use pb::assignment_removal::Scope;
        let (principal, place) = (anybody(realm, hands, dice), somewhere(realm, dice));
        let role = dice.pick(&realm.roles).name.clone();
        let scope = Some(place.map_or(Scope::RealmWide(true), Scope::Organization));
        request.remove.push(pb::AssignmentRemoval { principal, role, scope, ..Default::default() });
    }
    hand.assignments().update_assignments(request.clone()).await.ok()?;
    realm.given.extend(request.add.iter().map(|item| (item.principal.clone(), item.role.clone())));
    Some(format!("UpdateAssignments {request:?}"))
}
