//! The window from how many rows there are over how much time.

use super::field::FieldSample;

/// Windows to choose from. *Units*: milliseconds; with the text of each.
const WINDOWS: [(i64, &str); 6] = [
    (60_000, "1m"),
    (300_000, "5m"),
    (900_000, "15m"),
    (3_600_000, "1h"),
    (21_600_000, "6h"),
    (86_400_000, "1d"),
];
/// Index of the window of choice.
const HOUR: usize = 3;
/// Windows there should be: 14 to learn from, as many to judge, and a layout before that.
const WINDOWS_LEAST: f64 = 30.0;
/// Windows that will do where rows are few: 14 to learn from and some to judge.
const WINDOWS_ENOUGH: f64 = 20.0;
/// Rows each should have: half of what tests need of a baseline window.
const ROWS_LEAST: f64 = 1_000.0;

/// The window closest to an hour that gives enough windows and enough rows in each; else the
/// largest one up to an hour that gives some windows to judge; else an hour.
#[must_use]
pub(super) fn window(time: Option<&FieldSample>) -> &'static str {
    let Some((span_ms, rows)) = time.and_then(extent) else {
        return WINDOWS[HOUR].1;
    };
    let windows = |ms: i64| span_ms / ms as f64;
    let is_full = |ms: i64| rows / windows(ms).max(1.0) >= ROWS_LEAST;
    let fitting = (0..WINDOWS.len())
        .filter(|index| {
            let (ms, _) = WINDOWS[*index];
            windows(ms) >= WINDOWS_LEAST && is_full(ms)
        })
        .min_by_key(|index| index.abs_diff(HOUR));
    let is_enough = |(ms, _): &(i64, &str)| windows(*ms) >= WINDOWS_ENOUGH;
    let long = || WINDOWS.iter().rposition(is_enough).map(|index| index.min(HOUR));
    WINDOWS[fitting.or_else(long).unwrap_or(HOUR)].1
}

/// Span in milliseconds and rows of the whole, reckoned from the share that was sampled.
fn extent(time: &FieldSample) -> Option<(f64, f64)> {
    let from = time.stretches.iter().map(|stretch| stretch.from_ms).min()?;
    let (mut end, mut rows) = (0.0_f64, 0.0);
    for stretch in &time.stretches {
        let times = 1.0 / stretch.share.clamp(1e-6, 1.0);
        let length = (stretch.to_ms - stretch.from_ms) as f64 * times;
        end = end.max((stretch.from_ms - from) as f64 + length);
        rows += stretch.records as f64 * times;
    }
    Some((end, rows))
}
