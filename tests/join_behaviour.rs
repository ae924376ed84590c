//! What join does, seen from outside: facts in, summaries out, and a crash anywhere.

#[path = "join_behaviour/definitions.rs"]
mod definitions;
mod join_support;

use std::sync::Arc;

use driftline::config::plan::{Absent, Covers};
use driftline::event::progress::Header;
use driftline::event::route::{Note, Route, SUMMARIES_PARTITIONS, partition_of};
use driftline::event::summary::OutcomeSums;
use driftline::event::time::EventTime;
use driftline::event::wire;
use driftline::join::Join;
use driftline::stage::Stage;
use proptest::prelude::*;

use join_support::Fact::{Outcome, Prediction};
use join_support::history::{Random, interleave, messages, tidy, unruly};
use join_support::{
    Bench, Counts, DISORDER_MS, Fact, HORIZON_MS, all_at, batch, cell, plan, report, summaries,
};

const ROOM: usize = 1_000_000;

/// Runs facts, each list with all partitions read to the time beside it, and commits once.
fn check(absent: Absent, steps: &[(&[Fact], i64)]) -> (OutcomeSums, Counts) {
    let mut bench = Bench::new(&plan(absent, ROOM));
    for (facts, time) in steps {
        bench.feed(facts, *time);
    }
    bench.commit();
    (bench.total(), bench.counts.clone())
}

fn sums(labelled: u64, [fp, tn, tp, fn_]: [u64; 4], assumed: u64) -> OutcomeSums {
    OutcomeSums {
        labelled,
        assumed,
        negatives: fp + tn,
        false_positives: fp,
        positives: tp + fn_,
        true_positives: tp,
    }
}

#[test]
fn outcome_is_counted_in_the_cell_and_window_of_its_prediction() {
    let mut bench = Bench::new(&plan(Absent::Unknown, ROOM));

    bench.feed(&[Prediction(1, 25, 13, true), Prediction(2, 25, 12, false)], 30);
    bench.feed(&[Outcome(1, 60, false), Outcome(2, 60, true)], 60);
    bench.commit();

    let v13 = bench.sums[&(EventTime(20), cell(13))];
    let v12 = bench.sums[&(EventTime(20), cell(12))];
    assert_eq!(v13, sums(1, [1, 0, 0, 0], 0));
    assert_eq!(v12, sums(1, [0, 0, 0, 1], 0));
}

#[test]
fn outcome_that_comes_first_waits_for_its_prediction() {
    let (total, counts) = check(
        Absent::Unknown,
        &[(&[Outcome(1, 40, true)], 40), (&[Prediction(1, 35, 12, true)], 60)],
    );

    assert_eq!(total, sums(1, [0, 0, 1, 0], 0));
    assert_eq!(counts, Counts::new());
}

#[test]
fn first_outcome_wins_and_later_ones_are_duplicates_or_conflicts() {
    let outcomes = [Outcome(1, 30, true), Outcome(1, 31, true), Outcome(1, 32, false)];
    let (total, counts) =
        check(Absent::Unknown, &[(&[Prediction(1, 20, 12, true)], 20), (&outcomes, 40)]);

    assert_eq!(total, sums(1, [0, 0, 1, 0], 0));
    assert_eq!(counts, Counts::from([("outcome_conflict", 1), ("outcome_duplicate", 1)]));
}

#[test]
fn first_prediction_wins() {
    let predictions = [Prediction(1, 20, 12, true), Prediction(1, 25, 13, false)];
    let (total, counts) =
        check(Absent::Unknown, &[(&predictions, 25), (&[Outcome(1, 30, false)], 40)]);

    assert_eq!(total, sums(1, [1, 0, 0, 0], 0));
    assert_eq!(counts, Counts::from([("prediction_duplicate", 1)]));
}

#[test]
fn prediction_waits_as_long_as_an_outcome_within_the_horizon_may_come() {
    let last = 20 + HORIZON_MS + DISORDER_MS;
    let waiting: (&[Fact], i64) = (&[Prediction(1, 20, 12, true)], last);
    let label: (&[Fact], i64) = (&[Outcome(1, 20 + HORIZON_MS, false)], last);

    let (total, _) = check(Absent::Unknown, &[waiting, label]);
    assert_eq!(total, sums(1, [1, 0, 0, 0], 0));

    let (total, counts) = check(Absent::Unknown, &[waiting, (&[], last + 1), label]);
    assert_eq!(total.labelled, 0);
    assert_eq!(counts["prediction_expired"], 1);
}

#[test]
fn outcome_later_than_the_horizon_never_pairs_however_early_it_is_read() {
    let label = [Outcome(1, 20 + HORIZON_MS + 1, true)];
    let (total, counts) =
        check(Absent::Unknown, &[(&[Prediction(1, 20, 12, true)], 20), (&label, 20)]);

    assert_eq!(total.labelled, 0);
    assert_eq!(counts, Counts::from([("outcome_orphan", 1)]));
}

#[test]
fn prediction_takes_the_place_of_an_outcome_too_far_from_it() {
    let steps: [(&[Fact], i64); 3] = [
        (&[Outcome(1, 20, true)], 20),
        (&[Prediction(1, 21 + HORIZON_MS, 12, true)], 20),
        (&[Outcome(1, 30 + HORIZON_MS, false)], 30),
    ];
    let (total, counts) = check(Absent::Unknown, &steps);

    assert_eq!(total, sums(1, [1, 0, 0, 0], 0));
    assert_eq!(counts, Counts::from([("outcome_orphan", 1)]));
}

#[test]
fn absence_counts_as_negative_only_where_the_plan_says_so() {
    let steps: [(&[Fact], i64); 2] =
        [(&[Prediction(1, 20, 12, true), Prediction(2, 20, 12, false)], 20), (&[], 900)];

    let (assumed, counts) = check(Absent::NegativeAfterHorizon, &steps);
    assert_eq!(assumed, sums(2, [1, 1, 0, 0], 2));
    assert_eq!(counts, Counts::from([("prediction_expired", 2)]));

    let (unknown, counts) = check(Absent::Unknown, &steps);
    assert_eq!(unknown, OutcomeSums::default());
    assert_eq!(counts, Counts::from([("prediction_expired", 2)]));
}

#[test]
fn where_only_flagged_predictions_are_looked_at_the_others_are_not_assumed_negative() {
    let mut plan = (*plan(Absent::NegativeAfterHorizon, ROOM)).clone();
    for model in plan.models.values_mut() {
        model.outcomes.as_mut().expect("outcomes").covers = Covers::Flagged;
    }
    let mut bench = Bench::new(&Arc::new(plan));
    bench.feed(&[Prediction(1, 20, 12, true), Prediction(2, 20, 12, false)], 20);
    bench.feed(&[], 900);
    bench.commit();

    assert_eq!(bench.total(), sums(1, [1, 0, 0, 0], 1));
}

#[test]
fn prediction_read_after_its_horizon_is_not_assumed_negative() {
    let steps: [(&[Fact], i64); 2] = [(&[], 900), (&[Prediction(1, 20, 12, true)], 900)];
    let (total, counts) = check(Absent::NegativeAfterHorizon, &steps);

    assert_eq!(total, OutcomeSums::default());
    assert_eq!(counts, Counts::from([("prediction_expired", 1)]));
}

#[test]
fn outcome_without_a_prediction_is_an_orphan_when_it_expires() {
    let (_, counts) = check(Absent::Unknown, &[(&[Outcome(1, 20, true)], 20), (&[], 900)]);

    assert_eq!(counts, Counts::from([("outcome_orphan", 1)]));
}

#[test]
fn every_commit_says_to_every_partition_how_far_it_has_come() {
    let mut bench = Bench::new(&plan(Absent::Unknown, ROOM));
    bench.feed(&[Prediction(1, 25, 12, true), Outcome(1, 26, true)], 30);

    bench.commit();
    bench.commit();

    let home = Route::Summaries(partition_of(b"model/fraud", SUMMARIES_PARTITIONS));
    for ((out, _), (from, to)) in bench.said.iter().zip([(0, 1), (1, 1)]) {
        assert_eq!(out.messages.len(), SUMMARIES_PARTITIONS as usize);
        for (message, batch) in out.messages.iter().zip(summaries(out)) {
            let Some(Header::Join(progress)) = batch.header else {
                panic!("a header of join");
            };
            assert_eq!((progress.partition, progress.from, progress.to), (3, from, to));
            assert_eq!(progress.clocks, [("fraud".to_owned(), EventTime(30 - DISORDER_MS))]);
            assert_eq!(!batch.outcomes.is_empty(), message.route == home && from == 0);
        }
    }
}

#[test]
fn commit_too_large_for_one_message_is_several_and_the_last_has_the_header() {
    let mut bench = Bench::new(&plan(Absent::Unknown, ROOM));
    for some in 0..40 {
        let facts: Vec<Fact> = (some * 500..(some + 1) * 500)
            .map(|id| (id, id as i64 * 10))
            .flat_map(|(id, time)| [Prediction(id, time, 12, true), Outcome(id, time, true)])
            .collect();
        bench.step(&(wire::encode(&batch(&facts, None)), 0));
    }
    bench.commit();

    let (out, _) = &bench.said[0];
    assert!(out.messages.len() > SUMMARIES_PARTITIONS as usize);
    assert!(out.messages.iter().all(|message| message.payload.len() < 900 * 1024));
    let headers = summaries(out).iter().filter(|batch| batch.header.is_some()).count();
    assert_eq!(headers, SUMMARIES_PARTITIONS as usize);
    assert_eq!(bench.total().labelled, 20_000);
}

#[test]
fn message_that_cannot_be_read_is_noted_and_passed_over() {
    let mut bench = Bench::new(&plan(Absent::Unknown, ROOM));
    let mut stray = batch(&[Prediction(1, 20, 12, true)], None);
    stray.predictions[0].cell = 9;

    bench.step(&(b"?".to_vec(), 0));
    bench.step(&(wire::encode(&stray), 0));
    bench.feed(&[Prediction(1, 20, 12, true), Outcome(1, 21, true)], 30);
    bench.commit();

    assert_eq!(bench.notes.len(), 2);
    assert!(bench.notes.iter().all(|note| matches!(note, Note::Undecodable { stage: "join", .. })));
    assert_eq!(bench.total().labelled, 1);
}

#[test]
fn beyond_the_limit_a_part_of_the_ids_is_kept_and_stays_kept_after_a_crash() {
    let plan = plan(Absent::Unknown, 100);
    let predictions: Vec<Fact> = (0..1_000).map(|id| Prediction(id, 20, 12, false)).collect();
    let outcomes: Vec<Fact> = (0..1_000).map(|id| Outcome(id, 25, false)).collect();
    let log: Vec<_> = [predictions, outcomes]
        .iter()
        .flat_map(|facts| facts.chunks(50))
        .map(|facts| (wire::encode(&batch(facts, Some(all_at(20)))), 0))
        .collect();

    for crash_at in 0..log.len() {
        let mut bench = Bench::new(&plan);
        for (at, message) in log.iter().enumerate() {
            bench.step(message);
            if at == crash_at {
                let metadata = bench.commit();
                bench.crash(&plan, &metadata, &log);
            }
        }
        bench.commit();

        let labelled = bench.total().labelled;
        assert!((30..=100).contains(&labelled), "{labelled}");
        assert_eq!(bench.counts, Counts::from([("prediction_not_admitted", 1_000 - labelled)]));
    }
}

#[test]
fn replay_without_metadata_starts_at_the_beginning() {
    assert_eq!(Join::replay_from("", 500), 0);
    assert_eq!(Join::replay_from("{\"version\":9}", 500), 0);
}

#[test]
fn restart_point_moves_on_with_the_clock() {
    let mut bench = Bench::new(&plan(Absent::Unknown, ROOM));
    for id in 0..200_u64 {
        let time = id as i64 * 10;
        bench.feed(&[Prediction(id, time, 12, true), Outcome(id, time + 50, true)], time);
    }

    let metadata = bench.commit();

    let from = Join::replay_from(&metadata, 200);
    let remembered = (2 * HORIZON_MS + DISORDER_MS) / 10;
    assert!((200 - remembered - 5..200).contains(&from), "{from}");
}

#[test]
fn constant_id_does_not_hold_the_restart_point_for_ever() {
    let mut bench = Bench::new(&plan(Absent::Unknown, ROOM));
    for n in 0..200_i64 {
        bench.feed(&[Prediction(7, n * 10, 12, true), Outcome(7, n * 10, true)], n * 10);
    }

    let metadata = bench.commit();

    let from = Join::replay_from(&metadata, 200);
    assert!(from > 200 - 5 * HORIZON_MS / 10, "{from}");
}

#[test]
fn prediction_that_inherited_the_life_of_an_outcome_has_it_after_a_crash() {
    let plan = plan(Absent::Unknown, ROOM);
    let steps: [(&[Fact], i64); 4] =
        [(&[Outcome(1, 200, true)], 0), (&[], 1), (&[Prediction(1, 90, 12, true)], 1), (&[], 220)];
    let log: Vec<_> = steps
        .iter()
        .map(|(facts, time)| (wire::encode(&batch(facts, Some(all_at(*time)))), 0))
        .collect();
    let mut bench = Bench::new(&plan);

    for message in &log[..3] {
        bench.step(message);
    }
    let metadata = bench.commit();
    bench.crash(&plan, &metadata, &log);
    bench.step(&log[3]);
    bench.feed(&[Prediction(1, 150, 13, true)], 220);
    bench.commit();

    assert_eq!(bench.counts["prediction_expired"], 1);
    assert_eq!(bench.counts["prediction_duplicate"], 1);
}

#[test]
fn clock_that_rested_on_a_partition_at_its_end_is_found_again_after_a_crash() {
    let plan = plan(Absent::Unknown, ROOM);
    let labels_at = |at_end| {
        let scores = (0..2).map(|p| report("scores", p, Some(500), false));
        let labels =
            [report("labels", 0, Some(400), at_end), report("labels", 1, Some(30), at_end)];
        scores.chain(labels).collect::<Vec<_>>()
    };
    let steps: [(&[Fact], Option<Vec<_>>); 5] = [
        (&[], Some(all_at(20))),
        (&[], Some(labels_at(true))),
        (&[], Some(labels_at(false))),
        (&[Prediction(1, 280, 12, true)], None),
        (&[Outcome(1, 290, true)], None),
    ];
    let log: Vec<_> = steps
        .into_iter()
        .map(|(facts, header)| (wire::encode(&batch(facts, header)), 400))
        .collect();
    let mut bench = Bench::new(&plan);

    for message in &log {
        bench.step(message);
    }
    let metadata = bench.commit();
    bench.crash(&plan, &metadata, &log);
    bench.step(&(wire::encode(&batch(&[Prediction(1, 300, 13, true)], None)), 400));
    bench.commit();

    assert_eq!(Join::replay_from(&metadata, 5), 1);
    assert_eq!(bench.sums[&(EventTime(300), cell(13))].true_positives, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The seed makes the history; a failure prints it.
    #[test]
    fn crash_at_any_commit_changes_nothing_that_is_said(seed: u64, every in 1..12_usize) {
        let mut random = Random(seed);
        let facts = unruly(&mut random, 150);
        let log = messages(&mut random, &facts, 30);
        let absent = [Absent::Unknown, Absent::NegativeAfterHorizon][(seed % 2) as usize];
        let plan = plan(absent, ROOM);
        let (mut memory, mut crashing) = (Bench::new(&plan), Bench::new(&plan));

        for (at, message) in log.iter().enumerate() {
            memory.step(message);
            crashing.step(message);
            if at % every == 0 {
                memory.commit();
                let metadata = crashing.commit();
                crashing.crash(&plan, &metadata, &log);
            }
        }
        memory.commit();
        crashing.commit();

        let said = |bench: &Bench| -> Vec<(Vec<_>, Vec<Note>)> {
            bench.said.iter().map(|(out, _)| (out.messages.clone(), out.notes.clone())).collect()
        };
        prop_assert_eq!(said(&memory), said(&crashing));
    }

    #[test]
    fn commits_anywhere_add_up_to_the_same(seed: u64) {
        let mut random = Random(seed);
        let facts = unruly(&mut random, 150);
        let log = messages(&mut random, &facts, 30);
        let plan = plan(Absent::NegativeAfterHorizon, ROOM);
        let (mut once, mut often) = (Bench::new(&plan), Bench::new(&plan));

        for message in &log {
            once.step(message);
            often.step(message);
            if random.percent(40) {
                often.commit();
            }
        }
        once.commit();
        often.commit();

        prop_assert_eq!(&once.sums, &often.sums);
        prop_assert_eq!(&once.counts, &often.counts);
    }

    #[test]
    fn any_interleaving_of_source_partitions_gives_the_same_sums(seed: u64) {
        let mut random = Random(seed);
        let facts = tidy(&mut random, 150);
        let plan = plan(Absent::NegativeAfterHorizon, ROOM);
        let mut results = Vec::new();
        for _ in 0..3 {
            let order = interleave(&mut random, &facts);
            let mut bench = Bench::new(&plan);
            for message in messages(&mut random, &order, 0) {
                bench.step(&message);
            }
            bench.commit();
            results.push((bench.sums, bench.counts));
        }

        prop_assert_eq!(&results[0], &results[1]);
        prop_assert_eq!(&results[0], &results[2]);
    }
}
