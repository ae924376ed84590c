//! The topics a deployment needs: their names, and what each must be like.
//!
//! Says nothing of how they are made or checked; that is [`super::cluster`].

use crate::config::deployment::PublicTopics;
use crate::config::plan::Plan;
use crate::event::route::{FACTS_PARTITIONS, Route, SUMMARIES_PARTITIONS};

/// *Units*: milliseconds.
const WEEK_MS: i64 = 7 * 24 * 3_600_000;
/// The state topics rarely fill a segment; a smaller one lets compaction begin.
const STATE_SEGMENT_BYTES: &str = "67108864";

/// Names of all topics of one deployment.
#[derive(Clone, Debug)]
pub struct TopicNames {
    facts: String,
    summaries: String,
    findings: String,
    layouts: String,
    quarantine: String,
    app: String,
    public: PublicTopics,
}

impl TopicNames {
    /// The names under a prefix.
    #[must_use]
    pub fn new(app: &str, public: &PublicTopics) -> TopicNames {
        let name = |topic: &str| format!("{app}.{topic}");
        TopicNames {
            facts: name("facts"),
            summaries: name("summaries"),
            findings: name("findings"),
            layouts: name("layouts"),
            quarantine: name("quarantine"),
            app: app.to_owned(),
            public: public.clone(),
        }
    }

    /// Topic and partition of a route; no partition means any.
    #[must_use]
    pub fn place(&self, route: Route) -> (&str, Option<i32>) {
        match route {
            Route::Facts(partition) => (&self.facts, Some(partition)),
            Route::Summaries(partition) => (&self.summaries, Some(partition)),
            Route::Findings => (&self.findings, Some(0)),
            Route::Layouts => (&self.layouts, Some(0)),
            Route::Quarantine => (&self.quarantine, None),
        }
    }

    /// The compacted topic with the state of a stage.
    #[must_use]
    pub fn state(&self, stage: &str) -> String {
        format!("{}.state-{stage}", self.app)
    }

    /// Every topic the deployment writes, with what it must be like.
    #[must_use]
    pub fn specs(&self, plan: &Plan) -> Vec<TopicSpec> {
        let horizon_ms = plan
            .models
            .values()
            .filter_map(|model| model.outcomes.as_ref())
            .map(|outcomes| outcomes.horizon_ms)
            .max()
            .unwrap_or(0);
        let facts_ms = horizon_ms.saturating_mul(2).saturating_add(WEEK_MS);
        let state_assess = self.state("assess");
        let state_decide = self.state("decide");
        vec![
            TopicSpec::log(&self.facts, FACTS_PARTITIONS, facts_ms),
            TopicSpec::log(&self.summaries, SUMMARIES_PARTITIONS, WEEK_MS),
            TopicSpec::log(&self.findings, 1, WEEK_MS),
            TopicSpec::compacted(&state_assess, SUMMARIES_PARTITIONS),
            TopicSpec::compacted(&state_decide, 1),
            TopicSpec::compacted(&self.layouts, 1),
            TopicSpec::plain(&self.quarantine),
            TopicSpec::plain(&self.public.drift_events),
            TopicSpec::plain(&self.public.retrain_requests),
            TopicSpec::plain(&self.public.action_requests),
        ]
    }
}

/// What a topic must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Exact number of partitions, where it matters; else one is made and any number accepted.
    pub partitions: Option<i32>,
    /// Needs `cleanup.policy=compact`; else it must not be compacted.
    pub compacted: bool,
    /// Needs `message.timestamp.type=LogAppendTime`: its timestamps are the stages' *now*.
    pub append_time: bool,
    /// Shortest retention. *Units*: milliseconds.
    pub retention_ms_min: Option<i64>,
}

impl TopicSpec {
    fn log(name: &str, partitions: i32, retention_ms: i64) -> TopicSpec {
        TopicSpec {
            name: name.to_owned(),
            partitions: Some(partitions),
            compacted: false,
            append_time: true,
            retention_ms_min: Some(retention_ms),
        }
    }

    fn compacted(name: &str, partitions: i32) -> TopicSpec {
        TopicSpec {
            name: name.to_owned(),
            partitions: Some(partitions),
            compacted: true,
            append_time: true,
            retention_ms_min: None,
        }
    }

    /// A topic of records, in so many partitions.
    #[must_use]
    pub fn records(name: &str, partitions: i32) -> TopicSpec {
        TopicSpec { partitions: Some(partitions), ..TopicSpec::plain(name) }
    }

    fn plain(name: &str) -> TopicSpec {
        TopicSpec {
            name: name.to_owned(),
            partitions: None,
            compacted: false,
            append_time: false,
            retention_ms_min: None,
        }
    }

    /// Settings it is made with.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if self.compacted {
            settings.push(("cleanup.policy", "compact".to_owned()));
            settings.push(("segment.bytes", STATE_SEGMENT_BYTES.to_owned()));
        }
        if self.append_time {
            settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        }
        if let Some(retention_ms) = self.retention_ms_min {
            settings.push(("retention.ms", retention_ms.to_string()));
        }
        settings
    }
}
