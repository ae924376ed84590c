//! The wish to stop, shared by all loops.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A flag that wakes those who sleep on it. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    inner: Arc<(Mutex<bool>, Condvar)>,
}

impl Shutdown {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Asks everyone to commit and stop.
    pub fn request(&self) {
        let (flag, wake) = &*self.inner;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wake.notify_all();
    }

    /// Whether it has been asked for.
    #[must_use]
    pub fn requested(&self) -> bool {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but not longer than until it is asked for.
    pub fn sleep(&self, time: Duration) {
        let (flag, wake) = &*self.inner;
        let ends = Instant::now() + time;
        let mut requested = flag.lock().unwrap_or_else(PoisonError::into_inner);
        while !*requested {
            let left = ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            requested =
                wake.wait_timeout(requested, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
