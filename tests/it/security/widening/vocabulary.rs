//! Random calls that change what words of the realm mean: roles made, written anew and deleted, permissions declared and
//! retired.

use countersign::grpc::pb;
use prost_types::FieldMask;

use super::dice::Dice;
use super::moves::Made;
use super::roles::{OWN, random_role};
use super::world::Realm;
use crate::support::Caller;

pub(super) async fn create_role(realm: &mut Realm, hand: &Caller, dice: &mut Dice, number: usize) -> Made {
    let role = random_role(dice, &format!("made{number}"), &realm.roles);
    hand.roles().create_role(role.clone()).await.ok()?;
    let said = format!("{role:?}");
    realm.roles.push(role);
    Some(("CreateRole", said))
}

pub(super) async fn declare(hand: &Caller, dice: &mut Dice, number: usize) -> Made {
    let name = if dice.chance(50) { format!("orders.new{number}") } else { (*dice.pick(&OWN)).to_owned() };
    let request = pb::DeclarePermissionRequest { name: name.clone(), ..Default::default() };
    hand.roles().declare_permission(request).await.ok().map(|_| ("DeclarePermission", name))
}

/// Writes one or two parts of a role as if it were made anew.
pub(super) async fn update_role(realm: &mut Realm, hand: &Caller, dice: &mut Dice) -> Made {
    const PATHS: [&str; 6] = ["grants", "includes", "assignable", "restricted", "may_assign", "conditions"];
    let at = dice.below(realm.roles.len());
    let name = realm.roles[at].name.clone();
    let others: Vec<_> = realm.roles.iter().filter(|role| role.name != name).cloned().collect();
    let pb::CreateRoleRequest { grants, includes, assignable, restricted, may_assign, conditions, .. } =
        random_role(dice, &name, &others);
    let paths = if dice.chance(60) { vec![*dice.pick(&PATHS)] } else { vec![*dice.pick(&PATHS), *dice.pick(&PATHS)] };
    let request = pb::UpdateRoleRequest {
        role: name.clone(),
        grants,
        includes,
        assignable,
        restricted,
        may_assign,
        conditions,
        update_mask: Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        ..Default::default()
    };
    hand.roles().update_role(request.clone()).await.ok()?;
    let said = format!("{paths:?} of {request:?}");
    let role = &mut realm.roles[at];
    for path in paths {
        match path {
            "grants" => role.grants.clone_from(&request.grants),
            "includes" => role.includes.clone_from(&request.includes),
            "assignable" => role.assignable.clone_from(&request.assignable),
            "restricted" => role.restricted = request.restricted,
            "may_assign" => role.may_assign.clone_from(&request.may_assign),
            _ => role.conditions.clone_from(&request.conditions),
        }
    }
    Some(("UpdateRole", said))
}

/// Now and then takes a word out of the realm.
pub(super) async fn delete_or_retire(realm: &mut Realm, hand: &Caller, dice: &mut Dice) -> Made {
    if dice.chance(50) {
        let name = (*dice.pick(&OWN)).to_owned();
        let request = pb::RetirePermissionRequest { name: name.clone(), ..Default::default() };
        return hand.roles().retire_permission(request).await.ok().map(|_| ("RetirePermission", name));
    }
    // Somebody has to have something to be given.
    if realm.roles.len() < 4 {
        return None;
    }
    let at = dice.below(realm.roles.len());
    let name = realm.roles[at].name.clone();
    let request = pb::DeleteRoleRequest { role: name.clone(), ..Default::default() };
    hand.roles().delete_role(request).await.ok()?;
    realm.roles.remove(at);
    Some(("DeleteRole", name))
}
