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
