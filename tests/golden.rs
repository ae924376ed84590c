//! Holds the statistics and the attribution to golden values made independently of this code.
//!
//! `statistics.json` and `attribution.json` come from a numpy and scipy script with fixed seeds.
//! The beta-binomial tails were summed in 60-digit decimal arithmetic instead: scipy takes them
//! as one minus a distribution function, which leaves nothing right below 1e-9.
//! The path of the sequential outcome test (e-CUSUM) is not in the file: it joins with that test.

use std::path::Path;

use driftline::assess::tests::{chi_square, multiple, rates, shown, special, tails};
use driftline::decide::attribution::{
    Attribution, Candidate, CauseClass, CellRow, Circumstances, Exposure, Grade, Metric, Table,
    attribute, placebo, posterior,
};
use serde_json::Value;

fn golden(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(file);
    let text = std::fs::read_to_string(&path).expect("the golden file is in the repository");
    serde_json::from_str(&text).expect("the golden file is JSON")
}

fn entries(value: &Value, key: &str) -> Vec<Value> {
    let list = value[key].as_array().expect("a list of entries");
    assert!(!list.is_empty(), "{key} has entries");
    list.clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn whole(value: &Value) -> u64 {
    value.as_u64().expect("a whole number")
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().expect("a list of counts").iter().map(whole).collect()
}

/// Relative closeness above `floor`, absolute (times the floor) below it.
fn close(found: f64, expected: &Value, tolerance: f64, floor: f64, what: &str) {
    let expected = number(expected);
    let error = (found - expected).abs() / expected.abs().max(floor);
    assert!(error <= tolerance, "{what}: {found:e} is not {expected:e} (error {error:e})");
}

#[test]
fn noncentral_chi_square_survival_matches() {
    for entry in entries(&golden("statistics.json"), "noncentral_chi_square_sf") {
        let [x, df, lambda] = ["x", "df", "lam"].map(|key| number(&entry[key]));
        let found = special::noncentral_chi_square_sf(x, df, lambda);
        close(found, &entry["sf"], 1e-9, 1e-280, &entry.to_string());
    }
}

#[test]
fn minimum_effect_chi_square_matches() {
    for entry in entries(&golden("statistics.json"), "min_effect_chi_square") {
        let (base, observed) = (counts(&entry["base"]), counts(&entry["obs"]));
        let shares = chi_square::baseline_shares(&base);
        let baseline = chi_square::Baseline {
            shares: &shares,
            rows: base.iter().sum(),
            phi: number(&entry["phi"]),
        };
        let found = chi_square::min_effect(baseline, &observed, number(&entry["delta0"]))
            .expect("golden windows have rows");
        let what = entry.to_string();
        assert_eq!(found.groups as u64, whole(&entry["groups"]), "{what}");
        assert_eq!(found.df as u64, whole(&entry["df"]), "{what}");
        close(found.n_e, &entry["n_e"], 1e-12, 1e-12, &what);
        close(found.x2, &entry["x2"], 1e-11, 1e-12, &what);
        close(found.lambda, &entry["lam"], 1e-12, 1e-12, &what);
        close(found.p, &entry["p"], 1e-9, 1e-280, &what);
        close(found.delta_hat, &entry["delta_hat"], 1e-9, 1e-12, &what);
        assert!(found.delta.low <= found.delta.high, "{what}");
        assert!(found.delta.low <= found.delta_hat + 1e-9, "{what}");
    }
}

#[test]
fn binomial_tails_match() {
    for entry in entries(&golden("statistics.json"), "binomial_tails") {
        let window = rates::Count { hits: whole(&entry["k"]), rows: whole(&entry["n"]) };
        let (rate, tolerance) = (number(&entry["r"]), number(&entry["tol"]));
        let what = entry.to_string();
        close(rates::rise(window, rate, tolerance), &entry["upper"], 1e-10, 1e-280, &what);
        close(rates::fall(window, rate, tolerance), &entry["lower"], 1e-10, 1e-280, &what);
    }
}

#[test]
fn beta_binomial_tail_matches() {
    for entry in entries(&golden("statistics.json"), "beta_binomial_upper") {
        let [k, n, k0, n0] = ["k", "n", "k0", "n0"].map(|key| whole(&entry[key]));
        let what = entry.to_string();
        let beta = tails::Beta { a: number(&entry["a"]), b: number(&entry["b"]) };
        close(tails::beta_binomial_upper(k, n, beta), &entry["upper"], 1e-9, 1e-280, &what);
        let spread = rates::Spread { phi: number(&entry["phi"]), tolerance: number(&entry["tol"]) };
        let found = rates::outcome_change(
            rates::Count { hits: k0, rows: n0 },
            rates::Count { hits: k, rows: n },
            spread,
        );
        close(found.p_rise, &entry["upper"], 1e-9, 1e-280, &what);
    }
}

#[test]
fn wilson_interval_matches() {
    for entry in entries(&golden("statistics.json"), "wilson_95") {
        let count = rates::Count { hits: whole(&entry["k"]), rows: whole(&entry["n"]) };
        let found = rates::wilson_95(count);
        close(found.low, &entry["low"], 1e-12, 1e-3, &entry.to_string());
        close(found.high, &entry["high"], 1e-12, 1e-3, &entry.to_string());
    }
}

#[test]
fn shown_distances_match() {
    for entry in entries(&golden("statistics.json"), "shown") {
        let found = shown::shown(&counts(&entry["base"]), &counts(&entry["obs"]));
        let what = entry.to_string();
        close(found.psi, &entry["psi"], 1e-12, 1e-12, &what);
        close(found.js_nats, &entry["js_nats"], 1e-11, 1e-12, &what);
        close(found.ks_on_bins, &entry["ks_on_bins"], 1e-12, 1e-3, &what);
    }
}

#[test]
fn benjamini_hochberg_matches() {
    for entry in entries(&golden("statistics.json"), "benjamini_hochberg") {
        let p_values: Vec<f64> =
            entry["p"].as_array().expect("p-values").iter().map(number).collect();
        let found = multiple::benjamini_hochberg(&p_values, number(&entry["q"]));
        let found: Vec<u64> = found.into_iter().map(|index| index as u64).collect();
        assert_eq!(found, counts(&entry["rejected"]), "{entry}");
    }
}

fn table_of(episode: &Value) -> Table {
    let small = |value: &Value| u32::try_from(whole(value)).expect("small numbers");
    let cells = entries(episode, "cells")
        .iter()
        .map(|cell| CellRow {
            window: small(&cell["w"]),
            producer: small(&cell["p"]),
            n: whole(&cell["n"]),
            logit_sum: number(&cell["sl"]),
            logit_sq: number(&cell["sl2"]),
            flags: whole(&cell["flags"]),
            negatives: whole(&cell["neg"]),
            false_positives: whole(&cell["fp"]),
            positives: whole(&cell["pos"]),
            exposed: Exposure::Mask(whole(&cell["m"])),
        })
        .collect();
    Table {
        pre_windows: small(&episode["pre_windows"]),
        windows: small(&episode["windows"]),
        phases: small(&episode["phases"]),
        cells,
    }
}

fn candidates_of(episode: &Value) -> Vec<Candidate> {
    let candidate = |value: &Value| Candidate {
        class: match value["kind"].as_str().expect("a kind") {
            "schema" => CauseClass::SchemaChange,
            "model" => CauseClass::Model,
            "threshold" => CauseClass::Threshold,
            "label" | "label_pipeline" => CauseClass::LabelPipeline,
            other => panic!("unknown kind {other}"),
        },
        contrast: value["contrast"].as_bool().expect("a flag"),
        drift: number(&value["d"]),
        prior: 1.0,
    };
    entries(episode, "candidates").iter().map(candidate).collect()
}

fn attribution_of(episode: &Value, windows_after_onset: u32) -> Attribution {
    let now = Circumstances { windows_after_onset, grade: Grade::A };
    attribute(&table_of(episode), &candidates_of(episode), now)
}

const METRICS: [(&str, Metric); 4] = [
    ("score", Metric::Score),
    ("flag", Metric::FlagRate),
    ("fpr", Metric::FalsePositiveRate),
    ("label", Metric::LabelRate),
];

#[test]
fn usual_behaviour_of_metrics_matches() {
    for episode in entries(&golden("attribution.json"), "episodes") {
        let found = attribution_of(&episode, 4);
        for (name, metric) in METRICS {
            let expected = &episode["expected"]["metrics"][name];
            let what = format!("episode {} {name}", episode["seed"]);
            let fit = found.metrics.get(metric).as_ref().expect("every metric has rows");
            close(fit.mu, &expected["mu"], 1e-11, 1e-6, &what);
            close(fit.sigma2, &expected["sigma2"], 1e-10, 1e-6, &what);
            close(fit.phi, &expected["phi"], 1e-10, 1.0, &what);
            close(fit.tau2, &expected["tau2"], 1e-11, 1e-9, &what);
            for (effects, key) in [(&fit.producers, "producer"), (&fit.phases, "phase")] {
                for (effect, value) in effects.values().zip(entries(expected, key)) {
                    close(*effect, &value, 1e-8, 1e-4, &what);
                }
            }
        }
    }
}

#[test]
fn evidence_of_patterns_matches() {
    for episode in entries(&golden("attribution.json"), "episodes") {
        let found = attribution_of(&episode, 4);
        let expected = &episode["expected"];
        let what = format!("episode {}", episode["seed"]);
        for (index, (name, metric)) in METRICS.into_iter().enumerate() {
            for (scores, value) in found.scores.iter().zip(entries(expected, "candidates")) {
                let fit = scores.get(metric);
                close(fit.log_bf, &value[name]["log_bf"], 1e-9, 1.0, &what);
                close(fit.z, &value[name]["z"], 1e-9, 1.0, &what);
                close(fit.theta, &value[name]["theta"], 1e-8, 1e-4, &what);
            }
            let best = *found.best_log_bf.get(metric);
            close(best, &expected["best_log_bf"][name], 1e-9, 1.0, &what);
            let taken = *found.unexplained_log_bf.get(metric);
            close(taken, &expected["unexplained_source_log_bf"][index], 1e-6, 1.0, &what);
        }
    }
}

#[test]
fn features_and_posteriors_match() {
    for episode in entries(&golden("attribution.json"), "episodes") {
        let expected = &episode["expected"];
        let what = format!("episode {}", episode["seed"]);
        for (windows, key) in [(4, "1d"), (12, "3d")] {
            let found = attribution_of(&episode, windows);
            for (row, values) in found.features.iter().zip(entries(expected, "features")) {
                for (feature, value) in row.iter().zip(values.as_array().expect("a row")) {
                    close(*feature, value, 1e-6, 1.0, &what);
                }
            }
            let mut all = found.raw.candidates.clone();
            all.push(found.raw.unexplained);
            let values = entries(&expected["posterior"], key);
            assert_eq!(all.len(), values.len(), "{what}");
            for (p, value) in all.iter().zip(&values) {
                close(*p, value, 1e-6, 1.0, &what);
            }
        }
    }
}

#[test]
fn weights_are_the_published_ones() {
    const KEYS: [&str; 14] = [
        "score",
        "flag",
        "fpr",
        "label",
        "d",
        "d_negative",
        "d_no_contrast",
        "d_negative_no_contrast",
        "no_contrast",
        "beta_schema",
        "beta_threshold",
        "beta_model",
        "beta_label_pipeline",
        "beta_unexplained",
    ];
    let weights = golden("attribution.json")["weights"].clone();
    for (set, key) in [(posterior::WEIGHTS_EARLY, "1d"), (posterior::WEIGHTS_LATE, "3d")] {
        for (weight, name) in set.iter().zip(KEYS) {
            close(*weight, &weights[key][name], 1e-12, 1.0, name);
        }
    }
}

#[test]
fn a_random_label_seldom_wins() {
    let (mut won, mut runs) = (0, 0);
    for episode in entries(&golden("attribution.json"), "episodes") {
        let (table, candidates) = (table_of(&episode), candidates_of(&episode));
        for seed in 0..50 {
            let found = placebo::placebo(&table, &candidates, 4, seed);
            runs += 1;
            won += usize::from(found.probability > 0.5);
        }
    }
    assert!(won * 50 <= runs, "a placebo won {won} of {runs} times");
}
