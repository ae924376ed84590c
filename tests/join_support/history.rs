//! Random histories of facts, the same for the same seed.

use std::collections::BTreeMap;

use driftline::event::progress::Progress;
use driftline::event::wire;

use super::{DISORDER_MS, Fact, HORIZON_MS, Message, SOURCE_PARTITIONS, batch, report};

/// splitmix64 (Steele, Lea, Flood 2014): enough for a test, and one line of state.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: i64) -> i64 {
        (self.next() % n as u64) as i64
    }

    pub(crate) fn percent(&mut self, chance: i64) -> bool {
        self.below(100) < chance
    }
}

/// Facts of `ids` ids with the time they arrive, in order of arrival: pairs, halves, duplicates,
/// conflicts, labels beyond the horizon, and facts later than any lateness.
pub(crate) fn unruly(random: &mut Random, ids: u64) -> Vec<Fact> {
    let mut facts = Vec::new();
    for id in 0..ids {
        let time = random.below(1_500);
        if random.percent(85) {
            let version = 12 + u8::from(random.percent(20));
            facts.push(Fact::Prediction(id, time, version, random.percent(30)));
            if random.percent(20) {
                let again = time + random.below(HORIZON_MS);
                facts.push(Fact::Prediction(id, again, 12, random.percent(50)));
            }
        }
        for chance in [75, 20, 10] {
            if random.percent(chance) {
                let at = time - 10 + random.below(HORIZON_MS * 3 / 2);
                facts.push(Fact::Outcome(id, at, random.percent(40)));
            }
        }
    }
    arrange(random, facts, |random| {
        let late = if random.percent(5) { 4 * HORIZON_MS } else { 2 * DISORDER_MS };
        random.below(late)
    })
}

/// Facts whose joins depend on nothing but themselves: one of each id, labels within the
/// horizon or absent, no fact behind its partition by more than the lateness.
pub(crate) fn tidy(random: &mut Random, ids: u64) -> Vec<Fact> {
    let mut facts = Vec::new();
    for id in 0..ids {
        let time = random.below(1_500);
        let version = 12 + u8::from(random.percent(20));
        facts.push(Fact::Prediction(id, time, version, random.percent(30)));
        if random.percent(80) {
            let at = time + random.below(HORIZON_MS + 1);
            facts.push(Fact::Outcome(id, at, random.percent(40)));
        }
    }
    arrange(random, facts, |random| random.below(DISORDER_MS))
}

fn arrange(
    random: &mut Random,
    facts: Vec<Fact>,
    mut delay: impl FnMut(&mut Random) -> i64,
) -> Vec<Fact> {
    let mut arrivals: Vec<(i64, Fact)> =
        facts.into_iter().map(|fact| (fact.time() + delay(random), fact)).collect();
    arrivals.sort_by_key(|(at, _)| *at);
    arrivals.into_iter().map(|(_, fact)| fact).collect()
}

/// The same facts with each source partition's own order kept and all else shuffled.
pub(crate) fn interleave(random: &mut Random, facts: &[Fact]) -> Vec<Fact> {
    let mut queues: BTreeMap<(&str, i32), Vec<Fact>> = BTreeMap::new();
    for fact in facts.iter().rev() {
        queues.entry((fact.topic(), fact.partition())).or_default().push(*fact);
    }
    let mut queues: Vec<Vec<Fact>> = queues.into_values().collect();
    let mut shuffled = Vec::with_capacity(facts.len());
    while !queues.is_empty() {
        let at = random.below(queues.len() as i64) as usize;
        // In runs, so that one partition gets well ahead of another.
        for _ in 0..=random.below(20) {
            shuffled.extend(queues[at].pop());
        }
        queues.retain(|queue| !queue.is_empty());
    }
    shuffled
}

/// Facts as messages with headers that are true of them. `ends` is the chance in percent that a
/// partition is said to be at its end before the last message, where all are.
pub(crate) fn messages(random: &mut Random, facts: &[Fact], ends: i64) -> Vec<Message> {
    let mut newest: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    let mut log = Vec::new();
    let mut now = 0;
    let mut rest = facts;
    while !rest.is_empty() {
        let (taken, left) = rest.split_at((1 + random.below(8) as usize).min(rest.len()));
        rest = left;
        for fact in taken {
            let newest = newest.entry((fact.topic(), fact.partition())).or_insert(fact.time());
            *newest = (*newest).max(fact.time());
            now = now.max(fact.time());
        }
        let header = random.percent(70).then(|| header(random, &newest, ends));
        now += random.below(HORIZON_MS / 4);
        log.push((wire::encode(&batch(taken, header)), now));
    }
    let last = header(random, &newest, 100);
    log.push((wire::encode(&batch(&[], Some(last))), now + 10_000));
    log
}

fn header(random: &mut Random, newest: &BTreeMap<(&str, i32), i64>, ends: i64) -> Vec<Progress> {
    let mut header = Vec::new();
    for topic in ["labels", "scores"] {
        for partition in 0..SOURCE_PARTITIONS {
            let newest = newest.get(&(topic, partition)).copied();
            let at_end = random.percent(ends);
            // A commit of one instance of several speaks of its own partitions only.
            if ends == 100 || random.percent(80) {
                header.push(report(topic, partition, newest, at_end));
            }
        }
    }
    header
}
