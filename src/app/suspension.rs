//! Suspending organizations, and reinstating them.
//!
//! While an organization is suspended, what is scoped to it confers nothing; what is realm-wide does. No mail tells of
//! it: it is about a company, and nobody's account is touched.

use super::error::Result;
use super::gain::Gain;
use super::guard::permissions;
use super::user::check_etag;
use super::write::{Change, Done};
use super::{App, Ctx};
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::organization::Organization;
use crate::domain::snapshot::{Principal, Scope};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SuspendOrganization {
    pub organization: Handle,
    pub reason: String,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReinstateOrganization {
    pub organization: Handle,
    pub note: Option<String>,
    pub etag: Option<String>,
}

impl App {
    /// Suspends an organization.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, ETAG_MISMATCH, WOULD_ORPHAN.
    pub async fn suspend_organization(&self, ctx: &Ctx, cmd: &SuspendOrganization) -> Result<Done<Organization>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let permission = permissions::SUSPEND_ORGANIZATIONS;
            let mut organization = change.organization_to_act_on(&cmd.organization, permission).await?;
            check_etag(cmd.etag.as_deref(), &organization.etag())?;
            if !organization.suspended {
                change.require_may_lift_suspension(organization.id).await?;
                organization.suspended = true;
                change.save_organization(&mut organization).await?;
                let reason = cmd.reason.clone();
                change.record(Event::OrganizationSuspended { organization: organization.id, reason });
            }
            change.organization_view(organization).await
        })
        .await
    }

    /// Reinstates an organization.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, ACTOR_WOULD_GAIN, ETAG_MISMATCH.
    pub async fn reinstate_organization(&self, ctx: &Ctx, cmd: &ReinstateOrganization) -> Result<Done<Organization>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let permission = permissions::SUSPEND_ORGANIZATIONS;
            let mut organization = change.organization_to_act_on(&cmd.organization, permission).await?;
            if organization.suspended {
                change.require_no_gain_by_reinstating(&organization).await?;
            }
            check_etag(cmd.etag.as_deref(), &organization.etag())?;
            if organization.suspended {
                organization.suspended = false;
                change.save_organization(&mut organization).await?;
                let note = cmd.note.clone();
                change.record(Event::OrganizationReinstated { organization: organization.id, note });
            }
            change.organization_view(organization).await
        })
        .await
    }
}

impl Change<'_> {
    /// Writes an organization as a next version, and has its facts read again.
    async fn save_organization(&mut self, organization: &mut Organization) -> Result<()> {
        organization.version += 1;
        self.rows().update_organization(organization).await?;
        self.forget_facts();
        Ok(())
    }

    /// Nobody gives themself back what they could not give: entries of theirs confer again with the organization.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN.
    async fn require_no_gain_by_reinstating(&self, organization: &Organization) -> Result<()> {
        let scope = Scope::Organization(organization.id);
        let message = "the caller's own entries in the organization would confer again";
        let again = |holder: &Principal| {
            let held = holder.lasting_entries(self.ctx.now).filter(|entry| entry.scope == scope);
            held.map(Gain::from).collect()
        };
        self.require_no_gain(message, again).await
    }
}
