//! How long faults took, from the fault to the first commit of every source partition after it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::fault::Fault;

/// Times by fault.
#[derive(Debug, Default)]
pub struct Times(BTreeMap<Fault, Vec<Duration>>);

impl Times {
    pub fn add(&mut self, fault: Fault, took: Duration) {
        self.0.entry(fault).or_default().push(took);
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, times) in &self.0 {
            let mut times = times.clone();
            times.sort();
            // Nearest rank: of fewer than a hundred the p99 is the longest.
            let at = |share: usize| times[(times.len() * share).div_ceil(100) - 1];
            let (count, half, most) = (times.len(), at(50), at(99));
            writeln!(f, "{fault:?}: {count} times, p50 {half:.1?}, p99 {most:.1?}")?;
        }
        Ok(())
    }
}
