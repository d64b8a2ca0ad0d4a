//! The mail relay over a real record: once, again after a crash, again after a failure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::app::{App, Parts, Rates};
use countersign::cache::Options;
use countersign::crypto::code::{Binding, PresentedCode, Purpose};
use countersign::crypto::hash_pool::Limits;
use countersign::crypto::password::Hasher;
use countersign::crypto::random_mark;
use countersign::crypto::root_key::{RootKey, RootKeys};
use countersign::domain::account::{Approval, User};
use countersign::domain::ids::{CodeId, MessageId, RealmId, UserId};
use countersign::domain::message::{Mail, Template};
use countersign::domain::origin::AllowedOrigin;
use countersign::domain::policy::Policy;
use countersign::domain::realm::Realm;
use countersign::domain::time::Timestamp;
use countersign::mail::{Mailer, Transport};
use countersign::store::{CodeRow, Location, Lock, NewUser, Store};
use countersign::tasks::{Tasks, spawn_all};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod smtp;

const REALM: RealmId = RealmId(Uuid::from_u128(1));
const USER: UserId = UserId(Uuid::from_u128(2));

fn keys() -> RootKeys {
    RootKeys::new(&RootKey::from_bytes([7; 32]), None)
}

fn ann(now: Timestamp) -> User {
    User {
        id: USER,
        email: "Ann@Example.com".into(),
        identity: "ann@example.com".into(),
        display_name: "Ann".into(),
        approval: Approval::PENDING,
        holds: vec![],
        verified: None,
        deleted_at: None,
        deleted_by: None,
        valid_from: None,
        valid_until: None,
        password_set: false,
        password_must_change: false,
        session_epoch: 0,
        manager: None,
        version: 1,
        created_at: now,
        last_sign_in_at: None,
        registrations: 1,
    }
}

struct World {
    app: Arc<App>,
    home: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(Policy::default()).await
    }

    async fn with(policy: Policy) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(Location::Sqlite(&home.path().join("record.db")), 2).await.unwrap();
        store.migrate().await.unwrap();
        let realm = Realm {
            id: REALM,
            name: "acme".into(),
            title: "Acme".into(),
            platform: true,
            suspended: false,
            policy,
            spiffe_prefixes: vec![],
            position: Default::default(),
            catalogue_revision: Default::default(),
            version: 1,
            created_at: Timestamp(0),
        };
        let first = store.begin_first(&realm).await.unwrap().unwrap();
        first.commit(vec![], random_mark(), Timestamp(0)).await.unwrap();
        let cache = Options {
            shared: false,
            database_lost_grace: Duration::ZERO,
            principals: 9,
            remembered: Default::default(),
        };
        let rates = Rates { per_source: None, per_mailbox: None, unknown_per_source: None };
        let hasher = Hasher::start(Limits::of_this_machine()).unwrap();
        let app = App::new(Parts {
            store,
            keys: keys(),
            hasher,
            clock: Clock::default(),
            cache,
            rates,
            audit_kept: Duration::MAX,
            base_url_origins: vec![],
        });
        Self { app: Arc::new(app), home }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("mail")
    }

    fn relay(&self) -> Tasks {
        self.relay_by(Transport::File(self.dir()))
    }

    fn relay_by(&self, transport: Transport) -> Tasks {
        transport.prepare().unwrap();
        let origin = AllowedOrigin::parse("http://localhost").unwrap();
        let mailer = Mailer { from: "portal@example.org".parse().unwrap(), transport, base_url_origins: vec![origin] };
        spawn_all(&self.app, mailer, None, &CancellationToken::new())
    }

    /// Puts a mail, with its code if it has one, into the outbox.
    async fn enqueue(&self, template: Template, code: Option<CodeId>) -> MessageId {
        self.enqueue_to("Ann@Example.com", template, code, "value").await
    }

    /// As [`World::enqueue`], to an address, with one value for every parameter.
    async fn enqueue_to(&self, to: &str, template: Template, code: Option<CodeId>, value: &str) -> MessageId {
        let (id, now) = (MessageId(self.app.clock().new_id()), self.app.clock().now());
        let to = to.to_owned();
        let names = ["name", "email", "reason", "role", "organization", "newcomer_name", "newcomer_email"];
        let parameters = names.map(|name| (name.to_owned(), value.to_owned())).into();
        let tx = self.app.store().begin(REALM, Lock::Nothing).await.unwrap();
        if let Some(id) = code {
            let (purpose, address) = ("verify-email".to_owned(), "ann@example.com".to_owned());
            let expires_at = now.after(Duration::from_secs(3_600));
            let row = CodeRow { id, user: USER, purpose, address, created_at: now, expires_at, spent_at: None };
            tx.rows().insert_user(NewUser { user: &ann(now), password_hash: None }).await.unwrap();
            tx.rows().insert_code(&row).await.unwrap();
        }
        tx.rows().enqueue(&[(id, Mail { template, to, user: None, code, parameters })], now).await.unwrap();
        tx.commit(vec![], random_mark(), now).await.unwrap();
        id
    }

    /// Waits until nothing waits any more, and reads the mail.
    async fn delivered(&self, id: MessageId) -> String {
        while self.app.store().mails_waiting_and_dead().await.unwrap().0 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::read_to_string(self.dir().join(format!("{id}.eml"))).unwrap()
    }

    async fn claimed_by_another(&self) -> usize {
        let (now, lease) = (self.app.clock().now(), Duration::from_secs(60));
        self.app.store().claim_mails(now, lease, 50).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_mail_arrives_with_a_link_that_proves_its_mailbox() {
    let world = World::new().await;
    let code = CodeId(Uuid::from_u128(3));
    let id = world.enqueue(Template::VerifyEmail, Some(code)).await;
    let tasks = world.relay();
    let mail = world.delivered(id).await;
    tasks.stop().await;
    let (_, link) = mail.split_once("\r\n\r\nhttp://localhost/verify-email?code=").unwrap();
    let (text, _) = link.split_once("\r\n").unwrap();
    let right =
        Binding { code, purpose: Purpose::VerifyEmail, realm: REALM, account: USER, address: "ann@example.com" };
    assert!(PresentedCode::parse(text).unwrap().proves(&keys(), &right));
}

#[tokio::test]
async fn a_mail_whose_deliverer_died_is_delivered_by_the_next() {
    let world = World::new().await;
    let id = world.enqueue(Template::Suspended, None).await;
    assert_eq!(world.claimed_by_another().await, 1);
    // An embedded record is one process's: who claimed before it began is dead.
    let tasks = world.relay();
    assert!(world.delivered(id).await.contains("was suspended"));
    tasks.stop().await;
}

#[tokio::test]
async fn a_mail_that_could_not_be_written_is_tried_again() {
    let world = World::new().await;
    let tasks = world.relay();
    std::fs::remove_dir(world.dir()).unwrap();
    let id = world.enqueue(Template::Suspended, None).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(world.app.store().mails_waiting_and_dead().await.unwrap().0, 1);
    std::fs::create_dir(world.dir()).unwrap();
    assert_eq!(world.claimed_by_another().await, 0, "it rests");
    world.app.clock().advance(Duration::from_secs(10));
    assert!(world.delivered(id).await.contains("was suspended"));
    tasks.stop().await;
}

#[tokio::test]
async fn a_mail_whose_link_ended_before_it_left_is_not_sent() {
    let world = World::new().await;
    let id = world.enqueue(Template::VerifyEmail, Some(CodeId(Uuid::from_u128(3)))).await;
    world.app.clock().advance(Duration::from_secs(3_600));
    let other = world.enqueue(Template::Suspended, None).await;
    let tasks = world.relay();
    world.delivered(other).await;
    tasks.stop().await;
    assert!(!world.dir().join(format!("{id}.eml")).exists());
    assert_eq!(world.app.store().mails_waiting_and_dead().await.unwrap(), (0, 0), "nor is it a dead letter");
}

#[tokio::test]
async fn no_mail_leaves_whose_links_lead_elsewhere_than_the_server_allows() {
    let elsewhere = Policy { base_url: "https://evil.example".to_owned(), ..Policy::default() };
    let world = World::with(elsewhere).await;
    let id = world.enqueue(Template::VerifyEmail, Some(CodeId(Uuid::from_u128(3)))).await;
    let tasks = world.relay();
    let tried = || async { world.app.store().rows(REALM).message(id).await.unwrap().unwrap() };
    while tried().await.attempts == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tasks.stop().await;
    let error = tried().await.last_error.unwrap();
    assert!(error.contains("base_url_origins"), "{error}");
    assert!(!world.dir().join(format!("{id}.eml")).exists());
}

#[tokio::test]
async fn a_mail_whose_code_is_gone_is_given_up() {
    let world = World::new().await;
    let id = world.enqueue(Template::VerifyEmail, None).await;
    let tasks = world.relay();
    while world.app.store().mails_waiting_and_dead().await.unwrap().0 > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tasks.stop().await;
    assert!(!world.dir().join(format!("{id}.eml")).exists());
}
