//! Properties of attribution on made-up tables; exact values are held by `tests/golden.rs`.

use super::*;

const NOW: Circumstances = Circumstances { windows_after_onset: 4, grade: Grade::A };

const NEUTRAL: Candidate =
    Candidate { class: CauseClass::SchemaChange, contrast: true, drift: 1.0, prior: 1.0 };

/// A small generator with its state in the test, so that every run sees the same table.
struct Noise(u64);

impl Noise {
    /// Roughly normal, variance 1: twelve uniform numbers.
    fn next(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..12 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            sum += (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        }
        sum
    }
}

/// 12 windows before and 4 after, `producers` producers; what producer 0 sends after onset is
/// split in half, the second half exposed to candidate 0 and flagged `factor` times as often.
fn table(producers: u32, phases: u32, factor: f64) -> Table {
    let mut noise = Noise(7);
    let mut cells = Vec::new();
    for window in 0..16 {
        for producer in 0..producers {
            let split = window >= 12 && producer == 0;
            for exposed in 0..=u64::from(split) {
                let scale = if exposed == 1 { factor } else { 1.0 };
                let n = 2_000.0 + 100.0 * f64::from(producer);
                let mut around = |mean: f64| (mean + mean.sqrt() * noise.next()).max(0.0) as u64;
                let (flags, false_positives) = (around(0.03 * scale * n), around(0.02 * scale * n));
                let positives = around(0.01 * n);
                let logit = -4.0 + 0.5 * (scale - 1.0) + 0.03 * noise.next();
                cells.push(CellRow {
                    window,
                    producer,
                    n: n as u64,
                    logit_sum: logit * n,
                    logit_sq: (logit * logit + 1.7) * n,
                    flags,
                    negatives: n as u64 - positives,
                    false_positives,
                    positives,
                    exposed: Exposure::Mask(exposed | if window >= 13 { 0b10 } else { 0 }),
                });
            }
        }
    }
    Table { pre_windows: 12, windows: 16, phases, cells }
}

/// Candidate 0 did it; candidate 1 is a harmless hard cutover one window later.
fn pair() -> [Candidate; 2] {
    [NEUTRAL, Candidate { contrast: false, drift: -1.0, ..NEUTRAL }]
}

fn close(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-9, "{left} is not {right}");
}

#[test]
fn the_exposed_cells_name_the_cause() {
    let found = attribute(&table(6, 4, 2.0), &pair(), NOW);

    assert!(found.stated.candidates[0] > 0.9, "{:?}", found.raw);
    let share = found.shares[0].get(Metric::FalsePositiveRate).expect("the rate certainly rose");
    assert!(share.interval.low < 1.0 && 1.0 < share.interval.high, "{share:?}");
}

#[test]
fn no_candidates_leave_everything_unexplained() {
    let found = attribute(&table(6, 4, 2.0), &[], NOW);

    assert_eq!(found.stated, Posterior { candidates: Vec::new(), unexplained: 1.0 });
}

#[test]
fn an_empty_table_gives_probabilities_and_no_evidence() {
    let empty = Table { pre_windows: 0, windows: 0, phases: 1, cells: Vec::new() };

    let found = attribute(&empty, &pair(), NOW);

    close(found.stated.candidates.iter().sum::<f64>() + found.stated.unexplained, 1.0);
    assert_eq!(found.metrics, PerMetric([None, None, None, None]));
}

#[test]
fn order_of_candidates_does_not_matter() {
    let straight = table(6, 4, 1.4);
    let mut crossed = straight.clone();
    for cell in &mut crossed.cells {
        cell.exposed = Exposure::Shares(vec![cell.exposed.share(1), cell.exposed.share(0)]);
    }
    let [first, second] = pair();

    let found = attribute(&straight, &[first, second], NOW).raw;
    let swapped = attribute(&crossed, &[second, first], NOW).raw;

    close(found.candidates[0], swapped.candidates[1]);
    close(found.candidates[1], swapped.candidates[0]);
    close(found.unexplained, swapped.unexplained);
}

#[test]
fn names_of_producers_and_order_of_cells_do_not_matter() {
    let straight = table(6, 4, 1.4);
    let mut renamed = straight.clone();
    for cell in &mut renamed.cells {
        cell.producer = 1_000_000 - 7 * cell.producer;
    }
    renamed.cells.reverse();

    let found = attribute(&straight, &pair(), NOW).raw;
    let other = attribute(&renamed, &pair(), NOW).raw;

    for (left, right) in found.candidates.iter().zip(&other.candidates) {
        close(*left, *right);
    }
}

#[test]
fn identical_candidates_get_equal_probabilities() {
    let mut twice = table(6, 4, 1.4);
    for cell in &mut twice.cells {
        let share = cell.exposed.share(0);
        cell.exposed = Exposure::Shares(vec![share, share]);
    }

    let found = attribute(&twice, &[NEUTRAL, NEUTRAL], NOW).raw;

    assert_eq!(found.candidates[0].to_bits(), found.candidates[1].to_bits());
}

#[test]
fn before_labels_score_and_flags_decide_alone() {
    let mut unlabelled = table(6, 4, 2.0);
    for cell in &mut unlabelled.cells {
        if cell.window >= 12 {
            (cell.negatives, cell.false_positives, cell.positives) = (0, 0, 0);
        }
    }

    let found = attribute(&unlabelled, &pair(), NOW);

    assert!(found.stated.candidates[0] > 0.8, "{:?}", found.raw);
    assert_eq!(found.metrics.get(Metric::FalsePositiveRate), &None);
    assert_eq!(found.metrics.get(Metric::LabelRate), &None);
    for row in &found.features {
        assert_eq!((row[2], row[3]), (0.0, 0.0), "no labels, no gap for anyone");
    }
}

#[test]
fn one_producer_and_one_phase_are_enough() {
    let found = attribute(&table(1, 1, 2.0), &pair(), NOW);

    assert!(found.stated.candidates[0] > 0.8, "{:?}", found.raw);
}

#[test]
fn a_rate_that_was_never_hit_before_is_evidence_and_not_a_division_by_zero() {
    let mut clean = table(6, 4, 2.0);
    for cell in &mut clean.cells {
        let exposed = cell.exposed.share(0) > 0.0;
        cell.false_positives = if exposed { 40 } else { 0 };
    }

    let found = attribute(&clean, &pair(), NOW);

    assert!(found.scores[0].get(Metric::FalsePositiveRate).log_bf > 5.0);
    assert!(found.raw.candidates.iter().all(|p| p.is_finite()));
}

#[test]
fn fractional_exposure_scales_the_effect_and_not_the_evidence() {
    let whole = table(6, 4, 2.0);
    let mut halved = whole.clone();
    for cell in &mut halved.cells {
        cell.exposed = Exposure::Shares(vec![0.5 * cell.exposed.share(0)]);
    }

    let of_whole = *attribute(&whole, &[NEUTRAL], NOW).scores[0].get(Metric::Score);
    let of_halved = *attribute(&halved, &[NEUTRAL], NOW).scores[0].get(Metric::Score);

    close(of_whole.z, of_halved.z);
    close(2.0 * of_whole.theta, of_halved.theta);
}

#[test]
fn unexplained_is_never_stated_below_its_floor() {
    let raw = Posterior { candidates: vec![0.98, 0.01], unexplained: 0.01 };

    let found = posterior::stated(&raw, &pair(), Grade::A);

    assert_eq!(found.unexplained, posterior::UNEXPLAINED_MIN);
    close(found.candidates.iter().sum::<f64>() + found.unexplained, 1.0);
    close(found.candidates[0] / found.candidates[1], 98.0);
}

#[test]
fn estimated_exposure_without_contrast_is_capped() {
    let raw = Posterior { candidates: vec![0.02, 0.95], unexplained: 0.03 };

    let estimated = posterior::stated(&raw, &pair(), Grade::C);
    let carried = posterior::stated(&raw, &pair(), Grade::A);

    close(estimated.candidates[1], posterior::GRADE_C_MAX);
    close(estimated.unexplained, 0.18);
    assert!(carried.candidates[1] > 0.9);
}

#[test]
fn weights_move_linearly_from_one_day_to_three() {
    assert_eq!(posterior::weights(0), posterior::WEIGHTS_EARLY);
    assert_eq!(posterior::weights(4), posterior::WEIGHTS_EARLY);
    assert_eq!(posterior::weights(12), posterior::WEIGHTS_LATE);
    assert_eq!(posterior::weights(500), posterior::WEIGHTS_LATE);
    close(posterior::weights(8)[0], 0.48);
}

#[test]
fn a_prior_weighs_against_the_others() {
    let doubted = [Candidate { prior: 0.25, ..NEUTRAL }, pair()[1]];

    let neutral = attribute(&table(6, 4, 1.4), &pair(), NOW).raw;
    let found = attribute(&table(6, 4, 1.4), &doubted, NOW).raw;

    let odds = |posterior: &Posterior| posterior.candidates[0] / posterior.candidates[1];
    close(odds(&found) / odds(&neutral), 0.25);
}

#[test]
fn a_placebo_is_repeatable_and_loses_to_the_cause() {
    let table = table(6, 4, 2.0);
    let run = |seed| placebo::placebo(&table, &pair(), 4, seed);

    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    for seed in 0..100 {
        assert!(run(seed).probability < 0.5, "seed {seed}");
    }
}
