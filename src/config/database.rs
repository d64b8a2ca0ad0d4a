//! The address of the database: which texts are one, what of it may be shown, and when its connection must be proven.
//!
//! A password may stand in it, and a mistyped address may have a piece of it where the host should be. So whatever is not
//! read without doubt is refused, and no message repeats any of it.

use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

use super::value::{Secret, Value};
use super::{Config, ConfigError, ONE_OF, Source};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The parameters that a PostgreSQL URL may have. The driver would pass over any other, and log it with its value.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const EXPECTED: &str = "expected sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE";
const MALFORMED: &str = "expected postgres://USER:PASSWORD@HOST/DATABASE; percent-encode what is neither a letter nor a \
                         digit in user and password (# is %23, / is %2F, ? is %3F, @ is %40), or give the password by \
                         database_password_file";

/// Where the database is.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// The file of an embedded database.
    Sqlite(PathBuf),
    /// A PostgreSQL URL. Secret as a whole: a password may stand in it, before the host or as a parameter.
    Postgres(PostgresUrl),
}

/// A PostgreSQL URL that is read without doubt.
#[derive(Clone, Debug)]
pub struct PostgresUrl {
    whole: Secret,
    shown: String,
    is_local: bool,
    is_proven: bool,
    has_password: bool,
}

impl DatabaseUrl {
    /// What may be told of it: of a PostgreSQL URL host, port and database.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => url.shown.clone(),
        }
    }
}

impl Value for DatabaseUrl {
    fn read(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path)) {
            Some(path) if path.is_empty() || path.contains("://") => Err(EXPECTED.to_owned()),
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => PostgresUrl::read(text).map(Self::Postgres),
        }
    }

    fn show(&self) -> String {
        self.shown()
    }
}

impl PostgresUrl {
    /// The whole URL, for the one place that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }

    /// The same URL with a password from elsewhere.
    ///
    /// # Errors
    /// The URL can't have one.
    pub fn with_password(&self, password: &str) -> Result<Self, String> {
        let mut url = Url::parse(self.expose()).map_err(|_| MALFORMED.to_owned())?;
        let password = utf8_percent_encode(password, NON_ALPHANUMERIC).to_string();
        url.set_password(Some(&password)).map_err(|()| MALFORMED.to_owned())?;
        Self::read(url.as_str())
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(MALFORMED.to_owned());
        }
        let schemes = ["postgres://", "postgresql://"];
        let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or(EXPECTED)?;
        // The driver knows the shorter scheme alone.
        let whole = format!("postgres://{rest}");
        let url = Url::parse(&whole).ok().filter(is_unambiguous).ok_or(MALFORMED)?;
        let parameter =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let sure = url.query_pairs().all(|(key, value)| is_parameter(&key, &value));
        if !sure {
            let known = PARAMETERS.join(", ");
            return Err(format!("has a parameter that is not known, or not of its form; known are {known}"));
        }
        let host = parameter("hostaddr").or_else(|| parameter("host")).or_else(|| host(&url)).ok_or(MALFORMED)?;
        let shown = shown(&url);
        let is_proven = parameter("sslmode").as_deref() == Some("verify-full");
        let has_password = url.password().is_some() || parameter("password").is_some();
        Ok(Self { whole: Secret::new(whole), shown, is_local: is_local(&host), is_proven, has_password })
    }
}

/// Whether each part is where it seems: an unencoded `/`, `?`, `#` or `@` in a password would move the others.
fn is_unambiguous(url: &Url) -> bool {
    let path = url.path().trim_start_matches('/');
    let beyond_host = [path, url.query().unwrap_or_default()];
    let text = |encoded: &str| percent_decode_str(encoded).decode_utf8().is_ok();
    url.fragment().is_none()
        && !path.contains('/')
        && beyond_host.iter().all(|part| !part.contains('@'))
        && [url.username(), url.password().unwrap_or_default(), path].into_iter().all(text)
}

fn is_parameter(key: &str, value: &str) -> bool {
    match key {
        "sslmode" => SSL_MODES.contains(&value),
        "hostaddr" => value.parse::<IpAddr>().is_ok(),
        "port" => value.parse::<u16>().is_ok(),
        "statement-cache-capacity" => value.parse::<usize>().is_ok(),
        _ => PARAMETERS.contains(&key) || (key.starts_with("options[") && key.ends_with(']')),
    }
}

/// The host before the path, decoded.
fn host(url: &Url) -> Option<String> {
    let host = percent_decode_str(url.host_str()?).decode_utf8().ok()?;
    (!host.is_empty()).then(|| host.into_owned())
}

/// Whether what is sent there stays on this machine: a socket, or loopback.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.starts_with('/') || host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
}

/// Host, port and database. Without a user, what seems to be host and port may be a user and a password.
fn shown(url: &Url) -> String {
    let plain = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let address = |text: &&str| plain(&text.replace([':', '[', ']'], "").as_str());
    let database = Some(url.path().trim_start_matches('/')).filter(plain).unwrap_or("(hidden)");
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    match url.host_str().filter(address) {
        Some(host) if !url.username().is_empty() => format!("postgres://(hidden)@{host}{port}/{database}"),
        _ => "postgres://(hidden)".to_owned(),
    }
}

impl Config {
    /// # Errors
    /// The first contradiction.
    pub(super) fn check_database(&self) -> Result<(), ConfigError> {
        let from_file = self.database_password_file.is_some();
        let from = self.source("database_url");
        match &self.database_url {
            DatabaseUrl::Postgres(url) if url.has_password && matches!(from, Source::Flag(_)) => {
                let problem = "every process of this machine sees the password: give it by the environment, a file of \
                               settings, or database_password_file";
                Err(ConfigError::Invalid { name: "database_url", from, problem: problem.to_owned() })
            }
            DatabaseUrl::Sqlite(_) if from_file => {
                let rule = "an embedded database has no password";
                Err(self.contradiction("database_password_file", "database_url", rule))
            }
            DatabaseUrl::Postgres(url) if from_file && url.has_password => {
                Err(self.contradiction("database_url", "database_password_file", ONE_OF))
            }
            DatabaseUrl::Postgres(url) if !url.is_local && !url.is_proven && !self.database_allow_plaintext => {
                let rule = "beyond this machine the URL needs ?sslmode=verify-full (and sslrootcert=FILE for an authority of \
                            one's own), or a connection that proves nothing must be allowed";
                Err(self.contradiction("database_url", "database_allow_plaintext", rule))
            }
            DatabaseUrl::Sqlite(_) | DatabaseUrl::Postgres(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refusal};
    use super::*;

    /// Everything that is said of settings with this URL, right or wrong.
    fn said(url: &str) -> String {
        match load("database_allow_plaintext = true", &[("COUNTERSIGN_DATABASE_URL", url)], &[]) {
            Ok(config) => format!("{config:?} {}", config.describe().join("\n")),
            Err(error) => format!("{error} {error:?}"),
        }
    }

    #[test]
    fn no_piece_of_a_password_is_shown_however_malformed_the_url() {
        let pieces = ["S3cr", "9731", "t0p", "hun-ter2"];
        let passwords = pieces.iter().flat_map(|piece| {
            ["#", "/", "?", "@", ":", "%", "[", "]", "\\", " ", "&", "=", ";", "\n", "é", "//", "%2"]
                .map(|sign| format!("{piece}{sign}{piece}"))
        });
        for password in passwords {
            for url in [
                format!("postgres://app:{password}@db/portal"),
                format!("postgresql://app:{password}@db:5432/portal?sslmode=require"),
                format!("postgres://app:{}", password.replace('@', "")),
                format!("postgres://{}", password.replace('@', "")),
                format!("postgres://app@db/portal?password={password}"),
                format!("postgres://app@db/portal?passwrod={password}"),
                format!("postgres://app@db/portal?sslmode={password}"),
                format!("postgres://app@db/portal;password={password}"),
                format!("postgers://app:{password}@db/portal"),
                format!("app:{password}@db/portal"),
                format!("sqlite:postgres://app:{password}@db/portal"),
                format!("host=db user=app password={password}"),
            ] {
                let said = said(&url);
                assert!(pieces.iter().all(|piece| !said.contains(piece)), "{url:?}: {said}");
            }
        }
        assert!(said("postgres://app:S3cr#t/pw@db/portal").contains("percent-encode"));
    }

    #[test]
    fn a_url_is_read_as_it_is_written_and_shown_without_its_secrets() {
        for (url, shown) in [
            ("postgres://app:p%23w@db:5432/portal", "postgres://(hidden)@db:5432/portal"),
            ("postgresql://app@[::1]/portal?options[enable_seqscan]=off", "postgres://(hidden)@[::1]/portal"),
            ("postgres://app@%2Fvar%2Frun%2Fpostgresql/portal", "postgres://(hidden)"),
            ("postgres://db:5432/portal", "postgres://(hidden)"),
        ] {
            assert_eq!(DatabaseUrl::read(url).unwrap().show(), shown);
        }
    }

    #[test]
    fn a_password_of_any_signs_comes_from_a_file() {
        let DatabaseUrl::Postgres(url) = DatabaseUrl::read("postgres://app@db/portal").unwrap() else { panic!() };
        let whole = url.with_password("S3cr#t/p w@%?:é").unwrap();
        let parsed = Url::parse(whole.expose()).unwrap();
        let password = percent_decode_str(parsed.password().unwrap()).decode_utf8().unwrap();
        assert_eq!(password, "S3cr#t/p w@%?:é");
        assert_eq!(parsed.host_str(), Some("db"));
        let both = "database_url = 'postgres://app:x@db/portal?sslmode=verify-full'\ndatabase_password_file = 'f'";
        assert!(refusal(both, &[], &[]).contains("contradicts database_password_file"));
        assert!(refusal("database_password_file = 'f'", &[], &[]).contains("has no password"));
    }

    #[test]
    fn a_password_does_not_stand_on_a_command_line() {
        for url in ["postgres://app:hunter2@localhost/portal", "postgres://app@localhost/portal?password=hunter2"] {
            let refused = refusal("", &[], &["--database-url", url]);
            assert!(refused.contains("every process of this machine") && !refused.contains("hunter2"), "{refused}");
        }
        load("", &[], &["--database-url", "postgres://app@localhost/portal", "--database-password-file", "f"]).unwrap();
    }

    #[test]
    fn beyond_loopback_postgres_is_proven_or_plaintext_is_allowed() {
        let refused =
            ["postgres://a@db/p", "postgres://a@db/p?sslmode=require", "postgres://a@localhost/p?host=10.0.0.1"];
        for url in refused {
            let why = refusal("", &[("COUNTERSIGN_DATABASE_URL", url)], &[]);
            assert!(why.contains("contradicts database_allow_plaintext") && why.contains("verify-full"), "{why}");
            load("", &[("COUNTERSIGN_DATABASE_URL", url)], &["--database-allow-plaintext"]).unwrap();
        }
        for url in [
            "postgres://a@db/p?sslmode=verify-full",
            "postgres://a@localhost/p",
            "postgres://a@127.0.0.1/p",
            "postgres://a@[::1]:5433/p",
            "postgres://a@%2Frun%2Fpostgresql/p",
        ] {
            load("", &[("COUNTERSIGN_DATABASE_URL", url)], &[]).unwrap();
        }
    }
}
