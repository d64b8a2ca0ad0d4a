//! The laws, each over random worlds.

use std::sync::Arc;

use countersign::domain::containment::holds_pattern;
use countersign::domain::decision::{Decision, Needs, World, decide, try_decide};
use countersign::domain::explain::{Chain, Explanation, explain};
use countersign::domain::ids::OrganizationId;
use countersign::domain::permission::{Pattern, PermissionName, Reach};
use countersign::domain::policy::Policy;
use countersign::domain::snapshot::{Confers, Scope};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::naive;
use super::worlds::{Case, cases, entry, fresh_entry_id, role_of};

fn name() -> impl Strategy<Value = String> {
    "[a-c_-]{1,3}(\\.[a-c0-9_-]{1,3}){0,7}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_is_that_of_the_naive_evaluator(case in cases()) {
        prop_assert_eq!(case.is_allowed(), naive::allowed(&case));
    }

    #[test]
    fn gathering_only_what_is_needed_gives_the_same_decision(case in cases()) {
        let (catalogue, subject) = case.compiled();
        let question = case.question(&catalogue);
        let (mut organizations, mut owner_managers) = (vec![], None);
        let gathered_bit_by_bit = (0..8).find_map(|_| {
            let world = World { catalogue: &catalogue, subject: &subject, organizations: &organizations, owner_managers };
            match try_decide(&world, &question, case.now) {
                Ok(decision) => return Some(decision),
                Err(Needs::Organizations(ids)) => organizations.extend(ids.into_iter().map(|id| case.gather(id))),
                Err(Needs::OwnerManagers) => owner_managers = Some(&*case.managers),
            }
            None
        });
        prop_assert_eq!(gathered_bit_by_bit.map(Decision::is_allowed), Some(case.is_allowed()));
    }

    #[test]
    fn an_entry_more_never_takes_a_permission_away(case in cases(), more in entry()) {
        let mut richer = case.clone();
        richer.principal.entries.push(more);
        prop_assert!(richer.is_allowed() || !case.is_allowed());
    }

    #[test]
    fn an_explanation_agrees_with_the_decision(case in cases()) {
        let explanation = case.ask(|world, question| explain(world, question, case.now));
        prop_assert_eq!(explanation.decision().is_allowed(), case.is_allowed());
        match explanation {
            Explanation::Allowed(chain) => prop_assert!(chain_holds(&case, &chain), "{:?}", chain),
            Explanation::Gates(gates) => prop_assert!(!gates.is_empty()),
            Explanation::OrganizationUnknown | Explanation::PermissionRetired => {}
            Explanation::Misses { near, .. } => prop_assert!(!near.is_empty()),
        }
    }

    #[test]
    fn suspending_an_organization_leaves_what_is_realm_wide(mut case in cases()) {
        case.source.policy = Arc::new(Policy { basic_permission: None, ..(*case.source.policy).clone() });
        let suspend = |case: &Case| {
            let mut suspended = case.clone();
            suspended.organizations.iter_mut().for_each(|it| it.suspended = true);
            suspended
        };
        let mut realm_wide = case.clone();
        realm_wide.principal.entries.retain(|entry| entry.scope == Scope::Realm);
        prop_assert_eq!(realm_wide.is_allowed(), suspend(&realm_wide).is_allowed());
        prop_assert!(!suspend(&case).is_allowed() || case.is_allowed());
    }

    #[test]
    fn who_holds_a_pattern_is_allowed_whatever_it_covers(
        case in cases(),
        pattern in prop::sample::select(vec!["a.*", "a.b.*", "a.x", "b.*", "*", "countersign.users.*"]),
    ) {
        let pattern = Pattern::parse(pattern).unwrap();
        let allowed = case.ask(|world, question| {
            let scope = case.organization.map_or(Scope::Realm, Scope::Organization);
            if !holds_pattern(world, &pattern, Reach::All.into(), scope, case.now) {
                return true;
            }
            let live = world.catalogue.covered(&pattern).filter(|id| !world.catalogue.permission(*id).unwrap().retired);
            live.into_iter().all(|permission| {
                decide(world, &countersign::domain::decision::Question { permission, ..*question }, case.now).is_allowed()
            })
        });
        prop_assert!(allowed);
    }

    #[test]
    fn names_and_patterns_print_as_they_parse(text in name(), below in any::<bool>()) {
        prop_assert_eq!(PermissionName::parse(&text).unwrap().to_string(), text.clone());
        let text = if below { format!("{text}.*") } else { text };
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text);
        } else {
            prop_assert!(text.split('.').count() > 8);
        }
    }

    #[test]
    fn a_pattern_covers_by_segments(pattern in name(), name in name(), below in any::<bool>()) {
        let text = if below { format!("{pattern}.*") } else { pattern };
        if let Ok(pattern) = Pattern::parse(&text) {
            let name = PermissionName::parse(&name).unwrap();
            prop_assert_eq!(pattern.covers(&name), naive::covers(&text, name.as_str()));
        }
    }
}

/// The chain is one of the case's, and its entry alone opens what is asked.
fn chain_holds(case: &Case, chain: &Chain) -> bool {
    let Some(entry) = case.principal.entries.iter().find(|entry| entry.id == chain.entry) else { return false };
    let written = match (&entry.confers, chain.path.last()) {
        (Confers::Grant { pattern, reach }, None) => (pattern, *reach) == (&chain.pattern, chain.reach),
        (Confers::Role(first), Some(last)) => {
            let included =
                chain.path.windows(2).all(|pair| role_of(case, pair[0]).unwrap().includes.contains(&pair[1]));
            let last = role_of(case, *last).unwrap();
            *first == chain.path[0] && included && last.grants.contains(&(chain.pattern.clone(), chain.reach))
        }
        _ => false,
    };
    written
        && naive::covers(chain.pattern.as_str(), &case.permission)
        && naive::entry_opens(case, entry)
        && entry_alone(case, chain).is_allowed()
}

/// The case as a grant of the chain's pattern would have it: nothing else held, no role involved.
fn entry_alone(case: &Case, chain: &Chain) -> Case {
    let mut alone = case.clone();
    alone.source.policy = Arc::new(Policy { basic_permission: None, ..(*case.source.policy).clone() });
    alone.principal.entries.retain(|entry| entry.id == chain.entry);
    for entry in &mut alone.principal.entries {
        entry.id = fresh_entry_id();
        entry.confers = Confers::Grant { pattern: chain.pattern.clone(), reach: chain.reach };
    }
    alone
}

#[test]
fn the_worlds_are_neither_mostly_open_nor_mostly_closed() {
    let mut runner = TestRunner::deterministic();
    let cases: Vec<_> = (0..2_000).map(|_| cases().new_tree(&mut runner).unwrap().current()).collect();
    let allowed = cases.iter().filter(|case| naive::allowed(case)).count();
    assert!((600..=1_200).contains(&allowed), "{allowed} of 2000 allowed");
    let only_scoped = |case: &&Case| case.principal.entries.iter().any(|entry| naive::entry_opens(case, entry));
    let gated = cases.iter().filter(only_scoped).count() - allowed;
    assert!(gated > 50, "{gated} of 2000 denied by a gate or a name alone");
    let unknown = |case: &&Case| case.organization.is_some_and(|id: OrganizationId| id.0.as_u128() == 4);
    assert!(cases.iter().filter(unknown).count() > 50);
}
