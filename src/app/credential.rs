//! Who is this? API keys, access tokens and certificates, looked up in the cache.

use std::sync::Arc;

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::read::again;
use super::{App, Freshness, RealmKeys, Reason};
use crate::cache::RealmCatalogue;
use crate::crypto::access_token::{self, AccessClaims, Expectations};
use crate::crypto::api_key::{self, ApiKey};
use crate::crypto::password_change::{self, PasswordChangeToken};
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::{PrincipalId, RealmId, SessionId, SigningKeyId};
use crate::domain::service_account::Credential;
use crate::domain::snapshot::{Principal, PrincipalKind};
use crate::domain::source::Source;
use crate::domain::time::Timestamp;
use crate::domain::workload::{Presented, Workload};

/// Access tokens whose signature was found good are remembered, so that it is checked once.
const TOKENS_REMEMBERED: usize = 100_000;

/// Whom a credential stands for. Whether it still holds is decided on facts of one revision:
/// see `Caller::still_holds`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    pub realm: RealmId,
    pub principal: PrincipalId,
    pub platform: bool,
    /// The session and its epoch, for a person's access token.
    pub session: Option<(SessionId, i64)>,
    /// The epoch, for a token that opens ChangePassword alone.
    pub password_change: Option<i64>,
    pub expires_at: Option<Timestamp>,
    /// The hash of the API key, if it is one.
    pub key: Option<[u8; 32]>,
    /// What an access token was verified against.
    signed: Option<Box<Signed>>,
}

/// What an access token was verified against. A realm may have changed it since.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Signed {
    by: SigningKeyId,
    issuer: String,
    audience: String,
}

impl Signed {
    fn counts_in(&self, realm: &RealmCatalogue<RealmKeys>) -> bool {
        let catalogue = &realm.catalogue;
        let of_realm = |prefix: &str| prefix.strip_suffix("/realms/") == Some(base_url(catalogue));
        self.audience == catalogue.policy.audience
            && self.issuer.strip_suffix(&*catalogue.realm_name).is_some_and(of_realm)
            && realm.extra.key(self.by).is_some()
    }
}

impl Caller {
    /// Whom an access token stands for that this key signed.
    pub(super) fn of_token(claims: &AccessClaims, by: SigningKeyId) -> Self {
        Self {
            realm: claims.realm,
            principal: claims.sub,
            platform: false,
            session: Some((claims.sid, claims.epoch)),
            password_change: None,
            expires_at: Some(claims.exp),
            key: None,
            signed: Some(Box::new(Signed { by, issuer: claims.iss.clone(), audience: claims.aud.clone() })),
        }
    }

    fn account(credential: Credential) -> Self {
        let Credential { realm, platform, service_account, expires_at } = credential;
        let principal = service_account.into();
        Self { realm, principal, platform, session: None, password_change: None, expires_at, key: None, signed: None }
    }

    fn of_password_change(token: &PasswordChangeToken) -> Self {
        let PasswordChangeToken { realm, user, epoch, expires_at } = *token;
        Self {
            realm,
            principal: user.into(),
            platform: false,
            session: None,
            password_change: Some(epoch),
            expires_at: Some(expires_at),
            key: None,
            signed: None,
        }
    }

    /// Whether the credential still stands for its holder: a disabled account's counts as little as one that was revoked,
    /// also where none is needed.
    pub(super) fn is_held_by(&self, realm: &RealmCatalogue<RealmKeys>, holder: &Principal) -> bool {
        let disabled = matches!(holder.kind, PrincipalKind::ServiceAccount { disabled: true, .. });
        self.still_holds(realm, holder) && !disabled
    }

    /// Whether the realm and the principal's snapshot still let this credential stand for it. A token that was found good
    /// once is asked about anew each time, so that every replica answers alike once audience, issuer or keys changed.
    pub(super) fn still_holds(&self, realm: &RealmCatalogue<RealmKeys>, principal: &Principal) -> bool {
        if !self.signed.as_ref().is_none_or(|signed| signed.counts_in(realm)) {
            return false;
        }
        let epoch = self.session.map(|(_, epoch)| epoch).or(self.password_change);
        epoch.is_none_or(|epoch| epoch == principal.session_epoch)
            && self.session.is_none_or(|(session, _)| !principal.ended_sessions.contains(&session))
    }
}

/// Verified tokens by their hash.
#[derive(Debug)]
pub(super) struct Remembered(Cache<[u8; 32], Arc<Caller>>);

impl Default for Remembered {
    fn default() -> Self {
        Self(Cache::new(TOKENS_REMEMBERED))
    }
}

impl App {
    /// Says whom a call's credential stands for: the bearer's, or the certificate's that its connection began with.
    /// `None` = there is none. A certificate that is nobody's is transport and no credential, and so is one of another
    /// realm's account beside a bearer.
    ///
    /// # Errors
    /// CREDENTIALS_CONFLICT for two of them; CREDENTIAL_INVALID, whatever is wrong with the one; RATE_LIMITED where it
    /// would have to be looked up and too many from this source were found to be nobody's; UNAVAILABLE if that can't be
    /// known.
    pub async fn caller(
        &self,
        bearer: Option<&str>,
        peer: Option<&Arc<Workload>>,
        source: Option<Source>,
    ) -> Result<Option<Arc<Caller>>> {
        // Boxed: most calls come without a certificate, and a check is to stay small.
        let certified = match peer {
            Some(workload) => Box::pin(self.certified(workload)).await?,
            None => None,
        };
        match (bearer, certified) {
            (None, None) => Ok(None),
            (Some(bearer), None) => self.authenticate(bearer, source).await.map(Some),
            (None, Some(caller)) if caller.expires_at.is_some_and(|at| at <= self.clock.now()) => Err(invalid()),
            (None, Some(caller)) => Ok(Some(Arc::new(caller))),
            (Some(bearer), Some(certified)) => {
                let caller = self.authenticate(bearer, source).await?;
                // A workload of another realm is no principal of this one: its certificate is transport here.
                if caller.realm != certified.realm {
                    return Ok(Some(caller));
                }
                Err(Error::refused(Reason::CredentialsConflict, "more than one credential came with the call"))
            }
        }
    }

    /// Says whom a bearer credential stands for.
    ///
    /// # Errors
    /// As [`App::caller`].
    pub async fn authenticate(&self, bearer: &str, source: Option<Source>) -> Result<Arc<Caller>> {
        let now = self.clock.now();
        let caller = if bearer.starts_with(api_key::PREFIX) {
            self.used_key(bearer, now, source).await?.map(Arc::new)
        } else if bearer.starts_with(password_change::PREFIX) {
            PasswordChangeToken::parse(&self.keys, bearer).map(|token| Arc::new(Caller::of_password_change(&token)))
        } else {
            self.access_token(bearer, now, source).await?
        };
        caller.filter(|caller| caller.expires_at.is_none_or(|at| now < at)).ok_or_else(invalid)
    }

    /// Says whom an access token stands for; `None` if it is not one of ours, or was changed, or is too old.
    ///
    /// # Errors
    /// RATE_LIMITED if too many from this source named a realm that there is not; UNAVAILABLE if the realm's keys can't
    /// be had.
    pub async fn access_token(
        &self,
        token: &str,
        now: Timestamp,
        source: Option<Source>,
    ) -> Result<Option<Arc<Caller>>> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.credentials.0.get(&digest) {
            return Ok(Some(known).filter(|known| known.expires_at.is_none_or(|at| now < at)));
        }
        let Ok(unverified) = access_token::unverified(token) else { return Ok(None) };
        let realm = again(|| async {
            let view = self.snapshots.view(unverified.realm, Freshness::Latest).await?;
            Ok(view.map(|view| Arc::clone(view.realm())))
        });
        let realm = match self.snapshots.follows(unverified.realm) {
            true => realm.await?,
            false => Box::pin(self.look_up(source, realm)).await?,
        };
        let Some(realm) = realm else { return Ok(None) };
        let Some(claims) = verify(token, &realm.catalogue, &realm.extra, now) else { return Ok(None) };
        let caller = Arc::new(Caller::of_token(&claims, unverified.kid));
        self.credentials.0.insert(digest, Arc::clone(&caller));
        Ok(Some(caller))
    }

    /// Whom an API key stands for; `None` if it is unknown, revoked or malformed. Whether it has expired is not asked.
    pub(super) async fn api_key(&self, text: &str, source: Option<Source>) -> Result<Option<Caller>> {
        match ApiKey::parse(text) {
            Some(key) => self.holder_of(&key, source).await,
            None => Ok(None),
        }
    }

    /// As [`App::api_key`], of a key that is used: the record comes to know when.
    async fn used_key(&self, text: &str, now: Timestamp, source: Option<Source>) -> Result<Option<Caller>> {
        let Some(key) = ApiKey::parse(text) else { return Ok(None) };
        let caller = self.holder_of(&key, source).await?;
        if caller.as_ref().is_some_and(|caller| caller.expires_at.is_none_or(|at| now < at)) {
            self.key_uses.note(&key.hash(), now);
        }
        Ok(caller)
    }

    async fn holder_of(&self, key: &ApiKey, source: Option<Source>) -> Result<Option<Caller>> {
        let presented = Presented::ApiKey(key.hash());
        let credential = match self.snapshots.knows(&presented) {
            true => self.snapshots.credential(&presented).await?,
            false => {
                let look = async { Ok(self.snapshots.credential(&presented).await?) };
                Box::pin(self.look_up(source, look)).await?
            }
        };
        Ok(credential.map(|found| Caller { key: Some(key.hash()), ..Caller::account(found) }))
    }

    async fn certified(&self, workload: &Arc<Workload>) -> Result<Option<Caller>> {
        let credential = self.snapshots.credential(&Presented::Workload(Arc::clone(workload))).await?;
        // The certificate was verified when the connection began; since then it may have ended.
        Ok(credential.map(|found| Caller { expires_at: Some(workload.expires_at), ..Caller::account(found) }))
    }
}

/// What an access token of the realm says; `None` if it is none, or was changed, or is too old.
pub(super) fn verify(token: &str, catalogue: &Catalogue, keys: &RealmKeys, now: Timestamp) -> Option<AccessClaims> {
    let key = |kid| keys.key(kid).map(|key| key.verifying);
    let iss = issuer(catalogue);
    let expectations = Expectations { iss: &iss, aud: &catalogue.policy.audience, realm: catalogue.realm, now };
    access_token::verify(token, key, &expectations).ok()
}

/// The `iss` of a realm's tokens.
#[must_use]
pub(crate) fn issuer(catalogue: &Catalogue) -> String {
    format!("{}/realms/{}", base_url(catalogue), catalogue.realm_name)
}

fn base_url(catalogue: &Catalogue) -> &str {
    catalogue.policy.base_url.trim_end_matches('/')
}

fn invalid() -> Error {
    Error::refused(Reason::CredentialInvalid, "the credential is unknown, expired, revoked or malformed")
}
