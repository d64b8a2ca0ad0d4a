//! Every setting of the server: name, default, and (in its type) unit, range and whether it is secret.
//!
//! A setting comes from its default, a TOML file, an environment variable or a flag; the later source wins. All four
//! are generated from the one table below: `mail_dir` in the file is `COUNTERSIGN_MAIL_DIR` in the environment and
//! `--mail-dir` on the command line. This module alone reads the environment. It binds, opens and creates nothing:
//! what is wrong with the settings is said before anything happens. Only `serve` and `main` use it.

mod database;
mod smtp;
mod source;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use lettre::message::Mailbox;

pub use database::{DatabaseUrl, PostgresUrl};
pub use source::{Flags, Source};
use source::{Given, gather};
use value::Value;
pub use value::{Host, LogFilter, LogFormat, MailTransport, OtlpEndpoint, Secret, SmtpSecurity, TrustDomains};

/// What a flag, the help and the loader need to know of a setting.
struct Setting {
    name: &'static str,
    help: &'static str,
    /// In the form in which it would be given; `{data_dir}` and `{cores}` are filled in.
    default: &'static str,
    /// Secrets have no flag: a command line is visible to every process of the machine.
    flag: bool,
    switch: bool,
}

macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident: $type:ty = $default:literal,)*) => {
        const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            help: concat!($($help),+),
            default: $default,
            flag: <$type as Value>::FLAG,
            switch: <$type as Value>::SWITCH,
        }),*];

        /// The effective settings. `Debug` and [`Config::describe`] show no secret.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($(#[doc = $help])+ pub $name: $type,)*
            /// Where each value came from.
            pub sources: Sources,
        }

        impl Config {
            fn parse(given: &Given) -> Result<Self, ConfigError> {
                let mut reader = Reader::new(given);
                $(let $name = reader.read(stringify!($name), $default);)*
                match (reader.wrong, $($name),*) {
                    (wrong, $(Some($name)),*) if wrong.is_empty() => {
                        Ok(Self { $($name,)* sources: Sources(reader.sources) })
                    }
                    (wrong, ..) => Err(ConfigError::all(wrong)),
                }
            }

            fn shown(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), self.$name.show())),*]
            }
        }
    };
}

settings! {
    /// Address of the gRPC server. Without TLS, only a loopback address may be bound unless `allow_plaintext`.
    listen: SocketAddr = "127.0.0.1:50051",
    /// PEM file of the server's certificate and its chain; read again when it changes. Empty = no TLS.
    tls_cert_file: Option<PathBuf> = "",
    /// PEM file of the key of that certificate.
    tls_key_file: Option<PathBuf> = "",
    /// The authorities whose client certificates are believed, a PEM file for each trust domain, as
    /// `example.org=ca.pem, other.example=other.pem`: a service account is recognised by the SPIFFE id of a certificate of
    /// its domain's. Empty = clients are not asked for one.
    tls_client_ca_files: TrustDomains = "",
    /// Turns away clients without a certificate of these authorities.
    tls_client_required: bool = "false",
    /// Allows `listen` to leave loopback without TLS, where a mesh or a gateway encrypts.
    allow_plaintext: bool = "false",
    /// Connections at once, handshakes included.
    connections: NonZeroUsize = "4096",
    /// The same, from one source: an IPv4 address, or the /64 of an IPv6 address.
    connections_per_source: NonZeroUsize = "512",
    /// Serves gRPC reflection, v1 and v1alpha.
    reflection: bool = "true",
    /// Address of the Prometheus endpoint; empty = off.
    metrics_listen: Option<SocketAddr> = "127.0.0.1:9464",
    /// Directory of everything that the embedded default keeps.
    data_dir: PathBuf = "data",
    /// The record: `sqlite:PATH` or `postgres://…`.
    database_url: DatabaseUrl = "sqlite:{data_dir}/countersign.db",
    /// File of the password of a PostgreSQL URL that has none; empty = none.
    database_password_file: Option<PathBuf> = "",
    /// Allows PostgreSQL beyond this machine without `sslmode=verify-full`, where a mesh encrypts.
    database_allow_plaintext: bool = "false",
    /// Connections to the database at most, 5 or more, split into lanes so that checks never wait for lists and changes:
    /// of 20, 2 follow the change log, 5 load what checks need, 5 read, 5 change, 3 sign in. On SQLite those that read,
    /// beside the one that writes.
    database_pool: NonZeroU32 = "20",
    /// Lets `serve` migrate PostgreSQL; SQLite is always migrated.
    migrate: bool = "false",
    /// How long a lone replica goes on answering from memory while PostgreSQL can't be asked; 0s = not at all.
    database_lost_grace: Duration = "0s",
    /// The root key, 32 bytes in base64. Excludes `root_key_file`.
    root_key: Option<Secret> = "",
    /// File of the root key; made at the first start of the embedded default.
    root_key_file: PathBuf = "{data_dir}/root.key",
    /// The root key before this one, while rotating. Excludes `previous_root_key_file`.
    previous_root_key: Option<Secret> = "",
    /// File of the root key before this one, while rotating; empty = none.
    previous_root_key_file: Option<PathBuf> = "",
    /// File of the operator's API key. At the first start a key that is in it becomes the operator's; if there is no such
    /// file, a key is made, and shown on the terminal or written here.
    operator_key_file: PathBuf = "{data_dir}/operator.key",
    /// How mail leaves: `file`, `smtp` or `none`.
    mail_transport: MailTransport = "file",
    /// Directory of the mails of the `file` transport.
    mail_dir: PathBuf = "{data_dir}/mail",
    /// Sender of every mail.
    mail_from: Mailbox = "Countersign <countersign@localhost>",
    /// Mail server of the `smtp` transport: a name or an address.
    smtp_host: Option<Host> = "",
    /// Port of the mail server; empty = 587 with `starttls`, 465 with `tls`, 25 with `none`.
    smtp_port: Option<NonZeroU16> = "",
    /// How the connection is protected: `starttls` (required), `tls` (from the first byte), or `none`.
    smtp_security: SmtpSecurity = "starttls",
    /// Allows `smtp_security = none` to leave loopback, where a mesh encrypts; never with a password.
    smtp_allow_plaintext: bool = "false",
    /// Name to sign in to the mail server with; empty = not at all.
    smtp_username: Option<String> = "",
    /// Password of that name. Excludes `smtp_password_file`.
    smtp_password: Option<Secret> = "",
    /// File of that password; empty = none.
    smtp_password_file: Option<PathBuf> = "",
    /// File of further certificates (PEM) that the mail server's may be signed by, besides Mozilla's list.
    smtp_ca_file: Option<PathBuf> = "",
    /// How long one mail may take, connecting included: 1s to 25s.
    smtp_timeout: Duration = "15s",
    /// Where links in mails may lead: origins such as `https://portal.example` or `https://*.portal.example`,
    /// comma-separated.
    /// A realm's `base_url` is of one of them. http is for loopback alone, and there without a port is any port.
    base_url_origins: Vec<String> = "http://localhost, http://127.0.0.1, http://[::1]",
    /// `json`, `pretty`, or `auto` = pretty on a terminal.
    log_format: LogFormat = "auto",
    /// What is logged, as `tracing` directives.
    log_filter: LogFilter = "info",
    /// OTLP collector for traces (gRPC), `http://HOST:PORT` or `https://HOST:PORT`; empty = off.
    otlp_endpoint: Option<OtlpEndpoint> = "",
    /// PEM file of the authorities by which that collector proves itself; needed with `https`.
    otlp_ca_file: Option<PathBuf> = "",
    /// Password hashes computed at once.
    hash_permits: NonZeroUsize = "{cores}",
    /// Password hashes that may wait; a further one is refused with RESOURCE_EXHAUSTED. Empty = 60 for each permit, which
    /// is about a second of work.
    hash_queue: Option<usize> = "",
    /// Calls of public RPCs per source address and minute.
    public_calls_per_source: NonZeroU32 = "60",
    /// Look-ups per source address and minute of credentials and realms that there are not; those that were seen before
    /// are never limited.
    unknown_credentials_per_source: NonZeroU32 = "60",
    /// Calls of public RPCs about one mailbox per minute.
    public_calls_per_mailbox: NonZeroU32 = "5",
    /// Proxies whose word on a caller's address is believed: addresses or networks, comma-separated.
    trusted_proxies: Vec<IpNet> = "",
    /// Days for which events of the audit log are kept; older ones are dropped.
    audit_kept_days: NonZeroU32 = "400",
    /// Between "not serving" and "no longer accepting", for load balancers to notice.
    shutdown_pause: Duration = "2s",
    /// How long calls under way may take to end after that.
    shutdown_grace: Duration = "20s",
}

const ONE_OF: &str = "only one of them may be given";

/// The source of each setting, in the order of the table.
#[derive(Clone, Debug)]
pub struct Sources(Vec<Source>);

/// Why the settings can't be used. Each names the setting and its source, never a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("no setting is called {name:?} ({from})")]
    Unknown { name: String, from: Source },
    #[error("{name} ({from}): {problem}")]
    Invalid { name: &'static str, from: Source, problem: String },
    #[error("{first} ({first_from}) contradicts {second} ({second_from}): {rule}")]
    Contradiction {
        first: &'static str,
        first_from: Source,
        second: &'static str,
        second_from: Source,
        rule: &'static str,
    },
    #[error("configuration file {path}: {problem}")]
    File { path: PathBuf, problem: String },
    #[error("{} settings are wrong:\n  {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    Several(Vec<ConfigError>),
}

impl ConfigError {
    /// One error that tells each of them.
    fn all(wrong: Vec<Self>) -> Self {
        let flat = wrong.into_iter().flat_map(|error| match error {
            Self::Several(each) => each,
            one => vec![one],
        });
        let mut each: Vec<_> = flat.collect();
        if each.len() == 1 { each.remove(0) } else { Self::Several(each) }
    }
}

impl Config {
    /// Reads the file, the environment and the flags.
    ///
    /// # Errors
    /// Every unknown or malformed setting, or every contradiction; a file that can't be read.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let environment = std::env::vars_os();
        Self::checked(gather(flags, Path::new("."), environment)?)
    }

    /// One line per setting, `name = value  # source`, secrets hidden.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let lines = self.shown().into_iter().zip(&self.sources.0);
        lines.map(|((name, value), source)| format!("{name} = {value}  # {source}")).collect()
    }

    /// Every setting that is wrong by itself; or if there is none, what contradicts what.
    fn checked((given, mut wrong): (Given, Vec<ConfigError>)) -> Result<Self, ConfigError> {
        let config = match Self::parse(&given) {
            Ok(config) if wrong.is_empty() => config,
            Ok(_) => return Err(ConfigError::all(wrong)),
            Err(more) => {
                wrong.push(more);
                return Err(ConfigError::all(wrong));
            }
        };
        let checks = [
            Self::check_root_keys,
            Self::check_tls,
            Self::check_listeners,
            Self::check_database,
            Self::check_otlp,
            Self::check_smtp,
        ];
        let wrong: Vec<_> = checks.iter().filter_map(|check| check(&config).err()).collect();
        if wrong.is_empty() { Ok(config) } else { Err(ConfigError::all(wrong)) }
    }

    fn check_root_keys(&self) -> Result<(), ConfigError> {
        if self.root_key.is_some() && self.is_given("root_key_file") {
            return Err(self.contradiction("root_key", "root_key_file", ONE_OF));
        }
        if self.previous_root_key.is_some() && self.previous_root_key_file.is_some() {
            return Err(self.contradiction("previous_root_key", "previous_root_key_file", ONE_OF));
        }
        Ok(())
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && self.tls_cert_file.is_none() && !self.allow_plaintext {
            let rule = "there is no TLS, and beyond loopback plaintext must be allowed";
            return Err(self.contradiction("listen", "allow_plaintext", rule));
        }
        if self.listen.port() != 0 && self.metrics_listen == Some(self.listen) {
            return Err(self.contradiction("listen", "metrics_listen", "both name one address"));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        let (certificate, key) = (self.tls_cert_file.is_some(), self.tls_key_file.is_some());
        if certificate && !key {
            return Err(self.contradiction("tls_cert_file", "tls_key_file", "TLS needs both"));
        }
        if key && !certificate {
            return Err(self.contradiction("tls_key_file", "tls_cert_file", "TLS needs both"));
        }
        if !self.tls_client_ca_files.0.is_empty() && !certificate {
            let rule = "client certificates come with TLS alone";
            return Err(self.contradiction("tls_client_ca_files", "tls_cert_file", rule));
        }
        if self.tls_client_required && self.tls_client_ca_files.0.is_empty() {
            let rule = "nobody says whose certificates are believed";
            return Err(self.contradiction("tls_client_required", "tls_client_ca_files", rule));
        }
        Ok(())
    }

    /// Whether a setting has another source than its default.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.source(name) != Source::Default
    }

    fn check_otlp(&self) -> Result<(), ConfigError> {
        let encrypted = self.otlp_endpoint.as_ref().is_some_and(|OtlpEndpoint(uri)| uri.scheme_str() == Some("https"));
        match (&self.otlp_ca_file, encrypted) {
            (None, true) => {
                let rule = "nobody says by which authority the collector proves itself";
                Err(self.contradiction("otlp_endpoint", "otlp_ca_file", rule))
            }
            (Some(_), false) => {
                Err(self.contradiction("otlp_ca_file", "otlp_endpoint", "the collector is not reached by https"))
            }
            _ => Ok(()),
        }
    }

    fn contradiction(&self, first: &'static str, second: &'static str, rule: &'static str) -> ConfigError {
        let (first_from, second_from) = (self.source(first), self.source(second));
        ConfigError::Contradiction { first, first_from, second, second_from, rule }
    }

    fn source(&self, name: &str) -> Source {
        let at = SETTINGS.iter().position(|setting| setting.name == name);
        at.and_then(|at| self.sources.0.get(at)).cloned().unwrap_or(Source::Default)
    }
}

/// Reads the settings in the order of the table, in which `data_dir` stands before what refers to it.
struct Reader<'a> {
    given: &'a Given,
    data_dir: String,
    sources: Vec<Source>,
    wrong: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    fn new(given: &'a Given) -> Self {
        Self { given, data_dir: String::new(), sources: Vec::with_capacity(SETTINGS.len()), wrong: vec![] }
    }

    /// `None` = it is among what is wrong.
    fn read<T: Value>(&mut self, name: &'static str, default: &str) -> Option<T> {
        let (text, from) = self.given.get(name).cloned().unwrap_or_else(|| (self.filled(default), Source::Default));
        let read = T::read(&text);
        self.sources.push(from.clone());
        if name == "data_dir" {
            self.data_dir = text;
        }
        read.map_err(|problem| self.wrong.push(ConfigError::Invalid { name, from, problem })).ok()
    }

    fn filled(&self, default: &str) -> String {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get).to_string();
        match default {
            "{cores}" => cores(),
            _ => default.replace("{data_dir}", &self.data_dir),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}
