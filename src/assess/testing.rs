//! Findings made up for tests of this room.

use crate::event::finding::{BaselineRef, Effect, Finding, Series, SeriesKind, Subject, Verdict};
use crate::event::time::EventTime;

/// A finding about `amount` of `orders` in the hour `window`.
pub(super) fn finding(kind: SeriesKind, window: i64, verdict: Verdict) -> Finding {
    Finding {
        series: Series {
            subject: Subject::Dataset("orders".into()),
            field: "amount".into(),
            kind,
            producer: None,
            schema_version: None,
        },
        window_start: EventTime(window * 3_600_000),
        window_end: EventTime((window + 1) * 3_600_000),
        as_of: EventTime((window + 1) * 3_600_000),
        verdict,
        test: "made_up".into(),
        value: 0.0,
        threshold: 0.0,
        p_value: 0.0,
        effect: Effect {
            estimate: 0.0,
            low: 0.0,
            high: 0.0,
            unit: "divergence".into(),
            window: None,
            baseline: None,
        },
        rows_total: 0,
        rows_window: 0,
        rows_baseline: 0,
        change: None,
        baseline: BaselineRef {
            kind: "learnt".into(),
            from: EventTime(0),
            to: EventTime(0),
            windows: 14,
        },
        complete: true,
        watermark: EventTime(0),
        layout: None,
        definition: 0,
    }
}
