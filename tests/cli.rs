//! The binary from outside: exit codes, and which stream says what.

use std::path::Path;
use std::process::{Command, Output};

fn driftline(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
    command.args(args).env_remove("RUST_LOG").output().expect("the binary runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn with_config(text: &str, check: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("drift.yaml");
    std::fs::write(&path, text).expect("the file is written");
    check(&path);
}

#[test]
fn a_good_configuration_is_described_and_exits_0() {
    with_config("app: a\ndatasets: { orders: { topic: orders } }\n", |path| {
        let output = driftline(&["check", &path.display().to_string()]);

        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(out(&output).contains("dataset orders (topic orders)"));
        assert_eq!(err(&output), "");
    });
}

#[test]
fn a_wrong_configuration_shows_its_line_and_exits_78() {
    with_config("app: a\ndatasets:\n  orders: { topc: orders }\n", |path| {
        let output = driftline(&["check", &path.display().to_string()]);

        assert_eq!(output.status.code(), Some(78));
        assert_eq!(out(&output), "");
        let shown = err(&output);
        assert!(shown.contains("datasets.orders: unknown key `topc`"), "{shown}");
        assert!(shown.contains("drift.yaml:3:13"), "{shown}");
        assert!(shown.contains("orders: { topc: orders }"), "{shown}");
        assert!(shown.contains("did you mean `topic`?"), "{shown}");
    });
}

#[test]
fn a_wrong_command_line_exits_78() {
    assert_eq!(driftline(&["chekc"]).status.code(), Some(78));
    assert_eq!(driftline(&["check", "/no/such.yaml"]).status.code(), Some(78));
    assert_eq!(driftline(&["--log", "a=b=c", "schema", "config"]).status.code(), Some(78));
}

#[test]
fn a_property_that_breaks_correctness_or_security_is_refused_by_every_verb() {
    let verbs: [&[&str]; 3] = [
        &["watch", "--topic", "orders"],
        &["events"],
        &["demo", "--registry", "http://127.0.0.1:1"],
    ];
    for verb in verbs {
        let refused = |properties: &[&str]| {
            let brokers = ["--brokers", "127.0.0.1:1"];
            let output = driftline(&[verb, &brokers, properties].concat());
            assert_eq!(output.status.code(), Some(78), "{verb:?} {properties:?}");
            assert_eq!(out(&output), "");
            err(&output)
        };

        assert_eq!(
            refused(&["--property", "isolation.level=read_uncommitted"]),
            "error: --property: `isolation.level` is set by Driftline; take it out\n"
        );
        assert_eq!(
            refused(&["--property", "enable.ssl.certificate.verification=false"]),
            "error: --property: `enable.ssl.certificate.verification` lets anyone pass as a broker \
             or as a user; take it out, or say --allow-insecure\n"
        );
        let clear =
            ["--property=security.protocol=sasl_plaintext", "--property=sasl.mechanism=PLAIN"];
        assert!(refused(&clear).contains("PLAIN without encryption gives the log-in away"));
    }
}

#[test]
fn help_is_no_error_and_shows_examples() {
    for args in [&["--help"][..], &["check", "--help"], &["schema", "--help"]] {
        let output = driftline(args);

        assert_eq!(output.status.code(), Some(0));
        assert!(out(&output).contains("Examples:"), "{}", out(&output));
    }
}

#[test]
fn the_schema_is_printed_as_stored() {
    let stored = include_str!("../schemas/config.schema.json");

    assert_eq!(out(&driftline(&["schema", "config"])), stored);
}
