//! Whom a credential stands for, and the negative cache of those that stand for nobody.
//!
//! A credential names its realm, not the other way round, so that the look-up begins before a realm is known. Whom it
//! stands for is kept in its realm's cache and goes stale by that realm's log. That it stands for nobody is no realm's
//! fact: it is kept for a moment only, because a realm that this process does not follow may make the account.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::kept::Kept;
use super::realm::RealmCache;
use super::{Answer, GATHER_AGAIN, Snapshots, Source, TAIL_FRESH, Unavailable};
use crate::domain::change::{Key, Loaded};
use crate::domain::service_account::Credential;
use crate::domain::workload::Presented;

/// Credentials that nobody has, by when the reading began that found so.
#[derive(Debug)]
pub(super) struct UnknownCredentials {
    seen: Cache<[u8; 32], Duration>,
    /// How often a credential changed, as far as this process heard.
    changes: AtomicU64,
}

impl UnknownCredentials {
    pub(super) fn new(capacity: usize) -> Self {
        Self { seen: Cache::new(capacity), changes: AtomicU64::new(0) }
    }

    /// Takes back what was found of the credentials among these keys.
    pub(super) fn introduced<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            if let Key::Credential(digest) = key {
                // In this order: whoever reads meanwhile either sees the count move, or is taken back here.
                self.changes.fetch_add(1, Ordering::AcqRel);
                self.seen.remove(digest);
            }
        }
    }

    /// Takes everything back.
    pub(super) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.seen.clear();
    }

    /// Keeps that a reading found nobody, unless some credential changed since it began.
    fn keep(&self, digest: [u8; 32], began: Duration, changes: u64) {
        self.seen.insert(digest, began);
        if self.changes.load(Ordering::Acquire) != changes {
            self.seen.remove(&digest);
        }
    }
}

impl<S: Source> Snapshots<S> {
    /// Whether this process has seen a credential: whose it is, or a moment ago that it is nobody's. One that it has not
    /// seen costs a query to look up, or to find that there is none.
    #[must_use]
    pub fn knows(&self, presented: &Presented) -> bool {
        let digest = presented.digest();
        let nobodys = |began| !self.options.shared || self.source.elapsed().saturating_sub(began) <= TAIL_FRESH;
        self.credential_realms.get(&digest).is_some() || self.unknown_credentials.seen.get(&digest).is_some_and(nobodys)
    }

    /// Whom an API key or a certificate stands for. `None` = nobody.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn credential(&self, presented: &Presented) -> Answer<Option<Credential>> {
        let digest = presented.digest();
        let Some(realm) = self.credential_realms.get(&digest).and_then(|realm| self.known(realm)) else {
            return match self.unknown_credentials.seen.get(&digest) {
                Some(began) => Box::pin(self.unknown_again(presented, began)).await,
                None => Box::pin(self.first_credential(presented)).await,
            };
        };
        let realm = match self.is_fresh(&realm) {
            true => realm,
            false => match Box::pin(self.caught_up(realm.id)).await? {
                Some(realm) => realm,
                None => return Box::pin(self.first_credential(presented)).await,
            },
        };
        if let Some(kept) = self.caches.credentials.get(&realm.slot(digest)) {
            realm.ask();
            self.counters.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(kept.value.clone());
        }
        Box::pin(self.load_credential(realm, presented)).await
    }

    /// Whom a credential stands for that was nobody's a while ago.
    async fn unknown_again(&self, presented: &Presented, began: Duration) -> Answer<Option<Credential>> {
        let age = self.source.elapsed().saturating_sub(began);
        if !self.options.shared || age <= TAIL_FRESH {
            self.counters.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        match self.first_credential(presented).await {
            Err(_) if age <= self.options.database_lost_grace => Ok(None),
            answer => answer,
        }
    }

    /// Reads a credential until what was read is what the realm's log knows it to be: a change may overtake a reading, or
    /// a failover take back what it read.
    async fn load_credential(
        &self,
        mut realm: Arc<RealmCache<S::Extra>>,
        presented: &Presented,
    ) -> Answer<Option<Credential>> {
        let digest = presented.digest();
        let key = Key::Credential(digest);
        for _ in 0..=GATHER_AGAIN {
            let Some(kept) = self.credential_read(&realm, presented).await? else {
                // Read from before what is applied here: the log tells why.
                self.tail_now().await?;
                realm = self.realm(realm.id).await?.ok_or(Unavailable)?;
                continue;
            };
            if kept.value.is_none() && self.caches.credentials.get(&realm.slot(digest)).is_none() {
                // Not one that was revoked here: the next account that has it may be of any realm.
                self.credential_realms.remove(&digest);
                return self.first_credential(presented).await;
            }
            if kept.as_of.revision > realm.applied() {
                self.tail_now().await?;
                realm.keep(&self.caches.credentials, digest, &key, &kept);
            }
            if realm.ledger().vouches_for(&key, kept.as_of) {
                return Ok(kept.value.clone());
            }
            realm = self.realm(realm.id).await?.ok_or(Unavailable)?;
        }
        Err(Unavailable)
    }

    async fn credential_read(
        &self,
        realm: &Arc<RealmCache<S::Extra>>,
        presented: &Presented,
    ) -> Answer<Option<Arc<Kept<Credential>>>> {
        let digest = presented.digest();
        let key = Key::Credential(digest);
        let (source, caches, home, asked) =
            (Arc::clone(&self.source), Arc::clone(&self.caches), Arc::clone(realm), presented.clone());
        self.counters.loads.fetch_add(1, Ordering::Relaxed);
        let load = || async move {
            let before = home.position();
            let nobody = Loaded { as_of: before, value: None };
            let found = source.credential(&asked).await?;
            // Of another realm by now: the revisions of that one say nothing here.
            let Some(ours) = found.filter(|found| found.value.as_ref().is_none_or(|of| of.realm == home.id)) else {
                return Ok(Some(Arc::new(Kept::from(nobody))));
            };
            if ours.as_of.revision < before.revision {
                return Ok(None);
            }
            let loaded = Arc::new(Kept::from(ours));
            home.keep(&caches.credentials, digest, &key, &loaded);
            Ok(Some(loaded))
        };
        let changed = realm.ledger().last_changed(&key);
        self.caches.credentials.loads.join(realm.slot(digest), changed, load).await
    }

    /// Learns the realm of a credential. What was read before this process followed that realm is an answer, but is not
    /// kept: nobody would notice that it went stale.
    async fn first_credential(&self, presented: &Presented) -> Answer<Option<Credential>> {
        let digest = presented.digest();
        let (began, changes) = (self.source.elapsed(), self.unknown_credentials.changes.load(Ordering::Acquire));
        self.counters.loads.fetch_add(1, Ordering::Relaxed);
        let Some((as_of, found)) = self.source.credential(presented).await?.and_then(|it| Some((it.as_of, it.value?)))
        else {
            self.unknown_credentials.keep(digest, began, changes);
            return Ok(None);
        };
        let realm = self.realm(found.realm).await?;
        self.credential_realms.insert(digest, found.realm);
        match realm.filter(|realm| !realm.knows_better(&Key::Credential(digest), as_of)) {
            Some(_) => Ok(Some(found)),
            None => {
                let realm = self.realm(found.realm).await?.ok_or(Unavailable)?;
                Box::pin(self.load_credential(realm, presented)).await
            }
        }
    }
}
