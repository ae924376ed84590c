//! Log lines that cannot flood: one per cause and interval, the rest counted.
//!
//! A broker that is down makes librdkafka report the same error many times a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One line per cause and this long.
const INTERVAL: Duration = Duration::from_secs(10);
/// Causes remembered; beyond them all share one.
const CAUSES_MAX: usize = 64;

/// Decides whether a cause may be logged now.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    causes: BTreeMap<String, Cause>,
}

#[derive(Debug)]
struct Cause {
    logged: Instant,
    suppressed: u64,
}

impl Quiet {
    /// `Some(n)` when the cause may be logged, with the number of times it was kept quiet since
    /// the last line; `None` when it has been logged just now.
    pub(super) fn may_log(&mut self, cause: &str) -> Option<u64> {
        let now = Instant::now();
        let full = self.causes.len() >= CAUSES_MAX && !self.causes.contains_key(cause);
        let key = if full { "other" } else { cause };
        match self.causes.get_mut(key) {
            Some(known) if now.duration_since(known.logged) < INTERVAL => {
                known.suppressed += 1;
                None
            }
            Some(known) => {
                known.logged = now;
                Some(std::mem::take(&mut known.suppressed))
            }
            None => {
                self.causes.insert(key.to_owned(), Cause { logged: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_logged_once_per_interval() {
        let mut quiet = Quiet::default();

        assert_eq!(quiet.may_log("broker down"), Some(0));
        assert_eq!(quiet.may_log("broker down"), None);
        assert_eq!(quiet.may_log("other thing"), Some(0));
    }
}
