//! What organizations license, and whom that would open something.

use std::collections::BTreeSet;

use super::error::Result;
use super::facts::Facts;
use super::gain::Gain;
use super::guard::permissions;
use super::user::check_etag;
use super::write::{Change, Done};
use super::{App, Ctx};
use crate::domain::catalogue::Role;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
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
        let message = "what the organization licenses would open a role of the caller's";
        self.require_no_gain(message, |holder| self.opened_by(products, holder, place)).await
    }

    /// The roles, of those that somebody holds in the place or realm-wide, that wait for one of these products.
    fn opened_by(&self, products: &BTreeSet<String>, holder: &Principal, place: Scope) -> Vec<Gain> {
        let held = holder.lasting_entries(self.ctx.now).filter(|entry| entry.scope.covers(place.organization()));
        let roles = held.filter_map(|entry| match entry.confers {
            Confers::Role(role) => Some(role),
            Confers::Grant { .. } => None,
        });
        let waits = |role: &&Role| role.conditions.any_entitlement.iter().any(|product| products.contains(product));
        let opened = roles.flat_map(|role| self.catalogue().with_included(role)).filter(waits);
        opened.map(|role| Gain { confers: Confers::Role(role.id), scope: place, on_resource: false }).collect()
    }
}
