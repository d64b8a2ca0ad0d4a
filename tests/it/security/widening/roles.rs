//! The vocabulary of a random realm: permissions, and roles whose parts meet.

use countersign::grpc::pb::{self, Reach};

use super::dice::Dice;
use crate::support::{grants, role};

/// What is asked about: the reserved permissions that have calls so far, one that has none, and the realm's own.
pub(super) const ASKED: [&str; 28] = [
    "countersign.users.read",
    "countersign.users.approve",
    "countersign.users.suspend",
    "countersign.users.block",
    "countersign.users.delete",
    "countersign.users.restore",
    "countersign.users.update",
    "countersign.users.set_manager",
    "countersign.organizations.create",
    "countersign.organizations.identify",
    "countersign.organizations.suspend",
    "countersign.organizations.entitle",
    "countersign.organizations.add_members",
    "countersign.organizations.remove_members",
    "countersign.roles.assign",
    "countersign.roles.assign_restricted",
    "countersign.roles.grant",
    "countersign.roles.define",
    "countersign.access.check",
    "countersign.access.share",
    "countersign.service_accounts.manage",
    "countersign.realm.configure",
    "countersign.audit.read",
    "countersign.roles.escalate",
    "orders.read",
    "orders.ship",
    "reports.read",
    SEALED,
];
/// Those of the realm.
pub(super) const OWN: [&str; 4] = ["orders.read", "orders.ship", "reports.read", SEALED];
/// In half of the realms a restricted role alone confers it.
pub(super) const SEALED: &str = "contracts.sign";
pub(super) const WILD: [&str; 4] = ["orders.*", "*", "countersign.users.*", "countersign.organizations.*"];
pub(super) const REACHES: [Reach; 4] = [Reach::Own, Reach::Team, Reach::All, Reach::All];
/// What conditions ask for.
pub(super) const PRODUCT: &str = "contracts";
pub(super) const ATTRIBUTE: &str = "territory";

/// Assignable in organizations and realm-wide.
pub(super) fn anywhere() -> pb::Assignable {
    let scopes = vec![pb::AssignmentScope::Organization.into(), pb::AssignmentScope::Realm.into()];
    pb::Assignable { scopes, ..Default::default() }
}

/// A role of few patterns that refers to what is there.
pub(super) fn random_role(dice: &mut Dice, name: &str, there: &[pb::CreateRoleRequest]) -> pb::CreateRoleRequest {
    let mut names: Vec<_> = there.iter().map(|role| role.name.clone()).collect();
    let includes = if dice.chance(30) { dice.few(&names, 1) } else { vec![] };
    let beside = if dice.chance(30) { dice.few(&names, 1) } else { vec![] };
    names.push(name.to_owned());
    let may_assign = if dice.chance(25) { dice.few(&names, 2) } else { vec![] };
    let asked = |dice: &mut Dice| match dice.below(10) {
        0 => *dice.pick(&WILD),
        1..=5 => *dice.pick(&OWN),
        _ => *dice.pick(&ASKED),
    };
    let mut patterns = vec![];
    for _ in 0..dice.below(4) {
        let pattern = asked(dice);
        // Whoever holds it is not bound by the table.
        if pattern != "countersign.roles.escalate" {
            patterns.extend(grants(*dice.pick(&REACHES), &[pattern]));
        }
    }
    let product = dice.chance(10).then(|| PRODUCT.to_owned());
    let attribute = dice.chance(10).then(|| ATTRIBUTE.to_owned());
    let kinds = dice.chance(12).then(|| "partner".to_owned());
    pb::CreateRoleRequest {
        grants: patterns,
        includes,
        may_assign,
        assignable: Some(pb::Assignable {
            by_default: dice.chance(8),
            kinds: kinds.into_iter().collect(),
            ..anywhere()
        }),
        restricted: dice.chance(20),
        conditions: Some(pb::RoleConditionsSpec {
            any_entitlement: product.into_iter().collect(),
            attributes: attribute.into_iter().collect(),
            roles: beside,
        }),
        ..role(name)
    }
}
