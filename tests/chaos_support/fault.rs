//! The faults, and a schedule of them.

use std::time::Duration;

use crate::support::random::Random;

/// Something that happens to the processes, their source or their broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9, and started again at once.
    RestartInPlace,
    /// The same, and killed again while it restores.
    KilledAgain,
    /// kill -9, and left down until the others have taken over.
    Failover,
    /// SIGSTOP past the session, then SIGCONT: a zombie.
    Frozen,
    /// SIGTERM, and started again.
    StoppedInOrder,
    /// A member comes.
    Joins,
    /// The member that came goes for good.
    Leaves,
    /// A source gets one more partition.
    Widened,
    /// kill -9 of the broker, and started again.
    BrokerKilled {
        /// After this long.
        away: Duration,
    },
}

impl Fault {
    fn kills(self) -> usize {
        match self {
            Fault::RestartInPlace | Fault::Failover => 1,
            Fault::KilledAgain => 2,
            _ => 0,
        }
    }
}

/// Kills, so many at least, and everything else in proportion, in random order. A guest that
/// leaves has come before.
pub fn schedule(kills: usize, random: &mut Random) -> Vec<Fault> {
    let mut faults = vec![Fault::Widened];
    let rounds = (kills / 25).max(1);
    for _ in 0..rounds {
        let killed = Fault::BrokerKilled { away: Duration::ZERO };
        faults.extend([Fault::Frozen, Fault::StoppedInOrder, Fault::StoppedInOrder, killed]);
        faults.extend([Fault::Joins, Fault::Leaves, Fault::Joins, Fault::Leaves]);
    }
    if kills >= 100 {
        faults.push(Fault::BrokerKilled { away: Duration::from_secs(60) });
    }
    let killing =
        [Fault::RestartInPlace, Fault::Failover, Fault::RestartInPlace, Fault::KilledAgain];
    for fault in killing.into_iter().cycle() {
        if faults.iter().map(|fault| fault.kills()).sum::<usize>() >= kills {
            break;
        }
        faults.push(fault);
    }
    for index in (1..faults.len()).rev() {
        let other = random.bits() % (index as u64 + 1);
        faults.swap(index, usize::try_from(other).expect("small"));
    }
    let mut guest = false;
    for fault in &mut faults {
        if matches!(fault, Fault::Joins | Fault::Leaves) {
            *fault = if guest { Fault::Leaves } else { Fault::Joins };
            guest = !guest;
        }
    }
    faults
}
