//! The handle loops write into, and the text Prometheus reads.
//!
//! Methods are called once a commit or rarer: each looks its series up by label values. What a
//! metric means stands in [`super::table`] alone.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{GaugeVec, IntCounterVec, Opts, TextEncoder};

use crate::event::progress::Progress;
use crate::event::public::{EventData, PublicEvent};
use crate::event::route::{Note, Outgoing, Route};
use crate::event::time::EventTime;
use crate::registry::{Registry, RegistryStatus};

use super::latency::Latencies;
use super::table::{Id, Kind, TABLE};

/// All metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    registry: prometheus::Registry,
    /// In the order of [`TABLE`].
    families: Vec<Family>,
    /// Asked at scrape.
    schemas: OnceLock<Registry>,
}

enum Family {
    Counter(IntCounterVec),
    Gauge(GaugeVec),
    Latency(Latencies),
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("families", &self.shared.families.len()).finish()
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All metrics of the table, those without labels at zero.
    ///
    /// # Panics
    /// Never: names and labels are constants, and a test makes them.
    #[must_use]
    pub fn new() -> Metrics {
        let (registry, families) = families().expect("the table holds valid, unique names");
        let metrics =
            Metrics { shared: Arc::new(Shared { registry, families, schemas: OnceLock::new() }) };
        metrics.set(Id::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1.0);
        metrics
    }

    /// What became of a partition's records since the last commit.
    pub fn progress(&self, progress: &Progress) {
        let counts = &progress.counts;
        for (outcome, n) in [
            ("accepted", counts.accepted),
            ("late", counts.late),
            ("past", counts.past),
            ("future", counts.future),
            ("filtered", counts.filtered),
            ("quarantined", counts.quarantined),
            ("tombstone", counts.tombstone),
        ] {
            self.records(&progress.topic, outcome, n);
        }
    }

    /// Records of a topic with one outcome.
    pub fn records(&self, topic: &str, outcome: &str, n: u64) {
        self.add(Id::Records, &[topic, outcome], n);
    }

    /// A message of a commit: those that set a record aside are counted by topic and reason.
    pub fn written(&self, message: &Outgoing) {
        if message.route != Route::Quarantine {
            return;
        }
        let text = |name: &str| {
            let found = message.headers.iter().find(|(key, _)| key == name);
            found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or("unknown")
        };
        let reason = text("driftline.reason");
        self.add(Id::RecordErrors, &[text("driftline.topic"), reason], 1);
        self.add(Id::Quarantined, &[reason], 1);
    }

    /// A commit of a stage.
    pub fn committed(&self, stage: &str, took: Duration) {
        self.add(Id::Commits, &[stage], 1);
        if let Family::Latency(latencies) = self.family(Id::CommitDuration) {
            latencies.record(&[stage], took);
        }
    }

    /// Messages a commit covered.
    pub fn messages(&self, stage: &str, read: u64, written: u64) {
        self.add(Id::MessagesRead, &[stage], read);
        self.add(Id::MessagesWritten, &[stage], written);
    }

    /// Messages a stage has still to read.
    pub fn stage_lag(&self, stage: &str, records: u64) {
        self.set(Id::StageLag, &[stage], records as f64);
    }

    /// Partitions a stage holds.
    pub fn partitions_held(&self, stage: &str, partitions: usize) {
        self.set(Id::PartitionsHeld, &[stage], partitions as f64);
    }

    /// Source partitions waiting for a schema and for a layout.
    pub fn partitions_waiting(&self, schema: usize, layout: usize) {
        self.set(Id::PartitionsWaiting, &["schema"], schema as f64);
        self.set(Id::PartitionsWaiting, &["layout"], layout as f64);
    }

    /// A transaction was aborted.
    pub fn aborted(&self, stage: &str) {
        self.add(Id::Aborts, &[stage], 1);
    }

    /// A stage went back to what was committed; `cause` is one of a few fixed words.
    pub fn rewound(&self, stage: &str, cause: &str) {
        self.add(Id::Rewinds, &[stage, cause], 1);
    }

    /// Event time up to which a dataset has been read.
    pub fn source_watermark(&self, dataset: &str, watermark: EventTime) {
        self.set(Id::SourceWatermark, &[dataset], watermark.0 as f64 / 1e3);
    }

    /// End of the certificate that is shown `to` one of those who ask for it.
    pub fn certificate_end(&self, to: &str, end_s: i64) {
        self.set(Id::CertificateEnd, &[to], end_s as f64);
    }

    /// Incidents that are open now.
    pub fn incidents_open(&self, incidents: usize) {
        self.set(Id::IncidentsOpen, &[], incidents as f64);
    }

    /// An event was published: call it after the commit that holds it.
    pub fn published(&self, event: &PublicEvent) {
        self.add(Id::EventsPublished, &[&event.data.type_name()], 1);
        match &event.data {
            EventData::RetrainRequested(_) => self.add(Id::Requests, &["retrain"], 1),
            EventData::ActionRequested(data) => self.add(Id::Requests, &[&data.action], 1),
            EventData::SchemaChanged(_) | EventData::Alarm(_) | EventData::Incident(_) => {}
        }
    }

    /// What a stage wants operators to see.
    pub fn note(&self, note: &Note) {
        match note {
            Note::Undecodable { stage, .. } => self.add(Id::Undecodable, &[stage], 1),
            Note::Learning { dataset, layout, baseline_windows, baseline_windows_needed } => {
                self.set(Id::LayoutLearned, &[dataset], f64::from(u8::from(*layout)));
                self.set(Id::BaselineWindows, &[dataset], f64::from(*baseline_windows));
                self.set(Id::BaselineNeeded, &[dataset], f64::from(*baseline_windows_needed));
            }
            Note::WindowClosed { subject, end_ms, rows } => {
                self.add(Id::WindowsClosed, &[subject], 1);
                self.add(Id::WindowRows, &[subject], *rows);
                self.set(Id::WindowEnd, &[subject], *end_ms as f64 / 1e3);
            }
            Note::Count { name, subject, n } => self.count(name, subject, *n),
        }
    }

    /// The schema registry to ask at scrape; only the first one is kept.
    pub fn watch_registry(&self, registry: Registry) {
        let _ = self.shared.schemas.set(registry);
    }

    /// The exposition, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(registry) = self.shared.schemas.get() {
            self.registry(&registry.status());
        }
        let gathered = self.shared.registry.gather();
        TextEncoder::new().encode_to_string(&gathered).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics cannot be written");
            String::new()
        })
    }

    fn registry(&self, status: &RegistryStatus) {
        self.set(Id::SchemaRegistryUp, &[], f64::from(u8::from(status.up == Some(true))));
        self.set(Id::SchemasWaiting, &[], status.waiting as f64);
        self.set(Id::SchemasCached, &[], status.cached as f64);
        if let Family::Counter(calls) = self.family(Id::SchemaCalls) {
            let failed = status.failed - status.denied;
            let results =
                [("answered", status.answered), ("denied", status.denied), ("failed", failed)];
            for (result, n) in results {
                let counter = calls.with_label_values(&[result]);
                counter.inc_by(n.saturating_sub(counter.get()));
            }
        }
    }

    /// A count by its name in the table, with or without `_total`; a gauge is set.
    fn count(&self, name: &str, subject: &str, n: u64) {
        let named = |(_, metric): &(&Family, &super::Metric)| {
            let own = metric.name.trim_start_matches("driftline_");
            let known = own == name || own.strip_suffix("_total") == Some(name);
            known && matches!(metric.labels, [] | ["subject"])
        };
        let found = self.shared.families.iter().zip(TABLE).find(named);
        let labels: &[&str] = match found {
            Some((_, metric)) if metric.labels.is_empty() => &[],
            _ => &[subject],
        };
        match found.map(|(family, _)| family) {
            Some(Family::Counter(counter)) => counter.with_label_values(labels).inc_by(n),
            Some(Family::Gauge(gauge)) => gauge.with_label_values(labels).set(n as f64),
            Some(Family::Latency(_)) | None => self.add(Id::Counts, &[name, subject], n),
        }
    }

    fn family(&self, id: Id) -> &Family {
        &self.shared.families[id as usize]
    }

    fn add(&self, id: Id, labels: &[&str], n: u64) {
        if let Family::Counter(counter) = self.family(id) {
            counter.with_label_values(labels).inc_by(n);
        }
    }

    fn set(&self, id: Id, labels: &[&str], value: f64) {
        if let Family::Gauge(gauge) = self.family(id) {
            gauge.with_label_values(labels).set(value);
        }
    }
}

fn families() -> Result<(prometheus::Registry, Vec<Family>), prometheus::Error> {
    let registry = prometheus::Registry::new();
    let mut families = Vec::with_capacity(TABLE.len());
    for metric in TABLE {
        let options = Opts::new(metric.name, metric.help);
        let no_labels: [&str; 0] = [];
        families.push(match metric.kind {
            Kind::Counter => {
                let counter = IntCounterVec::new(options, metric.labels)?;
                registry.register(Box::new(counter.clone()))?;
                if metric.labels.is_empty() {
                    counter.with_label_values(&no_labels);
                }
                Family::Counter(counter)
            }
            Kind::Gauge => {
                let gauge = GaugeVec::new(options, metric.labels)?;
                registry.register(Box::new(gauge.clone()))?;
                if metric.labels.is_empty() {
                    gauge.with_label_values(&no_labels);
                }
                Family::Gauge(gauge)
            }
            Kind::Histogram => {
                let latencies = Latencies::new(*metric)?;
                registry.register(Box::new(latencies.clone()))?;
                Family::Latency(latencies)
            }
        });
    }
    registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok((registry, families))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::progress::OutcomeCounts;

    fn line(text: &str, series: &str) -> Option<f64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(series))?;
        rest.trim().parse().ok()
    }

    #[test]
    fn each_method_moves_its_series() {
        let metrics = Metrics::new();
        metrics.progress(&Progress {
            topic: "orders".into(),
            partition: 0,
            partition_count: 1,
            from: 0,
            to: 10,
            counts: OutcomeCounts { accepted: 7, late: 3, ..OutcomeCounts::default() },
            max_event_time: None,
            newest_append_ms: None,
            at_end: true,
        });
        let header = |name: &str, value: &str| (format!("driftline.{name}"), value.into());
        for route in [Route::Quarantine, Route::Quarantine, Route::Findings] {
            let headers = vec![header("reason", "framing"), header("topic", "orders")];
            metrics.written(&Outgoing { route, key: None, payload: vec![], headers });
        }
        metrics.committed("observe", Duration::from_millis(4));
        metrics.committed("observe", Duration::from_millis(40));
        metrics.messages("observe", 10, 3);
        metrics.stage_lag("join", 42);
        metrics.partitions_held("join", 8);
        metrics.partitions_waiting(1, 2);
        metrics.aborted("join");
        metrics.rewound("join", "fenced");
        metrics.source_watermark("orders", EventTime(1_500));
        metrics.incidents_open(2);

        let text = metrics.render();

        for (series, value) in [
            (r#"driftline_records_total{outcome="accepted",topic="orders"}"#, 7.0),
            (r#"driftline_records_total{outcome="late",topic="orders"}"#, 3.0),
            (r#"driftline_record_errors_total{reason="framing",topic="orders"}"#, 2.0),
            (r#"driftline_quarantined_total{reason="framing"}"#, 2.0),
            (r#"driftline_commits_total{stage="observe"}"#, 2.0),
            (r#"driftline_commit_duration_seconds_count{stage="observe"}"#, 2.0),
            (r#"driftline_commit_duration_seconds_sum{stage="observe"}"#, 0.044),
            (r#"driftline_commit_duration_seconds_bucket{stage="observe",le="0.0025"}"#, 0.0),
            (r#"driftline_commit_duration_seconds_bucket{stage="observe",le="0.01"}"#, 1.0),
            (r#"driftline_commit_duration_seconds_bucket{stage="observe",le="+Inf"}"#, 2.0),
            (r#"driftline_messages_read_total{stage="observe"}"#, 10.0),
            (r#"driftline_messages_written_total{stage="observe"}"#, 3.0),
            (r#"driftline_stage_lag_records{stage="join"}"#, 42.0),
            (r#"driftline_partitions_held{stage="join"}"#, 8.0),
            (r#"driftline_partitions_waiting{for="layout"}"#, 2.0),
            (r#"driftline_aborts_total{stage="join"}"#, 1.0),
            (r#"driftline_rewinds_total{cause="fenced",stage="join"}"#, 1.0),
            (r#"driftline_source_watermark_timestamp_seconds{dataset="orders"}"#, 1.5),
            ("driftline_incidents_open ", 2.0),
            ("driftline_schema_registry_up ", 0.0),
        ] {
            assert_eq!(line(&text, series), Some(value), "{series}\n{text}");
        }
        assert!(text.contains("driftline_build_info{version="), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }

    #[test]
    fn notes_find_their_metric_by_name() {
        let metrics = Metrics::new();
        let subject = "model/fraud".to_owned();
        for (name, n) in [("outcome_conflict", 2), ("novel", 3)] {
            metrics.note(&Note::Count { name, subject: subject.clone(), n });
            metrics.note(&Note::Count { name, subject: subject.clone(), n });
        }
        metrics.note(&Note::Count { name: "incidents_open", subject: String::new(), n: 4 });
        metrics.note(&Note::Undecodable { stage: "assess", reason: "version 9".into() });
        metrics.note(&Note::WindowClosed { subject, end_ms: 3_600_000, rows: 12 });
        metrics.note(&Note::Learning {
            dataset: "orders".into(),
            layout: true,
            baseline_windows: 3,
            baseline_windows_needed: 14,
        });

        let text = metrics.render();

        for (series, value) in [
            (r#"driftline_outcome_conflict_total{subject="model/fraud"}"#, 4.0),
            (r#"driftline_counts_total{name="novel",subject="model/fraud"}"#, 6.0),
            ("driftline_incidents_open ", 4.0),
            (r#"driftline_undecodable_total{stage="assess"}"#, 1.0),
            (r#"driftline_windows_closed_total{subject="model/fraud"}"#, 1.0),
            (r#"driftline_window_rows_total{subject="model/fraud"}"#, 12.0),
            (r#"driftline_window_end_timestamp_seconds{subject="model/fraud"}"#, 3600.0),
            (r#"driftline_layout_learned{dataset="orders"}"#, 1.0),
            (r#"driftline_baseline_windows{dataset="orders"}"#, 3.0),
            (r#"driftline_baseline_windows_needed{dataset="orders"}"#, 14.0),
        ] {
            assert_eq!(line(&text, series), Some(value), "{series}\n{text}");
        }
    }

    #[test]
    fn every_series_of_the_exposition_is_in_the_table() {
        let metrics = Metrics::new();
        metrics.committed("observe", Duration::from_hours(5));

        for line in metrics.render().lines().filter(|line| line.starts_with("# TYPE driftline_")) {
            let mut words = line.split(' ').skip(2);
            let (name, kind) = (words.next().expect("name"), words.next().expect("kind"));
            let metric = TABLE.iter().find(|metric| metric.name == name);
            assert_eq!(metric.map(|metric| metric.kind.word()), Some(kind), "{name}");
        }
    }
}
