//! The real binary on a real broker with TLS, log-in and an authorizer: the rights that
//! `driftline topics` prints are enough, each one that is taken away is named and waited for, and
//! passwords and certificates can be replaced while it runs.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use driftline::config::deployment::RegistryAccess;
use driftline::registry::{Options, Registry, StandIn};
use support::broker::{now_ms, unique};
use support::running::Running;
use support::secured::{Secured, Topic};
use support::wait;

const PATIENCE: Duration = Duration::from_secs(60);
const CANARY: &str = "hunter2";

/// One deployment, its principal, and how it is reached.
struct Secure {
    broker: &'static Secured,
    /// Prefix, and the name of the principal.
    app: String,
    folder: tempfile::TempDir,
    stand_in: StandIn,
    registry: Registry,
    fed: i64,
}

fn driftline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftline"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary runs")
}

impl Secure {
    /// Makes its source topic, a user and a password, and a configuration that logs in with them.
    fn new(test: &str) -> Secure {
        let (broker, app) = (Secured::get(), unique(test));
        let folder = tempfile::tempdir().expect("a folder");
        let stand_in = StandIn::start().expect("a port is free");
        let access = RegistryAccess::open(vec![stand_in.url()]);
        let registry = Registry::start(&access, Options::default()).expect("a thread");
        let secure = Secure { broker, app, folder, stand_in, registry, fed: 0 };
        let source = Topic { name: secure.source(), partitions: 2, settings: Vec::new() };
        broker.create_topics(&[source]);
        secure.set_password("first");
        secure.configure(&broker.sasl_ssl, &secure.scram("SCRAM-SHA-512"));
        secure
    }

    fn source(&self) -> String {
        format!("{}-orders", self.app)
    }

    fn events(&self) -> String {
        format!("{}-drift-events", self.app)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn config(&self) -> String {
        self.path("drift.yaml").display().to_string()
    }

    /// A password with a text in it that must be seen nowhere.
    fn set_password(&self, which: &str) {
        let password = &format!("{which}-{CANARY}");
        self.broker.set_password(&self.app, "SCRAM-SHA-512", password);
        std::fs::write(self.path("password"), password).expect("written");
    }

    fn scram(&self, mechanism: &str) -> String {
        format!(
            "protocol: SASL_SSL, mechanism: {mechanism}, username: {}, password: {{ file: \
             password }}",
            self.app
        )
    }

    fn configure(&self, servers: &str, security: &str) {
        self.configure_trusting(&self.broker.ca(), servers, security);
    }

    fn configure_trusting(&self, ca: &Path, servers: &str, security: &str) {
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

    /// Lines of commands that `driftline topics` prints, without the tool and the servers.
    fn printed(&self, format: &str) -> Vec<Vec<String>> {
        let config = self.config();
        let output = driftline(&[
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
    fn grant_printed(&self) {
        let topics: Vec<_> = self.printed("kafka-topics").iter().map(|line| topic(line)).collect();
        self.broker.create_topics(&topics);
        let principal = format!("User:{}", self.app);
        std::thread::scope(|scope| {
            for line in self.printed("kafka-acls") {
                if line.contains(&principal) {
                    scope.spawn(move || {
                        let words: Vec<&str> = line.iter().map(String::as_str).collect();
                        self.broker.acls(&words);
                    });
                }
            }
        });
    }

    fn change(&self, action: &str, right: &[&str]) {
        let principal = format!("User:{}", self.app);
        let words = [action, "--force", "--allow-principal", &principal, "--operation"];
        self.broker.acls(&[&words[..], right].concat());
    }

    fn start(&self) -> Running {
        Running::start(self.folder.path(), self.path("drift.yaml").as_path(), &[])
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("driftline.log")).unwrap_or_default()
    }

    /// Records of a schema version of their own, so that there is an event about it too: the
    /// first ones are of the last hour, whose end makes all others new.
    fn feed(&mut self, version: &str, count: u32) {
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
    fn await_all(&self, running: &Running) {
        let group = format!("{}.observe", self.app);
        let done = || self.broker.committed(&group, &self.source()) >= self.fed;
        wait::until(PATIENCE, done, || format!("not all is read; {}", running.tail()));
    }

    fn await_log(&self, from: usize, text: &str) {
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

/// What `check --connect` says of a missing right, and that it ends with 78.
fn assert_check_names(config: &str, missing: &str) {
    let output = driftline(&["check", "--connect", config]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    let named = said.lines().filter(|line| line.starts_with("MISSING"));
    let named: Vec<&str> = named.filter(|line| line.contains("no right to")).collect();
    assert!(!named.is_empty() && named.iter().all(|line| line.contains(missing)), "{said}");
}

#[test]
fn printed_rights_are_enough_and_each_that_is_taken_away_is_named_and_waited_for() {
    let mut secure = Secure::new("rights");
    let (app, config, source) = (secure.app.clone(), secure.config(), secure.source());
    let own = format!("{app}.");
    let public =
        [secure.events(), format!("{app}-retrain-requests"), format!("{app}-action-requests")];
    assert_check_names(&config, "no right to");
    secure.grant_printed();
    let output = driftline(&["check", "--connect", &config]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));

    let mut running = secure.start();
    secure.feed("first", 2000);
    secure.await_all(&running);
    secure.feed("second", 1000);
    secure.await_all(&running);
    let is_told = || secure.broker.end(&secure.events()) > 0;
    wait::until(PATIENCE, is_told, || format!("no event of the change; {}", running.tail()));

    let prefixed = ["--resource-pattern-type", "prefixed"];
    let of_own = [&["--topic", &own][..], &prefixed].concat();
    let of_public: Vec<&str> = public.iter().flat_map(|name| ["--topic", name]).collect();
    let of_groups = [&["--group", &own][..], &prefixed].concat();
    let of_ids = [&["--transactional-id", &own][..], &prefixed].concat();
    let topics_of_own = format!("topics {own}*");
    let rights: [(&str, &str, &[&str], String); 6] = [
        ("third", "Read", &["--topic", &source], format!("topic {source}")),
        ("fourth", "Read", &of_own, topics_of_own.clone()),
        ("fifth", "Write", &of_own, topics_of_own.clone()),
        ("sixth", "Write", &of_public, format!("topic {}", public[0])),
        ("seventh", "Read", &of_groups, format!("groups {own}*")),
        ("eighth", "Write", &of_ids, format!("transactional id {own}")),
    ];
    for (version, operation, resource, subject) in rights {
        let right = [&[operation], resource].concat();
        let (started, from) = (Instant::now(), secure.log().len());
        let missing = format!("no right to {operation} on {subject}");
        secure.change("--remove", &right);
        secure.feed(version, 200);
        secure.await_log(from, &format!("waiting: {missing}"));
        if subject.starts_with(&format!("topic {app}-")) {
            assert_check_names(&config, &format!("no right to {operation} on topic {app}-"));
        } else if !subject.starts_with("transactional") {
            assert_check_names(&config, &missing);
        }
        secure.change("--add", &right);
        secure.await_all(&running);
        assert!(running.is_alive(), "{}", running.tail());
        println!("{missing}: {:?}", started.elapsed());
    }
    // The event of every version is there, those that had to wait too.
    let are_told = || secure.broker.end(&secure.events()) >= 7;
    wait::until(PATIENCE, are_told, || format!("an event is missing; {}", running.tail()));
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");

    // Of settings only the start asks.
    for (resource, subject) in [(of_own, topics_of_own), (of_public, format!("topic {app}-"))] {
        let right = [&["DescribeConfigs"], &resource[..]].concat();
        let missing = format!("no right to DescribeConfigs on {subject}");
        secure.change("--remove", &right);
        let output = driftline(&["run", &config]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(&missing), "{said}");
        secure.change("--add", &right);
    }
}

#[test]
fn replaced_passwords_and_certificates_are_used_without_a_restart() {
    let mut secure = Secure::new("rotation");
    secure.grant_printed();
    let running = secure.start();
    secure.feed("first", 1000);
    secure.await_all(&running);

    let from = secure.log().len();
    secure.set_password("second");
    secure.await_log(from, "new credentials of Kafka");
    secure.feed("second", 500);
    secure.await_all(&running);
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");
    std::fs::write(secure.path("password"), format!("first-{CANARY}")).expect("written");
    let output = driftline(&["check", "--connect", &secure.config()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("Authentication failed"), "the old one is refused: {said}");

    secure.broker.certificate(&secure.app, &secure.path("own"));
    secure.configure(&secure.broker.ssl, "protocol: SSL, certificate: own.pem, key: own.key");
    let running = secure.start();
    secure.feed("third", 500);
    secure.await_all(&running);
    let from = secure.log().len();
    // A certificate without its key is not taken.
    std::fs::copy(secure.path("own.key"), secure.path("old.key")).expect("copied");
    secure.broker.certificate(&secure.app, &secure.path("own"));
    std::fs::rename(secure.path("own.key"), secure.path("new.key")).expect("moved");
    std::fs::rename(secure.path("old.key"), secure.path("own.key")).expect("moved");
    secure.await_log(from, "new credentials cannot be used, the old ones stay");
    std::fs::rename(secure.path("new.key"), secure.path("own.key")).expect("moved");
    secure.await_log(from, "new credentials of Kafka");
    secure.feed("fourth", 500);
    secure.await_all(&running);
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");
    assert!(!secure.log().contains(CANARY), "a password is in the log");
}

/// A token that the test broker takes: signed by nobody.
fn token(user: &str) -> String {
    let now = now_ms() / 1000;
    let claims = format!(r#"{{"sub":"{user}","iat":{now},"exp":{}}}"#, now + 3600);
    format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(&claims))
}

fn base64url(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |bytes: &[u8]| -> Vec<char> {
        let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - bytes.len()));
        let digit = |index: usize| DIGITS[(bits >> (18 - 6 * index)) as usize & 63] as char;
        (0..=bytes.len()).map(digit).collect()
    };
    text.as_bytes().chunks(3).flat_map(group).collect()
}

#[test]
fn every_way_to_log_in_says_who_we_are_and_wrong_ones_say_why_not() {
    let secure = Secure::new("login");
    let (broker, config) = (secure.broker, secure.config());
    secure.change("--add", &["Read", "--topic", &secure.source()]);
    broker.set_password(&secure.app, "SCRAM-SHA-256", &format!("first-{CANARY}"));
    broker.certificate(&secure.app, &secure.path("own"));
    std::fs::write(secure.path("token"), token(&secure.app)).expect("written");
    let connect = |servers: &str, security: &str| {
        secure.configure(servers, security);
        let output = driftline(&["check", "--connect", &config]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let own = format!("ok       source topic {}", secure.source());

    for (servers, security) in [
        (&broker.sasl_ssl, secure.scram("SCRAM-SHA-256")),
        (&broker.sasl_ssl, secure.scram("SCRAM-SHA-512")),
        (
            &broker.sasl_ssl,
            "protocol: SASL_SSL, mechanism: OAUTHBEARER, token: { file: token }".to_owned(),
        ),
        (&broker.ssl, "protocol: SSL, certificate: own.pem, key: own.key".to_owned()),
    ] {
        let (code, said) = connect(servers, &security);
        assert!(code == Some(78) && said.contains(&own), "{security}: {said}");
    }
    let plain = "protocol: SASL_SSL, mechanism: PLAIN, username: plain, password: plain";
    for (servers, security) in [(&broker.sasl_ssl, plain), (&broker.ssl, "protocol: SSL")] {
        let (code, said) = connect(servers, security);
        let refused = format!("no right to Read on topic {}", secure.source());
        assert!(code == Some(78) && said.contains(&refused), "another one: {security}: {said}");
    }
    let wrong = secure.scram("SCRAM-SHA-512").replace("{ file: password }", "wrong");
    let (code, said) = connect(&broker.sasl_ssl, &wrong);
    assert!(code == Some(75) && said.contains("Authentication failed"), "{said}");
    // A certificate that is no authority of the broker's.
    secure.configure_trusting(&secure.path("own.pem"), &broker.sasl_ssl, &wrong);
    let output = driftline(&["check", "--connect", &config]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(75), "{said}");
    assert!(said.contains("certificate verify failed"), "{said}");
}
