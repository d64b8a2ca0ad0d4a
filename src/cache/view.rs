//! A view: facts of one revision of one realm.
//!
//! Whatever has to be loaded is loaded in a boxed future, so that a check that finds everything is small: it is moved and
//! allocated for each call.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::kept::{Caches, Kept, KeptPrincipal, Kind, Weigh};
use super::read_set::{Facts, ReadSet};
use super::realm::RealmCache;
use super::{Answer, GATHER_AGAIN, Miss, RealmCatalogue, Snapshots, Source, Subject, Unavailable};
use crate::domain::catalogue::Catalogue;
use crate::domain::change::{Key, Loaded};
use crate::domain::decision::CompiledPrincipal;
use crate::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision};
use crate::domain::realm::Position;
use crate::domain::snapshot::Organization;

/// How fresh an answer has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Freshness {
    /// As this process knows the realm: see the guarantees of the package.
    #[default]
    Latest,
    /// At least as fresh as the change that a consistency token names.
    AtLeast(Position),
    /// Every change acknowledged before the question was asked.
    Full,
}

/// The facts of one revision. A call that finds a fact changed since says [`Miss::Moved`]: begin again with a new view.
pub struct View<'a, S: Source> {
    snapshots: &'a Snapshots<S>,
    realm: Arc<RealmCache<S::Extra>>,
    position: Revision,
    catalogue: Arc<RealmCatalogue<S::Extra>>,
    /// What a long read has read so far.
    reads: Option<&'a ReadSet>,
}

impl<S: Source> Snapshots<S> {
    /// Opens a view of a realm. `None` = there is no such realm.
    ///
    /// # Errors
    /// [`Miss::Unavailable`] if freshness can't be had in time.
    pub async fn view(&self, id: RealmId, freshness: Freshness) -> Result<Option<View<'_, S>>, Miss> {
        let Some(realm) = self.realm(id).await? else { return Ok(None) };
        let Some(realm) = self.refreshed(realm, freshness).await? else { return Ok(None) };
        let position = realm.applied();
        let (catalogue, position) = match realm.catalogue().filter(|kept| kept.as_of.revision <= position) {
            Some(kept) => {
                self.counters.hits.fetch_add(1, Ordering::Relaxed);
                (kept, position)
            }
            None => Box::pin(self.newer_catalogue(&realm)).await?,
        };
        Ok(Some(View { snapshots: self, realm, position, catalogue, reads: None }))
    }

    /// Opens a view for a read that may be long, at a revision at which everything in its set is valid.
    ///
    /// # Errors
    /// As [`Snapshots::view`]; [`Miss::Moved`].
    pub async fn view_of<'a>(
        &'a self,
        id: RealmId,
        freshness: Freshness,
        reads: &'a ReadSet,
    ) -> Result<Option<View<'a, S>>, Miss> {
        for _ in 0..=super::READ_AGAIN {
            let Some(view) = self.view(id, freshness).await? else { return Ok(None) };
            let view = View { reads: Some(reads), ..view };
            if !reads.is_recording() {
                return Ok(Some(view));
            }
            Box::pin(view.load_what_is_missing(reads, true)).await?;
            if let Some(position) = view.valid_at(reads) {
                return Ok(Some(View { position, ..view }));
            }
        }
        Err(Miss::Moved)
    }

    /// The realm's cache, as fresh as asked for. Reading the log may have the realm start over, with another cache.
    async fn refreshed(
        &self,
        realm: Arc<RealmCache<S::Extra>>,
        freshness: Freshness,
    ) -> Answer<Option<Arc<RealmCache<S::Extra>>>> {
        match freshness {
            Freshness::Latest => Ok(Some(realm)),
            Freshness::AtLeast(token) if realm.ledger().has_reached(token) => Ok(Some(realm)),
            // All that was acknowledged before the token was presented is applied once the log was read: that is what a
            // token of another history asks for, too. One that is ahead of the log then can't be served.
            Freshness::AtLeast(token) => {
                let Some(realm) = Box::pin(self.read_since(realm.id, self.source.elapsed())).await? else {
                    return Ok(None);
                };
                let reached = realm.ledger().reach(token);
                if reached { Ok(Some(realm)) } else { Err(Unavailable) }
            }
            Freshness::Full => Box::pin(self.read_since(realm.id, self.source.elapsed())).await,
        }
    }

    /// The catalogue, and the newest revision at which it is valid. Nothing was handed out yet, so that a view may as well
    /// be of that one.
    async fn newer_catalogue(
        &self,
        realm: &Arc<RealmCache<S::Extra>>,
    ) -> Result<(Arc<RealmCatalogue<S::Extra>>, Revision), Miss> {
        for _ in 0..=GATHER_AGAIN {
            if let Some((kept, at)) = realm.catalogue_at() {
                self.counters.hits.fetch_add(1, Ordering::Relaxed);
                return Ok((kept, at.revision));
            }
            let Some(loaded) = self.load_catalogue(realm).await? else {
                self.tail_now().await?;
                return Err(Miss::Moved);
            };
            if loaded.as_of.revision > realm.applied() {
                self.tail_now().await?;
            }
            if let Some(at) = realm.keep_catalogue(&loaded) {
                return Ok((loaded, at.revision));
            }
        }
        Err(Miss::Moved)
    }

    /// `None` = the database was read from before what is applied here.
    async fn load_catalogue(&self, realm: &Arc<RealmCache<S::Extra>>) -> Answer<Option<Arc<RealmCatalogue<S::Extra>>>> {
        let (source, home) = (Arc::clone(&self.source), Arc::clone(realm));
        self.counters.loads.fetch_add(1, Ordering::Relaxed);
        let load = || async move {
            let before = home.applied();
            let loaded = Arc::new(source.catalogue(home.id).await?);
            if loaded.as_of.revision < before {
                return Ok(None);
            }
            home.keep_catalogue(&loaded);
            Ok(Some(loaded))
        };
        let changed = realm.ledger().last_changed(&Key::Catalogue);
        realm.catalogue_loads.join((), changed, load).await
    }
}

impl<S: Source> View<'_, S> {
    /// The revision that everything handed out here is of.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.position
    }

    /// The position to make a consistency token of: that of the view, or a later one.
    #[must_use]
    pub fn position(&self) -> Position {
        self.realm.position()
    }

    /// The realm's catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue.catalogue
    }

    /// The catalogue, with what goes stale along with it, to keep.
    #[must_use]
    pub fn realm(&self) -> &Arc<RealmCatalogue<S::Extra>> {
        &self.catalogue
    }

    /// A principal with its index. `None` = unknown in this realm.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn principal(&self, id: PrincipalId) -> Result<Option<Subject>, Miss> {
        if let Some(read) = self.recording().and_then(|reads| reads.principal(&id)) {
            return Ok(read.value.as_ref().map(|kept| self.compiled(kept)));
        }
        let kept = match self.snapshots.caches.principals.get(&self.realm.slot(id)) {
            Some(kept) => self.hit(kept, || Key::Principal(id)),
            None => Box::pin(self.load_principal(id)).await,
        };
        if let Some(reads) = self.recording() {
            reads.facts().principals.insert(id, kept.as_ref().ok().cloned());
        }
        Ok(kept?.value.as_ref().map(|kept| self.compiled(kept)))
    }

    /// An organization. `None` = unknown in this realm.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn organization(&self, id: OrganizationId) -> Result<Option<Arc<Organization>>, Miss> {
        if let Some(read) = self.recording().and_then(|reads| reads.organization(&id)) {
            return Ok(read.value.clone());
        }
        let kept = match self.snapshots.caches.organizations.get(&self.realm.slot(id)) {
            Some(kept) => self.hit(kept, || Key::Organization(id)),
            None => Box::pin(self.load_organization(id)).await,
        };
        if let Some(reads) = self.recording() {
            reads.facts().organizations.insert(id, kept.as_ref().ok().cloned());
        }
        Ok(kept?.value.clone())
    }

    /// Loads what a long read is about to ask for, as far as it is not at hand, in as few statements as it takes. Of a
    /// read that has found everything so far it asks nothing: it begins again once something is missing.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn prepare(
        &self,
        principals: impl IntoIterator<Item = PrincipalId> + Send,
        organizations: impl IntoIterator<Item = OrganizationId> + Send,
    ) -> Result<(), Miss> {
        let Some(reads) = self.recording() else { return Ok(()) };
        let mut new = (vec![], vec![]);
        {
            let mut facts = reads.facts();
            new.0.extend(principals.into_iter().filter(|id| facts.principals.get(id).is_none_or(Option::is_none)));
            new.1
                .extend(organizations.into_iter().filter(|id| facts.organizations.get(id).is_none_or(Option::is_none)));
            new.0.iter().for_each(|id| drop(facts.principals.insert(*id, None)));
            new.1.iter().for_each(|id| drop(facts.organizations.insert(*id, None)));
        }
        Box::pin(self.load_what_is_missing(reads, false)).await?;
        let facts = reads.facts();
        let principals = new.0.iter().all(|id| self.shows(Key::Principal(*id), facts.principals.get(id)));
        let organizations = new.1.iter().all(|id| self.shows(Key::Organization(*id), facts.organizations.get(id)));
        if principals && organizations { Ok(()) } else { Err(Miss::Moved) }
    }

    /// Whether a fact of a set is what this view shows.
    fn shows<T>(&self, key: Key, fact: Option<&Option<Arc<Kept<T>>>>) -> bool {
        fact.and_then(Option::as_ref)
            .is_some_and(|kept| kept.as_of.revision <= self.position || self.realm.stood_still(self.position, &key))
    }

    fn recording(&self) -> Option<&ReadSet> {
        self.reads.filter(|reads| reads.is_recording())
    }

    /// A kept snapshot, if it is what this view shows.
    fn hit<T>(&self, kept: Arc<Kept<T>>, key: impl FnOnce() -> Key) -> Result<Arc<Kept<T>>, Miss> {
        self.snapshots.counters.hits.fetch_add(1, Ordering::Relaxed);
        if kept.as_of.revision <= self.position || self.realm.stood_still(self.position, &key()) {
            Ok(kept)
        } else {
            Err(Miss::Moved)
        }
    }

    /// The index for this view's catalogue; made again when the catalogue changed since it was last asked.
    fn compiled(&self, kept: &KeptPrincipal) -> Subject {
        if let Some(compiled) = kept.compiled.load().as_ref()
            && compiled.catalogue() == self.catalogue().as_of
        {
            return Arc::clone(compiled);
        }
        let compiled = Arc::new(CompiledPrincipal::compile(Arc::clone(&kept.snapshot), self.catalogue()));
        kept.compiled.store(Some(Arc::clone(&compiled)));
        compiled
    }

    async fn load_principal(&self, id: PrincipalId) -> Result<Arc<Kept<KeptPrincipal>>, Miss> {
        let source = Arc::clone(&self.snapshots.source);
        let load = move |realm| async move { Ok(source.principals(realm, vec![id]).await?.pop()) };
        self.load(|caches| &caches.principals, id, Key::Principal(id), KeptPrincipal::from, load).await
    }

    async fn load_organization(&self, id: OrganizationId) -> Result<Arc<Kept<Arc<Organization>>>, Miss> {
        let source = Arc::clone(&self.snapshots.source);
        let load = move |realm| async move { Ok(source.organizations(realm, vec![id]).await?.pop()) };
        self.load(|caches| &caches.organizations, id, Key::Organization(id), Arc::new, load).await
    }

    /// Loads one snapshot for all who wait, and answers it if it is what this view shows.
    async fn load<K, T, R, F>(
        &self,
        kind: fn(&Caches) -> &Kind<K, T>,
        id: K,
        key: Key,
        make: fn(R) -> T,
        load: impl FnOnce(RealmId) -> F + Send + 'static,
    ) -> Result<Arc<Kept<T>>, Miss>
    where
        K: Hash + Eq + Copy + Send + 'static,
        T: Weigh + Send + Sync + 'static,
        R: Send + 'static,
        F: Future<Output = Answer<Option<Loaded<R>>>> + Send + 'static,
    {
        if let Some(reads) = self.reads.filter(|reads| !reads.is_recording()) {
            // A long read that found everything so far: from now on it notes what it reads, and loads in bulk.
            reads.record();
            return Err(Miss::Moved);
        }
        let (caches, home) = (Arc::clone(&self.snapshots.caches), Arc::clone(&self.realm));
        self.snapshots.counters.loads.fetch_add(1, Ordering::Relaxed);
        let load = || async move {
            let before = home.applied();
            let loaded = load(home.id).await?.ok_or(Unavailable)?;
            Ok(home.take(kind(&caches), id, &key, before, loaded, make))
        };
        let changed = self.realm.ledger().last_changed(&key);
        let loads = &kind(&self.snapshots.caches).loads;
        let Some(loaded) = loads.join(self.realm.slot(id), changed, load).await? else {
            // Read from before what is applied here. The log tells whether the database is behind, or on another history.
            self.snapshots.tail_now().await?;
            return Err(Miss::Moved);
        };
        if loaded.as_of.revision > self.realm.applied() {
            self.snapshots.tail_now().await?;
            self.realm.keep(kind(&self.snapshots.caches), id, &key, &loaded);
        }
        if self.realm.fits(self.position, &key, loaded.as_of) { Ok(loaded) } else { Err(Miss::Moved) }
    }

    /// Loads, in bulk, what is in a set and not at hand; with `renew`, also what changed since it was read.
    async fn load_what_is_missing(&self, reads: &ReadSet, renew: bool) -> Result<(), Miss> {
        let (caches, realm) = (&self.snapshots.caches, &self.realm);
        let (principals, organizations) = {
            let mut facts = reads.facts();
            facts.of_generation(realm.generation);
            let Facts { principals, organizations, .. } = &mut *facts;
            (
                missing(realm, &caches.principals, principals, Key::Principal, renew),
                missing(realm, &caches.organizations, organizations, Key::Organization, renew),
            )
        };
        let loads = (principals.len() + organizations.len()) as u64;
        self.snapshots.counters.loads.fetch_add(loads, Ordering::Relaxed);
        let (before, source) = (realm.applied(), &self.snapshots.source);
        let read = match principals.is_empty() {
            true => vec![],
            false => source.principals(realm.id, principals.clone()).await?,
        };
        let read_organizations = match organizations.is_empty() {
            true => vec![],
            false => source.organizations(realm.id, organizations.clone()).await?,
        };
        let as_of = read.iter().map(|read| read.as_of).chain(read_organizations.iter().map(|read| read.as_of));
        let (oldest, newest) =
            as_of.fold((before, before), |(low, high), at| (low.min(at.revision), high.max(at.revision)));
        if oldest < before || newest > realm.applied() {
            self.snapshots.tail_now().await?;
        }
        let mut facts = reads.facts();
        for (id, read) in principals.into_iter().zip(read) {
            let kept = realm.take(&caches.principals, id, &Key::Principal(id), before, read, KeptPrincipal::from);
            facts.principals.insert(id, kept.filter(|kept| realm.vouches_for(&Key::Principal(id), kept.as_of)));
        }
        for (id, read) in organizations.into_iter().zip(read_organizations) {
            let kept = realm.take(&caches.organizations, id, &Key::Organization(id), before, read, Arc::new);
            facts.organizations.insert(id, kept.filter(|kept| realm.vouches_for(&Key::Organization(id), kept.as_of)));
        }
        Ok(())
    }

    /// The revision at which everything in a set is valid, and the catalogue, too; `None` if something changed.
    fn valid_at(&self, reads: &ReadSet) -> Option<Revision> {
        let facts = reads.facts();
        let ledger = self.realm.ledger();
        let still = |key: Key, as_of: Position| ledger.last_changed(&key) <= as_of.revision;
        let principals = facts
            .principals
            .iter()
            .all(|(id, fact)| fact.as_ref().is_some_and(|kept| still(Key::Principal(*id), kept.as_of)));
        let organizations = facts
            .organizations
            .iter()
            .all(|(id, fact)| fact.as_ref().is_some_and(|kept| still(Key::Organization(*id), kept.as_of)));
        let all = principals && organizations && still(Key::Catalogue, self.catalogue.as_of);
        all.then(|| ledger.position().revision)
    }
}

/// Fills a part of a set from what is kept; answers what has to be loaded.
fn missing<K, T, E>(
    realm: &RealmCache<E>,
    kind: &Kind<K, T>,
    facts: &mut HashMap<K, Option<Arc<Kept<T>>>>,
    key: fn(K) -> Key,
    renew: bool,
) -> Vec<K>
where
    K: Hash + Eq + Copy + Send + 'static,
    T: Weigh + Send + Sync + 'static,
{
    let mut missing = vec![];
    for (id, fact) in facts {
        let changed = || realm.ledger().last_changed(&key(*id));
        if renew && fact.as_ref().is_some_and(|kept| kept.as_of.revision < changed()) {
            *fact = None;
        }
        if fact.is_none() {
            *fact = kind.get(&realm.slot(*id));
        }
        if fact.is_none() {
            missing.push(*id);
        }
    }
    missing
}
