//! Making realms, and changing what they decide for themselves.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::{Error, Result};
use super::guard::permissions;
use super::policy::Rewrite;
use super::user::check_etag;
use super::write::{Change, Done, taken};
use super::{Actor, App, Ctx, Draft, Reason};
use crate::crypto::random_mark;
use crate::crypto::signing::SigningKey;
use crate::domain::event::Event;
use crate::domain::ids::{RealmId, Revision, SigningKeyId};
use crate::domain::permission::reserved::PLATFORM_REALMS;
use crate::domain::policy::Policy;
use crate::domain::realm::{Position, Realm, SigningKeyRow};
use crate::domain::setting::Setting;
use crate::domain::time::Timestamp;
use crate::domain::workload::SpiffePrefix;
use crate::store::Constraint;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateRealm {
    pub name: String,
    pub title: String,
}

/// What to write of a realm; what is absent stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateRealm {
    /// Id or name; absent = the realm of the call.
    pub realm: Option<String>,
    pub title: Option<String>,
    pub suspended: Option<bool>,
    pub spiffe_prefixes: Option<Vec<SpiffePrefix>>,
    pub settings: Vec<Setting>,
    pub etag: Option<String>,
}

impl App {
    /// Makes a realm: the default policy, a signing key, nobody in it.
    ///
    /// # Errors
    /// ALREADY_EXISTS.
    pub async fn create_realm(&self, ctx: &Ctx, cmd: &CreateRealm) -> Result<Done<Realm>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            require_platform(ctx)?;
            let realm = self.new_realm(&cmd.name, &cmd.title, change.ctx.now);
            taken(change.tx().insert_realm(&realm).await, Constraint::RealmName, "name", &cmd.name)?;
            let key = self.new_signing_key(realm.id, change.ctx.now);
            change.tx().rows_of(realm.id).insert_signing_key(&key).await?;
            let created = Event::RealmCreated { realm: realm.id, name: realm.name.clone() };
            change.record_in(realm.id, created.clone());
            change.record(created);
            Ok(realm)
        })
        .await
    }

    /// Changes a realm's title, state, policy or SPIFFE prefixes.
    ///
    /// # Errors
    /// INVALID_FIELDS, also for mails that can't be filled and a base URL of an origin that the server does not allow;
    /// NOT_FOUND for another realm than the caller's; a nearest miss; PERMISSION_MISSING for the state and the SPIFFE
    /// prefixes, IDENTIFIER_TAKEN for those; NOT_CONTAINED and ACTOR_WOULD_GAIN for what the policy confers;
    /// ETAG_MISMATCH; POLICY_IMPOSSIBLE with every contradiction.
    pub async fn update_realm(&self, ctx: &Ctx, draft: &Draft<UpdateRealm>) -> Result<Done<Realm>> {
        let settings = &draft.said().settings;
        let mut unsound = super::policy::unsound_mails(settings);
        unsound.extend(super::policy::foreign_base_urls(settings, &self.base_url_origins));
        let cmd = draft.sound(unsound)?;
        let ctx = self.in_named_realm(ctx, cmd.realm.as_deref()).await?;
        self.write(&ctx, async |change: &mut Change<'_>| {
            change.guard().await?.require(permissions::CONFIGURE, None, None).await?;
            if cmd.suspended.is_some() || cmd.spiffe_prefixes.is_some() {
                require_platform(change.ctx)?;
            }
            let found = change.rows().realm().await?;
            let mut realm = found.ok_or_else(|| Error::internal("the realm of the call is gone"))?;
            let written = change.rewrite(&mut realm, cmd).await?;
            if !written.is_empty() {
                realm.version += 1;
                change.rows().update_realm(&realm).await?;
                change.record(Event::RealmUpdated { realm: realm.id, changes: written });
            }
            Ok(realm)
        })
        .await
    }

    /// A realm that nobody has changed yet, at the first revision of its log.
    pub(super) fn new_realm(&self, name: &str, title: &str, now: Timestamp) -> Realm {
        let first = Revision(1);
        Realm {
            id: RealmId(self.clock.new_id()),
            name: name.to_owned(),
            title: title.to_owned(),
            platform: false,
            suspended: false,
            policy: Policy::default(),
            spiffe_prefixes: vec![],
            position: Position { revision: first, mark: random_mark() },
            catalogue_revision: first,
            version: 1,
            created_at: now,
        }
    }

    /// A signing key for a realm, sealed.
    pub(super) fn new_signing_key(&self, realm: RealmId, now: Timestamp) -> SigningKeyRow {
        let key = SigningKey::generate(SigningKeyId(self.clock.new_id()));
        SigningKeyRow {
            id: key.kid(),
            public_key: key.verifying_key().to_bytes().to_vec(),
            sealed_key: key.seal(&self.keys, realm),
            created_at: now,
            retired_at: None,
        }
    }

    /// The writing call, in the realm that its request names. A refusal is told to the realm of the caller.
    async fn in_named_realm(&self, ctx: &Ctx, named: Option<&str>) -> Result<Ctx> {
        let found = self.named_realm(ctx, named).await;
        if let Err(error) = &found {
            self.note_refusal(ctx, error).await;
        }
        found
    }

    /// The call, in the realm that its request names. Only the platform's accounts work in several.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub(super) async fn named_realm(&self, ctx: &Ctx, named: Option<&str>) -> Result<Ctx> {
        let Some(named) = named else { return Ok(ctx.clone()) };
        let theirs = |realm: &RealmId| *realm == ctx.realm || matches!(ctx.actor, Actor::Platform { .. });
        let realm = self.realm_named(named, ctx.peer).await?.filter(theirs).ok_or_else(|| Error::not_found("realm"))?;
        Ok(Ctx { realm, ..ctx.clone() })
    }
}

impl Change<'_> {
    /// Brings the realm to what the command says; answers what changed, as it was and as it is.
    async fn rewrite(&self, realm: &mut Realm, cmd: &UpdateRealm) -> Result<BTreeMap<&'static str, (Value, Value)>> {
        let mut after = realm.policy.clone();
        let settings: Vec<Setting> = cmd.settings.iter().map(|setting| self.resolved(setting)).collect();
        let mut written: BTreeMap<_, _> =
            settings.iter().filter_map(|setting| Some((setting.path(), setting.apply(&mut after)?))).collect();
        let rewrite = Rewrite { before: &realm.policy, after: &after };
        if !written.is_empty() {
            self.require_may_confer(&rewrite).await?;
        }
        check_etag(cmd.etag.as_deref(), &realm.etag())?;
        if !written.is_empty() {
            self.require_possible(&rewrite).await?;
        }
        if cmd.suspended == Some(true) && realm.platform {
            let why = ("state".to_owned(), "the platform's own realm can't be suspended".to_owned());
            return Err(Error::refused_for_each(Reason::PolicyImpossible, vec![why]));
        }
        realm.policy = after;
        if let Some(title) = cmd.title.as_ref().filter(|title| **title != realm.title) {
            written.insert("title", (json!(realm.title), json!(title)));
            realm.title.clone_from(title);
        }
        if let Some(suspended) = cmd.suspended.filter(|suspended| *suspended != realm.suspended) {
            let state = |suspended: bool| json!(if suspended { "SUSPENDED" } else { "ACTIVE" });
            written.insert("state", (state(realm.suspended), state(suspended)));
            realm.suspended = suspended;
        }
        if let Some(prefixes) = cmd.spiffe_prefixes.as_ref().filter(|prefixes| **prefixes != realm.spiffe_prefixes) {
            self.require_own_prefixes(prefixes).await?;
            written.insert("spiffe_prefixes", (json!(realm.spiffe_prefixes), json!(prefixes)));
            realm.spiffe_prefixes.clone_from(prefixes);
        }
        Ok(written)
    }

    /// Requires that no workload of another realm could be named by these.
    ///
    /// # Errors
    /// IDENTIFIER_TAKEN.
    async fn require_own_prefixes(&self, prefixes: &[SpiffePrefix]) -> Result<()> {
        let others = self.tx().other_spiffe_prefixes().await?;
        for prefix in prefixes {
            let taken = match others.iter().find(|(_, other)| other.overlaps(prefix)) {
                Some((realm, other)) => Some(format!("the realm {realm} has {}", other.as_str())),
                None => self.tx().other_spiffe_id(prefix).await?.map(|id| format!("another realm's account is {id}")),
            };
            if let Some(by) = taken {
                let message = format!("{} is not free: {by}", prefix.as_str());
                let facts = vec![("scheme", "spiffe_prefixes".to_owned())];
                return Err(Error::refused_with(Reason::IdentifierTaken, message, facts));
            }
        }
        Ok(())
    }
}

/// Requires that a platform account acts: nothing in a realm confers what it holds.
pub(super) fn require_platform(ctx: &Ctx) -> Result<()> {
    if matches!(ctx.actor, Actor::Platform { .. }) {
        return Ok(());
    }
    let message = format!("{PLATFORM_REALMS} is held by platform accounts alone");
    let facts = vec![("permission", PLATFORM_REALMS.to_owned())];
    Err(Error::refused_with(Reason::PermissionMissing, message, facts))
}
