//! Every metric there is: name, kind, unit, labels, help. The exposition and the documentation
//! are made from this one table; a test holds that nothing else is mentioned anywhere.
//!
//! Labels are bounded by the configuration: topics, datasets, models, stages, fixed words.

use std::fmt::Write;

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets of durations.
    Histogram,
}

impl Kind {
    /// The word Prometheus uses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Unit of the value, for people.
    pub unit: &'static str,
    /// Label names, in the order values are given.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! table {
    ($($id:ident: $kind:ident $name:literal, $unit:literal, $labels:expr, $help:literal;)*) => {
        /// A place in [`TABLE`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(dead_code, reason = "some are only ever found by their name")]
        pub(super) enum Id { $($id),* }

        /// Every metric of Driftline's own.
        pub const TABLE: &[Metric] = &[$(Metric {
            name: concat!("driftline_", $name),
            kind: Kind::$kind,
            unit: $unit,
            labels: &$labels,
            help: $help,
        }),*];
    };
}

table! {
    Records: Counter "records_total", "records", ["topic", "outcome"],
        "Records read, by what became of them; the outcomes of a topic add up to its records.";
    RecordErrors: Counter "record_errors_total", "records", ["topic", "reason"],
        "Records that could not be read or broke their contract.";
    Quarantined: Counter "quarantined_total", "records", ["reason"],
        "Records written to the quarantine topic.";
    Commits: Counter "commits_total", "commits", ["stage"],
        "Commits made: outputs and offsets together.";
    CommitDuration: Histogram "commit_duration_seconds", "seconds", ["stage"],
        "How long a commit took, from its first message to the broker's word.";
    Aborts: Counter "aborts_total", "transactions", ["stage"],
        "Transactions that were aborted.";
    Rewinds: Counter "rewinds_total", "rewinds", ["stage", "cause"],
        "Times a stage went back to what was committed and read on from there.";
    MessagesRead: Counter "messages_read_total", "messages", ["stage"],
        "Messages of its input that a stage has read and committed.";
    MessagesWritten: Counter "messages_written_total", "messages", ["stage"],
        "Messages and events that a stage has written and committed.";
    PartitionsHeld: Gauge "partitions_held", "partitions", ["stage"],
        "Partitions of its input that a stage holds here.";
    PartitionsWaiting: Gauge "partitions_waiting", "partitions", ["for"],
        "Source partitions that wait, for a schema or for a layout.";
    StageLag: Gauge "stage_lag_records", "records", ["stage"],
        "Messages of its input that a stage has not read yet.";
    SourceWatermark: Gauge "source_watermark_timestamp_seconds", "seconds since 1970", ["dataset"],
        "Event time up to which a dataset has been read.";
    WindowsClosed: Counter "windows_closed_total", "windows", ["subject"],
        "Windows closed.";
    WindowRows: Counter "window_rows_total", "rows", ["subject"],
        "Records or predictions in closed windows.";
    WindowEnd: Gauge "window_end_timestamp_seconds", "seconds since 1970", ["subject"],
        "End of the newest window closed.";
    LayoutLearned: Gauge "layout_learned", "0 or 1", ["dataset"],
        "1 when the bins of a dataset have been learnt.";
    BaselineWindows: Gauge "baseline_windows", "windows", ["dataset"],
        "Windows in the baseline.";
    BaselineNeeded: Gauge "baseline_windows_needed", "windows", ["dataset"],
        "Windows a baseline needs before drift is tested.";
    SchemaRegistryUp: Gauge "schema_registry_up", "0 or 1", [],
        "1 when the schema registry answered the last call.";
    SchemaCalls: Counter "schema_registry_calls_total", "calls", ["result"],
        "Calls to the schema registry, by result: answered, denied (401, 403) or failed.";
    SchemasWaiting: Gauge "schemas_waiting", "schemas", [],
        "Schemas asked for and not known yet; their partitions wait.";
    SchemasCached: Gauge "schemas_cached", "schemas", [],
        "Answers of the schema registry that are kept.";
    CertificateEnd: Gauge "certificate_end_timestamp_seconds", "seconds since 1970", ["to"],
        "End of the certificate that is shown to kafka or to the registry.";
    IncidentsOpen: Gauge "incidents_open", "incidents", [],
        "Incidents that are open.";
    EventsPublished: Counter "events_published_total", "events", ["type"],
        "Public events published, by CloudEvents type.";
    Requests: Counter "requests_total", "requests", ["kind"],
        "Requests published: retrain, hold, fix_upstream.";
    PredictionDuplicate: Counter "prediction_duplicate_total", "predictions", ["subject"],
        "Predictions whose id had been seen.";
    PredictionExpired: Counter "prediction_expired_total", "predictions", ["subject"],
        "Predictions that left the join at their horizon without an outcome.";
    PredictionNotAdmitted: Counter "prediction_not_admitted_total", "predictions", ["subject"],
        "Predictions not joined for lack of memory; their windows are marked incomplete.";
    OutcomeDuplicate: Counter "outcome_duplicate_total", "outcomes", ["subject"],
        "Outcomes that said again what was known.";
    OutcomeConflict: Counter "outcome_conflict_total", "outcomes", ["subject"],
        "Outcomes that contradicted an earlier one.";
    OutcomeOrphan: Counter "outcome_orphan_total", "outcomes", ["subject"],
        "Outcomes that met no prediction within the horizon.";
    OutcomeDefinitionOther: Counter "outcome_definition_other_total", "outcomes", ["subject"],
        "Outcomes left out because a label meant something else when their prediction was counted.";
    CellEvicted: Counter "cell_evicted_total", "cells", ["subject"],
        "Cells moved to the rest because a window had too many.";
    FieldUnwatched: Counter "field_unwatched_total", "fields", ["subject"],
        "Fields not watched because a dataset had more than its limit.";
    ItemLeftOut: Counter "item_left_out_total", "items", ["subject"],
        "Items of arrays and maps beyond the 64 that count of one record.";
    TimeUnitMismatch: Counter "time_unit_mismatch_total", "records", ["subject"],
        "Records refused as past or future whose time would be plausible in another unit.";
    DefinitionOther: Counter "definition_other_total", "rows", ["subject"],
        "Rows counted under another definition of a subject and passed over.";
    WindowSplit: Counter "window_split_total", "rows", ["subject"],
        "Rows of windows left out because two definitions had counted parts of them.";
    WindowGone: Counter "window_gone_total", "rows", ["subject"],
        "Rows for windows whose state is no longer kept.";
    IntegrityBreach: Counter "integrity_breach_total", "records", ["subject"],
        "Records missing or counted twice at a place where a source partition's ledger broke.";
    Undecodable: Counter "undecodable_total", "messages", ["stage"],
        "Internal messages that this build cannot read and passed over.";
    Counts: Counter "counts_total", "as named", ["name", "subject"],
        "What stages count under names that have no metric of their own.";
    BuildInfo: Gauge "build_info", "1", ["version"],
        "The version that runs.";
}

/// The table for the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut text =
        String::from("| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for metric in TABLE {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            metric.name,
            metric.kind.word(),
            metric.unit,
            labels.join(", "),
            metric.help,
        );
    }
    text.push_str(
        "\nBesides these, `process_*` as every Prometheus client has them (CPU, memory, open \
         files, threads, start time).\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut names = BTreeSet::new();
        for metric in TABLE {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            let counter = metric.kind == Kind::Counter;
            assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
            if metric.kind == Kind::Histogram {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
            }
        }
    }

    #[test]
    fn markdown_has_a_row_for_each() {
        let text = markdown();

        assert_eq!(text.lines().filter(|l| l.starts_with("| `driftline_")).count(), TABLE.len());
    }

    #[test]
    fn documentation_and_deployments_mention_no_other_metric() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        text_files(&root.join("deploy"), &mut files);
        text_files(&root.join("docs"), &mut files);
        files.push(root.join("README.md"));

        for file in files {
            let Ok(text) = fs::read_to_string(&file) else {
                continue;
            };
            for word in text.split(|c: char| !(c.is_ascii_lowercase() || c == '_')) {
                if word.starts_with("driftline_") {
                    assert!(is_known(word), "{}: {word} is in no table", file.display());
                }
            }
        }
    }

    fn is_known(word: &str) -> bool {
        TABLE.iter().any(|metric| {
            let parts: &[&str] =
                if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[] };
            let rest = word.strip_prefix(metric.name);
            rest.is_some_and(|rest| rest.is_empty() || parts.contains(&rest))
        })
    }

    /// But for hidden folders: `deploy/local/.work` holds what brokers write.
    fn text_files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                // What a local broker works with lies there.
                continue;
            }
            if path.is_dir() {
                text_files(&path, found);
            } else {
                found.push(path);
            }
        }
    }
}
