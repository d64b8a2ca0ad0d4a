//! The vocabulary of a random realm: permissions, roles whose parts meet, and what roles lead to.

use std::collections::BTreeSet;

use countersign::domain::permission::{Pattern, PermissionName};
use countersign::grpc::pb::{self, Reach};

use super::dice::Dice;
use super::world::Realm;
use crate::support::{grants, role};

/// What is asked about: the reserved permissions that have calls so far, one that has none, and the realm's own.
pub(super) const ASKED: [&str; 23] = [
    "countersign.users.read",
    "countersign.users.approve",
    "countersign.users.suspend",
    "countersign.users.delete",
    "countersign.users.update",
    "countersign.users.set_manager",
    "countersign.organizations.create",
    "countersign.organizations.identify",
    "countersign.organizations.suspend",
    "countersign.organizations.entitle",
    "countersign.organizations.add_members",
    "countersign.organizations.remove_members",
    "countersign.roles.assign",
    "countersign.roles.grant",
    "countersign.roles.define",
    "countersign.access.check",
    "countersign.access.share",
    "countersign.service_accounts.manage",
    "countersign.realm.configure",
    "orders.read",
    "orders.ship",
    "reports.read",
    "contracts.sign",
];
/// Those of the realm.
pub(super) const OWN: [&str; 4] = ["orders.read", "orders.ship", "reports.read", "contracts.sign"];
pub(super) const WILD: [&str; 4] = ["orders.*", "*", "countersign.users.*", "countersign.organizations.*"];
pub(super) const REACHES: [Reach; 4] = [Reach::Own, Reach::Team, Reach::All, Reach::All];
/// What conditions ask for.
pub(super) const PRODUCT: &str = "contracts";
pub(super) const ATTRIBUTE: &str = "territory";

impl Realm {
    /// What the start leaves open to somebody: default roles, and the unreserved part of what their roles let them
    /// assign. Reaches aside.
    pub(super) fn allowance(&self, who: &[String]) -> BTreeSet<&'static str> {
        let by_default = |role: &&pb::CreateRoleRequest| role.assignable.as_ref().is_some_and(|it| it.by_default);
        let default: Vec<_> = self.roles.iter().filter(by_default).map(|role| role.name.clone()).collect();
        let held = self.given.iter().filter(|(holder, _)| who.contains(holder)).map(|(_, role)| role.clone());
        let passed = self.passed_on(held.chain(default.clone()).collect());
        let covers = |role: &String, name: &str| {
            self.closure(role)
                .iter()
                .flat_map(|role| &role.grants)
                .any(|grant| Pattern::parse(&grant.pattern).unwrap().covers(&PermissionName::parse(name).unwrap()))
        };
        let open = |name: &&str| {
            let own = OWN.contains(name);
            default.iter().any(|role| covers(role, name)) || own && passed.iter().any(|role| covers(role, name))
        };
        ASKED.into_iter().filter(open).collect()
    }

    fn passed_on(&self, held: Vec<String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut next = held;
        while let Some(name) = next.pop() {
            for passed in self.closure(&name).into_iter().flat_map(|role| role.may_assign.clone()) {
                if found.insert(passed.clone()) {
                    next.push(passed);
                }
            }
        }
        found
    }

    fn closure(&self, name: &str) -> Vec<&pb::CreateRoleRequest> {
        let Some(role) = self.roles.iter().find(|role| role.name == name) else { return vec![] };
        let included = role.includes.iter().flat_map(|included| self.closure(included));
        [role].into_iter().chain(included).collect()
    }
}

/// Assignable in organizations and realm-wide.
pub(super) fn anywhere() -> pb::Assignable {
    let scopes = vec![pb::AssignmentScope::Organization.into(), pb::AssignmentScope::Realm.into()];
    pb::Assignable { scopes, ..Default::default() }
}

/// A role of few patterns that refers to what is there.
pub(super) fn random_role(dice: &mut Dice, name: &str, there: &[pb::CreateRoleRequest]) -> pb::CreateRoleRequest {
    let mut names: Vec<_> = there.iter().map(|role| role.name.clone()).collect();
    let includes = if dice.chance(25) { dice.few(&names, 1) } else { vec![] };
    let beside = if dice.chance(35) { dice.few(&names, 1) } else { vec![] };
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
        patterns.extend(grants(*dice.pick(&REACHES), &[pattern]));
    }
    let product = dice.chance(10).then(|| PRODUCT.to_owned());
    let attribute = dice.chance(10).then(|| ATTRIBUTE.to_owned());
    pb::CreateRoleRequest {
        grants: patterns,
        includes,
        may_assign,
        assignable: Some(pb::Assignable { by_default: dice.chance(8), ..anywhere() }),
        restricted: dice.chance(15),
        conditions: Some(pb::RoleConditionsSpec {
            any_entitlement: product.into_iter().collect(),
            attributes: attribute.into_iter().collect(),
            roles: beside,
        }),
        ..role(name)
    }
}
