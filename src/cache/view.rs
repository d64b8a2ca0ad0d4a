//! A view: facts of one revision of one realm.
//!
//! Whatever has to be loaded is loaded in a boxed future, so that a check that finds everything is small: it is moved and
//! allocated for each call.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::realm::{Kept, KeptPrincipal, RealmCache, Shelf};
use super::{Answer, Miss, RealmCatalogue, Snapshots, Source, Subject};
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

/// The facts of one revision. A call that finds the realm moved on says [`Miss::Moved`]: begin again with a new view.
pub struct View<'a, S: Source> {
    snapshots: &'a Snapshots<S>,
    realm: Arc<RealmCache<S::Extra>>,
    position: Revision,
    catalogue: Arc<RealmCatalogue<S::Extra>>,
}

impl<S: Source> Snapshots<S> {
    /// Opens a view of a realm. `None` = there is no such realm.
    ///
    /// # Errors
    /// [`Miss::Unavailable`] if freshness can't be had in time.
    pub async fn view(&self, id: RealmId, freshness: Freshness) -> Result<Option<View<'_, S>>, Miss> {
        self.keep_up().await?;
        let Some(realm) = self.realm(id).await? else { return Ok(None) };
        let realm = self.refreshed(realm, freshness).await?;
        let position = realm.applied();
        let catalogue = self.catalogue(&realm, position).await?;
        Ok(Some(View { snapshots: self, realm, position, catalogue }))
    }

    /// The realm's cache, as fresh as asked for. Reading the log may have the realm start over, with another cache.
    async fn refreshed(
        &self,
        realm: Arc<RealmCache<S::Extra>>,
        freshness: Freshness,
    ) -> Answer<Arc<RealmCache<S::Extra>>> {
        match freshness {
            Freshness::Latest => Ok(realm),
            Freshness::AtLeast(token) if realm.has_reached(token) => Ok(realm),
            // A token that is still ahead of the log once that was read is of another history: all there is has been
            // read.
            Freshness::AtLeast(_) | Freshness::Full => {
                self.tail_now().await?;
                Ok(self.known(realm.id).unwrap_or(realm))
            }
        }
    }

    async fn catalogue(
        &self,
        realm: &Arc<RealmCache<S::Extra>>,
        position: Revision,
    ) -> Result<Arc<RealmCatalogue<S::Extra>>, Miss> {
        if let Some(kept) = realm.catalogue() {
            self.counters.hits.fetch_add(1, Ordering::Relaxed);
            return if kept.catalogue.as_of <= position { Ok(kept) } else { Err(Miss::Moved) };
        }
        Box::pin(self.load_catalogue(realm, position)).await
    }

    async fn load_catalogue(
        &self,
        realm: &Arc<RealmCache<S::Extra>>,
        position: Revision,
    ) -> Result<Arc<RealmCatalogue<S::Extra>>, Miss> {
        let (source, home) = (Arc::clone(&self.source), Arc::clone(realm));
        self.counters.loads.fetch_add(1, Ordering::Relaxed);
        let loaded = realm
            .catalogue_flights
            .join((), realm.last_changed(&Key::Catalogue), || async move {
                let loaded = Arc::new(source.catalogue(home.id).await?);
                home.keep_catalogue(&loaded);
                Ok(loaded)
            })
            .await?;
        self.belongs(realm, position, &Key::Catalogue, loaded.as_of, || realm.keep_catalogue(&loaded)).await?;
        Ok(loaded)
    }

    /// Whether what was loaded belongs to a view at `position`. If it is ahead, the log is read and the load kept, so that
    /// the next view has it; what a change overtook, or a lost history had, is nobody's answer.
    async fn belongs(
        &self,
        realm: &RealmCache<S::Extra>,
        position: Revision,
        key: &Key,
        as_of: Position,
        keep: impl FnOnce(),
    ) -> Result<(), Miss> {
        if as_of.revision > position {
            self.tail_now().await?;
            keep();
            return Err(Miss::Moved);
        }
        if realm.vouches_for(key, as_of) { Ok(()) } else { Err(Miss::Moved) }
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
        let kept = match self.realm.principals.get(&id) {
            Some(kept) => self.hit(kept)?,
            None => Box::pin(self.load_principal(id)).await?,
        };
        Ok(kept.value.as_ref().map(|kept| self.compiled(kept)))
    }

    /// An organization. `None` = unknown in this realm.
    ///
    /// # Errors
    /// [`Miss`].
    pub async fn organization(&self, id: OrganizationId) -> Result<Option<Arc<Organization>>, Miss> {
        let kept = match self.realm.organizations.get(&id) {
            Some(kept) => self.hit(kept)?,
            None => Box::pin(self.load_organization(id)).await?,
        };
        Ok(kept.value.clone())
    }

    fn hit<T>(&self, kept: Arc<Kept<T>>) -> Result<Arc<Kept<T>>, Miss> {
        self.snapshots.counters.hits.fetch_add(1, Ordering::Relaxed);
        if kept.as_of.revision <= self.position { Ok(kept) } else { Err(Miss::Moved) }
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
        let key = Key::Principal(id);
        let (source, home) = (Arc::clone(&self.snapshots.source), Arc::clone(&self.realm));
        self.snapshots.counters.loads.fetch_add(1, Ordering::Relaxed);
        let load = || async move {
            let Loaded { as_of, value } = source.principal(home.id, id).await?;
            let value = value.map(|snapshot| KeptPrincipal { snapshot: Arc::new(snapshot), compiled: None.into() });
            let loaded = Arc::new(Kept { as_of, value });
            home.keep(&home.principals, id, &key, &loaded);
            Ok(loaded)
        };
        let shelf = &self.realm.principals;
        let kept = shelf.flights.join(id, self.realm.last_changed(&key), load).await?;
        self.settle(shelf, id, &key, kept).await
    }

    async fn load_organization(&self, id: OrganizationId) -> Result<Arc<Kept<Arc<Organization>>>, Miss> {
        let key = Key::Organization(id);
        let (source, home) = (Arc::clone(&self.snapshots.source), Arc::clone(&self.realm));
        self.snapshots.counters.loads.fetch_add(1, Ordering::Relaxed);
        let load = || async move {
            let Loaded { as_of, value } = source.organization(home.id, id).await?;
            let loaded = Arc::new(Kept { as_of, value: value.map(Arc::new) });
            home.keep(&home.organizations, id, &key, &loaded);
            Ok(loaded)
        };
        let shelf = &self.realm.organizations;
        let kept = shelf.flights.join(id, self.realm.last_changed(&key), load).await?;
        self.settle(shelf, id, &key, kept).await
    }

    /// Answers a load if it belongs to this view.
    async fn settle<K, T>(
        &self,
        shelf: &Shelf<K, T>,
        slot: K,
        key: &Key,
        load: Arc<Kept<T>>,
    ) -> Result<Arc<Kept<T>>, Miss>
    where
        K: Hash + Eq + Copy + Send + 'static,
        T: Send + Sync + 'static,
    {
        let keep = || self.realm.keep(shelf, slot, key, &load);
        self.snapshots.belongs(&self.realm, self.position, key, load.as_of, keep).await?;
        Ok(load)
    }
}
