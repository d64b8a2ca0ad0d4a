//! Who hears of a newcomer: those who may decide on it and take the topic of approvals about it.

use super::error::{Error, Result};
use super::facts::{Basket, Facts, decide, reserved};
use super::guard::permissions;
use super::user::person;
use crate::cache::Subject;
use crate::domain::decision::Question;
use crate::domain::event::Person;
use crate::domain::ids::{OrganizationId, PrincipalId, UserId};
use crate::domain::policy::Policy;
use crate::domain::registration::{Deciders, deciders, hear};
use crate::domain::time::Timestamp;
use crate::domain::topic;
use crate::store::{Connection, Rows};

/// A newcomer, as far as it matters who decides on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaiting<'a> {
    pub(super) id: PrincipalId,
    /// The one above it first.
    pub(super) managers: &'a [UserId],
    /// Where it waits, if that is known already.
    pub(super) organization: Option<OrganizationId>,
    /// Whether it waits in an organization, known or about to be made.
    pub(super) in_organization: bool,
    /// Whether it just verified its address; else it just registered.
    pub(super) verified: bool,
    /// Whether it has an account already and asks for one more membership, of which whoever decides hears at once.
    pub(super) known: bool,
}

/// At which level somebody decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    Organization,
    Realm,
}

/// Those who are to hear of a newcomer now.
pub(super) async fn to_hear<F: Facts, C: Connection>(
    facts: &F,
    rows: Rows<'_, C>,
    newcomer: &Awaiting<'_>,
    now: Timestamp,
) -> Result<Vec<Person>>
where
    Error: From<F::Fault>,
{
    let roles: Vec<_> = topic::carriers(facts.catalogue(), topic::APPROVALS).collect();
    let (mut here, mut realm_wide) = (vec![], vec![]);
    for holder in rows.holders_of(&roles, newcomer.organization).await? {
        let Some(subject) = facts.principal(holder).await? else { continue };
        match level(facts, &subject, newcomer, now).await? {
            Some(Level::Organization) => here.push(UserId(holder.0)),
            Some(Level::Realm) => realm_wide.push(UserId(holder.0)),
            None => {}
        }
    }
    let chosen = choose(&facts.catalogue().policy, newcomer, here, realm_wide);
    Ok(rows.users_of(&chosen).await?.iter().map(person).collect())
}

fn choose(policy: &Policy, newcomer: &Awaiting<'_>, here: Vec<UserId>, realm_wide: Vec<UserId>) -> Vec<UserId> {
    let deciders = deciders(policy, newcomer.in_organization.then_some(!here.is_empty()));
    if !newcomer.known && !hear(policy, deciders, newcomer.verified) {
        return vec![];
    }
    match deciders {
        Deciders::Organization => here,
        Deciders::Realm => realm_wide,
        Deciders::Nobody => vec![],
    }
}

/// At which level a person decides on the newcomer and takes the topic about it; the widest counts.
async fn level<F: Facts>(facts: &F, subject: &Subject, newcomer: &Awaiting<'_>, now: Timestamp) -> Result<Option<Level>>
where
    Error: From<F::Fault>,
{
    if !subject.principal().is_user() || subject.principal().id == newcomer.id {
        return Ok(None);
    }
    let permission = reserved(facts.catalogue(), permissions::APPROVE)?;
    let mut basket = Basket::of_owner(newcomer.id, newcomer.managers);
    let question = |organization| Question { permission, organization, owner: Some(newcomer.id), resource: None };
    let level = if decide(facts, &mut basket, subject, &question(None), now).await?.is_allowed() {
        Level::Realm
    } else if newcomer.organization.is_some()
        && decide(facts, &mut basket, subject, &question(newcomer.organization), now).await?.is_allowed()
    {
        Level::Organization
    } else {
        return Ok(None);
    };
    if let Some(organization) = newcomer.organization {
        basket.organization(facts, organization).await?;
    }
    let world = basket.world(facts.catalogue(), subject, Some(newcomer.id));
    Ok(topic::takes(&world, topic::APPROVALS, newcomer.organization, newcomer.id, now).then_some(level))
}
