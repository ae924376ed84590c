//! A deployment on the secured broker, as its operator sees it: configured, granted its rights, fed,
//! watched.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a private module of several tests, each using a part; runs the binary"
)]

mod right;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use driftline::config::deployment::RegistryAccess;
use driftline::registry::{Options, Registry, StandIn};

use crate::support::broker::{now_ms, unique};
use crate::support::running::Running;
use crate::support::secured::{Secured, Topic};
use crate::support::wait;

pub use right::PrintedRight;

pub const PATIENCE: Duration = Duration::from_secs(60);
pub const CANARY: &str = "hunter2";

/// One deployment, its principal, and how it is reached.
pub struct Secure {
    pub broker: &'static Secured,
    /// Prefix, and the name of the principal.
    pub app: String,
    folder: tempfile::TempDir,
    stand_in: StandIn,
    registry: Registry,
    fed: i64,
    /// What its processes find in their environment beside the usual.
    pub environment: Vec<(String, String)>,
}

impl Secure {
    /// Makes its source topic, a user and a password, and a configuration that logs in with them.
    pub fn new(test: &str) -> Secure {
        let (broker, app) = (Secured::get(), unique(test));
        let folder = tempfile::tempdir().expect("a folder");
        let stand_in = StandIn::start().expect("a port is free");
        let access = RegistryAccess::open(vec![stand_in.url()]);
        let registry = Registry::start(&access, Options::default()).expect("a thread");
        let secure =
            Secure { broker, app, folder, stand_in, registry, fed: 0, environment: Vec::new() };
        let source = Topic { name: secure.source(), partitions: 2, settings: Vec::new() };
        broker.create_topics(&[source]);
        secure.set_password("first");
        secure.configure(&broker.sasl_ssl, &secure.scram("SCRAM-SHA-512"));
        secure
    }

    pub fn source(&self) -> String {
        format!("{}-orders", self.app)
    }

    pub fn events(&self) -> String {
        format!("{}-drift-events", self.app)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn config(&self) -> String {
        self.path("drift.yaml").display().to_string()
    }

    /// A password with a text in it that must be seen nowhere.
    pub fn set_password(&self, which: &str) {
        let password = &format!("{which}-{CANARY}");
        self.broker.set_password(&self.app, "SCRAM-SHA-512", password);
        std::fs::write(self.path("password"), password).expect("written");
    }

    pub fn scram(&self, mechanism: &str) -> String {
        format!(
            "protocol: SASL_SSL, mechanism: {mechanism}, username: {}, password: {{ file: \
             password }}",
            self.app
        )
    }

    pub fn configure(&self, servers: &str, security: &str) {
        self.configure_trusting(&self.broker.ca(), servers, security);
    }

    pub fn configure_trusting(&self, ca: &Path, servers: &str, security: &str) {
        let app = &self.app;
        let text = format!(
            "app: {app}
kafka:
  bootstrap_servers: {servers}
  security: {{ ca: {}, {security} }}
registry: {{ url: \"{}\" }}
datasets:
  orders: {{ topic: {}, window: {{ size: 1h, lateness: 0s }} }}
topics:
  drift_events: {}
  retrain_requests: {app}-retrain-requests
  action_requests: {app}-action-requests
commit: {{ interval: 1s }}
http: {{ listen: off }}
",
            ca.display(),
            self.stand_in.url(),
            self.source(),
            self.events()
        );
        std::fs::write(self.path("drift.yaml"), text).expect("written");
    }

    /// Runs the binary to its end.
    pub fn driftline(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_driftline"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().cloned())
            .output()
            .expect("the binary runs")
    }

    /// How `check --connect` ends, and what it says.
    pub fn check(&self) -> (Option<i32>, String) {
        let output = self.driftline(&["check", "--connect", &self.config()]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Lines of commands that `driftline topics` prints, without the tool and the servers.
    pub fn printed(&self, format: &str) -> Vec<Vec<String>> {
        let config = self.config();
        let output = self.driftline(&[
            "topics",
            "--config",
            &config,
            "--format",
            format,
            "--principal",
            &self.app,
        ]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| line.starts_with("kafka-"));
        lines.map(|line| line.split(' ').skip(3).map(str::to_owned).collect()).collect()
    }

    /// Does what `driftline topics` prints, as the administrator.
    pub fn grant_printed(&self) {
        let topics: Vec<_> = self.printed("kafka-topics").iter().map(|line| topic(line)).collect();
        self.broker.create_topics(&topics);
        std::thread::scope(|scope| {
            for line in self.printed_for_us() {
                scope.spawn(move || {
                    let words: Vec<&str> = line.iter().map(String::as_str).collect();
                    self.broker.acls(&words);
                });
            }
        });
    }

    fn printed_for_us(&self) -> impl Iterator<Item = Vec<String>> {
        let principal = format!("User:{}", self.app);
        let lines = self.printed("kafka-acls").into_iter();
        lines.filter(move |line| line.contains(&principal))
    }

    /// Every single right that is printed for our principal.
    pub fn printed_rights(&self) -> Vec<PrintedRight> {
        self.printed_for_us().flat_map(|line| PrintedRight::all_of(&line)).collect()
    }

    /// Gives (`--add`) or takes (`--remove`) a right, in the words of a command.
    pub fn change(&self, action: &str, right: &[&str]) {
        let principal = format!("User:{}", self.app);
        let words = [action, "--force", "--allow-principal", &principal];
        self.broker.acls(&[&words[..], right].concat());
    }

    pub fn start(&self) -> Running {
        let config = self.path("drift.yaml");
        Running::start_in(self.folder.path(), &config, &[], &self.environment)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("driftline.log")).unwrap_or_default()
    }

    /// Records of a schema version of their own, so that there is an event about it too: the
    /// first ones are of the last hour, whose end makes all others new.
    pub fn feed(&mut self, version: &str, count: u32) {
        let schema = format!(
            r#"{{"type":"record","name":"Order","fields":[
                {{"name":"amount","type":"long","doc":"the {version} meaning"}}]}}"#
        );
        let subject = format!("{}-value", self.source());
        let id = self.registry.register(&subject, &schema, PATIENCE).expect("registered");
        // Framing, id, and an amount of 0 to 63 as a varint.
        let record = |index: u32| {
            let mut record = vec![0];
            record.extend_from_slice(&id.to_be_bytes());
            record.push(u8::try_from(index % 64 * 2).expect("below 128"));
            record
        };
        let age_ms = if self.fed == 0 { 3_600_000 } else { 0 };
        self.broker.feed(&self.source(), now_ms() - age_ms, count, record);
        self.fed += i64::from(count);
    }

    /// Waits until all that was written is read, counted and committed.
    pub fn await_all(&self, running: &Running) {
        let group = format!("{}.observe", self.app);
        let done = || self.broker.committed(&group, &self.source()) >= self.fed;
        wait::until(PATIENCE, done, || format!("not all is read; {}", running.tail()));
    }

    pub fn await_log(&self, from: usize, text: &str) {
        let said = || self.log().get(from..).is_some_and(|log| log.contains(text));
        wait::until(PATIENCE, said, || format!("no {text:?} in\n{}", self.log()));
    }
}

/// Name, partitions and settings out of a printed command.
fn topic(words: &[String]) -> Topic {
    let after = |option: &str| -> Vec<&String> {
        let pairs = words.iter().zip(&words[1..]);
        pairs.filter(|(word, _)| *word == option).map(|(_, value)| value).collect()
    };
    let settings = after("--config").into_iter().map(|setting| {
        let (key, value) = setting.split_once('=').expect("a setting");
        (key.to_owned(), value.to_owned())
    });
    let partitions = after("--partitions")[0].parse().expect("a number");
    Topic { name: after("--topic")[0].clone(), partitions, settings: settings.collect() }
}
