//! From what is written to a plan: the only place where meaning is checked and defaults are
//! filled in. All problems are collected, so that one run shows them all.

mod dataset;
mod deployment;
mod items;
mod limits;
mod model;
mod security;
#[cfg(test)]
mod security_tests;
mod values;

use std::collections::BTreeMap;

use super::deployment::Deployment;
use super::plan::{Plan, TimeBounds};
use super::written::{BoundsAsWritten, Window};
use super::{Config, ConfigError, Millis, Problem};
use crate::event::time::WindowSize;

/// Window of a dataset that says nothing.
const WINDOW_MS: i64 = 3_600_000;
/// Lateness of a dataset that says nothing: network delays and retries, not outages.
const LATENESS_MS: i64 = 300_000;
/// How old a record may be. Backfills of a month are normal; older ones are mistakes.
const PAST_MS: i64 = 30 * 86_400_000;
/// How far ahead a record may be: wrong clocks, and no more, since it moves time for all others.
const FUTURE_MS: i64 = 3_600_000;
/// Windows a partition may be read ahead.
const MAX_AHEAD: u32 = 4;
/// How long a partition that cannot be read holds windows open.
const HOLD_MAX_MS: i64 = 600_000;
/// Longest window: state of more is kept too long to be of use.
const WINDOW_MS_MAX: i64 = 31 * 86_400_000;

/// Makes the plan and the deployment of a configuration.
pub(super) fn plan(config: &Config) -> Result<(Plan, Deployment), ConfigError> {
    let mut checks = Checks { config, problems: Vec::new() };
    checks.app();
    let values = values::values(&mut checks);
    let datasets = dataset::all(&mut checks, &values);
    let models = model::all(&mut checks, &datasets);
    values::told_as_they_are(&mut checks, &datasets, &models);
    items::entries_named(&mut checks, &datasets, &models);
    if config.datasets.is_empty() && config.models.is_empty() {
        checks.problem(
            &["datasets"],
            "nothing is watched".into(),
            "name a dataset: `datasets: { orders: { topic: orders } }`",
        );
    }
    let sizes = || {
        let of_datasets = datasets.values().map(|dataset| dataset.window.ms());
        of_datasets.chain(models.values().map(|model| model.window.ms()))
    };
    let largest_ms = sizes().max().unwrap_or(WINDOW_MS);
    let smallest_ms = sizes().min().unwrap_or(WINDOW_MS);
    let act_within_ms = checks.positive(&["act_within"], config.act_within);
    let hold_max_ms = checks.positive(&["hold_max"], config.hold_max);
    if config.max_ahead == Some(0) {
        let fix = "write 1 or more, or leave it out";
        checks.problem(&["max_ahead"], "no partition could ever be read".into(), fix);
    }
    let plan = Plan {
        app: config.app.clone(),
        act_within_ms: act_within_ms.unwrap_or(2 * largest_ms),
        hold_max_ms: hold_max_ms.unwrap_or(HOLD_MAX_MS),
        values,
        max_ahead: config.max_ahead.unwrap_or(MAX_AHEAD),
        limits: limits::limits(&mut checks, datasets.len() + models.len()),
        datasets,
        models,
    };
    let deployment = deployment::deployment(&mut checks, &plan, smallest_ms);
    if checks.problems.is_empty() {
        Ok((plan, deployment))
    } else {
        Err(config.source.error(checks.problems))
    }
}

/// The configuration being checked and what was found wrong.
struct Checks<'a> {
    config: &'a Config,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn problem(&mut self, path: &[&str], message: String, fix: impl Into<String>) {
        self.problems.push(Problem {
            path: path.join("."),
            message,
            fix: Some(fix.into()),
            at: self.config.source.locate(path),
        });
    }

    fn app(&mut self) {
        let app = &self.config.app;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if app.is_empty() || app.len() > 64 || !app.bytes().all(fits) {
            let message = format!("`{app}` cannot be an app");
            self.problem(&["app"], message, "use 1 to 64 of a-z, 0-9 and `-`");
        }
    }

    /// Names of datasets and models go into keys of state and topics, and into metric labels.
    fn name(&mut self, path: &[&str], name: &str) {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) || name.starts_with("__") {
            let message = format!("`{name}` cannot be a name");
            let fix = "use 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`, not starting with `__`";
            self.problem(path, message, fix);
        }
    }

    fn topic(&mut self, path: &[&str], topic: &str) {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if topic.is_empty()
            || topic.len() > 249
            || !topic.bytes().all(fits)
            || topic == "."
            || topic == ".."
        {
            let message = format!("`{topic}` cannot be a Kafka topic");
            self.problem(path, message, "use 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`");
        }
    }

    /// Milliseconds of a duration that must not be zero.
    fn positive(&mut self, path: &[&str], value: Option<Millis>) -> Option<i64> {
        if value == Some(Millis(0)) {
            self.problem(path, "must be longer than 0s".into(), "give a duration such as 1h");
        }
        value.map(|value| value.0)
    }

    /// Size and lateness, with what holds where nothing is written.
    fn window(
        &mut self,
        path: &[&str],
        written: &Window,
        default_ms: (i64, i64),
    ) -> (WindowSize, i64) {
        let size_path = [path, &["window", "size"]].concat();
        let size_ms = self.positive(&size_path, written.size).unwrap_or(default_ms.0);
        if size_ms > WINDOW_MS_MAX {
            let message = format!("a window of {} is too long", Millis(size_ms));
            self.problem(&size_path, message, format!("use at most {}", Millis(WINDOW_MS_MAX)));
        }
        let size = WindowSize::from_ms(size_ms)
            .or_else(|| WindowSize::from_ms(WINDOW_MS))
            .expect("the default is positive");
        let lateness_ms = written.lateness.map_or(default_ms.1.min(size.ms()), |value| value.0);
        if lateness_ms > size.ms() {
            let message = format!(
                "{} is longer than the window of {}",
                Millis(lateness_ms),
                Millis(size.ms())
            );
            let fix = format!("use at most {}, or a larger window", Millis(size.ms()));
            self.problem(&[path, &["window", "lateness"]].concat(), message, fix);
        }
        (size, lateness_ms)
    }

    fn bounds(&mut self, path: &[&str], written: &BoundsAsWritten) -> TimeBounds {
        let past = self.positive(&[path, &["bounds", "past"]].concat(), written.past);
        TimeBounds {
            past_ms: past.unwrap_or(PAST_MS),
            future_ms: written.future.map_or(FUTURE_MS, |value| value.0),
        }
    }
}

/// Quotes the known names, nearest first where one is near.
fn known_names<'a, T>(written: &str, known: &'a BTreeMap<String, T>) -> String {
    let names: Vec<&'a str> = known.keys().map(String::as_str).collect();
    match super::read::nearest(written, &names) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "name it under `datasets` first".into(),
        None => format!("known here: {}", names.join(", ")),
    }
}
