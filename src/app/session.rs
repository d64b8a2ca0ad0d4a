//! Signing in, who one is, and the keys that tokens are checked with.

use serde::{Deserialize, Serialize};

use super::admission::{FailingGate, gates};
use super::credential::issuer;
use super::error::{Error, Result};
use super::facts::Facts;
use super::limits::failing_in_even_time;
use super::read::again;
use super::service_account::ServiceAccountView;
use super::throttle::{Place, aim};
use super::user::{UserView, user_view};
use super::write::{Change, Done};
use super::{Actor, App, Ctx, Reason};
use crate::cache::{Freshness, Subject};
use crate::crypto::Secret;
use crate::crypto::password::PasswordHash;
use crate::crypto::signing::Jwk;
use crate::domain::account::Gate;
use crate::domain::email::{EMAIL_BYTES_MAX, identity};
use crate::domain::event::Event;
use crate::domain::ids::{RealmId, ServiceAccountId, SessionId, UserId};
use crate::domain::policy::Policy;
use crate::domain::session::{PUBLIC_CLIENT, SESSION_TTL, Session};
use crate::domain::time::Timestamp;
use crate::store::Credentials;

/// An address and a password, as typed: neither is ever found fault with.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub email: String,
    pub password: Secret<String>,
}

/// A session has begun, or goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedIn {
    /// Present in the first answer alone, as all secrets are.
    #[serde(skip)]
    pub access_token: Option<Secret<String>>,
    /// When the access token ends.
    pub expires_at: Timestamp,
    #[serde(skip)]
    pub refresh_token: Option<Secret<String>>,
    /// When the session ends.
    pub refresh_expires_at: Timestamp,
}

/// What came of the right password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Entered {
    Session(SignedIn),
    /// The one gate that the person lifts by themself.
    MustChange(MustChange),
}

/// The password has to be changed first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MustChange {
    /// Opens ChangePassword alone. Present in the first answer alone.
    #[serde(skip)]
    pub token: Option<Secret<String>>,
    pub expires_at: Timestamp,
    pub gate: FailingGate,
}

/// Who calls.
#[derive(Clone, PartialEq, Debug)]
pub struct Me {
    pub who: Who,
    pub realm: RealmId,
    pub realm_name: String,
    pub realm_title: String,
    pub gates: Vec<FailingGate>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Who {
    User(Box<UserView>),
    ServiceAccount(Box<ServiceAccountView>),
}

/// What a realm's tokens are checked with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningKeys {
    /// The current one first.
    pub keys: Vec<Jwk>,
    pub issuer: String,
    pub audience: String,
}

impl App {
    /// Begins a session. Until the password was found right, every failure is one and costs the same.
    ///
    /// # Errors
    /// SIGN_IN_FAILED; after the right password the first failing gate, in the realm's words; RATE_LIMITED, OVERLOADED.
    pub async fn sign_in(&self, ctx: &Ctx, cmd: &SignIn) -> Result<Done<Entered>> {
        // That a mail goes out before the failure is not told by its time.
        failing_in_even_time(Box::pin(self.enter(ctx, cmd)), Reason::SignInFailed).await
    }

    async fn enter(&self, ctx: &Ctx, cmd: &SignIn) -> Result<Done<Entered>> {
        let address = Some(cmd.email.as_str()).filter(|email| email.len() <= EMAIL_BYTES_MAX).unwrap_or_default();
        let address = identity(address);
        self.limits.admit_attempt(ctx, &address)?;
        self.hasher.require_room(ctx.network())?;
        let policy = self.policy(ctx).await?;
        let account = self.store.rows(ctx.realm).credentials(&address).await?;
        if let Some(account) = &account {
            ctx.aimed.set(account.user.id);
        }
        let aim = aim(account.as_ref().map(|account| &account.user), &address, &policy);
        let attempt = self.attempt(ctx, aim, Place::Source).await?;
        let hash = account.as_ref().and_then(|account| PasswordHash::parse(account.password_hash.as_deref()?));
        let typed = self.compare(ctx, &attempt, &cmd.password, hash.as_ref()).await?;
        let Some(account) = account.filter(|_| typed.matches) else {
            self.failed_attempt(ctx, &attempt, &policy).await?;
            tracing::debug!(realm = %ctx.realm, "a sign-in failed: the address is unknown or the password is wrong");
            return Err(failed());
        };
        // A busy pool is no reason to keep somebody out: the next sign-in tries again.
        let stronger =
            if typed.needs_rehash { self.hasher.rehash(ctx.network(), cmd.password.expose()).await.ok() } else { None };
        let entered = self.append(ctx, async |change: &mut Change<'_>| {
            let gate = change.first_gate(&account).await?;
            if !account.user.has_proven()
                && (gate.is_some() || !account.user.password_counts(policy.verification_required))
            {
                change.send_verification(&account.user).await?;
                return Ok(None);
            }
            let entered = match gate {
                Some(gate) => change.demand_new_password(&account, gate)?,
                None => {
                    if let Some((stronger, weak)) = stronger.as_ref().zip(account.password_hash.as_deref()) {
                        change.rows().strengthen_password(account.user.id, weak, &stronger.expose()).await?;
                    }
                    let client = change.client();
                    Entered::Session(change.begin_session(&account, client).await?)
                }
            };
            change.attempt_was_right(&attempt).await?;
            Ok(Some(entered))
        });
        match entered.await {
            Ok(Done { value: Some(value), realm, position, replayed }) => Ok(Done { value, realm, position, replayed }),
            Ok(Done { value: None, .. }) => {
                self.failed_attempt(ctx, &attempt, &policy).await?;
                tracing::debug!(realm = %ctx.realm, "a sign-in failed: nobody has proven the address");
                Err(failed())
            }
            // Whoever knows the password does not guess, whatever else keeps them out.
            Err(error) => self.right_attempt(ctx, &attempt).await.and(Err(error)),
        }
    }

    /// The policy of the realm of the call.
    pub(super) async fn policy(&self, ctx: &Ctx) -> Result<Policy> {
        let realm = self.store.rows(ctx.realm).realm().await?;
        realm.map(|realm| realm.policy).ok_or_else(|| Error::internal("the realm of the call is gone"))
    }

    /// Who calls, and what keeps them out of everything but this.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub async fn me(&self, ctx: &Ctx) -> Result<Me> {
        let rows = self.store.rows(ctx.realm);
        let realm = rows.realm().await?.ok_or_else(|| Error::internal("the realm of the call is gone"))?;
        let (who, gates) = again(|| self.who(ctx)).await?;
        Ok(Me { who, realm: realm.id, realm_name: realm.name, realm_title: realm.title, gates })
    }

    /// The public halves of the realm's signing keys, and what else a token has to say.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub async fn signing_keys(&self, ctx: &Ctx) -> Result<SigningKeys> {
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            let keys = view.realm().extra.keys.iter().rev();
            Ok(SigningKeys {
                keys: keys.map(|key| key.verifying.jwk(key.signing.kid())).collect(),
                issuer: issuer(view.catalogue()),
                audience: view.catalogue().policy.audience.clone(),
            })
        })
        .await
    }

    async fn who(&self, ctx: &Ctx) -> Result<(Who, Vec<FailingGate>)> {
        let id = ctx.actor_id()?;
        if matches!(ctx.actor, Actor::Platform { .. }) {
            let home = self.platform_realm().await?.ok_or_else(|| Error::internal("the platform has no realm"))?;
            return Ok((self.service_account(home, ServiceAccountId(id.0)).await?, vec![]));
        }
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let subject = guard.actor.clone();
        if !subject.principal().is_user() {
            return Ok((self.service_account(ctx.realm, ServiceAccountId(id.0)).await?, vec![]));
        }
        let rows = self.store.rows(ctx.realm);
        let user = rows.user(UserId(id.0)).await?.ok_or_else(|| Error::internal("the actor is gone"))?;
        let failing = gates(&view, &subject, ctx.now).await?;
        let policy = &Facts::catalogue(&view).policy;
        let failing = failing.into_iter().map(|gate| FailingGate::new(policy, gate)).collect();
        Ok((Who::User(Box::new(user_view(rows, &mut guard, user).await?)), failing))
    }

    async fn service_account(&self, realm: RealmId, id: ServiceAccountId) -> Result<Who> {
        let rows = self.store.rows(realm);
        let account = rows.service_account(id).await?.ok_or_else(|| Error::internal("the actor is gone"))?;
        let slug = rows.slugs(account.organization.as_slice()).await?.into_values().next();
        Ok(Who::ServiceAccount(Box::new(ServiceAccountView { account, slug })))
    }
}

impl Change<'_> {
    /// The first thing that keeps the account out. That it is deleted is not told, nor that it changed meanwhile.
    async fn first_gate(&self, account: &Credentials) -> Result<Option<Gate>> {
        let subject = self.principal(account.user.id.into()).await?.ok_or_else(failed)?;
        if subject.principal().session_epoch != account.user.session_epoch {
            return Err(failed());
        }
        match gates(self, &subject, self.ctx.now).await?.first() {
            Some(Gate::Deleted) => Err(failed()),
            first => Ok(first.copied()),
        }
    }

    /// Requires that no gate keeps out who has proven themself. `silent` is said of a deleted account.
    pub(super) async fn require_no_gate(&self, subject: &Subject, silent: fn() -> Error) -> Result<()> {
        match gates(self, subject, self.ctx.now).await?.first() {
            None => Ok(()),
            Some(Gate::Deleted) => Err(silent()),
            Some(gate) => Err(self.app.gated(self, *gate)),
        }
    }

    /// Whatever changes the account from the reading of its password on raises its epoch, and so ends this session.
    pub(super) async fn begin_session(&mut self, account: &Credentials, client: String) -> Result<SignedIn> {
        let now = self.ctx.now;
        let session = Session {
            id: SessionId(self.app.clock.new_id()),
            user: account.user.id,
            client,
            epoch: account.user.session_epoch,
            created_at: now,
            expires_at: now.after(SESSION_TTL),
            ended_at: None,
            generation: 0,
            rotated_at: None,
            token_hash: None,
        };
        let (session, tokens) = self.with_token(session)?;
        self.rows().insert_session(&session).await?;
        self.rows().signed_in(session.user, now).await?;
        let organization = self.organization_of_record(session.user).await?;
        self.record(Event::SignedIn { user: session.user, session: session.id, organization });
        Ok(tokens)
    }

    /// The service account that signs somebody in, or nobody's name.
    pub(super) fn client(&self) -> String {
        match self.ctx.actor {
            Actor::Principal { id, session: None } | Actor::Platform { id } => id.to_string(),
            Actor::Principal { session: Some(_), .. } | Actor::Anonymous => PUBLIC_CLIENT.to_owned(),
        }
    }
}

fn failed() -> Error {
    Error::refused(Reason::SignInFailed, "the address, the password or the account is not good")
}
