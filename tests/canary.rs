//! Secrets are planted in data and configuration, and nothing that leaves may hold one.
//!
//! A secret counts as found in any of the forms it could take: text, hexadecimal, Base64, a number
//! in binary, and its unkeyed hash in every form. The same data under a configuration that keeps
//! everything is looked through by the same scanner and must give the secrets away, so that the
//! test is known to be able to fail.

#![expect(clippy::disallowed_methods, reason = "waits for a process")]

#[path = "canary_support/data.rs"]
mod data;
#[path = "canary_support/scanner.rs"]
mod scanner;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use driftline::config::Config;
use driftline::config::deployment::PublicTopics;
use driftline::config::plan::Plan;
use driftline::event::route::{Outbox, Route};
use driftline::publish::{Encoder, EventKind, RegisteredEventSchemas};
use driftline::registry::StandIn;
use driftline::serve::Metrics;
use driftline::topology::Topology;

use data::{CLOSED, KEEPING, VALUES_KEY};
use scanner::Secret;

fn plan(text: &str) -> Plan {
    let config = Config::parse(text, "canary.yaml").expect("its shape is right");
    config.plan().expect("it is valid").0
}

/// Everything that leaves the stages, by where it goes.
fn told(plan: Plan) -> Vec<(String, Vec<u8>)> {
    let plan = Arc::new(plan);
    let mut topology = Topology::new(&plan);
    topology.start_recording();
    let mut out = Outbox::default();
    data::feed(&mut topology, &mut out);
    let mut told = Vec::new();
    for message in topology.recorded() {
        told.push((format!("{:?}", message.route), message.payload.clone()));
    }
    let metrics = Metrics::new();
    for message in &out.messages {
        assert_eq!(message.route, Route::Quarantine);
        told.push(("quarantine".into(), message.payload.clone()));
        told.push(("quarantine key".into(), message.key.clone().unwrap_or_default()));
        told.push(("quarantine headers".into(), format!("{:?}", message.headers).into_bytes()));
        metrics.written(message);
    }
    let topics = PublicTopics::default;
    let registered = RegisteredEventSchemas::new("http://registry", [1; EventKind::ALL.len()]);
    let encoders =
        [Encoder::new("a", topics(), None), Encoder::new("a", topics(), Some(registered))];
    let mut kinds = BTreeSet::new();
    for event in &out.events {
        kinds.insert(event.data.type_name());
        for encoder in &encoders {
            let encoded = encoder.encode(event);
            told.push(("event".into(), encoded.payload.clone()));
            told.push(("event as told".into(), format!("{encoded:?}").into_bytes()));
        }
        metrics.published(event);
    }
    assert!(kinds.len() >= 3, "schema changes, alarms and incidents are told: {kinds:?}");
    for note in &out.notes {
        told.push(("note".into(), format!("{note:?}").into_bytes()));
        metrics.note(note);
    }
    for progress in topology.observe().progress() {
        metrics.progress(&progress);
    }
    told.push(("metrics".into(), metrics.render().into_bytes()));
    told.push(("Debug of the plan".into(), format!("{plan:?}").into_bytes()));
    told
}

/// Names of the secrets found, and the first place of each.
fn found(secrets: &[Secret], told: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut found = Vec::new();
    for secret in secrets {
        let place = told.iter().find_map(|(place, bytes)| Some((place, secret.form_in(bytes)?)));
        if let Some((place, form)) = place {
            found.push(format!("{} as {form} in {place}", secret.name));
        }
    }
    found
}

#[test]
fn no_secret_of_the_data_leaves_the_stages() {
    let told = told(plan(CLOSED));

    assert_eq!(found(&data::secrets(), &told), Vec::<String>::new());
    let kept = found(&data::kept(), &told);
    assert_eq!(kept.len(), data::kept().len(), "what may be kept is found: {kept:?}");
}

#[test]
fn the_scanner_finds_every_secret_where_all_is_kept() {
    let told = told(plan(KEEPING));

    for secret in data::secrets() {
        let one = [secret];
        assert_ne!(found(&one, &told), Vec::<String>::new(), "{} is not found", one[0].name);
    }
}

#[test]
fn unkeyed_hashes_are_found_too() {
    let open = CLOSED.replace("card: { values: hash }", "card: { values: keep }");
    assert_ne!(open, CLOSED);
    let told = told(plan(&open));

    let secrets = data::secrets();
    let card = secrets.iter().find(|secret| secret.name == "card").expect("planted");
    let hashed = told.iter().find_map(|(_, bytes)| card.hash_in(bytes));
    assert!(hashed.is_some(), "a kept value has an unkeyed hash beside its text");
}

/// The configuration of the binary's runs, with secrets of every kind.
fn write_files(folder: &Path, registry: &str) {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the file is written");
    };
    write("values.key", VALUES_KEY);
    write("kafka.password", "CANARY-kafka-password\n");
    write("orders.jsonl", &data::lines());
    let connections = format!(
        "kafka:\n  bootstrap_servers: 127.0.0.1:1\n  security: {{ protocol: SASL_PLAINTEXT, \
         mechanism: SCRAM-SHA-512, username: me, password: {{ file: kafka.password }}, \
         allow_insecure: true }}\n  \
         properties: {{ ssl.keystore.password: CANARY-ssl-password }}\nregistry: {{ \
         url: \"{registry}\", username: me, password: CANARY-registry-password, \
         allow_insecure: true }}\nhttp: {{ listen: off }}\n"
    );
    let inline = format!("secret_key: {VALUES_KEY}");
    let orders = data::only_orders(CLOSED);
    let good = orders.replace(&inline, "secret_key: { file: values.key }");
    assert_ne!(good, orders);
    write("good.yaml", &format!("{good}{connections}"));
    // Each is refused near a secret.
    write("unknown.yaml", &format!("{orders}{}", connections.replace("username", "usernam")));
    write(
        "refused.yaml",
        &format!("{orders}{connections}act_within: 0s\n").replace("url: \"h", "url: \"x"),
    );
    write("broken.yaml", &format!("{orders}{connections}topics: [\n"));
    write("short.yaml", &orders.replace(&inline, "secret_key: CANARY-short-key"));
}

fn driftline(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
    command.current_dir(folder).env_remove("RUST_LOG").env("RUST_BACKTRACE", "full");
    command.args(["--log", "trace"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let pid = child.id().to_string();
    // One that would wait for its broker for ever is asked to stop once it has said enough.
    if args[0] == "run" {
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(100));
            if child.try_wait().expect("a child").is_some() {
                break;
            }
        }
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
    }
    child.wait_with_output().expect("it ends")
}

#[test]
fn no_secret_leaves_the_binary() {
    let stand_in = StandIn::start().expect("starts");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_files(folder, &stand_in.url());
    let mut secrets = data::secrets();
    secrets.extend(data::secrets_of_configuration());
    let quiet = "--property=sasl.password=CANARY-kafka-password";

    for (args, code) in [
        (&["check", "good.yaml"][..], 0),
        (&["check", "--connect", "good.yaml"], 75),
        (&["check", "unknown.yaml"], 78),
        (&["check", "refused.yaml"], 78),
        (&["check", "broken.yaml"], 78),
        (&["check", "short.yaml"], 78),
        (&["replay", "--quiet", "--config", "good.yaml", "orders.jsonl"], 0),
        (&["replay", "--human", "--config", "good.yaml", "orders.jsonl"], 0),
        (&["run", "good.yaml"], 75),
        (&["events", "--brokers", "127.0.0.1:1", quiet], 75),
    ] {
        let output = driftline(folder, args);

        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let told = [(args.join(" "), said)];
        let text = String::from_utf8_lossy(&told[0].1);
        assert_eq!(found(&secrets, &told), Vec::<String>::new(), "{text}");
        assert!(!text.contains("panicked"), "{args:?}: {text}");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(!text.is_empty(), "{args:?} says something");
    }
}

#[test]
fn no_secret_is_in_what_a_configuration_prints_of_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path(), "http://registry");
    let config = Config::load(&folder.path().join("good.yaml")).expect("its shape is right");
    let (plan, deployment) = config.plan().expect("it is valid");

    let told = [("Debug".to_owned(), format!("{config:#?}{plan:#?}{deployment:#?}").into_bytes())];
    assert_eq!(found(&data::secrets_of_configuration(), &told), Vec::<String>::new());
    assert!(plan.values.key.is_some());
}
