//! What organizations license, and whom that would open something.

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::permissions;
use super::user::check_etag;
use super::write::{Change, Done};
use super::{App, Ctx, Kind, Reason};
use crate::domain::assignment::passed_on;
use crate::domain::catalogue::Role;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::RoleId;
use crate::domain::organization::Organization;
use crate::domain::snapshot::{Confers, Principal, Scope};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetEntitlements {
    pub organization: Handle,
    pub entitlements: BTreeSet<String>,
    pub etag: Option<String>,
}

impl App {
    /// Replaces what an organization licenses.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, ACTOR_WOULD_GAIN, ETAG_MISMATCH, WOULD_ORPHAN.
    pub async fn set_entitlements(&self, ctx: &Ctx, cmd: &SetEntitlements) -> Result<Done<Organization>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut organization = change.organization_to_act_on(&cmd.organization, permissions::ENTITLE).await?;
            let added = cmd.entitlements.difference(&organization.entitlements).cloned().collect();
            change.require_no_opening(&added, Scope::Organization(organization.id)).await?;
            check_etag(cmd.etag.as_deref(), &organization.etag())?;
            if organization.entitlements != cmd.entitlements {
                let might_orphan = change.might_orphan(organization.id).await?;
                let before = std::mem::replace(&mut organization.entitlements, cmd.entitlements.clone());
                organization.version += 1;
                change.rows().update_organization(&organization).await?;
                change.forget_facts();
                if might_orphan {
                    change.require_not_orphaned(organization.id).await?;
                }
                let after = organization.entitlements.clone();
                change.record(Event::EntitlementsSet { organization: organization.id, before, after });
            }
            change.organization_view(organization).await
        })
        .await
    }
}

impl Change<'_> {
    /// What an organization licenses opens roles: nobody adds products, nor makes an organization with some, that open a
    /// role of theirs which they could not give. `place` is the organization; the whole realm for one that is yet to be.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN.
    pub(super) async fn require_no_opening(&self, products: &BTreeSet<String>, place: Scope) -> Result<()> {
        for somebody in self.behind().await? {
            let Some(subject) = self.principal(somebody).await? else { continue };
            let opened = self.opened_by(products, subject.principal(), place);
            for role in &opened {
                let confers = Confers::Role(*role);
                let contained = self.guard().await?.require_contained(&confers, place, false, None, somebody).await;
                would_gain(contained, "what the organization licenses would open a role of the caller's")?;
            }
            let passed_on = passed_on(self.catalogue(), &opened.into_iter().collect::<Vec<_>>());
            let gives = self.require_may_pass_on(passed_on, place, Some(subject.principal())).await;
            would_gain(gives, "what the organization licenses would let the caller give a role")?;
        }
        Ok(())
    }

    /// The roles, of those that somebody holds in the place or realm-wide, that wait for one of these products.
    fn opened_by(&self, products: &BTreeSet<String>, holder: &Principal, place: Scope) -> BTreeSet<RoleId> {
        let lasting = |until: Option<_>| until.is_none_or(|until| self.ctx.now < until);
        let held = holder.entries.iter().filter(|entry| entry.scope.covers(place.organization()));
        let roles = held.filter(|entry| lasting(entry.window.expires_at())).filter_map(|entry| match entry.confers {
            Confers::Role(role) => Some(role),
            Confers::Grant { .. } => None,
        });
        let waits = |role: &&Role| role.conditions.any_entitlement.iter().any(|product| products.contains(product));
        roles.flat_map(|role| self.catalogue().with_included(role)).filter(waits).map(|role| role.id).collect()
    }
}

/// The refusal of what the actor could not give, where it would be the actor that gets it.
pub(super) fn would_gain(given: Result<()>, message: &str) -> Result<()> {
    match given {
        Err(error) if error.kind() == Kind::PermissionDenied => Err(Error::refused(Reason::ActorWouldGain, message)),
        outcome => outcome,
    }
}
