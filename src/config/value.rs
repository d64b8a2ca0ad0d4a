//! How a setting is read and shown. Every source gives text; the type of a setting decides what text is right, whether
//! it may stand on a command line, and what of it may be shown.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use lettre::message::Mailbox;

/// A type that a setting may have.
pub(super) trait Value: Sized {
    /// Whether the setting may be given as a flag.
    const FLAG: bool = true;
    /// Whether the flag may stand alone and then means `true`.
    const SWITCH: bool = false;

    /// Reads what a source gave. The error says what would be right, and never repeats a secret.
    fn read(text: &str) -> Result<Self, String>;

    /// What may be shown of it.
    fn show(&self) -> String;
}

/// `what` the setting should be, beside what it is.
fn expected(what: &str, text: &str) -> String {
    format!("expected {what}, got {text:?}")
}

macro_rules! plain {
    ($($type:ty: $what:literal,)*) => {$(
        impl Value for $type {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| expected($what, text))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

plain! {
    SocketAddr: "an address and port such as 127.0.0.1:50051",
    NonZeroU16: "a whole number from 1 to 65535",
    NonZeroU32: "a whole number from 1 to 4294967295",
    NonZeroUsize: "a whole number of at least 1",
    usize: "a whole number of at least 0",
    Mailbox: "a mailbox such as Portal <portal@example.org>",
}

impl Value for bool {
    const SWITCH: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| expected("true or false", text))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) { Err(expected("one line of text", text)) } else { Ok(text.to_owned()) }
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err(expected("a path", text)) } else { Ok(text.into()) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// A whole number with its unit: `ms`, `s`, `m` or `h`.
impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let millis_per = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let millis = number.parse::<u64>().ok().zip(millis_per).and_then(|(n, unit)| n.checked_mul(unit));
        millis.map(Self::from_millis).ok_or_else(|| expected("a duration with its unit, such as 500ms or 30s", text))
    }

    fn show(&self) -> String {
        match self.as_millis() {
            whole if whole % 1_000 == 0 => format!("{}s", whole / 1_000),
            millis => format!("{millis}ms"),
        }
    }
}

/// Empty text is none.
impl<T: Value> Value for Option<T> {
    const FLAG: bool = T::FLAG;

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::read(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, T::show)
    }
}

/// Texts, comma-separated.
impl Value for Vec<String> {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    fn show(&self) -> String {
        self.join(", ")
    }
}

/// Addresses and networks, comma-separated.
impl Value for Vec<IpNet> {
    fn read(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(network).collect()
    }

    fn show(&self) -> String {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// Trust domains, each with a file of its own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TrustDomains(pub Vec<(String, PathBuf)>);

impl Value for TrustDomains {
    fn read(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let mut read: Vec<(String, PathBuf)> = vec![];
        for item in items {
            let (domain, file) = item.split_once('=').ok_or_else(|| expected("DOMAIN=FILE pairs", text))?;
            let (domain, file) = (domain.trim(), file.trim());
            let sign = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
            if domain.is_empty() || file.is_empty() || !domain.chars().all(sign) {
                return Err(expected("a trust domain such as example.org, and its file", item));
            }
            if read.iter().any(|(known, _)| known == domain) {
                return Err(expected("each trust domain once", text));
            }
            read.push((domain.to_owned(), file.into()));
        }
        Ok(Self(read))
    }

    fn show(&self) -> String {
        self.0.iter().map(|(domain, file)| format!("{domain}={}", file.display())).collect::<Vec<_>>().join(", ")
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(one).ok_or_else(|| expected("addresses or networks such as 10.0.0.0/8", text))
}

/// Text that is never shown, logged or formatted.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that uses it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Value for Secret {
    const FLAG: bool = false;

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        "(hidden)".to_owned()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

/// Which transport carries mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailTransport {
    /// One file per mail, and a line in the log.
    File,
    /// A mail server.
    Smtp,
    /// Mail is not sent.
    None,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmtpSecurity {
    /// TLS after the greeting, required.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not at all.
    None,
}

impl SmtpSecurity {
    /// The port that servers offer it on: submission (RFC 6409), submissions (RFC 8314), or the relay's own.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// The name or address of another machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host(pub String);

impl Host {
    /// Whether what is sent there stays on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let Self(host) = self;
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl Value for Host {
    fn read(text: &str) -> Result<Self, String> {
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        };
        let is_name = text.len() <= 253 && text.split('.').all(label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            // Not repeated: a password may stand before an `@`.
            Err("expected a name or an address without a port, such as mail.example.org".to_owned())
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Pretty if standard error is a terminal, else JSON.
    Auto,
    /// One object per line.
    Json,
    /// For people.
    Pretty,
}

impl LogFormat {
    /// Whether lines are for people, seeing where standard error goes.
    #[must_use]
    pub fn is_pretty(self) -> bool {
        self == Self::Pretty || (self == Self::Auto && stderr().is_terminal())
    }
}

macro_rules! words {
    ($($type:ident { $($variant:ident = $word:literal),+ } $what:literal)*) => {$(
        impl Value for $type {
            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(expected($what, text)),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$variant => $word.to_owned(),)+ }
            }
        }
    )*};
}

words! {
    MailTransport { File = "file", Smtp = "smtp", None = "none" } "file, smtp or none"
    SmtpSecurity { StartTls = "starttls", Tls = "tls", None = "none" } "starttls, tls or none"
    LogFormat { Auto = "auto", Json = "json", Pretty = "pretty" } "json, pretty or auto"
}

/// Directives that `tracing` understands.
#[derive(Clone, Debug)]
pub struct LogFilter(pub String);

impl Value for LogFilter {
    fn read(text: &str) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(expected("directives such as info or countersign=debug,info", text)),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Address of an OTLP collector.
#[derive(Clone, Debug)]
pub struct OtlpEndpoint(pub http::Uri);

impl Value for OtlpEndpoint {
    fn read(text: &str) -> Result<Self, String> {
        let known = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        // Not repeated: a password may stand before an `@`, a token after a `?`.
        let plain = http::Uri::from_str(text).ok().filter(known).filter(|_| !text.contains(['@', '?', '#']));
        plain.map(Self).ok_or_else(|| "expected http://HOST:PORT or https://HOST:PORT".to_owned())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}
