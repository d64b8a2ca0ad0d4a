//! Whether a new policy may be written: it can work, and what it confers is the caller's to give.

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::facts::Facts;
use super::gain::Joining;
use super::guard::permissions;
use super::user::find_role;
use super::write::Change;
use super::{Reason, Violation};
use crate::domain::assignment::passed_on;
use crate::domain::handle::Handle;
use crate::domain::ids::UserId;
use crate::domain::message::Template;
use crate::domain::origin::{AllowedOrigin, BaseUrl};
use crate::domain::policy::{Founding, OrganizationsPerUser, Policy, Team};
use crate::domain::policy_rules::{Contradiction, Existing, contradictions};
use crate::domain::setting::Setting;
use crate::domain::snapshot::{Confers, Scope};
use crate::mail;

/// A policy, and what it is to become.
pub(super) struct Rewrite<'a> {
    pub(super) before: &'a Policy,
    pub(super) after: &'a Policy,
}

impl Rewrite<'_> {
    fn changes<T: PartialEq>(&self, setting: impl Fn(&Policy) -> &T) -> bool {
        setting(self.before) != setting(self.after)
    }
}

impl Change<'_> {
    /// The setting with the name of the role that it refers to by id. A role that is not there stays as given.
    pub(super) fn resolved(&self, setting: &Setting) -> Setting {
        match setting {
            Setting::FoundingRole(Some(given)) => {
                let role = find_role(self.catalogue(), &Handle::parse(given));
                let name = role.and_then(|id| self.catalogue().role(id)).map(|role| role.name.clone());
                Setting::FoundingRole(Some(name.unwrap_or_else(|| given.clone())))
            }
            other => other.clone(),
        }
    }

    /// Requires that what the policy confers from now on is the caller's to give.
    ///
    /// # Errors
    /// NOT_CONTAINED and ROLE_RESTRICTED for the founding role and for what it lets be given; ACTOR_WOULD_GAIN for what
    /// would be open to the caller itself: deeper teams, if it has one, and memberships by codes alone.
    pub(super) async fn require_may_confer(&self, rewrite: &Rewrite<'_>) -> Result<()> {
        let Rewrite { before, after } = rewrite;
        let mut guard = self.guard().await?;
        let actor = guard.actor.principal().id;
        let founds = rewrite.changes(|policy| &policy.founding) || rewrite.changes(|policy| &policy.founding_role);
        if let Some(role) = after.founding_role.as_deref().filter(|_| founds && after.founding != Founding::Nobody)
            && let Some(role) = self.catalogue().role_named(role).map(|role| role.id)
        {
            if self.catalogue().role_is_restricted(role)
                && !guard.allows(permissions::ASSIGN_RESTRICTED, None, None).await?
            {
                return Err(Error::refused(Reason::RoleRestricted, "the founding role is restricted"));
            }
            guard.require_contained(&Confers::Role(role), Scope::Realm, false, None, actor).await?;
            self.require_may_pass_on(passed_on(self.catalogue(), &[role]), Scope::Realm, None).await?;
        }
        self.require_no_way_in_by(rewrite).await?;
        let deepens = before.team == Team::Direct && after.team == Team::Chain;
        if deepens && !guard.allows(permissions::ESCALATE, None, None).await? {
            for leader in self.behind().await? {
                if !self.rows().leaders_among(&[UserId(leader.0)]).await?.is_empty() {
                    return Err(Error::refused(Reason::ActorWouldGain, "the caller's own team would grow"));
                }
            }
        }
        Ok(())
    }

    /// Where codes alone make members, nobody opens to themself what comes with a membership and they could not give.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN.
    async fn require_no_way_in_by(&self, rewrite: &Rewrite<'_>) -> Result<()> {
        let opens = rewrite.changes(|policy| &policy.self_registration)
            || rewrite.changes(|policy| &policy.approval)
            || rewrite.changes(|policy| &policy.code_schemes)
            || rewrite.changes(|policy| &policy.organizations_per_user)
            || rewrite.changes(|policy| &policy.reregistration_after_reject)
            || rewrite.changes(|policy| &policy.kinds);
        if !(opens && rewrite.after.codes_alone_admit()) {
            return Ok(());
        }
        let message = "by this policy the caller could become a member by codes alone";
        self.require_no_gain(message, |holder| self.gains_by_joining(holder, rewrite.after, Joining::Any)).await
    }

    /// Requires that the policy can work in this realm.
    ///
    /// # Errors
    /// POLICY_IMPOSSIBLE, naming every contradiction by its setting.
    pub(super) async fn require_possible(&self, rewrite: &Rewrite<'_>) -> Result<()> {
        let existing = self.existing(rewrite).await?;
        let found = contradictions(rewrite.after, self.catalogue(), &existing);
        if found.is_empty() {
            return Ok(());
        }
        let named = |contradiction: &Contradiction| (contradiction.setting().to_owned(), contradiction.to_string());
        Err(Error::refused_for_each(Reason::PolicyImpossible, found.iter().map(named).collect()))
    }

    /// What is there that the rewritten settings could contradict.
    async fn existing(&self, rewrite: &Rewrite<'_>) -> Result<Existing> {
        let Rewrite { before, after } = rewrite;
        let rows = self.rows();
        let mut existing = Existing::default();
        if rewrite.changes(|policy| &policy.kinds) {
            existing.kinds = rows.kinds_in_use().await?;
            let was = |name: &str| before.kind(name).is_some_and(|kind| kind.exclusive);
            for kind in after.kinds.iter().filter(|kind| kind.exclusive && !was(&kind.name)) {
                if rows.is_mixed(&kind.name).await? {
                    existing.mixed_kinds.insert(kind.name.clone());
                }
            }
        }
        if rewrite.changes(|policy| &policy.code_schemes) {
            existing.schemes = rows.schemes_in_use().await?;
            let was = |name: &str| before.scheme(name).is_some_and(|scheme| scheme.unique);
            for scheme in after.code_schemes.iter().filter(|scheme| scheme.unique && !was(&scheme.name)) {
                if rows.is_shared(&scheme.name).await? {
                    existing.shared_schemes.insert(scheme.name.clone());
                }
            }
        }
        if rewrite.changes(|policy| &policy.organizations_per_user) {
            let one = after.organizations_per_user == OrganizationsPerUser::One;
            existing.somebody_in_two = one && rows.somebody_in_two().await?;
        }
        Ok(existing)
    }
}

/// Each base URL of the settings of an origin that the operator of the server does not allow: whoever configures a realm
/// does not choose where the links of its people lead.
pub(super) fn foreign_base_urls(settings: &[Setting], allowed: &[AllowedOrigin]) -> Vec<Violation> {
    let foreign = settings.iter().filter_map(|setting| match setting {
        Setting::BaseUrl(url) => match BaseUrl::parse(url) {
            Ok(parsed) if allowed.iter().any(|origin| origin.covers(&parsed)) => None,
            Ok(_) => Some("is of an origin that is not among the server's base_url_origins".to_owned()),
            Err(fault) => Some(fault.to_string()),
        },
        _ => None,
    });
    foreign.map(|fault| Violation::new("policy.base_url", fault)).collect()
}

/// Each mail of the settings that does not go out, or whose own words can't be filled, by its name.
pub(super) fn unsound_mails(settings: &[Setting]) -> Vec<Violation> {
    let mut violations = vec![];
    let mails = settings.iter().filter_map(|setting| match setting {
        Setting::Mails(mails) => Some(mails),
        _ => None,
    });
    for (name, words) in mails.flatten() {
        let fault = match Template::parse(name) {
            Some(template) => mail::check(template, words).err().map(|fault| fault.to_string()),
            None => {
                let names: BTreeSet<_> = Template::ALL.iter().map(|template| template.name()).collect();
                Some(format!("is no mail; there are {}", names.into_iter().collect::<Vec<_>>().join(", ")))
            }
        };
        violations.extend(fault.map(|fault| Violation::new(format!("policy.mails[{name:?}]"), fault)));
    }
    violations
}
