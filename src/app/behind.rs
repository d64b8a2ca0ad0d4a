//! Who stands behind the credential of a call: the principal that it names and, behind a service account, everybody who
//! has seen one of its credentials or can make one. What excludes oneself, and what is refused because the caller itself
//! would gain, asks this and never who calls alone.

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::Guard;
use super::write::Change;
use super::{Actor, Reason};
use crate::domain::ids::{PrincipalId, ServiceAccountId};
use crate::domain::snapshot::Principal;

impl Change<'_> {
    /// The actor and, behind a service account, everybody who ever made a key of it or named the workload that it is, and
    /// so on behind those. A platform account acts for nobody else: there is nobody above it who could act in its place.
    ///
    /// Costs two queries for each service account of the chain, none for a user.
    pub(super) async fn behind(&self) -> Result<BTreeSet<PrincipalId>> {
        let actor = self.ctx.actor_id()?;
        let mut found = BTreeSet::from([actor]);
        if matches!(self.ctx.actor, Actor::Platform { .. }) {
            return Ok(found);
        }
        let mut next = vec![actor];
        while let Some(principal) = next.pop() {
            if self.principal(principal).await?.is_some_and(|subject| subject.principal().is_user()) {
                continue;
            }
            let makers = self.rows().credential_makers(ServiceAccountId(principal.0)).await?;
            next.extend(makers.into_iter().filter(|maker| found.insert(*maker)));
        }
        Ok(found)
    }

    /// Whether the call may be this principal's own doing: it stands behind the credential, or could make itself a key of
    /// a service account that does.
    pub(super) async fn is_own(&self, somebody: &Principal) -> Result<bool> {
        let behind = self.behind().await?;
        if behind.contains(&somebody.id) || matches!(self.ctx.actor, Actor::Platform { .. }) {
            return Ok(behind.contains(&somebody.id));
        }
        let Some(subject) = self.principal(somebody.id).await? else { return Ok(false) };
        let mut guard = Guard::new(self, subject, self.ctx.now);
        for account in behind {
            let Some(account) = self.principal(account).await? else { continue };
            if guard.could_mint(account.principal()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Nobody does this to themself.
    ///
    /// # Errors
    /// NOT_ON_ONESELF.
    pub(super) async fn require_not_on_oneself(&self, target: &Principal) -> Result<()> {
        if self.is_own(target).await? {
            return Err(Error::refused(
                Reason::NotOnOneself,
                "nobody does this to themself, nor by a key of their own",
            ));
        }
        Ok(())
    }

    /// Nobody gives this to themself.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN, with this message.
    pub(super) async fn require_not_for_oneself(&self, receiver: &Principal, message: &str) -> Result<()> {
        if self.is_own(receiver).await? {
            return Err(Error::refused(Reason::ActorWouldGain, message));
        }
        Ok(())
    }
}
