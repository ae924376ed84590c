//! What the demo says on the terminal, as it happens, and how it ends.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use crate::config::deployment::Deployment;
use crate::demo::bank::{BankPlan, V13_PRODUCERS};
use crate::event::route::Note;
use crate::publish::Decoded;
use crate::runtime::{Report, ReportKind};

/// The telling, and what has been told so far.
pub(super) struct Story {
    bank: BankPlan,
    /// Registry id of version 13, as text.
    v13: String,
    embedded: bool,
    started: Instant,
    learnt: BTreeSet<String>,
    events: u64,
    /// The last word on the incident that touches the model.
    incident: Option<Value>,
    actions: Vec<String>,
    retrains: u64,
}

impl Story {
    pub(super) fn new(bank: BankPlan, v13: u32, embedded: bool) -> Story {
        Story {
            bank,
            v13: v13.to_string(),
            embedded,
            started: Instant::now(),
            learnt: BTreeSet::new(),
            events: 0,
            incident: None,
            actions: Vec::new(),
            retrains: 0,
        }
    }

    /// Says what is about to be seen.
    pub(super) fn begin(&mut self, prefix: &str, deployment: &Deployment) {
        let bank = &self.bank;
        let place = if self.embedded {
            "a broker and a registry inside this process".to_owned()
        } else {
            format!("{}, topics {prefix}*", deployment.kafka.bootstrap_servers)
        };
        println!(
            "A bank's orders, the scores of its fraud model, and labels that come hours later."
        );
        println!("Running on {place}.");
        println!(
            "One second is one hour of the bank's time: {} hours, {} orders an hour, from {}.",
            bank.windows, bank.rows_per_window, bank.start
        );
        println!(
            "In hour {} the producers {} ship a \"minor\" schema change. Nothing else happens.\n",
            bank.onset_window,
            V13_PRODUCERS.join(" and ")
        );
    }

    /// Tells how learning goes.
    pub(super) fn report(&mut self, report: &Report) {
        let ReportKind::Committed { notes, .. } = &report.kind else { return };
        for note in notes {
            match note {
                Note::Learning { dataset, layout, baseline_windows, baseline_windows_needed } => {
                    let done = (*baseline_windows).min(*baseline_windows_needed);
                    let text = match (layout, done) {
                        (false, _) => continue,
                        (true, 0) => format!("{dataset}: layout learnt from a sample"),
                        (true, n) if n == *baseline_windows_needed => {
                            format!("{dataset}: baseline complete, {n} of {n} hours; watching")
                        }
                        (true, 7) => format!("{dataset}: baseline 7 of {baseline_windows_needed}"),
                        _ => continue,
                    };
                    if self.learnt.insert(text.clone()) {
                        self.say(&text);
                    }
                }
                Note::WindowClosed { subject, end_ms, rows } if subject == "dataset/orders" => {
                    self.quiet_hour(*end_ms, *rows);
                }
                _ => {}
            }
        }
    }

    /// Before the change: that nothing is said is worth saying.
    fn quiet_hour(&mut self, end_ms: i64, rows: u64) {
        let hour = (end_ms - self.bank.start.0) / self.bank.window_ms;
        if hour + 1 == i64::from(self.bank.onset_window) && self.events == 0 {
            self.say(&format!("hour {}: {rows} orders, all green, nothing to say", hour - 1));
        }
    }

    /// Tells an event as it is read from its topic.
    pub(super) fn event(&mut self, event: &Decoded) {
        self.events += 1;
        let kind = event.kind.trim_start_matches("io.driftline.").trim_end_matches(".v1");
        let data = &event.data;
        let sentence = data["sentence"].as_str().unwrap_or_default();
        let word = match kind.split_once('.') {
            Some(("schema", _)) => "SCHEMA".to_owned(),
            Some(("alarm", state)) => format!("alarm {state}"),
            Some(("incident", state)) => format!("INCIDENT {state}"),
            Some(("action", _)) => {
                let action = data["action"].as_str().unwrap_or_default();
                self.actions.push(action.to_owned());
                format!("REQUEST {action}")
            }
            Some(("retrain", _)) => {
                self.retrains += 1;
                "REQUEST retrain".to_owned()
            }
            _ => kind.to_owned(),
        };
        if kind.starts_with("incident.") {
            let models = data["subjects"].as_array().into_iter().flatten();
            if models.filter_map(Value::as_str).any(|subject| subject.starts_with("model/")) {
                self.incident = Some(data.clone());
            }
        }
        self.say(&format!("{word}: {sentence}"));
    }

    fn say(&self, text: &str) {
        println!("{:6.1} s  {text}", self.started.elapsed().as_secs_f64());
    }

    fn leading(&self) -> Option<(&str, f64)> {
        let cause = self.incident.as_ref()?["causes"].get(0)?;
        Some((cause["schema_version"].as_str()?, cause["probability"].as_f64()?))
    }

    /// The cause is named, outcomes are in, and the right requests were made.
    pub(super) fn is_told(&self) -> bool {
        let named = self.leading().is_some_and(|(version, p)| version == self.v13 && p >= 0.8);
        let matured = self.incident.as_ref().is_some_and(|i| i["provisional"] == false);
        let asked = ["hold", "fix_upstream"].iter().all(|a| self.actions.iter().any(|b| a == b));
        named && matured && asked && self.retrains == 0
    }

    /// Says what to do next.
    pub(super) fn end(&self, prefix: &str) {
        let sentence = self.incident.as_ref().and_then(|i| i["sentence"].as_str());
        println!("\nIn one sentence: {}.", sentence.unwrap_or_default());
        println!("No retrain was asked for: it would have taught the model the fault.\n");
        println!("Next:");
        println!("  driftline watch --brokers HOST:PORT --topic TOPIC   your own topic, read only");
        println!("  driftline check drift.yaml                          a first configuration");
        if self.embedded {
            println!(
                "  driftline demo --brokers HOST:PORT --registry URL   this, on a real cluster"
            );
            println!(
                "The embedded broker keeps nothing and has no transactions: it shows the story, \
                 not exactly-once."
            );
        } else {
            println!("Left behind on the cluster: topics {prefix}* and driftline-demo-*.");
        }
    }

    /// Says honestly that the story did not come out; always `false`.
    pub(super) fn fall_short(&self) -> bool {
        println!("\nThe story was not told to its end.");
        match self.leading() {
            Some((version, p)) => println!(
                "Leading cause: schema version {version} (expected {}), P = {p:.2}; requests: {}.",
                self.v13,
                self.actions.join(", ")
            ),
            None => println!("No incident with a cause was published; {} events.", self.events),
        }
        println!("A busy machine can stop it early; try again, or give it two free cores.");
        false
    }
}
