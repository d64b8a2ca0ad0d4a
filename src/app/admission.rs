//! Whether a caller gets as far as a use case: realm, credential, gates, and the RPC's permission held anywhere at all.

use serde::{Deserialize, Serialize};

use super::credential::Caller;
use super::error::{Error, Result, gate_text};
use super::facts::{Basket, Facts, decide, holds_somewhere};
use super::read::again;
use super::{Actor, App, Reason, Record};
use crate::cache::{Freshness, Subject, View};
use crate::domain::account::Gate;
use crate::domain::decision::Question;
use crate::domain::handle::Handle;
use crate::domain::ids::RealmId;
use crate::domain::permission::reserved::is_platform;
use crate::domain::policy::Policy;
use crate::domain::realm::DEFAULT_REALM;
use crate::domain::source::Source;
use crate::domain::time::Timestamp;

/// What an RPC needs, as the contract declares it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requirement {
    /// No credential.
    Public,
    /// One of these permissions, held anywhere in the realm; `own`: or none, to act on oneself.
    Any { permissions: Vec<String>, own: bool },
    /// To act on one's own password: what PASSWORD_MUST_CHANGE leaves, and the token that a sign-in answers with it opens.
    OwnPassword,
}

impl App {
    /// The realm of a call: the caller's own, or the one that the metadata names; `default` for who names none.
    ///
    /// # Errors
    /// REALM_UNKNOWN, whether it does not exist or is not the caller's; RATE_LIMITED if too many calls from this source
    /// named one that does not exist.
    pub async fn realm_of_call(
        &self,
        named: Option<&str>,
        caller: Option<&Caller>,
        source: Option<Source>,
    ) -> Result<RealmId> {
        let own = caller.filter(|caller| !caller.platform).map(|caller| caller.realm);
        let realm = match (named, own) {
            (None, Some(own)) => return Ok(own),
            (named, _) => self.realm_named(named.unwrap_or(DEFAULT_REALM), source).await?,
        };
        let theirs = own.is_none_or(|own| Some(own) == realm);
        // The platform's own realm is named by its accounts alone.
        let open = caller.is_some_and(|caller| caller.platform) || realm != self.platform_realm().await?;
        realm.filter(|_| theirs && open).ok_or_else(realm_unknown)
    }

    /// What a call is told that went wrong before it was admitted: of a credential that no longer counts, only that.
    pub async fn told_first(&self, caller: Option<&Caller>, otherwise: Error) -> Error {
        match caller {
            Some(caller) => again(|| self.holder(caller)).await.map_or_else(|ended| ended, |_| otherwise),
            None => otherwise,
        }
    }

    /// Lets a caller in, or says why not.
    ///
    /// # Errors
    /// CREDENTIAL_INVALID if the credential no longer holds; a gate; PERMISSION_MISSING; UNAVAILABLE.
    pub async fn admit(&self, caller: &Caller, realm: RealmId, needs: &Requirement, now: Timestamp) -> Result<Actor> {
        again(|| self.admit_once(caller, realm, needs, now)).await
    }

    async fn admit_once(&self, caller: &Caller, realm: RealmId, needs: &Requirement, now: Timestamp) -> Result<Actor> {
        let (home, subject) = self.holder(caller).await?;
        let actor = match caller.platform {
            true => Actor::Platform { id: caller.principal },
            false => Actor::Principal { id: caller.principal, session: caller.session.map(|(session, _)| session) },
        };
        if caller.password_change.is_some() && *needs != Requirement::OwnPassword {
            return Err(credential_ended());
        }
        let permissions = match needs {
            Requirement::Public => return Ok(actor),
            Requirement::Any { permissions, own: _ } => permissions.as_slice(),
            Requirement::OwnPassword => &[],
        };
        if caller.platform {
            // In any realm a platform account holds everything reserved; what can close is its own account.
            return gates(&home, &subject, now).await?.first().map_or(Ok(actor), |_| Err(credential_ended()));
        }
        debug_assert_eq!(caller.realm, realm, "the realm of a call is the caller's own");
        if holds_one(&home, &subject, permissions, now).await? {
            return Ok(actor);
        }
        Box::pin(self.refusal(&home, &subject, permissions, needs, now)).await.map_or(Ok(actor), Err)
    }

    /// The principal that a credential stands for, as long as it does, in the realm where it lives.
    async fn holder(&self, caller: &Caller) -> Result<(View<'_, Record>, Subject)> {
        let home = self.snapshots.view(caller.realm, Freshness::Latest).await?.ok_or_else(credential_ended)?;
        let subject = home.principal(caller.principal).await?.ok_or_else(credential_ended)?;
        if caller.is_held_by(home.realm(), subject.principal()) { Ok((home, subject)) } else { Err(credential_ended()) }
    }

    /// Why a caller that holds none of the permissions is kept out; `None` if acting on oneself needs none.
    async fn refusal(
        &self,
        view: &View<'_, Record>,
        subject: &Subject,
        permissions: &[String],
        needs: &Requirement,
        now: Timestamp,
    ) -> Option<Error> {
        let own = matches!(needs, Requirement::Any { own: true, .. } | Requirement::OwnPassword);
        let gates = match gates(view, subject, now).await {
            Ok(gates) => gates,
            Err(error) => return Some(error),
        };
        // Who acts on themself needs no basic access for it, and nothing but the change lifts what demands it.
        let leaves = |gate: &Gate| match gate {
            Gate::BasicAccessMissing => own,
            Gate::PasswordMustChange => *needs == Requirement::OwnPassword,
            _ => false,
        };
        if let Some(gate) = gates.into_iter().find(|gate| !leaves(gate)) {
            return Some(self.gated(view, gate));
        }
        if own {
            return None;
        }
        let named = permissions.join(" or ");
        let message = format!("{named} is held nowhere in this realm");
        Some(Error::refused_with(Reason::PermissionMissing, message, vec![("permission", named)]))
    }

    /// The refusal by a gate, in the realm's words.
    pub(crate) fn gated<F: Facts>(&self, facts: &F, gate: Gate) -> Error {
        let words = facts.catalogue().policy.messages.get(Reason::from(gate).name()).cloned();
        Error::Gated { gate, words }
    }

    /// The realm of that id or name. Names never change, so they are remembered.
    pub(super) async fn realm_named(&self, named: &str, source: Option<Source>) -> Result<Option<RealmId>> {
        if let Some(known) = self.realm_names.read().get(named) {
            return Ok(Some(*known));
        }
        let look = async {
            Ok(match Handle::parse(named) {
                Handle::Id(id) => self.store.realm(RealmId(id)).await?,
                Handle::Natural(name) => self.store.realm_named(&name).await?,
            })
        };
        let found = Box::pin(self.look_up(source, look)).await?;
        if let Some(realm) = &found {
            self.realm_names.write().insert(named.to_owned(), realm.id);
        }
        Ok(found.map(|realm| realm.id))
    }

    /// The realm in which platform accounts live.
    pub(super) async fn platform_realm(&self) -> Result<Option<RealmId>> {
        self.realm_named(crate::domain::realm::PLATFORM_REALM, None).await
    }
}

/// A gate that fails, in the words that the person reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailingGate {
    pub gate: Gate,
    /// The realm's words, or the shipped ones.
    pub words: String,
}

impl FailingGate {
    /// A gate in the words of a realm.
    pub(super) fn new(policy: &Policy, gate: Gate) -> Self {
        let words = policy.messages.get(Reason::from(gate).name()).cloned();
        Self { gate, words: words.unwrap_or_else(|| gate_text(gate).to_owned()) }
    }
}

/// Every gate of a principal that fails.
pub(super) async fn gates<F: Facts>(facts: &F, subject: &Subject, now: Timestamp) -> Result<Vec<Gate>>
where
    Error: From<F::Fault>,
{
    let mut basket = Basket::default();
    // The gate of basic access needs organizations; any question has them gathered.
    if let Some(permission) = facts.catalogue().permission_id(super::guard::permissions::CHECK) {
        let question = Question { permission, organization: None, owner: None, resource: None };
        decide(facts, &mut basket, subject, &question, now).await?;
    }
    Ok(basket.world(facts.catalogue(), subject, None).gates(now).collect())
}

async fn holds_one(view: &View<'_, Record>, subject: &Subject, permissions: &[String], now: Timestamp) -> Result<bool> {
    for name in permissions.iter().filter(|name| !is_platform(name)) {
        let permission = super::facts::reserved(Facts::catalogue(view), name)?;
        if holds_somewhere(view, subject, permission, now).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a credential that counted once is answered with.
pub(super) fn credential_ended() -> Error {
    Error::refused(Reason::CredentialInvalid, "the credential is unknown, expired, revoked or malformed")
}

fn realm_unknown() -> Error {
    Error::refused(Reason::RealmUnknown, "there is no such realm, or the credential is not of it")
}

/// Names of realms by how callers named them.
pub(super) type RealmNames = parking_lot::RwLock<std::collections::HashMap<String, RealmId>>;
