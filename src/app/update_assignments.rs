//! Many assignments at once, given and taken: all of it or nothing, checked as a whole.
//!
//! Who may is asked of the facts before the call, for each item by itself, so that none can make room for another. Where
//! the outcome counts (exclusions, kinds, how much somebody holds, who is left to assign) it is asked of the outcome.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::conferral::unfit;
use super::entry::{EntryView, views};
use super::error::{Error, Refusal, Result};
use super::facts::Facts;
use super::receiver::Receiver;
use super::role_assignment::{AssignRole, RevokeRole, Taking};
use super::user::find_role;
use super::write::{Change, Done};
use super::{App, Ctx, Kind};
use crate::domain::assignment;
use crate::domain::catalogue::Role;
use crate::domain::entry::EntryRow;
use crate::domain::ids::EntryId;
use crate::domain::snapshot::{Confers, Entry, Scope};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateAssignments {
    pub add: Vec<AssignRole>,
    pub remove: Vec<RevokeRole>,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct UpdatedAssignments {
    /// One for each that was to be added, in that order.
    pub added: Vec<EntryView>,
    pub removed: Vec<EntryView>,
}

impl App {
    /// Assigns and revokes many roles.
    ///
    /// # Errors
    /// As [`App::assign_role`] and [`App::revoke_role`], for every item that meets an error of the gravest kind.
    pub async fn update_assignments(&self, ctx: &Ctx, cmd: &UpdateAssignments) -> Result<Done<UpdatedAssignments>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut troubles = Troubles::default();
            let (mut gifts, mut takings) = (vec![], vec![]);
            for (at, item) in cmd.add.iter().enumerate() {
                gifts.extend(troubles.note(("add", at), change.gift(item).await)?);
            }
            for (at, item) in cmd.remove.iter().enumerate() {
                takings.extend(troubles.note(("remove", at), change.may_take(item).await)?);
            }
            troubles.raise()?;
            let losing: BTreeSet<_> = takings.iter().map(|taking| taking.holder.id()).collect();
            let to_stay = change.to_stay_assigned(&losing).await?;
            let removed = change.take_all(takings).await?;
            let added = change.give_all(&cmd.add, gifts).await?;
            change.require_still_assigned(to_stay).await?;
            let added = views(change.rows(), change.catalogue(), added).await?;
            Ok(UpdatedAssignments { added, removed: views(change.rows(), change.catalogue(), removed).await? })
        })
        .await
    }
}

/// A role for somebody, that the actor may give.
struct Gift {
    receiver: Receiver,
    role: Role,
    scope: Scope,
    newcomer: bool,
}

impl Change<'_> {
    async fn gift(&self, item: &AssignRole) -> Result<Gift> {
        let AssignRole { principal, role, place, resource, window: _ } = item;
        let receiver = self.receiver(principal).await?;
        let scope = self.scope_to_assign_in(&receiver, place).await?;
        let role = find_role(self.catalogue(), role).and_then(|role| self.catalogue().role(role));
        let role = role.cloned().ok_or_else(|| Error::not_found("role"))?;
        self.require_may_give(receiver.but_entries(), role.id, scope, resource.is_some()).await?;
        assignment::fits(&role, scope, resource.as_ref()).map_err(unfit)?;
        let newcomer = self.becomes_a_member(receiver.but_entries(), scope).await?;
        Ok(Gift { receiver, role, scope, newcomer })
    }

    async fn take_all(&mut self, takings: Vec<Taking>) -> Result<Vec<EntryRow>> {
        let (mut seen, mut removed) = (BTreeSet::<EntryId>::new(), vec![]);
        for Taking { role, mut rows, .. } in takings {
            rows.retain(|row| seen.insert(row.entry.id));
            self.take(role, &rows).await?;
            removed.extend(rows);
        }
        Ok(removed)
    }

    /// Gives what the items say, to members all of them by then.
    async fn give_all(&mut self, items: &[AssignRole], gifts: Vec<Gift>) -> Result<Vec<EntryRow>> {
        let mut troubles = Troubles::default();
        let mut members = BTreeSet::new();
        for (at, Gift { receiver, scope, newcomer, .. }) in gifts.iter().enumerate() {
            if *newcomer && members.insert((receiver.id(), *scope)) {
                troubles.note(("add", at), self.make_member(receiver.id(), *scope).await)?;
            }
        }
        troubles.raise()?;
        let mut added = vec![];
        for (at, (item, gift)) in items.iter().zip(gifts).enumerate() {
            added.extend(troubles.note(("add", at), self.give(item, gift).await)?);
        }
        troubles.raise()?;
        Ok(added)
    }

    async fn give(&mut self, item: &AssignRole, gift: Gift) -> Result<EntryRow> {
        let Gift { receiver, role, scope, newcomer: _ } = gift;
        // As a member that somebody may have become by now.
        let receiver = self.receiver_of(receiver.id()).await?.ok_or_else(|| Error::not_found("principal"))?;
        self.require_kind(&role, receiver.but_entries(), scope).await?;
        let entry = Entry {
            id: EntryId(self.app.clock.new_id()),
            confers: Confers::Role(role.id),
            scope,
            resource: item.resource.clone().map(Box::new),
            window: item.window,
        };
        match self.same_entry(receiver.id(), &entry).await? {
            Some(there) => Ok(there),
            None => self.insert_assignment(receiver.id(), &role, entry).await,
        }
    }
}

/// What is wrong with which item.
#[derive(Default)]
struct Troubles(Vec<(String, Refusal)>);

impl Troubles {
    /// What an item came to; nothing if the item is refused, which is kept for later.
    ///
    /// # Errors
    /// Whatever is no refusal ends all of it.
    fn note<T>(&mut self, (list, at): (&str, usize), outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Error::Refused(refusal)) => {
                self.0.push((format!("{list}[{at}]"), refusal));
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Refuses if an item was: for the gravest kind of error, naming each item that meets it.
    fn raise(&mut self) -> Result<()> {
        let gravest = self.0.iter().map(|(_, refusal)| gravity(refusal.reason.kind())).min();
        let mut met = std::mem::take(&mut self.0);
        met.retain(|(_, refusal)| Some(gravity(refusal.reason.kind())) == gravest);
        let Some((_, first)) = met.first() else { return Ok(()) };
        let (reason, facts) = (first.reason, first.facts.clone());
        let each: Vec<_> = met.into_iter().map(|(item, refusal)| (item, refusal.message)).collect();
        let message = each.iter().map(|(item, message)| format!("{item}: {message}")).collect::<Vec<_>>().join("; ");
        Err(Refusal { reason, message, facts, each }.into())
    }
}

/// In the order in which refusals are told.
fn gravity(kind: Kind) -> u8 {
    match kind {
        Kind::NotFound => 0,
        Kind::PermissionDenied => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

    #[test]
    fn the_gravest_kind_is_told_with_every_item_that_meets_it() {
        let mut troubles = Troubles::default();
        let refused = |reason| Err::<(), _>(Error::refused(reason, "no"));
        troubles.note(("add", 0), refused(Reason::KindNotAllowed)).unwrap();
        troubles.note(("add", 2), refused(Reason::NotContained)).unwrap();
        assert_eq!(troubles.note(("add", 3), Ok(7)).unwrap(), Some(7));
        troubles.note(("remove", 1), refused(Reason::RoleRestricted)).unwrap();
        let Err(Error::Refused(refusal)) = troubles.raise() else { panic!("not refused") };
        assert_eq!((refusal.reason, refusal.message.as_str()), (Reason::NotContained, "add[2]: no; remove[1]: no"));
        assert!(troubles.raise().is_ok());
    }
}
