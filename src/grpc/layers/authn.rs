//! What a call's metadata says of who calls, and from where. Anything that is not exactly as expected is refused.

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::app::{Error, Reason, Result};
use crate::domain::source::Source;

/// The metadata that names the realm of a call.
static REALM: HeaderName = HeaderName::from_static("countersign-realm");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The bearer credential; `None` = there is none.
pub(in crate::grpc) fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Error::refused(Reason::CredentialsConflict, "more than one credential came with the call"));
    }
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    let credential = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, rest)| rest.trim());
    credential.filter(|credential| !credential.is_empty()).map(Some).ok_or_else(|| {
        Error::refused(Reason::CredentialInvalid, "the credential is unknown, expired, revoked or malformed")
    })
}

/// The realm that the metadata names; `None` = it names none.
pub(super) fn realm(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut all = headers.get_all(&REALM).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let unknown = || Error::refused(Reason::RealmUnknown, "there is no such realm, or the credential is not of it");
    if all.next().is_some() {
        return Err(unknown());
    }
    let named = value.to_str().ok().map(str::trim).filter(|named| !named.is_empty());
    named.map(Some).ok_or_else(unknown)
}

/// Where a call came from. Only a trusted proxy is believed when it says that it speaks for somebody else, and of what
/// it says only the last address: that one it saw itself.
pub(super) fn source(peer: Source, headers: &HeaderMap, trusted: &[IpNet]) -> Source {
    if !trusted.iter().any(|network| peer.is_in(network)) {
        return peer;
    }
    let said = headers.get_all(&FORWARDED_FOR).iter().next_back().and_then(|value| value.to_str().ok());
    said.and_then(|list| list.rsplit(',').next()).and_then(|last| Source::parse(last.trim())).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn two_credentials_are_one_too_many() {
        let two = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert_eq!(bearer(&two).unwrap_err().reason(), Reason::CredentialsConflict);
        assert_eq!(bearer(&headers(&[("authorization", "bearer a")])).unwrap(), Some("a"));
        for malformed in ["a", "Basic a", "Bearer ", "Bearer"] {
            let error = bearer(&headers(&[("authorization", malformed)])).unwrap_err();
            assert_eq!(error.reason(), Reason::CredentialInvalid, "{malformed}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_speaks_for_others() {
        let forged = headers(&[("x-forwarded-for", "203.0.113.9, 198.51.100.7")]);
        let peer = Source::parse("192.0.2.1").unwrap();
        assert_eq!(source(peer, &forged, &[]), peer);
        let trusted = ["192.0.2.0/24".parse().unwrap()];
        assert_eq!(source(peer, &forged, &trusted), Source::parse("198.51.100.7").unwrap());
        let mapped = Source::parse("::ffff:192.0.2.1").unwrap();
        assert_eq!(source(mapped, &forged, &trusted), Source::parse("198.51.100.7").unwrap());
        assert_eq!(source(peer, &headers(&[("x-forwarded-for", "nonsense")]), &trusted), peer);
    }
}
