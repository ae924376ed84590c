//! Bad input on a real broker: schemas that are missing, a registry in trouble, and the way back.
//!
//! The loop of observe runs in this process against the embedded stand-in registry, behind a front
//! that misbehaves when told to; the way back is the real binary. `bad_input` lists which test
//! holds which rule.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests start processes and threads, and wait for them"
)]

mod bad_input_support;
mod kafka_support;

use std::process::Command;
use std::time::{Duration, Instant};

use bad_input_support::{Feed, Front, Mood, Observing, PARTITIONS, body, framed};
use driftline::registry::StandIn;
use rdkafka::message::{Headers, Message};

/// Longer than the session timeout of the group, 6 s: a heartbeat that is held up would show.
const LONGER_THAN_A_SESSION: Duration = Duration::from_secs(7);

#[test]
fn a_registry_in_trouble_holds_up_only_partitions_with_unknown_schemas() {
    let stand_in = StandIn::start().unwrap();
    let front = Front::before(&stand_in);
    let mut observing = Observing::start("trouble", Some(&front.url()));
    let feed = Feed::to(&observing);
    let known = front.register("known");
    feed.write(0, &framed(known, &body(1)));
    observing.until(|seen| seen.accepted[0] == 1);

    let moods = [
        (Mood::Status(401), Duration::ZERO),
        (Mood::Status(429), Duration::ZERO),
        (Mood::Status(500), Duration::ZERO),
        (Mood::Closed, Duration::ZERO),
        (Mood::Silent, LONGER_THAN_A_SESSION),
    ];
    let mut sent = 1;
    for (round, (mood, stay)) in moods.into_iter().enumerate() {
        let unknown = front.register(&format!("new-{round}"));
        let (accepted, asked) = (observing.seen.accepted[2], front.refused());
        front.set(mood);
        feed.write(2, &framed(unknown, &body(1)));
        observing.until(|seen| seen.waiting == 1);
        front.until_refused(asked + 1);
        let until = Instant::now() + stay;
        loop {
            for partition in [0, 1] {
                feed.write(partition, &framed(known, &body(1)));
            }
            sent += 1;
            observing.until(|seen| seen.accepted[0] == sent && seen.accepted[1] == sent - 1);
            if Instant::now() >= until {
                break;
            }
        }
        assert_eq!(observing.seen.accepted[2], accepted, "{mood:?}: nothing is guessed");
        assert_eq!(observing.seen.waiting, 1, "{mood:?}");

        front.set(Mood::Good);

        observing.until(|seen| seen.accepted[2] == accepted + 1 && seen.waiting == 0);
    }
    assert_eq!(observing.seen.quarantined, [0; PARTITIONS], "an outage sets nothing aside");
    assert_eq!(observing.seen.assignments, 1, "no heartbeat was held up");
    assert!(observing.registry_status().denied >= 1);
}

#[test]
fn ever_new_schemas_never_stall_a_partition() {
    let stand_in = StandIn::start().unwrap();
    let front = Front::before(&stand_in);
    let mut observing = Observing::start("ever-new", Some(&front.url()));
    let feed = Feed::to(&observing);
    let known = front.register("known");
    feed.write(1, &framed(known, &body(1)));
    observing.until(|seen| seen.accepted[1] == 1);
    let count = 500;
    let unknown = (0..count).map(|id| framed(1_000_000 + id, &body(1)));
    let all: Vec<Vec<u8>> = unknown.chain([framed(known, &body(1))]).collect();
    let started = Instant::now();
    feed.write_all(0, &all);
    observing.until(|seen| seen.quarantined[0] == u64::from(count) && seen.accepted[0] == 1);
    println!("{count} unknown schemas took the partition {:?}", started.elapsed());
    assert_eq!(observing.seen.reasons, [("unknown_schema".to_owned(), count.into())].into());

    // A new schema among them is found once it was asked for.
    let new = front.register("new");
    let mut written = 0;
    while observing.seen.accepted[0] == 1 {
        feed.write(0, &framed(new, &body(1)));
        written += 1;
        let all = u64::from(count) + 1 + written;
        observing.until(|seen| seen.accepted[0] + seen.quarantined[0] == all);
    }
}

#[test]
fn unknown_schemas_are_set_aside_and_can_be_driven_in_again() {
    let stand_in = StandIn::start().unwrap();
    let front = Front::before(&stand_in);
    let mut observing = Observing::start("redrive", Some(&front.url()));
    let feed = Feed::to(&observing);
    let later = front.next_id();
    feed.write(1, &framed(later, &body(1)));
    observing.until(|seen| seen.quarantined[1] == 1);
    assert_eq!(observing.seen.reasons, [("unknown_schema".to_owned(), 1)].into());

    assert_eq!(front.register("later"), later);
    // Until it is looked for again, records are set aside; this one may be among them.
    let mut probes = 0;
    while observing.seen.accepted[2] == 0 {
        feed.write(2, &framed(later, &body(1)));
        probes += 1;
        observing.until(|seen| seen.accepted[2] + seen.quarantined[2] == probes);
    }
    let aside = 1 + observing.seen.quarantined[2];
    let accepted: u64 = observing.seen.accepted.iter().sum();
    let said = redrive(&observing, &["--reason", "unknown_schema"]);
    assert!(said.contains(&format!("{aside} driven in again, 0 cut")), "{said}");

    observing.until(|seen| seen.accepted.iter().sum::<u64>() == accepted + aside);
    assert_eq!(observing.seen.accepted[1], 1, "back in its own partition");
    let again = redrive(&observing, &["--reason", "unknown_schema"]);
    assert!(again.contains("0 driven in again"), "{again}");
}

#[test]
fn each_record_is_driven_in_once_as_it_was_however_often_it_is_asked_for() {
    let mut observing = Observing::start("once", None);
    let feed = Feed::to(&observing);
    let target = format!("{}-target", observing.app);
    observing.make_topic(&target, 2);
    let count: u64 = 40;
    for number in 0..count {
        let (key, value) = (format!("key-{number}"), format!("!garbage {number}"));
        feed.write_whole(
            number as i32 % 3,
            &key,
            value.as_bytes(),
            1_700_000_000_000 + number as i64,
        );
    }
    feed.write(0, &[&b"!"[..], &vec![b'x'; 950_000]].concat());
    let all = count + 1;
    observing.until(|seen| seen.quarantined.iter().sum::<u64>() == all);

    let arguments = ["--reason", "bad_magic", "--to", &target];
    let dry = redrive(&observing, &[&arguments[..], &["--dry-run"]].concat());
    assert!(dry.contains("40 would be driven in again, 1 cut and left"), "{dry}");
    let some = redrive(&observing, &[&arguments[..], &["--limit", "15"]].concat());
    assert!(some.contains("15 driven in again"), "{some}");
    let rest = redrive(&observing, &arguments);
    assert!(rest.contains("25 driven in again"), "{rest}");
    let none = redrive(&observing, &arguments);
    assert!(none.contains("0 driven in again"), "{none}");

    let mut found = Vec::new();
    observing.read(&target, 2, |message| {
        let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
        let number: i64 = key.strip_prefix("key-").unwrap().parse().unwrap();
        assert_eq!(message.payload().unwrap(), format!("!garbage {number}").as_bytes());
        assert_eq!(message.timestamp().to_millis(), Some(1_700_000_000_000 + number));
        let headers = message.headers().unwrap();
        let had: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
        assert_eq!(had, [("app", Some(&b"pos-7"[..]))]);
        found.push(number);
        found.len() as u64 == count
    });
    found.sort_unstable();
    assert_eq!(found, (0..count as i64).collect::<Vec<_>>());
    assert_eq!(observing.count(&target, 2), count);
}

/// Runs the real binary; gives what it says.
fn redrive(observing: &Observing, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_driftline"))
        .args(["redrive", "--config"])
        .arg(observing.config())
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}
