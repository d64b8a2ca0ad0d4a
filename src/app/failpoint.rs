//! Named points at which a test can hold a call. Without the feature `failpoints` they are nothing.

/// Waits here for as long as a test holds this point.
#[cfg(not(feature = "failpoints"))]
pub(crate) async fn reach(_point: &'static str) {}

#[cfg(feature = "failpoints")]
pub(crate) use held::reach;
#[cfg(feature = "failpoints")]
pub use held::{Held, hold};

#[cfg(feature = "failpoints")]
mod held {
    use std::collections::HashMap;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    static HELD: Mutex<Option<HashMap<&'static str, Arc<Point>>>> = Mutex::new(None);

    #[derive(Debug)]
    struct Point {
        arrived: Semaphore,
        passed: Semaphore,
    }

    /// Holds a point until it is dropped.
    #[derive(Debug)]
    pub struct Held {
        name: &'static str,
        point: Arc<Point>,
    }

    /// From now on whoever reaches this point waits there.
    #[must_use]
    pub fn hold(name: &'static str) -> Held {
        let point = Arc::new(Point { arrived: Semaphore::new(0), passed: Semaphore::new(0) });
        HELD.lock().get_or_insert_default().insert(name, Arc::clone(&point));
        Held { name, point }
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
                held.remove(self.name);
            }
            self.point.passed.add_permits(Semaphore::MAX_PERMITS / 2);
        }
    }

    pub(crate) async fn reach(name: &'static str) {
        let point = HELD.lock().as_ref().and_then(|held| held.get(name).cloned());
        if let Some(point) = point {
            point.arrived.add_permits(1);
            if let Ok(permit) = point.passed.acquire().await {
                permit.forget();
            }
        }
    }
}
