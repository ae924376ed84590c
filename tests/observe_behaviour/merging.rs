//! Neither commits, nor instances, nor order can change what assess sees.

use driftline::config::plan::{DatasetPlan, FieldPlan, Plan, WantedKind};
use driftline::observe::{SchemaKey, Taken};
use proptest::prelude::*;

use super::support::*;

const PARTITIONS: i32 = 4;
const LIMIT: usize = 3;

fn pinned(limit: usize) -> Plan {
    let numeric = FieldPlan { kind: Some(WantedKind::Numeric), ..FieldPlan::default() };
    let fields = named(&[("amount", numeric)]);
    let mut plan = plan(&[DatasetPlan { fields, ..orders() }], &[fraud()]);
    plan.limits.cells_per_window = limit;
    plan
}

fn any_order() -> impl Strategy<Value = Input> {
    let amount = prop_oneof!["[0-9]{1,4}", Just("null".to_owned()), Just("\"7.5\"".to_owned())];
    let country = prop_oneof![Just("null".to_owned()), "\"(DE|FR|AT)\""];
    (0..PARTITIONS, 0..4_000i64, amount, country, "[a-f]").prop_map(
        |(partition, at, amount, country, app)| {
            let text = format!(r#"{{"at": {at}, "amount": {amount}, "country": {country}}}"#);
            json("orders", &text).on(partition).with("app", &app)
        },
    )
}

fn any_input() -> impl Strategy<Value = Input> {
    let score = (0..PARTITIONS, 0..4_000i64, 0..1_000u32, 0..100u32, 0..5u32).prop_map(
        |(partition, at, tx, p, v)| {
            let p = f64::from(p) / 100.0;
            let text = format!(r#"{{"at": {at}, "tx": {tx}, "p": {p}, "v": {v}}}"#);
            json("scores", &text).on(partition)
        },
    );
    let outcome = (0..PARTITIONS, 0..4_000i64, 0..1_000u32, any::<bool>()).prop_map(
        |(partition, at, tx, fraud)| {
            let text = format!(r#"{{"at": {at}, "tx": {tx}, "fraud": {fraud}}}"#);
            json("chargebacks", &text).on(partition)
        },
    );
    prop_oneof![any_order(), score, outcome]
}

/// Runs instances over their own partitions, committing after records of the given numbers.
fn merged(inputs: &[Input], instances: i32, commits: &[usize], learnt: bool) -> Merged {
    let mut told = Vec::new();
    for instance in 0..instances {
        let own: Vec<i32> = (0..PARTITIONS).filter(|one| one % instances == instance).collect();
        let mut run = Run::over(pinned(LIMIT), &own, PARTITIONS);
        if learnt {
            run.observe.layout(&layout(9, 2_000));
        }
        for (number, input) in inputs.iter().enumerate() {
            if own.contains(&input.partition) {
                assert_ne!(run.give(input), Taken::NeedSchema(SchemaKey::Id(0)));
            }
            if commits.contains(&number) {
                told.push(run.told());
            }
        }
        told.push(run.told());
    }
    Merged::of(told, LIMIT)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn commits_at_any_boundary_merge_to_the_same(
        inputs in prop::collection::vec(any_input(), 1..80),
        commits in prop::collection::vec(0..80usize, 0..8),
    ) {
        let once = merged(&inputs, 1, &[], true);

        prop_assert_eq!(merged(&inputs, 1, &commits, true), once);
    }

    #[test]
    fn instances_splitting_partitions_merge_to_the_same(
        inputs in prop::collection::vec(any_input(), 1..80),
        commits in prop::collection::vec(0..80usize, 0..8),
    ) {
        let once = merged(&inputs, 1, &[], true);

        prop_assert_eq!(merged(&inputs, 2, &commits, true), once);
    }

    #[test]
    fn samples_do_not_depend_on_commits_or_instances(
        inputs in prop::collection::vec(any_order(), 1..80),
        commits in prop::collection::vec(0..80usize, 0..8),
    ) {
        let early = |input: &Input| Input { timestamp_ms: 0, ..input.clone() };
        let inputs: Vec<Input> = inputs.iter().map(early).filter(fits).collect();
        let once = merged(&inputs, 1, &[], false);

        prop_assert_eq!(merged(&inputs, 2, &commits, false), once);
    }

    #[test]
    fn admission_does_not_depend_on_order(
        inputs in prop::collection::vec(any_order(), 1..60),
        seed in any::<u64>(),
    ) {
        let one = |input: &Input| Input { partition: 0, ..input.clone() };
        let inputs: Vec<Input> = inputs.iter().map(one).filter(fits).collect();
        let mut shuffled = inputs.clone();
        shuffled.sort_by_key(|input| {
            let text = format!("{input:?}");
            xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), seed)
        });
        let run = |inputs: &[Input]| {
            let mut plan = pinned(LIMIT);
            plan.datasets.get_mut("orders").unwrap().lateness_ms = 10_000;
            let mut run = Run::new(plan, 1);
            for input in inputs {
                run.take(input);
            }
            let mut merged = Merged::of([run.told()], usize::MAX);
            merged.samples.clear();
            merged
        };

        prop_assert_eq!(run(&shuffled), run(&inputs));
    }

    #[test]
    fn the_same_records_give_the_same_bytes(
        inputs in prop::collection::vec(any_input(), 1..60),
        commits in prop::collection::vec(0..60usize, 0..4),
    ) {
        let bytes = || {
            let mut run = Run::new(pinned(LIMIT), PARTITIONS);
            run.observe.layout(&layout(9, 0));
            for (number, input) in inputs.iter().enumerate() {
                run.take(input);
                if commits.contains(&number) {
                    run.commit();
                }
            }
            run.commit();
            run.out.messages
        };

        prop_assert_eq!(bytes(), bytes());
    }
}

/// Within the first two windows, where nothing is ever too far ahead.
fn fits(input: &Input) -> bool {
    let text = String::from_utf8(input.payload.clone().unwrap()).unwrap();
    let at: i64 = text[7..].split(',').next().unwrap().trim().parse().unwrap();
    at < 2 * WINDOW
}
