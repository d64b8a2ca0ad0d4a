//! Killed at any instant of a running load: what was acknowledged is there after a restart, nothing is half there, and
//! every mail arrives, a repeat under the same name.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::crypto::random_mark;
use countersign::domain::ids::MessageId;
use countersign::domain::message::{Mail, Template};
use countersign::grpc::pb;
use countersign::store::{Location, Lock, Store};
use parking_lot::Mutex;

use crate::support::{ALLOWED, At, Binary, Caller, Reachable as _, Throwaway, ask, grants, identifiers, role, within};

/// What was acknowledged, by address.
#[derive(Default)]
struct Told {
    registered: BTreeSet<String>,
    approved: BTreeSet<String>,
    assigned: BTreeSet<String>,
}

async fn prepare(operator: &Caller) {
    let unverified =
        pb::Policy { email_verification: pb::EmailVerificationRule::Optional.into(), ..Default::default() };
    let paths = vec!["policy.email_verification".to_owned()];
    let update_mask = Some(prost_types::FieldMask { paths });
    let request = pb::UpdateRealmRequest { policy: Some(unverified), update_mask, ..Default::default() };
    operator.realms().update_realm(request).await.unwrap();
    let acme = pb::CreateOrganizationRequest {
        slug: "acme".to_owned(),
        title: "Acme".to_owned(),
        kind: "company".to_owned(),
        identifiers: identifiers(&[("domain", "acme.example")]),
        ..Default::default()
    };
    operator.organizations().create_organization(acme).await.unwrap();
    let ship = pb::DeclarePermissionRequest { name: "orders.ship".to_owned(), ..Default::default() };
    operator.roles().declare_permission(ship).await.unwrap();
    let grants = grants(pb::Reach::All, &["orders.ship"]);
    let shipper = pb::CreateRoleRequest { grants, assignable: Some(within(&[])), ..role("shipper") };
    operator.roles().create_role(shipper).await.unwrap();
}

/// Registers, approves and assigns until the server is gone.
async fn load(operator: Caller, stranger: Caller, number: Arc<AtomicUsize>, told: Arc<Mutex<Told>>) {
    loop {
        let email = format!("p{}@acme.example", number.fetch_add(1, Ordering::Relaxed));
        if stranger.register(&email, "Person", &[]).await.is_err() {
            return;
        }
        told.lock().registered.insert(email.clone());
        if operator.approve(&email).await.is_err() {
            return;
        }
        told.lock().approved.insert(email.clone());
        if operator.assign(&email, "shipper", At::Organization("acme")).await.is_err() {
            return;
        }
        told.lock().assigned.insert(email);
    }
}

async fn everybody(operator: &Caller) -> Vec<pb::User> {
    let (mut users, mut page_token) = (vec![], String::new());
    loop {
        let request = pb::ListUsersRequest { page_size: 1000, page_token, ..Default::default() };
        let page = operator.users().list_users(request).await.unwrap().into_inner();
        users.extend(page.users);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return users;
        }
    }
}

async fn approvals_in_the_log(operator: &Caller) -> BTreeSet<String> {
    let (mut found, mut page_token) = (BTreeSet::new(), String::new());
    loop {
        let action = "ApproveRegistration".to_owned();
        let request = pb::ListEventsRequest { action, page_size: 1000, page_token, ..Default::default() };
        let page = operator.audit().list_events(request).await.unwrap().into_inner();
        let approved = page.events.into_iter().filter(|event| event.event == "user.approved");
        found.extend(approved.flat_map(|event| event.targets).map(|target| target.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

/// The addresses that a mail with this subject was written to, each file once.
fn mailed(home: &Path, subject: &str) -> BTreeSet<String> {
    let letters = std::fs::read_dir(home.join("mail")).unwrap().map(|entry| entry.unwrap().path());
    let texts = letters.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
    let texts = texts.map(|path| std::fs::read_to_string(path).unwrap()).filter(|text| text.contains(subject));
    let to = |text: String| text.lines().find_map(|line| line.strip_prefix("To: ").map(str::to_owned)).unwrap();
    texts.map(to).collect()
}

async fn nothing_is_lost_or_half_there(operator: &Caller, told: &Told, home: &Path) {
    let users = everybody(operator).await;
    let known: BTreeSet<_> = users.iter().map(|user| user.email.clone()).collect();
    assert!(told.registered.is_subset(&known), "an acknowledged registration is gone");
    let audited = approvals_in_the_log(operator).await;
    for user in &users {
        let [membership] = user.memberships.as_slice() else { panic!("{}: not one membership", user.email) };
        let approved = user.approval.as_ref().unwrap().state() == pb::ApprovalState::Approved;
        assert_eq!(membership.state() == pb::MembershipState::Active, approved, "{}: half approved", user.email);
        assert_eq!(audited.contains(&user.id), approved, "{}: the log tells another story", user.email);
        assert!(approved || !told.approved.contains(&user.email), "{}: the approval is gone", user.email);
    }
    for email in &told.assigned {
        assert_eq!(operator.check(ask(email, "orders.ship")).await.unwrap(), ALLOWED, "{email}: the role is gone");
    }
    let arrived = async {
        while !known.is_subset(&mailed(home, "Verify your e-mail address")) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(75), arrived).await.unwrap();
}

async fn killed(rounds: u64, database: Option<&Throwaway>) {
    let home = tempfile::tempdir().unwrap();
    let (number, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Told::default())));
    for round in 0..rounds {
        let binary = Binary::spawn(home.path(), database).await;
        if round == 0 {
            prepare(&binary.as_operator()).await;
        }
        let acknowledged = || match round % 2 {
            0 => told.lock().registered.len(),
            _ => told.lock().assigned.len(),
        };
        let before = acknowledged();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (operator, stranger) = (binary.as_operator(), binary.anonymous());
                tokio::spawn(load(operator, stranger, Arc::clone(&number), Arc::clone(&told)))
            })
            .collect();
        // However slow the machine is, something was acknowledged.
        let under_load = async {
            while acknowledged() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), under_load).await.unwrap();
        // Any instant will do; these are the same in every run.
        tokio::time::sleep(Duration::from_millis(round * 7919 % 260)).await;
        binary.kill();
        for client in clients {
            client.await.unwrap();
        }
    }
    let binary = Binary::spawn(home.path(), database).await;
    let told = std::mem::take(&mut *told.lock());
    assert!(told.assigned.len() > 10, "the load did not run: {} of {}", told.assigned.len(), told.registered.len());
    nothing_is_lost_or_half_there(&binary.as_operator(), &told, home.path()).await;
    assert!(binary.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_thirty_instants_loses_nothing_it_acknowledged_on_sqlite() {
    killed(30, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_thirty_instants_loses_nothing_it_acknowledged_on_postgres() {
    let database = Throwaway::migrated().await;
    killed(30, Some(&database)).await;
}

/// Claims a mail as a process does that is killed before it delivers it.
async fn claim_and_die(home: &Path) {
    let store = Store::open(Location::Sqlite(&home.join("countersign.db")), 1).await.unwrap();
    let realm = store.realm_named("default").await.unwrap().unwrap().id;
    let now = Clock::default().now();
    let to = "ann@acme.example".to_owned();
    let parameters = ["name", "email", "reason"].map(|name| (name.to_owned(), String::new())).into();
    let mail = Mail { template: Template::Suspended, to, user: None, code: None, parameters };
    let tx = store.begin(realm, Lock::Nothing).await.unwrap();
    tx.rows().enqueue(&[(MessageId(uuid::Uuid::new_v4()), mail)], now).await.unwrap();
    tx.commit(vec![], random_mark(), now).await.unwrap();
    assert_eq!(store.claim_mails(now, Duration::from_secs(60), 10).await.unwrap().len(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_was_about_to_send_is_sent_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    Binary::spawn(home.path(), None).await.kill();
    claim_and_die(home.path()).await;
    let binary = Binary::spawn(home.path(), None).await;
    let arrived = async {
        while mailed(home.path(), "Your account was suspended").is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // A claim holds for a minute.
    tokio::time::timeout(Duration::from_secs(30), arrived).await.unwrap();
    assert!(binary.terminate());
}
