//! Where links in mails may lead: origins of the web, as the operator of the server allows them.
//!
//! Whoever configures a realm writes its base URL; that this does not lead the codes of its people to a place of their own
//! choice is the operator's word.

use std::fmt;

/// The longest base URL, in bytes.
pub const BASE_URL_BYTES_MAX: usize = 2048;

/// An origin, or those of all direct subdomains of a domain: `https://portal.example`, `https://*.portal.example`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllowedOrigin {
    scheme: Scheme,
    host: Host,
    /// Absent = the scheme's own; on loopback, any.
    port: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scheme {
    Http,
    Https,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Exactly(String),
    /// One label, and then this.
    Below(String),
}

/// Why a text is no origin, or no URL for links to begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OriginFault {
    #[error(
        "is not an absolute http or https URL without user, query and fragment, of at most {BASE_URL_BYTES_MAX} bytes"
    )]
    Form,
    #[error("is http beyond loopback: whoever carries the mail's link in the clear could use it")]
    Plaintext,
}

/// The beginning of every link of a realm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl {
    scheme: Scheme,
    host: String,
    port: Option<u16>,
    path: String,
}

impl BaseUrl {
    /// Reads a base URL.
    ///
    /// # Errors
    /// [`OriginFault`].
    pub fn parse(text: &str) -> Result<Self, OriginFault> {
        let plain = !text.contains(['?', '#', '@', '\\', '*'])
            && !text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii());
        if !plain || text.len() > BASE_URL_BYTES_MAX {
            return Err(OriginFault::Form);
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginFault::Form)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(OriginFault::Form),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| OriginFault::Form)?)),
            _ => (authority, None),
        };
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(OriginFault::Form);
        }
        if scheme == Scheme::Http && !is_loopback(&host) {
            return Err(OriginFault::Plaintext);
        }
        Ok(Self { scheme, host, port, path: path.to_owned() })
    }
}

impl AllowedOrigin {
    /// Reads an origin as an operator writes it.
    ///
    /// # Errors
    /// [`OriginFault`], also for a path behind it.
    pub fn parse(text: &str) -> Result<Self, OriginFault> {
        let below = text.contains("://*.");
        let BaseUrl { scheme, host, port, path } = BaseUrl::parse(&text.replacen("://*.", "://", 1))?;
        if !path.trim_end_matches('/').is_empty() || (below && !host.contains(|c: char| c.is_ascii_alphabetic())) {
            return Err(OriginFault::Form);
        }
        let host = if below { Host::Below(host) } else { Host::Exactly(host) };
        Ok(Self { scheme, host, port })
    }

    /// Whether links that begin with this URL lead there.
    #[must_use]
    pub fn covers(&self, url: &BaseUrl) -> bool {
        let host = match &self.host {
            Host::Exactly(host) => *host == url.host,
            Host::Below(domain) => {
                let label = url.host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
        };
        let port = if self.port.is_none() && is_loopback(&url.host) {
            true
        } else {
            self.port.unwrap_or(self.scheme.port()) == url.port.unwrap_or(url.scheme.port())
        };
        host && port && self.scheme == url.scheme
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        })?;
        match &self.host {
            Host::Exactly(host) => f.write_str(host)?,
            Host::Below(domain) => write!(f, "*.{domain}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(origin: &str, url: &str) -> bool {
        AllowedOrigin::parse(origin).unwrap().covers(&BaseUrl::parse(url).unwrap())
    }

    #[test]
    fn an_origin_is_its_scheme_host_and_port() {
        for url in ["https://portal.example", "https://PORTAL.example/", "https://portal.example:443/a/b"] {
            assert!(covers("https://portal.example", url), "{url}");
        }
        for url in [
            "https://portal.example:8443",
            "https://portal.example.evil",
            "https://evil-portal.example",
            "https://a.portal.example",
        ] {
            assert!(!covers("https://portal.example", url), "{url}");
        }
        assert!(covers("https://portal.example:8443", "https://portal.example:8443/"));
    }

    #[test]
    fn a_star_is_one_label() {
        assert!(covers("https://*.portal.example", "https://acme.portal.example/a"));
        for url in ["https://portal.example", "https://a.b.portal.example", "https://evilportal.example"] {
            assert!(!covers("https://*.portal.example", url), "{url}");
        }
    }

    #[test]
    fn loopback_is_any_port_of_it() {
        for (origin, url) in [
            ("http://localhost", "http://localhost:8080/app"),
            ("http://127.0.0.1", "http://127.0.0.1:3000"),
            ("http://[::1]", "http://[::1]:3000"),
        ] {
            assert!(covers(origin, url), "{url}");
        }
    }

    #[test]
    fn what_links_can_not_begin_with_is_refused() {
        for url in [
            "",
            "portal.example",
            "/app",
            "ftp://x.org",
            "https://",
            "https://x.org?a",
            "https://u@x.org",
            "https://x.org/#a",
            "https://x.org:port",
            "https://x..org",
            "https://x.org\\@evil.org",
            "https://bücher.example",
        ] {
            assert_eq!(BaseUrl::parse(url), Err(OriginFault::Form), "{url}");
        }
        assert_eq!(BaseUrl::parse("http://portal.example"), Err(OriginFault::Plaintext));
        assert_eq!(BaseUrl::parse("http://localhost.evil.example"), Err(OriginFault::Plaintext));
        assert_eq!(AllowedOrigin::parse("https://portal.example/app"), Err(OriginFault::Form));
    }
}
