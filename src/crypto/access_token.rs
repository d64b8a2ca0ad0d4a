//! Access tokens: JWTs by RFC 9068, checked by RFC 8725.
//!
//! A token is accepted under one algorithm and one type, with a key that the caller finds by its id among the realm's
//! own. Whether its session still stands is for the caller to ask: this file knows what was signed, not what was
//! revoked. The keys are [`super::signing`]'s.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::signing::{ALGORITHM, SIGNATURE_BYTES, SigningKey, VerifyingKey};
use crate::domain::ids::{PrincipalId, RealmId, SessionId, SigningKeyId};
use crate::domain::time::Timestamp;

/// The longest token that is looked at, in bytes. Ours are about 700; the headers of a call end at 16 KiB.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// How far the clock of the replica that made a token may be ahead, in seconds.
const CLOCK_SKEW_SECS: i64 = 10;

/// The only type (RFC 9068 section 2.1), so that no other kind of JWT passes for an access token.
const TYPE: &str = "at+jwt";

const MICROS_PER_SEC: i64 = 1_000_000;

/// What an access token says (RFC 9068 section 2.2, with `sid`, `epoch`, `realm` of ours).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessClaims {
    pub iss: String,
    /// Whose permissions count: while impersonating, the person impersonated.
    pub sub: PrincipalId,
    pub aud: String,
    pub client_id: String,
    /// When it was issued; printed in whole seconds, what is beyond is cut off.
    #[serde(with = "seconds")]
    pub iat: Timestamp,
    /// From when on it is refused; printed in whole seconds, what is beyond is cut off.
    #[serde(with = "seconds")]
    pub exp: Timestamp,
    pub jti: Uuid,
    pub sid: SessionId,
    /// The account's session epoch when it was issued: an older one is an ended session.
    pub epoch: i64,
    pub realm: RealmId,
    /// Who really acts (RFC 8693 section 4.1), while impersonating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

impl AccessClaims {
    /// Signs the claims: the token to hand out.
    ///
    /// # Errors
    /// None that these claims can cause; their JSON form is what could fail.
    pub fn sign(&self, key: &SigningKey) -> serde_json::Result<String> {
        let header = Header { typ: TYPE.into(), alg: ALGORITHM.into(), kid: key.kid() };
        let mut token = encode(&header)? + "." + &encode(self)?;
        let signature = key.sign(&token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// Who acts behind a subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Actor {
    pub sub: PrincipalId,
}

/// What a token must say to be accepted here.
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'a> {
    pub iss: &'a str,
    pub aud: &'a str,
    pub realm: RealmId,
    pub now: Timestamp,
}

/// Why a token is not accepted. For logs and metrics: the caller hears of one kind of failure only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenFault {
    #[error("token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("token is no access token of this service")]
    Malformed,
    #[error("token names a signing key that its realm does not have")]
    UnknownKey,
    #[error("token has a wrong signature")]
    WrongSignature,
    #[error("token is of another issuer, audience or realm")]
    WrongPlace,
    #[error("token is issued in the future")]
    NotYetIssued,
    #[error("token is expired")]
    Expired,
}

/// Checks a token: form, type and algorithm, then the signature, and only then what it says.
///
/// `key` finds the public key of that id among the keys of `expected.realm`; nothing else of the token's header is used.
///
/// # Errors
/// The first [`TokenFault`] in that order.
pub fn verify(
    token: &str,
    key: impl FnOnce(SigningKeyId) -> Option<VerifyingKey>,
    expected: &Expectations<'_>,
) -> Result<AccessClaims, TokenFault> {
    let parts = Parts::of(token)?;
    let key = key(parts.header.kid).ok_or(TokenFault::UnknownKey)?;
    if !key.signed(parts.signed, &parts.signature) {
        return Err(TokenFault::WrongSignature);
    }
    let claims: AccessClaims = decode(parts.claims)?;
    accept(&claims, expected)?;
    Ok(claims)
}

/// What a token says about where it belongs, unproven: enough to find the key to check it with, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unverified {
    pub kid: SigningKeyId,
    pub realm: RealmId,
}

/// Reads where a token claims to belong. **Nothing of it is proven**: [`verify`] must follow.
///
/// # Errors
/// [`TokenFault::TooLong`] or [`TokenFault::Malformed`].
pub fn unverified(token: &str) -> Result<Unverified, TokenFault> {
    #[derive(Deserialize)]
    struct Place {
        realm: RealmId,
    }
    let parts = Parts::of(token)?;
    let Place { realm } = decode(parts.claims)?;
    Ok(Unverified { kid: parts.header.kid, realm })
}

fn accept(claims: &AccessClaims, expected: &Expectations<'_>) -> Result<(), TokenFault> {
    let skew = CLOCK_SKEW_SECS * MICROS_PER_SEC;
    if claims.iss != expected.iss || claims.aud != expected.aud || claims.realm != expected.realm {
        return Err(TokenFault::WrongPlace);
    }
    if claims.iat.0.saturating_sub(skew) > expected.now.0 {
        return Err(TokenFault::NotYetIssued);
    }
    if claims.exp <= expected.now { Err(TokenFault::Expired) } else { Ok(()) }
}

/// A token's header. A field that is not listed makes the token malformed: no key, no link to one, no `crit`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: SigningKeyId,
}

/// A token of the right form, type and algorithm, taken apart.
struct Parts<'a> {
    header: Header,
    /// Header and claims as they were signed.
    signed: &'a str,
    claims: &'a str,
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
        let header: Header = decode(header)?;
        if header.typ != TYPE || header.alg != ALGORITHM {
            return Err(TokenFault::Malformed);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Self { header, signed, claims, signature: signature.ok_or(TokenFault::Malformed)? })
    }
}

fn encode(part: &impl Serialize) -> serde_json::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}

/// Reads one part. A dot within it is no base64, so that a token has three parts or is malformed.
fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenFault> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenFault::Malformed)
}

/// Instants as a JWT prints them: whole seconds since the Unix epoch (RFC 7519, NumericDate).
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{MICROS_PER_SEC, Timestamp};

    pub(super) fn serialize<S: Serializer>(instant: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(instant.0.div_euclid(MICROS_PER_SEC))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Ok(Timestamp(i64::deserialize(from)?.saturating_mul(MICROS_PER_SEC)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const REALM: RealmId = RealmId(Uuid::from_u128(1));
    const KID: SigningKeyId = SigningKeyId(Uuid::from_u128(2));
    const NOW: Timestamp = Timestamp(1_900_000_000 * MICROS_PER_SEC);
    const HERE: Expectations<'_> =
        Expectations { iss: "https://portal.example", aud: "portal", realm: REALM, now: NOW };

    fn claims() -> AccessClaims {
        AccessClaims {
            iss: HERE.iss.to_owned(),
            sub: PrincipalId(Uuid::from_u128(3)),
            aud: HERE.aud.to_owned(),
            client_id: "public".to_owned(),
            iat: NOW,
            exp: Timestamp(NOW.0 + 300 * MICROS_PER_SEC),
            jti: Uuid::from_u128(4),
            sid: SessionId(Uuid::from_u128(5)),
            epoch: 6,
            realm: REALM,
            act: Some(Actor { sub: PrincipalId(Uuid::from_u128(7)) }),
        }
    }

    fn check(key: &SigningKey, token: &str) -> Result<AccessClaims, TokenFault> {
        verify(token, |kid| (kid == KID).then(|| key.verifying_key()), &HERE)
    }

    /// Signs whatever header and claims, as an attacker who has the key could, or who has none.
    fn forge(key: &SigningKey, header: &Value, claims: &Value) -> String {
        let signed = encode(header).unwrap() + "." + &encode(claims).unwrap();
        let signature = key.sign(&signed);
        signed + "." + &URL_SAFE_NO_PAD.encode(signature)
    }

    fn header() -> Value {
        json!({ "typ": TYPE, "alg": ALGORITHM, "kid": KID })
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let key = SigningKey::generate(KID);
        let token = claims().sign(&key).unwrap();
        assert!(token.len() < 1024, "{}", token.len());
        assert_eq!(check(&key, &token), Ok(claims()));
        assert_eq!(unverified(&token), Ok(Unverified { kid: KID, realm: REALM }));
        let header: Value = decode(token.split('.').next().unwrap()).unwrap();
        assert_eq!(header, self::header());
    }

    #[test]
    fn the_claims_are_named_as_the_rfc_names_them() {
        let printed = serde_json::to_value(AccessClaims { act: None, ..claims() }).unwrap();
        assert_eq!(printed["exp"], 1_900_000_300);
        let mut names: Vec<_> = printed.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["aud", "client_id", "epoch", "exp", "iat", "iss", "jti", "realm", "sid", "sub"]);
        assert_eq!(serde_json::to_value(claims()).unwrap()["act"], json!({ "sub": PrincipalId(Uuid::from_u128(7)) }));
    }

    #[test]
    fn only_the_one_header_is_accepted() {
        let key = SigningKey::generate(KID);
        let said = serde_json::to_value(claims()).unwrap();
        assert!(check(&key, &forge(&key, &header(), &said)).is_ok());
        for (name, value) in [
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("alg", json!("eddsa")),
            ("typ", json!("JWT")),
            ("typ", json!("at+JWT")),
            ("typ", Value::Null),
            ("kid", json!("../key")),
            ("jwk", json!(key.verifying_key().jwk(KID))),
            ("jku", json!("https://evil.example")),
            ("x5u", json!("https://evil.example")),
            ("crit", json!(["exp"])),
        ] {
            let mut header = header();
            header[name] = value;
            assert_eq!(check(&key, &forge(&key, &header, &said)), Err(TokenFault::Malformed), "{header}");
        }
    }

    #[test]
    fn only_the_realms_own_keys_count() {
        let (key, other) = (SigningKey::generate(KID), SigningKey::generate(KID));
        let token = claims().sign(&other).unwrap();
        assert_eq!(check(&key, &token), Err(TokenFault::WrongSignature));
        assert_eq!(verify(&token, |_| None, &HERE), Err(TokenFault::UnknownKey));
        let unsigned = token.rsplit_once('.').unwrap().0.to_owned() + ".";
        assert_eq!(check(&key, &unsigned), Err(TokenFault::Malformed));
    }

    #[test]
    fn a_token_of_another_place_is_refused() {
        let key = SigningKey::generate(KID);
        for wrong in [
            AccessClaims { iss: "https://evil.example".to_owned(), ..claims() },
            AccessClaims { aud: "mail".to_owned(), ..claims() },
            AccessClaims { realm: RealmId(Uuid::from_u128(9)), ..claims() },
        ] {
            assert_eq!(check(&key, &wrong.sign(&key).unwrap()), Err(TokenFault::WrongPlace));
        }
    }

    #[test]
    fn a_token_is_good_from_its_issue_until_before_its_expiry() {
        let key = SigningKey::generate(KID);
        let token = claims().sign(&key).unwrap();
        let at = |seconds: i64| {
            let now = Timestamp(NOW.0 + seconds * MICROS_PER_SEC);
            verify(&token, |_| Some(key.verifying_key()), &Expectations { now, ..HERE }).map(|_| ())
        };
        assert_eq!(at(-CLOCK_SKEW_SECS - 1), Err(TokenFault::NotYetIssued));
        assert_eq!(at(-CLOCK_SKEW_SECS), Ok(()));
        assert_eq!(at(299), Ok(()));
        assert_eq!(at(300), Err(TokenFault::Expired));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn verify_undoes_sign(client_id: String, epoch: i64, jti: u128, acted: bool) {
            let key = SigningKey::generate(KID);
            let act = acted.then_some(Actor { sub: PrincipalId(Uuid::from_u128(jti)) });
            let said = AccessClaims { client_id, epoch, jti: Uuid::from_u128(jti), act, ..claims() };
            let token = said.sign(&key).unwrap();
            prop_assume!(token.len() <= MAX_TOKEN_BYTES);
            prop_assert_eq!(check(&key, &token), Ok(said));
        }

        #[test]
        fn a_changed_token_is_refused(at: prop::sample::Index, typed in "[0-9A-Za-z_.-]") {
            let key = SigningKey::generate(KID);
            let mut token = claims().sign(&key).unwrap();
            let at = at.index(token.len());
            prop_assume!(token[at..=at] != typed);
            token.replace_range(at..=at, &typed);
            prop_assert!(check(&key, &token).is_err());
        }

        #[test]
        fn whatever_else_is_typed_is_refused(token in ".*|[0-9A-Za-z_-]*[.][0-9A-Za-z_-]*[.][0-9A-Za-z_-]*") {
            let key = SigningKey::generate(KID);
            prop_assert!(check(&key, &token).is_err());
            prop_assert!(unverified(&token).is_err());
        }
    }
}
