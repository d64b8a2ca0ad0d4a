//! Seats of those who follow changes: so many for one account, for one realm, and in this process.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::ids::{PrincipalId, RealmId};

/// Of one account: each process of a sibling service follows once.
pub(super) const PER_ACCOUNT: usize = 100;
/// Of one realm, so that no tenant keeps the others from following.
pub(super) const PER_REALM: usize = 1_000;
/// In this process: each has a task, a stream and its flow control, some 30 KiB.
pub(super) const IN_ALL: usize = 2_000;

/// Who sits.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_realm: HashMap<RealmId, usize>,
    of_account: HashMap<(RealmId, PrincipalId), usize>,
}

/// A seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    of: (RealmId, PrincipalId),
}

impl Seats {
    /// A seat for the account in the realm that it follows; `None` if all of its are taken.
    pub(super) fn take(self: &Arc<Self>, realm: RealmId, account: PrincipalId) -> Option<Seat> {
        let of = (realm, account);
        let mut taken = self.0.lock();
        let count = |of: Option<&usize>| of.copied().unwrap_or(0);
        let free = taken.all < IN_ALL
            && count(taken.of_realm.get(&realm)) < PER_REALM
            && count(taken.of_account.get(&of)) < PER_ACCOUNT;
        free.then(|| {
            taken.all += 1;
            *taken.of_realm.entry(realm).or_default() += 1;
            *taken.of_account.entry(of).or_default() += 1;
            Seat { seats: Arc::clone(self), of }
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock();
        taken.all -= 1;
        leave(&mut taken.of_realm, self.of.0);
        leave(&mut taken.of_account, self.of);
    }
}

fn leave<K: std::hash::Hash + Eq>(seats: &mut HashMap<K, usize>, of: K) {
    if let std::collections::hash_map::Entry::Occupied(mut seat) = seats.entry(of) {
        *seat.get_mut() -= 1;
        if *seat.get() == 0 {
            seat.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn realm(n: u128) -> RealmId {
        RealmId(Uuid::from_u128(n))
    }

    fn account(n: usize) -> PrincipalId {
        PrincipalId(Uuid::from_u128(n as u128))
    }

    #[test]
    fn no_account_and_no_realm_takes_the_seats_of_others() {
        let seats = Arc::new(Seats::default());
        let of_one: Vec<_> = (0..PER_ACCOUNT).map(|_| seats.take(realm(1), account(0)).unwrap()).collect();
        assert!(seats.take(realm(1), account(0)).is_none(), "all of this account's are taken");
        let of_others: Vec<_> =
            (0..PER_REALM - PER_ACCOUNT).map_while(|n| seats.take(realm(1), account(1 + n))).collect();
        assert_eq!(of_others.len(), PER_REALM - PER_ACCOUNT);
        assert!(seats.take(realm(1), account(9_999)).is_none(), "all of this realm's are taken");
        let elsewhere: Vec<_> = (0..IN_ALL).map_while(|n| seats.take(realm(2 + n as u128 / 500), account(n))).collect();
        assert_eq!(of_one.len() + of_others.len() + elsewhere.len(), IN_ALL);
        drop(of_one);
        assert!(seats.take(realm(1), account(0)).is_some(), "a seat that is left is free");
        drop((of_others, elsewhere));
        let taken = seats.0.lock();
        assert_eq!((taken.all, taken.of_realm.len(), taken.of_account.len()), (0, 0, 0), "nothing is left behind");
    }
}
