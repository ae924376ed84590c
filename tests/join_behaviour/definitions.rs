//! A definition that changes while predictions wait for their outcomes: an outcome lands in the
//! window of its prediction, under the definition that was counted under, and only where both mean
//! the same by a label.

use driftline::config::plan::Absent;
use driftline::event::fact::FactTerms;
use driftline::event::summary::OutcomeDelta;
use driftline::event::time::EventTime;

use super::join_support::Fact::{Outcome, Prediction};
use super::join_support::{Bench, Counts, HORIZON_MS, WINDOW_MS, deltas, plan};
use super::{ROOM, sums};

/// Before a change of the windows alone, and after it.
const BEFORE: FactTerms =
    FactTerms { definition: 7, labels: 1, outcomes: 1, window_ms: 2 * WINDOW_MS };
const AFTER: FactTerms = FactTerms { definition: 8, window_ms: WINDOW_MS, ..BEFORE };
/// After a change of what a label means.
const RELABELLED: FactTerms = FactTerms { definition: 9, labels: 2, outcomes: 2, ..BEFORE };

fn told(bench: &mut Bench) -> Vec<OutcomeDelta> {
    bench.commit();
    bench.said.iter().flat_map(|(out, _)| deltas(out)).collect()
}

#[test]
fn outcome_is_counted_under_the_definition_of_its_prediction() {
    let mut bench = Bench::new(&plan(Absent::Unknown, ROOM));
    bench.feed_under(BEFORE, &[Prediction(1, 25, 12, true)], 25);
    bench.feed_under(AFTER, &[Prediction(2, 25, 12, true), Outcome(1, 38, true)], 38);
    bench.feed_under(AFTER, &[Outcome(2, 38, true)], 38);

    let told = told(&mut bench);
    let of: Vec<(Option<u64>, EventTime)> =
        told.iter().map(|delta| (delta.definition, delta.window)).collect();
    assert_eq!(of, [(Some(7), EventTime(20)), (Some(8), EventTime(20))], "never added together");
    // The older window is twice as long: 38 lies within it, and eight after the end of the newer.
    assert_eq!(told[0].age, 0);
    assert!(told[1].age > 0);
}

#[test]
fn outcome_whose_label_means_something_else_labels_nothing() {
    for prediction_first in [true, false] {
        let mut bench = Bench::new(&plan(Absent::NegativeAfterHorizon, ROOM));
        let prediction = (BEFORE, [Prediction(1, 25, 12, true)]);
        let outcome = (RELABELLED, [Outcome(1, 30, true)]);
        let mut steps = [prediction, outcome];
        if !prediction_first {
            steps.reverse();
        }
        for (terms, facts) in steps {
            bench.feed_under(terms, &facts, 30);
        }
        bench.feed(&[], 30 + 4 * HORIZON_MS);

        assert_eq!(told(&mut bench), [], "neither a positive nor, for want of one, a negative");
        assert_eq!(bench.counts, Counts::from([("outcome_definition_other", 1)]));
    }
}

#[test]
fn silence_is_a_negative_only_where_the_same_was_listened_for() {
    let mut bench = Bench::new(&plan(Absent::NegativeAfterHorizon, ROOM));
    bench.feed_under(BEFORE, &[Prediction(1, 25, 12, true)], 25);
    bench.feed(&[Prediction(2, 25, 12, true)], 25);
    bench.feed(&[], 900);
    bench.commit();

    assert_eq!(bench.total(), sums(1, [1, 0, 0, 0], 1));
    assert_eq!(bench.counts, Counts::from([("prediction_expired", 2)]));
}
