//! What an explanation says, case by case; and decisions that no random world makes.

use countersign::domain::account::{Gate, HoldCause};
use countersign::domain::catalogue::{Catalogue, Conditions};
use countersign::domain::decision::{CompiledPrincipal, Decision, Needs, Question, World, decide};
use countersign::domain::explain::{Explanation, MissKind, Missing, explain, needs};
use countersign::domain::permission::{Reach, reserved};
use countersign::domain::policy::OrganizationsPerUser;
use countersign::domain::snapshot::{PrincipalKind, Resource, Scope, Window};
use countersign::domain::time::Timestamp;

use super::scenes::{AWAY, HOME, SOMEBODY, SUBJECT, assigned, case, granted, role, role_id, subject_as_manager};
use super::worlds::Case;

const AT_HOME: Scope = Scope::Organization(HOME);

fn explained(case: &Case) -> Explanation {
    case.ask(|world, question| explain(world, question, case.now))
}

fn nearest(case: &Case) -> MissKind {
    match explained(case) {
        Explanation::Misses { near, .. } => near.into_iter().next().unwrap().kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_chain_names_every_role_on_the_way() {
    let roles = vec![role(1, &[], &[2]), role(2, &[], &[3]), role(3, &[("orders.*", Reach::All)], &[])];
    let Explanation::Allowed(chain) = explained(&case(roles, vec![assigned(1, AT_HOME)])) else { panic!() };
    assert_eq!(chain.path, [role_id(1), role_id(2), role_id(3)]);
    assert_eq!((chain.pattern.as_str(), chain.reach), ("orders.*", Reach::All));
}

#[test]
fn each_miss_has_its_name() {
    let grant = |scope| granted("orders.ship", Reach::All, scope);
    assert_eq!(nearest(&case(vec![], vec![granted("stock.*", Reach::All, AT_HOME)])), MissKind::NoSuchEntry);
    assert_eq!(nearest(&case(vec![], vec![assigned(9, AT_HOME)])), MissKind::NoSuchEntry);
    assert_eq!(nearest(&case(vec![], vec![grant(Scope::Organization(AWAY))])), MissKind::WrongOrganization);
    assert_eq!(nearest(&case(vec![], vec![granted("orders.ship", Reach::Own, AT_HOME)])), MissKind::OutOfReach);

    let mut bound = grant(AT_HOME);
    bound.resource = Some(Box::new(Resource { kind: "vehicle".into(), id: "1".into() }));
    assert_eq!(nearest(&case(vec![], vec![bound])), MissKind::OtherResource);

    let mut timed = grant(AT_HOME);
    timed.window = Window::new(Some(Timestamp(101)), None);
    assert_eq!(nearest(&case(vec![], vec![timed.clone()])), MissKind::NotYet(Timestamp(101)));
    timed.window = Window::new(None, Some(Timestamp(100)));
    assert_eq!(nearest(&case(vec![], vec![timed])), MissKind::Expired(Timestamp(100)));

    let mut suspended = case(vec![], vec![grant(AT_HOME)]);
    suspended.organizations[0].suspended = true;
    assert_eq!(nearest(&suspended), MissKind::OrganizationSuspended);
}

/// Whom a thing belongs to is looked at whatever else keeps the entry from opening it.
#[test]
fn a_miss_at_team_is_what_it_is_about_and_not_the_reach() {
    let in_the_team = |case: Case| Case { owner: Some(SOMEBODY), managers: subject_as_manager(), ..case };
    let granted_at_team = || granted("orders.ship", Reach::Team, AT_HOME);
    let mut waits = role(1, &[("orders.ship", Reach::Team)], &[]);
    waits.conditions = Conditions { any_entitlement: vec!["shipping".into()], ..Conditions::default() };
    let lacking = in_the_team(case(vec![waits], vec![assigned(1, AT_HOME)]));
    let (mut early, mut late) = (granted_at_team(), granted_at_team());
    early.window = Window::new(Some(Timestamp(101)), None);
    late.window = Window::new(None, Some(Timestamp(100)));
    let mut suspended = in_the_team(case(vec![], vec![granted_at_team()]));
    suspended.organizations[0].suspended = true;
    for (case, miss) in [
        (lacking, MissKind::NotConferred(vec![Missing::Entitlement(vec!["shipping".into()])])),
        (in_the_team(case(vec![], vec![early])), MissKind::NotYet(Timestamp(101))),
        (in_the_team(case(vec![], vec![late])), MissKind::Expired(Timestamp(100))),
        (suspended, MissKind::OrganizationSuspended),
    ] {
        let asked = case.ask(|world, question| {
            let blind = World { owner_managers: None, ..*world };
            (decide(&blind, question, case.now), needs(&blind, question))
        });
        assert_eq!(asked, (Decision::Denied, Some(Needs::OwnerManagers)), "what the decision did not need");
        assert_eq!(nearest(&case), miss);
    }
}

#[test]
fn the_nearest_miss_comes_first() {
    let mut expired = granted("orders.ship", Reach::All, AT_HOME);
    expired.window = Window::new(None, Some(Timestamp(1)));
    let far = granted("orders.ship", Reach::All, Scope::Organization(AWAY));
    let near = granted("orders.*", Reach::Own, AT_HOME);
    let Explanation::Misses { near: misses, .. } = explained(&case(vec![], vec![far, expired, near])) else { panic!() };
    let kinds: Vec<_> = misses.into_iter().map(|miss| miss.kind).collect();
    assert_eq!(kinds, [MissKind::Expired(Timestamp(1)), MissKind::OutOfReach, MissKind::WrongOrganization]);
}

#[test]
fn a_condition_names_what_is_missing_along_the_path() {
    let mut outer = role(1, &[], &[2]);
    outer.conditions = Conditions { roles: vec![role_id(3)], ..Conditions::default() };
    let mut inner = role(2, &[("orders.ship", Reach::All)], &[]);
    inner.conditions = Conditions {
        any_entitlement: vec!["shipping".into()],
        attributes: vec!["territory".into()],
        ..Conditions::default()
    };
    let missing = [
        Missing::Role(role_id(3)),
        Missing::Entitlement(vec!["shipping".into()]),
        Missing::Attribute("territory".into()),
    ];
    let mut lacking = case(vec![outer, inner, role(3, &[], &[])], vec![assigned(1, AT_HOME)]);
    assert_eq!(nearest(&lacking), MissKind::NotConferred(missing.into()));

    lacking.principal.entries.push(assigned(3, Scope::Realm));
    lacking.organizations[0].entitlements.push("shipping".into());
    lacking.principal.memberships[0].attributes.insert("territory".into(), "west".into());
    assert!(lacking.is_allowed());
}

#[test]
fn a_role_for_another_kind_confers_nothing_realm_wide_nor_there() {
    let mut partners = role(1, &[("orders.ship", Reach::All)], &[]);
    partners.assignable.kinds = vec!["partner".into()];
    for scope in [Scope::Realm, AT_HOME] {
        let mut case = case(vec![partners.clone()], vec![assigned(1, scope)]);
        assert_eq!(nearest(&case), MissKind::NotConferred(vec![Missing::Kind(vec!["partner".into()])]));
        case.principal.memberships[0].kind = "partner".into();
        case.organizations[0].kind = "partner".into();
        assert!(case.is_allowed());
    }
}

#[test]
fn a_gate_comes_before_everything_else_and_all_of_them_are_named() {
    let mut gated = case(vec![], vec![granted("orders.ship", Reach::All, AT_HOME)]);
    let PrincipalKind::User(facts) = &mut gated.principal.kind else { panic!() };
    facts.holds = vec![HoldCause::Blocked];
    facts.email_verified = false;
    assert_eq!(explained(&gated), Explanation::Gates(vec![Gate::Blocked, Gate::EmailNotVerified]));
}

#[test]
fn an_unknown_organization_and_a_retired_name_are_answers() {
    let mut case = case(vec![], vec![granted("*", Reach::All, Scope::Realm)]);
    assert!(case.is_allowed());
    case.organizations.remove(0);
    assert_eq!(explained(&case), Explanation::OrganizationUnknown);
    case.organization = None;
    case.source.permissions[0].retired = true;
    assert_eq!(explained(&case), Explanation::PermissionRetired);
}

#[test]
fn a_team_is_reached_and_never_oneself() {
    let mut case = case(vec![], vec![granted("orders.ship", Reach::Team, AT_HOME)]);
    case.owner = Some(SOMEBODY);
    case.managers = subject_as_manager();
    assert!(case.is_allowed());
    case.owner = Some(SUBJECT);
    assert_eq!(nearest(&case), MissKind::OutOfReach);
}

#[test]
fn a_user_s_own_organization_is_asked_about_where_there_can_be_one_only() {
    let mut case = case(vec![], vec![]);
    let asked = |case: &Case| case.compiled().0.effective_organization(&case.principal, None);
    assert_eq!(asked(&case), Some(HOME));
    case.source.policy = std::sync::Arc::new(countersign::domain::policy::Policy {
        organizations_per_user: OrganizationsPerUser::Many,
        ..(*case.source.policy).clone()
    });
    assert_eq!(asked(&case), None);
}

#[test]
fn a_platform_operator_holds_everything_reserved_and_nothing_else_even_in_a_suspended_realm() {
    let mut case = case(vec![], vec![]);
    case.source.suspended = true;
    let catalogue = Catalogue::compile(case.source.clone());
    let subject = CompiledPrincipal::platform_operator(SUBJECT, case.source.realm, &catalogue);
    let world = World { catalogue: &catalogue, subject: &subject, organizations: &[], owner_managers: None };
    for (permission, row) in catalogue.permissions() {
        let question = Question { permission, organization: None, owner: None, resource: None };
        let decision = decide(&world, &question, case.now);
        assert_eq!(decision == Decision::Allowed, row.name.is_reserved(), "{}", row.name);
        assert_eq!(explain(&world, &question, case.now).decision(), decision, "{}", row.name);
    }
}

#[test]
fn a_realm_declares_what_is_reserved_and_hints_at_what_was_meant() {
    let catalogue = case(vec![], vec![]).compiled().0;
    for row in reserved::RESERVED.iter().chain(reserved::PLATFORM) {
        let id = catalogue.permission_id(row.name).unwrap();
        assert_eq!(catalogue.permission(id).unwrap().name.as_str(), row.name);
    }
    assert_eq!(catalogue.permission_id("orders.shipp"), None);
    assert_eq!(catalogue.closest("orders.shipp").map(|name| name.as_str()), Some("orders.ship"));
    assert_eq!(catalogue.closest("entirely.different.thing"), None);
}

#[test]
fn a_principal_of_five_entries_takes_less_than_a_kibibyte() {
    let roles = (1..=5).map(|n| role(n, &[("orders.*", Reach::All)], &[])).collect();
    let mut case = case(roles, (1..=5).map(|n| assigned(n, AT_HOME)).collect());
    case.principal.memberships.truncate(1);
    case.principal.memberships.shrink_to_fit();
    case.principal.entries.truncate(4);
    case.principal.entries.push(assigned(5, Scope::Realm));
    case.principal.entries.shrink_to_fit();
    let weight = case.compiled().1.weight();
    assert!(weight <= 1_024, "{weight} bytes");
}
