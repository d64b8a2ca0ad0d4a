//! Random calls about people: registering, joining, deciding on them, holding and deleting them, who leads them.

use countersign::grpc::pb;

use super::dice::Dice;
use super::moves::{Hands, Made, some_role};
use super::world::Realm;
use crate::support::Caller;

/// Somebody who is in, or came on the way; often the actor itself.
fn somebody(realm: &Realm, dice: &mut Dice) -> String {
    let people = realm.people.iter().map(|person| &person.handle);
    let all: Vec<_> = people.chain(&realm.newcomers).collect();
    (*dice.pick(&all)).clone()
}

pub(super) async fn set_manager(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let user = somebody(realm, dice);
    let manager = if dice.chance(85) { dice.pick(&realm.people).handle.clone() } else { String::new() };
    hand.set_manager(&user, &manager).await.ok().map(|_| ("SetManager", format!("{user} to {manager:?}")))
}

/// What keeps somebody out, or lets them in again.
pub(super) async fn hold_or_lift(realm: &Realm, hand: &Caller, dice: &mut Dice) -> Made {
    let user = somebody(realm, dice);
    let (rpc, done) = match dice.below(12) {
        0 => ("SuspendUser", hand.suspend(&user, "at random").await.map(drop)),
        1..=3 => ("ReinstateUser", hand.reinstate(&user).await.map(drop)),
        4 => ("BlockUser", hand.block(&user, "at random").await.map(drop)),
        5..=7 => ("UnblockUser", hand.unblock(&user).await.map(drop)),
        8 => ("MarkEmailVerified", hand.mark_verified(&user).await.map(drop)),
        9 => {
            let display_name = "Another".to_owned();
            let request = pb::UpdateUserRequest { user: user.clone(), display_name, ..Default::default() };
            ("UpdateUser", hand.update(request).await.map(drop))
        }
        10 => {
            let manager = dice.pick(&realm.people).handle.clone();
            ("DeleteUser", hand.delete_led_by(&user, &manager).await.map(drop))
        }
        _ if dice.chance(50) => ("ClearTombstone", hand.clear_tombstone(&user, "at random").await),
        _ => ("RestoreUser", hand.restore(&user).await.map(drop)),
    };
    done.ok().map(|()| (rpc, user))
}

/// A stranger, who is nobody that the actor controls: to the service somebody else, whoever sits at the keyboard.
pub(super) async fn register(realm: &mut Realm, dice: &mut Dice, number: usize) -> Made {
    let email = format!("new{number}@home.example");
    let code = dice.pick(&realm.organizations).slug.clone();
    realm.portal.stranger.register(&email, "Somebody", &[("code", &code)]).await.ok()?;
    realm.newcomers.push(email.clone());
    Some(("Register", format!("{email} with {code}")))
}

/// Approves somebody who waits, or the actor, now and then with a role; or rejects them.
pub(super) async fn decide(realm: &mut Realm, hands: &Hands, hand: &Caller, dice: &mut Dice) -> Made {
    let user = if dice.chance(60) { hands[0].0.clone() } else { somebody(realm, dice) };
    let organization = dice.pick(&realm.organizations).slug.clone();
    if dice.chance(20) {
        let said = format!("{user} in {organization}");
        let reason = "at random".to_owned();
        let request = pb::RejectRegistrationRequest { user, organization, reason, ..Default::default() };
        return hand.approvals().reject_registration(request).await.ok().map(|_| ("RejectRegistration", said));
    }
    let roles = if dice.chance(30) { vec![some_role(realm, dice)] } else { vec![] };
    let said = format!("{user} in {organization} with {roles:?}");
    let request = pb::ApproveRegistrationRequest {
        user: user.clone(),
        organization: organization.clone(),
        roles: roles.clone(),
        ..Default::default()
    };
    hand.approvals().approve_registration(request).await.ok()?;
    realm.given.extend(roles.into_iter().map(|role| (user.clone(), role, Some(organization.clone()))));
    Some(("ApproveRegistration", said))
}

/// By the code of an organization, which everybody knows; often of one of the newest.
pub(super) async fn join(realm: &Realm, actor: &Caller, dice: &mut Dice) -> Made {
    let newest = realm.organizations.len().saturating_sub(2);
    let from = if dice.chance(60) { &realm.organizations[newest..] } else { &realm.organizations[..] };
    let code = dice.pick(from).slug.clone();
    let state = actor.join(&[("code", &code)]).await.ok()?;
    Some(("JoinOrganization", format!("by {code}: {state:?}")))
}
