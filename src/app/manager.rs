//! Who leads whom: no cycles, no chain too long, and nobody who makes themself a leader of people they did not reach.

use super::error::{Error, Result};
use super::facts::{Facts, MANAGERS_MAX, managers_of};
use super::guard::permissions;
use super::user::{UserView, require_live};
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::domain::account::User;
use crate::domain::decision::in_team;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{PrincipalId, UserId};
use crate::domain::policy::Team;
use crate::store::Rows;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetManager {
    pub user: Handle,
    /// `None` = nobody from now on.
    pub manager: Option<Handle>,
    pub etag: Option<String>,
}

impl App {
    /// Sets or clears a user's manager.
    ///
    /// # Errors
    /// As [`App::suspend_user`]; the caller has to reach the old and the new manager too. MANAGER_CYCLE,
    /// MANAGER_CHAIN_TOO_DEEP, ACTOR_WOULD_GAIN.
    pub async fn set_manager(&self, ctx: &Ctx, cmd: &SetManager) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let user = change.user_to_act_on(&cmd.user, permissions::SET_MANAGER, cmd.etag.as_deref()).await?;
            let after = match &cmd.manager {
                Some(handle) => Some(change.readable_user(handle, "manager").await?),
                None => None,
            };
            after.iter().try_for_each(require_live)?;
            let user = change.lead(user, after.map(|manager| manager.id)).await?;
            change.user_view(user).await
        })
        .await
    }
}

impl Change<'_> {
    /// Puts a user whom the caller may act on below another manager, or below none.
    pub(super) async fn lead(&mut self, mut user: User, after: Option<UserId>) -> Result<User> {
        if user.manager != after {
            self.require_may_lead(std::slice::from_ref(&user), user.manager, after).await?;
            let before = std::mem::replace(&mut user.manager, after);
            self.save_user(&mut user).await?;
            self.record(Event::ManagerSet { user: user.id, before, after });
        }
        Ok(user)
    }

    /// Requires that these users, whom the caller may act on and who all have this manager, may be put below another one,
    /// or below none.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN; the nearest miss over a manager; MANAGER_CYCLE, MANAGER_CHAIN_TOO_DEEP.
    pub(super) async fn require_may_lead(
        &self,
        users: &[User],
        before: Option<UserId>,
        after: Option<UserId>,
    ) -> Result<()> {
        self.require_no_growing_team(users, after).await?;
        self.require_reach_over_managers(before, after).await?;
        self.require_no_manager_cycle(users, after).await
    }

    async fn require_reach_over_managers(&self, before: Option<UserId>, after: Option<UserId>) -> Result<()> {
        let mut guard = self.guard().await?;
        let me = guard.actor.principal().id;
        for manager in before.into_iter().chain(after).filter(|manager| PrincipalId::from(*manager) != me) {
            if let Some(subject) = self.principal(manager.into()).await? {
                guard.require_over_account(permissions::SET_MANAGER, subject.principal()).await?;
            }
        }
        Ok(())
    }

    /// Nobody comes to lead whom they did not lead before by a call of their own, be it as somebody's manager's manager.
    pub(super) async fn require_no_growing_team(&self, users: &[User], after: Option<UserId>) -> Result<()> {
        let Some(manager) = after.map(PrincipalId::from) else { return Ok(()) };
        for leader in self.behind().await? {
            let would_lead =
                leader == manager || self.catalogue().policy.team == Team::Chain && self.leads(leader, manager).await?;
            for user in users.iter().filter(|_| would_lead) {
                if !self.leads(leader, user.id.into()).await? {
                    return Err(Error::refused(Reason::ActorWouldGain, "nobody makes themself a manager of others"));
                }
            }
        }
        Ok(())
    }

    async fn leads(&self, leader: PrincipalId, somebody: PrincipalId) -> Result<bool> {
        let managers = managers_of(self, somebody).await?;
        Ok(in_team(leader, &managers, self.catalogue().policy.team))
    }

    async fn require_no_manager_cycle(&self, users: &[User], after: Option<UserId>) -> Result<()> {
        let moved: Vec<_> = users.iter().map(|user| user.id).collect();
        let mut above = 0;
        let mut next = after;
        while let Some(manager) = next.filter(|_| above < MANAGERS_MAX) {
            if moved.contains(&manager) {
                return Err(Error::refused(Reason::ManagerCycle, "nobody leads somebody who leads them"));
            }
            above += 1;
            next = self.manager(manager.into()).await?;
        }
        if above > 0 && (next.is_some() || above + levels_from(self.rows(), &moved).await? > MANAGERS_MAX) {
            let message = format!("a chain of managers would be longer than {MANAGERS_MAX}");
            return Err(Error::refused(Reason::ManagerChainTooDeep, message));
        }
        Ok(())
    }
}

/// How many levels of people there are from these users downwards, themselves counted; more than are allowed are not
/// counted. Reads who leads at each level, and nobody else.
pub(super) async fn levels_from<C: crate::store::Connection>(rows: Rows<'_, C>, users: &[UserId]) -> Result<usize> {
    let mut leaders = rows.leaders_among(users).await?;
    let mut levels = 1;
    while !leaders.is_empty() && levels <= MANAGERS_MAX {
        levels += 1;
        leaders = rows.leaders_below(&leaders).await?;
    }
    Ok(levels)
}
