//! How long a decision takes: the evaluator alone, over a realm of 10,000 permissions with wildcard roles three levels
//! deep, for principals of 5, 10 and 1,000 entries.
//!
//! Run with `cargo bench --bench decide`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that can't be set up ends, and reports")]

use std::hint::black_box;
use std::sync::Arc;

use countersign::domain::account::{AccountFacts, ApprovalState};
use countersign::domain::catalogue::{Assignable, Catalogue, CatalogueSource, Conditions, Permission, Role};
use countersign::domain::containment::{Conferral, role_contained};
use countersign::domain::decision::{CompiledPrincipal, Decision, Gathered, Question, World, decide};
use countersign::domain::explain::explain;
use countersign::domain::ids::{EntryId, OrganizationId, PrincipalId, RealmId, Revision, RoleId};
use countersign::domain::permission::{Pattern, PermissionName, Reach};
use countersign::domain::policy::Policy;
use countersign::domain::snapshot::{
    Confers, Entry, Membership, MembershipState, Organization, Principal, PrincipalKind, Scope, Window,
};
use countersign::domain::time::Timestamp;
use criterion::{Criterion, criterion_group, criterion_main};
use uuid::Uuid;

/// Conferred roles; each includes two of the next level, and those two of the last.
const ROLES: u128 = 999;
const NOW: Timestamp = Timestamp(1_000_000);
const HOME: OrganizationId = OrganizationId(Uuid::from_u128(u128::MAX));

/// The sections `section-0` to `section-8` are conferred, `section-9` by nobody.
fn catalogue() -> Catalogue {
    let names = (0..10_000)
        .map(|n| format!("section-{}.part-{}.thing-{}.act-{}", n / 1_000, n / 100 % 10, n / 10 % 10, n % 10));
    let permission = |name: String| Permission {
        name: PermissionName::parse(&name).unwrap(),
        title: name,
        section: String::new(),
        protected: false,
        retired: false,
    };
    Catalogue::compile(CatalogueSource {
        realm: RealmId(Uuid::from_u128(1)),
        realm_name: "bench".into(),
        suspended: false,
        as_of: Revision(1),
        policy: Arc::new(Policy::default()),
        permissions: names.map(permission).collect(),
        roles: (0..3).flat_map(|level| (0..ROLES).map(move |n| role(level, n))).collect(),
        exclusions: vec![],
    })
}

fn role(level: u128, n: u128) -> Role {
    let (section, part, thing) = (n % 9, n / 9 % 10, n / 90 % 10);
    let pattern = match level {
        0 => format!("section-{section}.part-{part}.thing-{thing}.act-{}", n % 10),
        1 => format!("section-{section}.part-{part}.thing-{thing}.*"),
        _ => format!("section-{section}.part-{part}.*"),
    };
    let includes = |step: u128| role_id(level + 1, (n + step) % ROLES);
    Role {
        description: String::new(),
        id: role_id(level, n),
        name: format!("role-{level}-{n}"),
        title: String::new(),
        grants: vec![(Pattern::parse(&pattern).unwrap(), if n.is_multiple_of(3) { Reach::Own } else { Reach::All })],
        includes: if level < 2 { vec![includes(0), includes(7)] } else { vec![] },
        assignable: Assignable { organization: true, realm: true, ..Assignable::default() },
        restricted: false,
        resource_type: None,
        may_assign: vec![],
        conditions: Conditions::default(),
        topics: vec![],
    }
}

fn role_id(level: u128, n: u128) -> RoleId {
    RoleId(Uuid::from_u128((level + 1) * 1_000_000 + n))
}

/// Half of the entries at home or realm-wide, the rest spread over other organizations, nine in each. What is
/// realm-wide opens the sections 0, 5 and 7 alone...
fn principal(entries: u128) -> Arc<Principal> {
    let place = |n: u128| match n % 4 {
        0 => Scope::Realm,
        1 => Scope::Organization(HOME),
        _ => Scope::Organization(OrganizationId(Uuid::from_u128(1 + n / 18))),
    };
    let entry = |n: u128| Entry {
        id: EntryId(Uuid::from_u128(n + 1)),
        confers: Confers::Role(role_id(0, if n.is_multiple_of(4) { n * 9 % ROLES } else { n % ROLES })),
        scope: place(n),
        resource: None,
        window: Window::ALWAYS,
    };
    let entries: Vec<_> = (0..entries).map(entry).collect();
    let mut organizations: Vec<_> = entries.iter().filter_map(|entry| entry.scope.organization()).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let membership = |organization| Membership {
        organization,
        kind: "company".into(),
        state: MembershipState::Active,
        attributes: [].into(),
    };
    let facts = AccountFacts {
        approval: ApprovalState::Approved,
        holds: vec![],
        email_verified: true,
        deleted: false,
        valid_from: None,
        valid_until: None,
        password_must_change: false,
    };
    Arc::new(Principal {
        id: PrincipalId(Uuid::from_u128(9)),
        realm: RealmId(Uuid::from_u128(1)),
        as_of: Revision(1),
        kind: PrincipalKind::User(facts),
        memberships: organizations.into_iter().map(membership).collect(),
        manager: None,
        entries,
        session_epoch: 0,
        ended_sessions: vec![],
    })
}

fn home() -> Gathered {
    let organization = Organization {
        id: HOME,
        realm: RealmId(Uuid::from_u128(1)),
        as_of: Revision(1),
        kind: "company".into(),
        suspended: false,
        entitlements: vec![],
    };
    Gathered { id: HOME, organization: Some(Arc::new(organization)) }
}

fn bench(criterion: &mut Criterion) {
    let catalogue = catalogue();
    let organizations = [home()];
    for entries in [5, 10, 1_000] {
        let subject = CompiledPrincipal::compile(principal(entries), &catalogue);
        println!("{entries} entries: {} bytes", subject.weight());
        let world = World {
            catalogue: &catalogue,
            subject: &subject,
            organizations: &organizations,
            owner_managers: Some(&[]),
        };
        let question = |name| Question {
            permission: catalogue.permission_id(name).unwrap(),
            organization: Some(HOME),
            owner: None,
            resource: None,
        };
        // Conferred at home by the role that the second entry's role includes over another.
        let allowed = question("section-8.part-0.thing-9.act-9");
        let denied = question("section-9.part-0.thing-9.act-9");
        assert_eq!(decide(&world, &denied, NOW), Decision::Denied);
        assert_eq!(decide(&world, &allowed, NOW), Decision::Allowed);
        assert_eq!(decide(&world, &Question { organization: None, ..allowed }, NOW), Decision::Denied);
        let mut time = |name: &str, question: Question<'static>| {
            criterion.bench_function(&format!("decide/{name}/{entries}"), |bencher| {
                bencher.iter(|| decide(black_box(&world), black_box(&question), black_box(NOW)));
            });
        };
        time("allowed", allowed);
        time("denied", denied);
        criterion.bench_function(&format!("explain/denied/{entries}"), |bencher| {
            bencher.iter(|| explain(black_box(&world), black_box(&denied), NOW));
        });
        let elsewhere = Question { organization: None, ..allowed };
        criterion.bench_function(&format!("explain/near/{entries}"), |bencher| {
            bencher.iter(|| explain(black_box(&world), black_box(&elsewhere), NOW));
        });
        let conferral =
            Conferral { scope: Scope::Organization(HOME), on_resource: false, stated_owner: None, in_team: false };
        criterion.bench_function(&format!("role_contained/{entries}"), |bencher| {
            bencher.iter(|| role_contained(black_box(&world), role_id(0, 1), &conferral, NOW));
        });
        let snapshot = principal(entries);
        criterion.bench_function(&format!("compile/{entries}"), |bencher| {
            bencher.iter(|| CompiledPrincipal::compile(black_box(&snapshot).clone(), &catalogue));
        });
    }
}

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("catalogue");
    group.sample_size(10).bench_function("compile", |bencher| bencher.iter(catalogue));
}

criterion_group!(benches, bench, compile);
criterion_main!(benches);
