//! Reading: a view of one revision, and the guard of who reads.

use super::error::{Error, Result};
use super::guard::Guard;
use super::{Actor, App, Ctx, Record};
use crate::cache::{Freshness, GATHER_AGAIN, Subject, View};
use crate::domain::decision::CompiledPrincipal;
use std::sync::Arc;

/// The guard of a call that reads.
pub(super) type Reader<'a> = Guard<'a, View<'a, Record>>;

impl App {
    /// A view of the realm of a call.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub(crate) async fn view(&self, ctx: &Ctx, freshness: Freshness) -> Result<View<'_, Record>> {
        self.snapshots.view(ctx.realm, freshness).await?.ok_or_else(|| Error::internal("the realm of the call is gone"))
    }

    /// The principal that acts, as the view has it.
    ///
    /// # Errors
    /// CREDENTIAL_MISSING for a public call; UNAVAILABLE.
    pub(crate) async fn acting(&self, ctx: &Ctx, view: &View<'_, Record>) -> Result<Subject> {
        let id = ctx.actor_id()?;
        if matches!(ctx.actor, Actor::Platform { .. }) {
            return Ok(Arc::new(CompiledPrincipal::platform_operator(id, ctx.realm, view.catalogue())));
        }
        view.principal(id).await?.ok_or_else(|| Error::internal("the actor is gone"))
    }

    /// The guard of a reading call.
    ///
    /// # Errors
    /// As [`App::acting`].
    pub(crate) async fn guard<'a>(&self, ctx: &Ctx, view: &'a View<'a, Record>) -> Result<Reader<'a>> {
        Ok(Guard::new(view, self.acting(ctx, view).await?, ctx.now))
    }
}

/// Does it again while the realm moves on under it, a few times.
///
/// # Errors
/// UNAVAILABLE if the realm does not stand still; else those of what is done.
pub(crate) async fn again<T, F: Future<Output = Result<T>>>(mut once: impl FnMut() -> F) -> Result<T> {
    for _ in 0..GATHER_AGAIN {
        match once().await {
            Err(Error::Moved) => {}
            outcome => return outcome,
        }
    }
    once().await
}
