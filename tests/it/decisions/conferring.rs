//! The containment table, row by row; restricted roles; who must not be reached up to.

use std::sync::Arc;

use countersign::domain::catalogue::Catalogue;
use countersign::domain::containment::{Conferral, contained, reserved_strong, role_contained};
use countersign::domain::permission::Reach::{self, All, Own, Team};
use countersign::domain::policy::{Policy, Team as Mode};
use countersign::domain::snapshot::{Entry, PrincipalKind, Resource, Scope, Window};
use countersign::domain::time::Timestamp;

use super::scenes::{AWAY, HOME, SOMEBODY, assigned, case, granted, pattern, role, role_id};
use super::worlds::Case;

const AT_HOME: Scope = Scope::Organization(HOME);

fn to_somebody(scope: Scope) -> Conferral {
    Conferral { scope, on_resource: false, stated_owner: None, in_team: false }
}

/// Whether somebody who holds this at home may confer that.
fn may(held: (&str, Reach), conferred: (&str, Reach), conferral: Conferral, mode: Mode) -> bool {
    let mut case = case(vec![], vec![granted(held.0, held.1, AT_HOME)]);
    case.source.policy = Arc::new(Policy { team: mode, ..Policy::default() });
    passes(&case, conferred, &conferral)
}

fn passes(case: &Case, (text, reach): (&str, Reach), conferral: &Conferral) -> bool {
    case.ask(|world, _| contained(world, (&pattern(text), reach), conferral, case.now).is_ok())
}

#[test]
fn the_table_says_at_which_reach_it_must_be_held() {
    let outside = to_somebody(AT_HOME);
    let inside = Conferral { in_team: true, ..outside };
    for (held, conferred, conferral, direct, chain) in [
        (All, Own, outside, true, true),
        (All, Team, outside, true, true),
        (All, All, outside, true, true),
        (Team, Own, outside, false, false),
        (Team, Own, inside, true, true),
        (Team, Team, outside, false, false),
        (Team, Team, inside, false, true),
        (Team, All, inside, false, false),
        (Own, Own, inside, false, false),
        (Own, Own, outside, false, false),
    ] {
        let may = |mode| may(("orders.*", held), ("orders.ship", conferred), conferral, mode);
        assert_eq!((may(Mode::Direct), may(Mode::Chain)), (direct, chain), "{held:?} {conferred:?} {conferral:?}");
    }
}

#[test]
fn a_pattern_is_covered_by_a_pattern_whatever_is_declared() {
    let may = |held, conferred| may((held, All), (conferred, All), to_somebody(AT_HOME), Mode::Direct);
    assert!(may("orders.*", "orders.undeclared.*"));
    assert!(may("undeclared.*", "undeclared.thing"));
    assert!(!may("orders.ship", "orders.*"));
    assert!(!may("*", "countersign.users.read"));
    assert!(may("countersign.*", "countersign.users.*"));
    assert!(may("*", "*"));
}

#[test]
fn what_is_held_in_one_organization_is_conferred_there_alone() {
    let may = |scope| may(("orders.*", All), ("orders.ship", Own), to_somebody(scope), Mode::Direct);
    assert!(may(AT_HOME));
    assert!(!may(Scope::Organization(AWAY)));
    assert!(!may(Scope::Realm));
    let realm_wide = case(vec![], vec![granted("orders.*", All, Scope::Realm)]);
    assert!(passes(&realm_wide, ("orders.ship", All), &to_somebody(Scope::Realm)));
    assert!(passes(&realm_wide, ("orders.ship", All), &to_somebody(AT_HOME)));
}

#[test]
fn only_what_confers_now_counts_for_the_actor() {
    let mut expired = granted("orders.*", All, AT_HOME);
    expired.window = Window::new(None, Some(Timestamp(100)));
    let mut bound = granted("orders.*", All, AT_HOME);
    bound.resource = Some(Box::new(Resource { kind: "vehicle".into(), id: "1".into() }));
    for entry in [expired, bound] {
        assert!(!passes(&case(vec![], vec![entry]), ("orders.ship", Own), &to_somebody(AT_HOME)));
    }
    let mut gated = case(vec![], vec![granted("orders.*", All, AT_HOME)]);
    let PrincipalKind::User(facts) = &mut gated.principal.kind else { panic!() };
    facts.password_must_change = true;
    assert!(!passes(&gated, ("orders.ship", Own), &to_somebody(AT_HOME)));
}

#[test]
fn a_service_shares_a_single_resource_for_the_owner_that_it_states() {
    let mut case = case(vec![], vec![granted("countersign.access.share", All, AT_HOME)]);
    let on_resource = Conferral { on_resource: true, stated_owner: Some(SOMEBODY), ..to_somebody(AT_HOME) };
    assert!(!passes(&case, ("orders.ship", All), &on_resource), "a user states no owners");
    case.principal.kind = PrincipalKind::ServiceAccount { organization: None, disabled: false };
    assert!(passes(&case, ("orders.ship", All), &on_resource));
    assert!(!passes(&case, ("orders.ship", All), &to_somebody(AT_HOME)));
    assert!(!passes(&case, ("orders.ship", All), &Conferral { stated_owner: None, ..on_resource }));
}

#[test]
fn a_role_is_contained_when_all_that_it_includes_is() {
    let mut conditional = role(2, &[("stock.read", All)], &[]);
    conditional.conditions.attributes = vec!["territory".into()];
    let roles = vec![role(1, &[("orders.ship", Own)], &[2]), conditional];
    let may = |held: &str| {
        let case = case(roles.clone(), vec![granted(held, All, AT_HOME)]);
        case.ask(|world, _| role_contained(world, role_id(1), &to_somebody(AT_HOME), case.now))
    };
    assert!(may("*").is_ok());
    assert_eq!(may("orders.*").unwrap_err().pattern, pattern("stock.read"));
}

#[test]
fn what_only_restricted_roles_confer_is_restricted_as_a_grant_too() {
    let mut restricted = role(1, &[("contracts.submit", All), ("stock.read", All)], &[2]);
    restricted.restricted = true;
    let mut part = role(2, &[("contracts.view", All)], &[]);
    part.assignable.organization = false;
    part.assignable.realm = false;
    let open = role(3, &[("stock.*", All)], &[]);
    let catalogue = Catalogue::compile(case(vec![restricted, part, open, role(4, &[], &[1])], vec![]).source);
    let only = |text| catalogue.only_restricted_confer([&pattern(text)]).is_some();
    assert!(only("contracts.submit") && only("contracts.*") && only("contracts.view") && only("*"));
    assert!(!only("stock.read") && !only("stock.*") && !only("orders.ship"));
    assert!(catalogue.role_is_restricted(role_id(4)) && !catalogue.role_is_restricted(role_id(2)));
    assert!(catalogue.would_cycle(role_id(2), &[role_id(4)]) && catalogue.would_cycle(role_id(3), &[role_id(3)]));
    assert!(!catalogue.would_cycle(role_id(2), &[role_id(3)]));
}

#[test]
fn reserved_permissions_beyond_one_s_own_things_are_strong() {
    let roles = vec![role(1, &[("orders.*", All)], &[2]), role(2, &[("countersign.users.suspend", Team)], &[])];
    let strong = |entry: Entry| {
        let case = case(roles.clone(), vec![entry]);
        let catalogue = Catalogue::compile(case.source.clone());
        reserved_strong(&catalogue, &case.principal, case.now).map(|it| (it.pattern.to_string(), it.reach)).next()
    };
    assert_eq!(strong(assigned(1, AT_HOME)), Some(("countersign.users.suspend".into(), Team)));
    assert_eq!(strong(granted("countersign.users.read", Own, AT_HOME)), None);
    assert_eq!(strong(granted("countersign.requests.create", All, AT_HOME)), None);
    assert_eq!(strong(granted("*", All, Scope::Realm)), None);
    let mut later = granted("countersign.*", All, Scope::Realm);
    later.window = Window::new(Some(Timestamp(200)), None);
    assert_eq!(strong(later.clone()), Some(("countersign.*".into(), All)));
    later.window = Window::new(None, Some(Timestamp(100)));
    assert_eq!(strong(later), None);
}
