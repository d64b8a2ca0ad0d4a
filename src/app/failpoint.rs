//! Named points at which a test can hold a call. Without the feature `failpoints` they are nothing.

/// Waits here for as long as a test holds this point.
#[cfg(not(feature = "failpoints"))]
pub(crate) async fn reach(_point: &'static str) {}

/// Waits here for as long as a test holds this point in that realm.
#[cfg(not(feature = "failpoints"))]
pub(crate) async fn reach_in(_point: &'static str, _realm: crate::domain::ids::RealmId) {}

#[cfg(feature = "failpoints")]
pub use held::{Held, hold, hold_in};
#[cfg(feature = "failpoints")]
pub(crate) use held::{reach, reach_in};

#[cfg(feature = "failpoints")]
mod held {
    use std::collections::HashMap;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use crate::domain::ids::RealmId;

    /// A point of the whole process, or of one realm: tests run side by side.
    type Place = (&'static str, Option<RealmId>);

    static HELD: Mutex<Option<HashMap<Place, Arc<Point>>>> = Mutex::new(None);

    #[derive(Debug)]
    struct Point {
        arrived: Semaphore,
        passed: Semaphore,
    }

    /// Holds a point until it is dropped.
    #[derive(Debug)]
    pub struct Held {
        place: Place,
        point: Arc<Point>,
    }

    /// From now on whoever reaches this point waits there.
    #[must_use]
    pub fn hold(name: &'static str) -> Held {
        hold_place((name, None))
    }

    /// From now on whoever reaches this point in that realm waits there.
    #[must_use]
    pub fn hold_in(name: &'static str, realm: RealmId) -> Held {
        hold_place((name, Some(realm)))
    }

    fn hold_place(place: Place) -> Held {
        let point = Arc::new(Point { arrived: Semaphore::new(0), passed: Semaphore::new(0) });
        HELD.lock().get_or_insert_default().insert(place, Arc::clone(&point));
        Held { place, point }
    }

    impl Held {
        /// Waits until somebody has arrived at the point.
        pub async fn arrived(&self) {
            if let Ok(permit) = self.point.arrived.acquire().await {
                permit.forget();
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            if let Some(held) = HELD.lock().as_mut() {
                held.remove(&self.place);
            }
            self.point.passed.add_permits(Semaphore::MAX_PERMITS / 2);
        }
    }

    pub(crate) async fn reach(name: &'static str) {
        pass((name, None)).await;
    }

    pub(crate) async fn reach_in(name: &'static str, realm: RealmId) {
        pass((name, Some(realm))).await;
    }

    async fn pass(place: Place) {
        let point = HELD.lock().as_ref().and_then(|held| held.get(&place).cloned());
        if let Some(point) = point {
            point.arrived.add_permits(1);
            if let Ok(permit) = point.passed.acquire().await {
                permit.forget();
            }
        }
    }
}
