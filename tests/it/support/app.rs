//! A server in this process, on a database of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::config::{Config, Flags};
use countersign::crypto::random_mark;
use countersign::domain::ids::{MessageId, UserId};
use countersign::domain::message::{Mail, Template};
use countersign::serve::{self, Running};
use countersign::store::{self, Lock};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::letters::Letters;
use super::{Caller, Letter, MailServer, Portal, Throwaway};

/// How long a test waits for what must come, such as a mail, before it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks.
pub(super) const GLANCE: Duration = Duration::from_millis(5);
/// No test comes near it: limits of public calls are tested where they are set.
const UNLIMITED: &str = "1000000";

/// Where the portals of the stories are, and that of a new realm.
pub(super) const PORTALS: &str = "https://*.example, https://*.symmetry.example, http://localhost";

/// Which database the record is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// Runs a body on a fresh server, then has the server say that nothing was left undone.
pub(crate) async fn run(backend: Backend, body: impl AsyncFnOnce(&TestApp)) {
    let app = TestApp::start(backend).await;
    // Boxed: a story is one large future.
    Box::pin(body(&app)).await;
    app.finish().await;
}

/// Something that answers calls.
pub(crate) trait Reachable {
    /// Where, and the first operator's key.
    fn front(&self) -> &Front;

    /// The way there, for who speaks it by itself.
    fn channel(&self) -> Channel {
        self.front().channel.clone()
    }

    /// The first operator's key.
    fn operator_key(&self) -> &str {
        &self.front().operator_key
    }

    /// A caller without a credential.
    fn anonymous(&self) -> Caller {
        Caller::over(self.front().channel.clone())
    }

    /// A caller without a credential whose calls come from another address of this machine.
    fn anonymous_from(&self, source: [u8; 4]) -> Caller {
        Caller::over(endpoint(self.front().address).local_address(Some(source.into())).connect_lazy())
    }

    /// The platform's first operator.
    fn as_operator(&self) -> Caller {
        self.as_key(self.operator_key())
    }

    /// Whoever has this API key.
    fn as_key(&self, secret: &str) -> Caller {
        self.anonymous().with_credential(secret)
    }

    /// Whoever has this access token.
    fn as_token(&self, token: &str) -> Caller {
        self.anonymous().with_credential(token)
    }
}

/// How a server is reached.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    channel: Channel,
    operator_key: String,
}

impl Front {
    pub(super) fn new(address: SocketAddr, operator_key: String) -> Self {
        Self { address, channel: endpoint(address).connect_lazy(), operator_key }
    }
}

/// A server in this process. End it by [`TestApp::finish`]; [`run`] does.
pub(crate) struct TestApp {
    front: Front,
    running: Option<Running>,
    letters: Letters,
    config: Config,
    database: Option<Throwaway>,
    /// Whether mails may be left that were given up.
    dead_letters: AtomicBool,
    /// Goes with the server.
    home: TempDir,
}

impl TestApp {
    /// Starts a server on a fresh database.
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::start_with(backend, &[]).await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.inner().address
    }

    /// As [`TestApp::start`], with settings of its own.
    pub(crate) async fn start_with(backend: Backend, settings: &[(&'static str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(Throwaway::migrated().await),
        };
        let config = Config::load(&flags(&home, database.as_ref(), settings)).unwrap();
        let mut running = serve::start(&config).await.unwrap();
        let operator_key = running.first_key.take().unwrap().expose().clone();
        let front = Front::new(running.address, operator_key);
        let letters = Letters::new(home.path().join("mail"));
        let dead_letters = AtomicBool::new(false);
        Self { front, running: Some(running), letters, config, database, dead_letters, home }
    }

    /// As [`TestApp::start`], with mails by this server, which asks for a password.
    pub(crate) async fn start_mailing_by(backend: Backend, server: &MailServer, security: &str) -> Self {
        let (ca, password, port) = (server.ca(), server.password_file(), server.port().to_string());
        let settings = [
            ("mail_transport", "smtp"),
            ("smtp_host", "localhost"),
            ("smtp_port", &port),
            ("smtp_security", security),
            ("smtp_username", "portal"),
            ("smtp_password_file", password.to_str().unwrap()),
            ("smtp_ca_file", ca.to_str().unwrap()),
        ];
        let mut app = Self::start_with(backend, &settings).await;
        app.letters = server.letters();
        app
    }

    /// Puts a mail into a realm's outbox that nobody tries any more. Answers its id.
    pub(crate) async fn dead_letter(&self, realm: &str, to: &str, user: Option<&str>) -> String {
        self.dead_letters.store(true, Ordering::Relaxed);
        let store = self.inner().app.store();
        let realm = store.realm_named(realm).await.unwrap().unwrap().id;
        let id = MessageId(self.clock().new_id());
        let mail = Mail {
            template: Template::Suspended,
            to: to.to_owned(),
            user: user.map(|user| UserId(user.parse().unwrap())),
            code: None,
            parameters: [("name", "Somebody"), ("reason", "on leave")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let now = self.clock().now();
        let tx = store.begin(realm, Lock::Nothing).await.unwrap();
        // Due later than it is given up, so that nobody tries it in between.
        tx.rows().enqueue(&[(id, mail)], now.after(Duration::from_secs(3_600))).await.unwrap();
        tx.commit(vec![], random_mark(), now).await.unwrap();
        store.settle_mail(id, store::Letter::Dead("550 5.1.1".to_owned()), now).await.unwrap();
        id.to_string()
    }

    /// Starts another server on the same PostgreSQL database, with the same root key and mail directory.
    pub(crate) async fn replica(&self) -> Replica {
        assert!(self.database.is_some(), "only PostgreSQL is shared");
        let running = serve::start(&self.config).await.unwrap();
        let front = Front::new(running.address, self.front.operator_key.clone());
        Replica { front, running }
    }

    /// Ends the process and starts another one on the same record, which remembers nothing else; its clock is right again.
    pub(crate) async fn restarted(self) -> Self {
        self.restarted_with(&[]).await
    }

    /// As [`TestApp::restarted`], with settings of its own.
    pub(crate) async fn restarted_with(mut self, settings: &[(&'static str, &str)]) -> Self {
        if let Some(running) = self.running.take() {
            running.stop(Duration::ZERO, PATIENCE).await;
        }
        self.config = Config::load(&flags(&self.home, self.database.as_ref(), settings)).unwrap();
        let running = serve::start(&self.config).await.unwrap();
        self.front = Front::new(running.address, self.front.operator_key.clone());
        self.running = Some(running);
        self
    }

    /// Where its PostgreSQL database is, for who asks that by themself.
    pub(crate) fn database_url(&self) -> &str {
        self.database.as_ref().unwrap().url()
    }

    /// The settings that it was started with.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Creates a realm, then gives it what is populated in `policy`.
    pub(crate) async fn realm(&self, name: &str, policy: countersign::grpc::pb::Policy) -> Portal {
        Portal::open(self.as_operator(), self.anonymous(), name, policy).await
    }

    /// The server from within, for what no caller can do.
    pub(crate) fn inner(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// The time that the service goes by.
    pub(crate) fn clock(&self) -> &Clock {
        self.inner().app.clock()
    }

    /// The mails that arrived since the last look, as `address: subject`, sorted: what every mail of a story is held to.
    pub(crate) async fn mailed(&self) -> Vec<String> {
        self.delivered().await;
        let mut lines: Vec<_> = self.letters.unread().iter().map(Letter::line).collect();
        lines.sort();
        lines
    }

    /// Every mail to an address so far, the oldest first.
    pub(crate) async fn mails_to(&self, address: &str) -> Vec<Letter> {
        self.delivered().await;
        self.letters.to(address)
    }

    /// The code of the latest link that was mailed to an address.
    pub(crate) async fn code_for(&self, address: &str) -> String {
        let letters = self.mails_to(address).await;
        letters.iter().rev().find_map(Letter::code).unwrap_or_else(|| panic!("no mail to {address} has a code"))
    }

    /// Ends the server, once every mail has left.
    pub(crate) async fn finish(mut self) {
        self.delivered().await;
        if let Some(running) = self.running.take() {
            running.stop(Duration::ZERO, PATIENCE).await;
        }
    }

    /// Waits until the outbox is empty.
    async fn delivered(&self) {
        let store = self.inner().app.store();
        let emptied = tokio::time::timeout(PATIENCE, async {
            while store.mails_waiting_and_dead().await.unwrap().0 > 0 {
                tokio::time::sleep(GLANCE).await;
            }
        });
        assert!(emptied.await.is_ok(), "mails wait in the outbox and nobody delivers them");
        let dead = store.mails_waiting_and_dead().await.unwrap().1;
        assert!(dead == 0 || self.dead_letters.load(Ordering::Relaxed), "mails were given up");
    }
}

impl Reachable for TestApp {
    fn front(&self) -> &Front {
        &self.front
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if self.running.is_some() && !std::thread::panicking() {
            panic!("a TestApp was dropped without `finish`, which looks for undelivered mails");
        }
    }
}

/// Another server on the same record.
pub(crate) struct Replica {
    front: Front,
    running: Running,
}

impl Replica {
    /// The server from within.
    pub(crate) fn inner(&self) -> &Running {
        &self.running
    }

    /// Ends it.
    pub(crate) async fn finish(self) {
        self.running.stop(Duration::ZERO, PATIENCE).await;
    }
}

impl Reachable for Replica {
    fn front(&self) -> &Front {
        &self.front
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).unwrap()
}

fn flags(home: &TempDir, database: Option<&Throwaway>, settings: &[(&'static str, &str)]) -> Flags {
    let own = [
        ("listen", "127.0.0.1:0"),
        ("metrics_listen", ""),
        ("data_dir", home.path().to_str().unwrap()),
        ("public_calls_per_source", UNLIMITED),
        ("public_calls_per_mailbox", UNLIMITED),
        ("base_url_origins", PORTALS),
        ("unknown_credentials_per_source", UNLIMITED),
    ];
    let url = database.map(|database| ("database_url", database.url()));
    let all = own.into_iter().chain(url).chain(settings.iter().copied());
    Flags { config: None, values: all.map(|(name, value)| (name, value.to_owned())).collect() }
}
