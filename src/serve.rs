//! The composition root: bind, connect, check, build, serve, wait, drain.
//!
//! [`start`] brings a server up and hands back how to reach and to stop it; `main` waits for a signal in between. Tests
//! start the same way.

mod operator_key;
mod secrets;

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::clock::Clock;
use crate::app::{App, Parts, ROOT_KEY, Rates};
use crate::cache::{Options, Remembered};
use crate::config::{Config, DatabaseUrl, MailTransport, SmtpSecurity};
use crate::crypto::Secret;
use crate::crypto::key_file::RootKeyError;
use crate::crypto::password::{Hasher, Limits};
use crate::crypto::root_key::RootKeys;
use crate::crypto::secret_file::{self, SecretFileError};
use crate::domain::origin::{AllowedOrigin, OriginFault};
use crate::domain::time::days;
use crate::grpc::access::Methods;
use crate::grpc::health::Health;
use crate::grpc::server::{ConnectionLimits, Incoming};
use crate::grpc::tls::{Tls, TlsError, TlsFiles};
use crate::grpc::{Api, Door, server};
use crate::mail::{Mailer, Security, Smtp, SmtpError, SmtpOptions, Transport};
use crate::store::{Location, Schema, Store};
use crate::tasks::{self, Tasks};
use operator_key::OperatorKey;

/// Principals kept in memory, of all realms: at about 1 KiB each, 100 MB when full.
const PRINCIPALS_KEPT: usize = 100_000;
/// How often it is looked whether the record can be asked.
const HEALTH_PERIOD: Duration = Duration::from_millis(500);
/// A record that takes longer to answer can't be asked: connections that hang say nothing by themselves.
const PING_DEADLINE: Duration = Duration::from_secs(1);
/// How long writes and tasks may take to end once nobody is served any more.
const FINISH: Duration = Duration::from_secs(10);
/// What a mode lets those do who are neither the owner nor of the group.
const OTHERS: u32 = 0o007;
/// The bit of a folder that is for many, `/tmp` say.
const STICKY: u32 = 0o1000;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("can't listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("TLS can't be served")]
    Tls(#[source] TlsError),
    #[error("can't use {0}")]
    File(String, #[source] std::io::Error),
    #[error("{0} is in use by another process")]
    Locked(String),
    #[error("a secret can't be used")]
    Secret(#[from] SecretFileError),
    #[error("the root key can't be used")]
    RootKey(#[source] RootKeyError),
    #[error("the root key can't be used: {0} is missing, and this database was begun under one; put it back")]
    RootKeyMissing(String),
    #[error("the root key can't be used for this database: it is under another root key")]
    RootKeyForeign,
    #[error("this database was never begun: start the server first")]
    NeverBegun,
    #[error("{0} holds no API key of this service, which the operator's must be (`countersign key new` prints one)")]
    OperatorKey(String),
    #[error("database_url {0}")]
    DatabaseUrl(String),
    #[error("can't reach the database {0}")]
    Unreachable(String, #[source] crate::store::Error),
    #[error("the database can't be used")]
    Database(#[source] crate::store::Error),
    #[error("the schema is {0} changes behind: run `countersign migrate`, or start with `--migrate`")]
    SchemaBehind(usize),
    #[error("the schema is {0} changes ahead of this version, which accepts one")]
    SchemaAhead(usize),
    #[error(
        "the database's role lacks {}: have its owner run GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \
         … TO …", .0.join(", ")
    )]
    MissingRights(Vec<String>),
    #[error("the mail server can't be used as it is configured")]
    Mail(#[source] SmtpError),
    #[error("base_url_origins: {0:?} {1}, or has a path")]
    Origin(String, OriginFault),
    #[error("the contract can't be served")]
    Contract(#[source] crate::grpc::access::ContractError),
    #[error("the service can't begin")]
    Begin(#[source] crate::app::Error),
    #[error("the contract can't be offered for reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
}

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    pub app: Arc<App>,
    /// The first operator's key, to the one process that began the record.
    pub first_key: Option<Secret<String>>,
    health: Health,
    writes: TaskTracker,
    stop_accepting: CancellationToken,
    stop_watching: CancellationToken,
    watching: JoinHandle<()>,
    tasks: Tasks,
    serving: JoinHandle<()>,
    /// Held for as long as the process uses the directory.
    _lock: Option<File>,
}

/// Brings a server up: when this returns, it answers. Whatever can fail is tried before the database is begun.
///
/// # Errors
/// [`StartError`], before anything was changed that a next start would stumble over.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    let mailer = mailer(config)?;
    let tls = tls(config)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| StartError::Listen(config.listen, error))?;
    let address = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
    mailer.transport.prepare().map_err(unusable(&config.mail_dir))?;
    let (store, lock) = open(config).await?;
    bring_schema_up(&store, config.migrate).await?;
    let makes_root_key = !secrets::has_root_key(config);
    let app = Arc::new(build(config, store).await?);

    let writes = TaskTracker::new();
    let methods = Methods::read().map_err(StartError::Contract)?;
    let (stop_accepting, stop_watching) = (CancellationToken::new(), CancellationToken::new());
    let proxies = config.trusted_proxies.clone();
    let door = Door::new(Arc::clone(&app), methods, writes.clone(), proxies, stop_accepting.clone());
    let health = Health::new(stop_accepting.clone());
    let api = Api::new(Arc::clone(&app), stop_accepting.clone());
    let services = server::services(&api, &door, health.clone(), config.reflection).map_err(StartError::Reflection)?;

    let first_key = begin(&app, config, address, makes_root_key).await?;
    let certificates = tls.clone().map(|tls| -> tasks::Look { Arc::new(move || Ok(tls.look()?)) });
    let tasks = tasks::spawn_all(&app, mailer, certificates, &CancellationToken::new());
    let limits = ConnectionLimits { per_source: config.connections_per_source.get(), total: config.connections.get() };
    let incoming = Incoming::new(listener, tls, limits);
    let serving = tokio::spawn(server::serve(services, incoming, stop_accepting.clone()));
    health.lives();
    look(&app, &health).await;
    let watching = tokio::spawn(watch(Arc::clone(&app), health.clone(), stop_watching.clone()));
    Ok(Running {
        address,
        app,
        first_key,
        health,
        writes,
        stop_accepting,
        stop_watching,
        watching,
        tasks,
        serving,
        _lock: lock,
    })
}

/// Begins the database if nobody has. Answers the operator's key to the process that did.
async fn begin(
    app: &App,
    config: &Config,
    address: SocketAddr,
    makes_root_key: bool,
) -> Result<Option<Secret<String>>, StartError> {
    let is_begun = app.is_begun().await.map_err(StartError::Begin)?;
    let operator = (!is_begun).then(|| OperatorKey::hand_over(config, address)).transpose()?;
    let began = match &operator {
        Some(operator) => app.begin(&operator.key).await,
        None => app.open().await.map(|()| false),
    };
    match (began, operator) {
        (Ok(true), Some(operator)) => {
            operator.tell();
            return Ok(Some(operator.into_secret()));
        }
        (Ok(_), Some(operator)) => operator.withdraw(app).await,
        (Ok(_), None) => OperatorKey::require_known(config, app).await,
        (Err(error), operator) => {
            let foreign = take_back(app, config, operator, makes_root_key).await;
            return Err(foreign.unwrap_or(StartError::Begin(error)));
        }
    }
    Ok(None)
}

/// Takes back what a start made for a database that another process began meanwhile, under another root key. `None` = that
/// is not why it failed.
async fn take_back(
    app: &App,
    config: &Config,
    operator: Option<OperatorKey>,
    makes_root_key: bool,
) -> Option<StartError> {
    let check_value = app.store().fact(ROOT_KEY).await.ok()??;
    let foreign = secrets::root_keys(config, Some(&check_value)).err()?;
    if let Some(operator) = operator {
        operator.withdraw(app).await;
    }
    if makes_root_key && let Err(error) = std::fs::remove_file(&config.root_key_file) {
        tracing::warn!(file = %config.root_key_file.display(), %error, "the root key in this file opens nothing");
    }
    Some(foreign)
}

impl Running {
    /// Waits until the server can't go on: a vital task died, or the listener did.
    pub async fn failed(&mut self) -> String {
        tokio::select! {
            task = self.tasks.died() => format!("the task {task} died"),
            ended = &mut self.serving => format!("the server ended: {ended:?}"),
        }
    }

    /// Drains: not serving, a pause for load balancers to notice, no new connections, calls under way end within the
    /// grace, then writes end and tasks stop in reverse order within `FINISH`.
    pub async fn stop(self, pause: Duration, grace: Duration) {
        self.stop_watching.cancel();
        let _watched = self.watching.await;
        self.health.serves(false, false);
        tokio::time::sleep(pause).await;
        self.stop_accepting.cancel();
        let aborted = self.serving.abort_handle();
        if tokio::time::timeout(grace, self.serving).await.is_err() {
            tracing::warn!("calls were still under way when the grace was over");
            aborted.abort();
        }
        // However long clients held on, what was begun here is finished.
        let finished = tokio::time::timeout(FINISH, async {
            self.writes.close();
            self.writes.wait().await;
            self.tasks.stop().await;
        });
        if finished.await.is_err() {
            tracing::warn!("writes or tasks were still under way when the server ended");
        }
        // The minute that runs is over for this process.
        let minute_over = self.app.clock().now().after(Duration::from_secs(60));
        if let Err(error) = self.app.write_refusals(minute_over).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "counted refusals were not written");
        }
        self.app.store().close().await;
    }
}

/// Reads what TLS is made of; `None` = plaintext.
fn tls(config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    let Some((certificate, key)) = config.tls_cert_file.clone().zip(config.tls_key_file.clone()) else {
        return Ok(None);
    };
    let (client_authorities, client_required) = (config.tls_client_ca_files.0.clone(), config.tls_client_required);
    secret_file::require_closed(&key)?;
    let files = TlsFiles { certificate, key, client_authorities, client_required };
    Ok(Some(Arc::new(Tls::load(files).map_err(StartError::Tls)?)))
}

/// Opens the record; an embedded one for this process alone.
///
/// # Errors
/// [`StartError::Locked`] if another process has it.
pub async fn open(config: &Config) -> Result<(Store, Option<File>), StartError> {
    let whole_url;
    let (location, lock) = match &config.database_url {
        DatabaseUrl::Sqlite(file) => {
            let lock = lock_beside(file)?;
            if let Some(folder) = file.parent().filter(|folder| *folder == config.data_dir) {
                close_to_others(folder)?;
            }
            (Location::Sqlite(file), Some(lock))
        }
        DatabaseUrl::Postgres(url) => {
            whole_url = secrets::with_password(config, url)?;
            (Location::Postgres(whole_url.expose()), None)
        }
    };
    let unreachable = |error| StartError::Unreachable(config.database_url.shown(), error);
    let store = Store::open(location, config.database_pool.get()).await.map_err(unreachable)?;
    Ok((store, lock))
}

/// Takes an embedded record for this process alone. The system frees the lock by itself when the process dies.
///
/// # Errors
/// [`StartError::Locked`] if another process has it.
pub fn lock_beside(record: &Path) -> Result<File, StartError> {
    lock(&record.parent().unwrap_or(Path::new(".")).join("lock"))
}

fn lock(path: &Path) -> Result<File, StartError> {
    let shown = path.display().to_string();
    let used = |error| StartError::File(shown.clone(), error);
    if let Some(folder) = path.parent() {
        // Addresses and hashes lie in there: a folder that is made here is for this user alone.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(used)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(used)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(shown)),
        Err(TryLockError::Error(error)) => Err(used(error)),
    }
}

/// Takes from everybody else what an earlier version left open: the folder that is this service's, if it is this user's.
/// One that an operator gave to a group stays so; one with the sticky bit is for many by intent.
fn close_to_others(folder: &Path) -> Result<(), StartError> {
    let shown = folder.display().to_string();
    let used = |error| StartError::File(shown.clone(), error);
    let found = std::fs::symlink_metadata(folder).map_err(used)?;
    let open = found.is_dir() && found.mode() & OTHERS != 0 && found.mode() & STICKY == 0;
    if open && found.uid() == rustix::process::geteuid().as_raw() {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(used)?;
        tracing::warn!(folder = shown, "others could look into the data folder; now it is this user's alone");
    }
    Ok(())
}

/// Brings the schema up to date, or says why it is not.
///
/// # Errors
/// A schema that is of another version, and `migrate` does not allow to change it; a right that is missing.
pub(crate) async fn bring_schema_up(store: &Store, migrate: bool) -> Result<(), StartError> {
    match store.schema().await.map_err(StartError::Database)? {
        Schema::Current | Schema::Ahead(1) => Ok(()),
        Schema::Ahead(changes) => Err(StartError::SchemaAhead(changes)),
        Schema::Behind(_) if migrate || !store.is_shared() => store.migrate().await.map_err(StartError::Database),
        Schema::Behind(changes) => Err(StartError::SchemaBehind(changes)),
        Schema::Diverged { missing, unknown } => {
            Err(StartError::Database(crate::store::Error::SchemaDiverged { missing, unknown }))
        }
    }?;
    match store.missing_rights().await.map_err(StartError::Database)? {
        none if none.is_empty() => Ok(()),
        rights => Err(StartError::MissingRights(rights)),
    }
}

/// Builds the service on an open database whose schema is there. If nobody has begun it, a root key that is missing is
/// made.
///
/// # Errors
/// A root key that is missing or another one.
pub async fn build(config: &Config, store: Store) -> Result<App, StartError> {
    let check_value = store.fact(ROOT_KEY).await.map_err(StartError::Database)?;
    build_under(secrets::root_keys(config, check_value.as_deref())?, config, store)
}

/// As [`build`], on a database that was begun before; makes nothing.
///
/// # Errors
/// [`StartError::NeverBegun`]; a root key that is missing or another one.
pub async fn build_on(config: &Config, store: Store) -> Result<App, StartError> {
    let check_value = store.fact(ROOT_KEY).await.map_err(StartError::Database)?.ok_or(StartError::NeverBegun)?;
    build_under(secrets::root_keys(config, Some(&check_value))?, config, store)
}

fn build_under(keys: RootKeys, config: &Config, store: Store) -> Result<App, StartError> {
    let limits = Limits::new(config.hash_permits.get(), config.hash_queue);
    let hasher = Hasher::start(limits).map_err(|error| StartError::File("the hashing threads".to_owned(), error))?;
    let cache = Options {
        shared: store.is_shared(),
        database_lost_grace: config.database_lost_grace,
        principals: PRINCIPALS_KEPT,
        remembered: Remembered::default(),
    };
    let rates = Rates {
        per_source: Some(config.public_calls_per_source),
        per_mailbox: Some(config.public_calls_per_mailbox),
        unknown_per_source: Some(config.unknown_credentials_per_source),
    };
    let (base_url_origins, audit_kept) = (origins(config)?, days(config.audit_kept_days.get()));
    let clock = Clock::default();
    Ok(App::new(Parts { store, keys, hasher, clock, cache, rates, base_url_origins, audit_kept }))
}

fn origins(config: &Config) -> Result<Vec<AllowedOrigin>, StartError> {
    let read = |text: &String| AllowedOrigin::parse(text).map_err(|fault| StartError::Origin(text.clone(), fault));
    config.base_url_origins.iter().map(read).collect()
}

/// Who writes the mails, and how they leave. Reads files, and makes nothing.
fn mailer(config: &Config) -> Result<Mailer, StartError> {
    let transport = match config.mail_transport {
        MailTransport::File => Transport::File(config.mail_dir.clone()),
        MailTransport::Smtp => Transport::Smtp(Box::new(smtp(config)?)),
        MailTransport::None => Transport::None,
    };
    Ok(Mailer { from: config.mail_from.clone(), transport, base_url_origins: origins(config)? })
}

fn smtp(config: &Config) -> Result<Smtp, StartError> {
    let password = match (&config.smtp_password, &config.smtp_password_file) {
        (Some(password), _) => Some(password.expose().to_owned()),
        (None, Some(file)) => Some(secrets::password_in(file)?),
        (None, None) => None,
    };
    let security = config.smtp_security;
    let options = SmtpOptions {
        host: config.smtp_host.as_ref().map(|host| host.0.clone()).unwrap_or_default(),
        port: config.smtp_port.map_or(security.port(), NonZeroU16::get),
        security: match security {
            SmtpSecurity::StartTls => Security::StartTls,
            SmtpSecurity::Tls => Security::Tls,
            SmtpSecurity::None => Security::None,
        },
        login: config.smtp_username.clone().zip(password).map(Credentials::from),
        ca: config.smtp_ca_file.as_deref().map(|file| std::fs::read(file).map_err(unusable(file))).transpose()?,
        hello: config.mail_from.email.domain().to_owned(),
        timeout: config.smtp_timeout,
    };
    Smtp::new(options).map_err(StartError::Mail)
}

fn unusable(file: &Path) -> impl Fn(std::io::Error) -> StartError {
    move |error| StartError::File(file.display().to_string(), error)
}

async fn watch(app: Arc<App>, health: Health, stop: CancellationToken) {
    let mut every = tokio::time::interval(HEALTH_PERIOD);
    // A look under way is given up: what it found would be told after the end.
    stop.run_until_cancelled(async {
        loop {
            every.tick().await;
            look(&app, &health).await;
        }
    })
    .await;
}

/// `ready` follows the record; `checks` goes on for as long as this process may answer from what it keeps.
async fn look(app: &App, health: &Health) {
    let reachable = tokio::time::timeout(PING_DEADLINE, app.store().ping()).await.is_ok_and(|answer| answer.is_ok());
    health.serves(reachable, reachable || app.snapshots().may_serve());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_everybody_could_read_is_closed_and_no_other_is_touched() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        for (before, after) in [(0o755, 0o700), (0o777, 0o700), (0o750, 0o750), (0o700, 0o700), (0o1777, 0o1777)] {
            std::fs::set_permissions(&folder, Permissions::from_mode(before)).unwrap();
            close_to_others(&folder).unwrap();
            assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o7777, after, "{before:o}");
        }
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        close_to_others(&link).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o7777, 0o755, "somebody else's way to it");
    }
}
