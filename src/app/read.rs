//! Reading: a view of one revision, and the guard of who reads.

use super::error::{Error, Result};
use super::guard::Guard;
use super::{Actor, App, Ctx, Record};
use crate::cache::{Freshness, GATHER_AGAIN, READ_AGAIN, ReadSet, Subject, View};
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
        self.snapshots.view(ctx.realm, freshness).await?.ok_or_else(gone)
    }

    /// A view for a read that may be long: see [`again_with`].
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub(crate) async fn view_of<'a>(
        &'a self,
        ctx: &Ctx,
        freshness: Freshness,
        reads: &'a ReadSet,
    ) -> Result<View<'a, Record>> {
        self.snapshots.view_of(ctx.realm, freshness, reads).await?.ok_or_else(gone)
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

fn gone() -> Error {
    Error::internal("the realm of the call is gone")
}

/// Does it again while facts change under it, a few times.
///
/// # Errors
/// UNAVAILABLE if they do not stand still; else those of what is done.
pub(crate) async fn again<T, F: Future<Output = Result<T>>>(once: impl FnMut() -> F) -> Result<T> {
    attempts(GATHER_AGAIN, once).await
}

/// Does it again with everything that it has read so far, until it was read at one revision: a batch, a list.
///
/// # Errors
/// As [`again`].
pub(crate) async fn again_with<T, F: Future<Output = Result<T>>>(
    reads: &ReadSet,
    mut once: impl FnMut() -> F,
) -> Result<T> {
    attempts(READ_AGAIN, || {
        let attempt = once();
        async move {
            let outcome = attempt.await;
            if matches!(outcome, Err(Error::Moved)) {
                reads.record();
            }
            outcome
        }
    })
    .await
}

async fn attempts<T, F: Future<Output = Result<T>>>(repeats: usize, mut once: impl FnMut() -> F) -> Result<T> {
    for _ in 0..=repeats {
        match once().await {
            Err(Error::Moved) => {}
            outcome => return outcome,
        }
    }
    Err(Error::unavailable())
}
