//! Long reads beside writes: a batch and a list are answered at one revision, and nobody's unrelated writes starve them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::crypto::random_mark;
use countersign::domain::account::{Approval, ApprovalState, User, Verified, VerifiedHow};
use countersign::domain::change::Key;
use countersign::domain::entry::{EntryRow, Origin};
use countersign::domain::ids::{EntryId, OrganizationId, UserId};
use countersign::domain::organization::Member;
use countersign::domain::snapshot::{Confers, Entry, MembershipState, Scope, Window};
use countersign::grpc::pb;
use countersign::store::{Lock, NewUser};
use tokio::task::JoinHandle;

use super::{SHIP, Yard, service};
use crate::support::{At, TestApp, both_backends};

/// People of one company, who may ship.
const PEOPLE: usize = 1_000;

/// Makes the people; nobody's cache knows of them. Answers their ids.
async fn crowd(app: &TestApp, yard: &Yard) -> Vec<UserId> {
    let request = pb::CreateOrganizationRequest { slug: "crowd".into(), title: "Crowd".into(), ..Default::default() };
    let organization = OrganizationId(yard.portal.organization(request).await.parse().unwrap());
    let (store, clock) = (app.inner().app.store(), app.clock());
    let realm = store.realm_named("yard").await.unwrap().unwrap().id;
    let tx = store.begin(realm, Lock::Realm).await.unwrap();
    let (rows, now) = (tx.rows(), clock.now());
    let ships = rows.roles().await.unwrap().iter().find(|role| role.name == "ships").unwrap().id;
    let mut people = vec![];
    for n in 0..PEOPLE {
        let email = format!("person-{n}@crowd.example");
        let user = User {
            id: UserId(clock.new_id()),
            identity: email.clone(),
            email,
            display_name: format!("Person {n}"),
            approval: Approval::decided(ApprovalState::Approved, now, None, None),
            holds: vec![],
            verified: Some(Verified { at: now, how: VerifiedHow::Link }),
            deleted_at: None,
            deleted_by: None,
            valid_from: None,
            valid_until: None,
            password_set: false,
            password_must_change: false,
            session_epoch: 0,
            registrations: 1,
            manager: None,
            version: 1,
            created_at: now,
            last_sign_in_at: None,
        };
        rows.insert_user(NewUser { user: &user, password_hash: None }).await.unwrap();
        let (state, attributes) = (MembershipState::Active, BTreeMap::new());
        let (decided_at, decided_by, created_at) = (Some(now), None, now);
        let member = Member { user: user.id, organization, state, attributes, created_at, decided_at, decided_by };
        rows.save_membership(&member).await.unwrap();
        let (confers, scope) = (Confers::Role(ships), Scope::Realm);
        let id = EntryId(clock.new_id());
        let entry = Entry { id, confers, scope, resource: None, window: Window::ALWAYS };
        let (principal, origin) = (user.id.into(), Origin::Actor);
        let row = EntryRow { entry, principal, origin, assigned_by: None, assigned_at: now };
        rows.insert_entry(&row).await.unwrap();
        people.push(user.id);
    }
    let committed = tx.commit(vec![Key::Catalogue], random_mark(), now).await.unwrap();
    app.inner().app.snapshots().committed(&committed).await;
    people
}

/// Somebody whose role comes and goes, one change after the other, for as long as it is wanted.
struct Writes {
    made: Arc<AtomicUsize>,
    writer: JoinHandle<()>,
}

impl Writes {
    async fn begin(yard: &Yard) -> Self {
        service(&yard.portal.operator, "busy").await;
        let (operator, made) = (yard.portal.operator.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&made);
        let writer = tokio::spawn(async move {
            loop {
                operator.assign("busy", "ships", At::Realm).await.unwrap();
                operator.revoke("busy", "ships", At::Realm).await.unwrap();
                count.fetch_add(2, Ordering::Relaxed);
            }
        });
        Self { made, writer }
    }

    /// Ends them. Answers how many were made.
    fn end(self) -> usize {
        self.writer.abort();
        self.made.load(Ordering::Relaxed)
    }
}

async fn batch(yard: &Yard, subjects: impl IntoIterator<Item = String>) -> pb::BatchCheckPermissionsResponse {
    use pb::batch_check_item::Subject;
    let item = |subject| pb::BatchCheckItem {
        subject: Some(Subject::Principal(subject)),
        permission: SHIP.to_owned(),
        ..Default::default()
    };
    let items = subjects.into_iter().map(item).collect();
    let request = pb::BatchCheckPermissionsRequest { items, ..Default::default() };
    yard.till.authorization().batch_check_permissions(request).await.unwrap().into_inner()
}

fn all_allowed(answer: &pb::BatchCheckPermissionsResponse) -> bool {
    use pb::batch_check_result::Outcome;
    let allowed =
        |result: &pb::BatchCheckResult| result.outcome == Some(Outcome::Decision(pb::Decision::Allowed.into()));
    answer.results.len() == PEOPLE && answer.results.iter().all(allowed)
}

fn loads(app: &TestApp) -> u64 {
    app.inner().app.snapshots().hits_and_loads().1
}

both_backends!(a_batch_of_a_thousand_strangers_is_answered_at_once_beside_steady_writes, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    let people = crowd(app, &yard).await;
    let writes = Writes::begin(&yard).await;
    let before = loads(app);
    let answer = batch(&yard, people.iter().map(ToString::to_string)).await;
    assert!(all_allowed(&answer), "by id: {:?}", answer.results.iter().find(|it| it.outcome.is_none()));
    assert!(loads(app) - before < PEOPLE as u64 + 200, "what was loaded once is not loaded again");
    for _ in 0..3 {
        let answer = batch(&yard, (0..PEOPLE).map(|n| format!("person-{n}@crowd.example"))).await;
        assert!(all_allowed(&answer), "by address");
    }
    assert!(writes.end() > 0, "nobody wrote");
});

both_backends!(a_list_of_a_thousand_principals_is_answered_beside_steady_writes, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    let lists = pb::CreateRoleRequest {
        grants: crate::support::grants(pb::Reach::All, &["countersign.access.list"]),
        assignable: Some(crate::support::everywhere(&[])),
        ..crate::support::role("lists")
    };
    yard.portal.define([lists]).await;
    yard.portal.operator.assign("till", "lists", At::Realm).await.unwrap();
    let people = crowd(app, &yard).await;
    let writes = Writes::begin(&yard).await;
    for _ in 0..3 {
        let (mut found, mut page_token) = (vec![], String::new());
        loop {
            let request = pb::ListPrincipalsWithPermissionRequest {
                permission: SHIP.to_owned(),
                page_size: 1_000,
                page_token: page_token.clone(),
                ..Default::default()
            };
            let page = yard.till.authorization().list_principals_with_permission(request).await.unwrap().into_inner();
            found.extend(page.principals.into_iter().map(|principal| principal.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert!(people.iter().all(|person| found.contains(&person.to_string())), "{} found", found.len());
    }
    assert!(writes.end() > 0, "nobody wrote");
});
