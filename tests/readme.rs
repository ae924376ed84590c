//! README.md is held to the code: its commands exist, its configurations are valid and mean what
//! it says, its events have the fields of their schemas, its tables are the code's. So are the
//! crate docs: the tests that they name exist.

use std::path::Path;
use std::process::{Command, Output};

use driftline::config::Config;
use driftline::config::deployment::PublicTopics;
use driftline::publish::EventKind;
use driftline::runtime::TopicNames;
use driftline::serve;
use serde_json::Value;

const README: &str = include_str!("../README.md");

/// A fenced block: its language, its text, and what kind of block follows it.
struct Block<'a> {
    language: &'a str,
    text: &'a str,
}

fn blocks() -> Vec<Block<'static>> {
    let mut found = Vec::new();
    let mut rest = README;
    while let Some((_, fenced)) = rest.split_once("\n```") {
        let (language, body) = fenced.split_once('\n').expect("a fence ends its line");
        let (text, after) = body.split_once("\n```").expect("a block is closed");
        found.push(Block { language, text });
        rest = after;
    }
    found
}

fn of_language(language: &str) -> Vec<&'static str> {
    let wanted = blocks().into_iter().filter(|block| block.language == language);
    let texts: Vec<&str> = wanted.map(|block| block.text).collect();
    assert!(!texts.is_empty(), "README has blocks of {language}");
    texts
}

fn driftline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftline"))
        .args(args)
        .env_remove("KAFKA_BROKERS")
        .env_remove("SCHEMA_REGISTRY_URL")
        .env_remove("RUST_LOG")
        .env("KAFKA_PASSWORD", "not one")
        .env("VALUES_KEY", "not one, but as long as one has to be")
        .output()
        .expect("the binary runs")
}

#[test]
fn configurations_are_valid_and_mean_what_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("drift.yaml");
    let all = blocks();
    let mut shown = 0;
    for (index, block) in all.iter().enumerate().filter(|(_, block)| block.language == "yaml") {
        std::fs::write(&path, block.text).expect("the file is written");

        let output = driftline(&["check", &path.display().to_string()]);

        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{error}", block.text);
        let next = all.get(index + 1).filter(|next| next.text.starts_with("app "));
        if let Some(next) = next {
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said.trim_end(), next.text, "what `check` says, and what README says");
            shown += 1;
        }
    }
    assert!(shown >= 2, "README shows what `check` says of its configurations");
}

/// Command lines of `driftline` in README, without the program's name.
fn command_lines() -> Vec<&'static str> {
    let in_blocks = of_language("sh").into_iter().flat_map(str::lines);
    let in_text = README.split('`').skip(1).step_by(2);
    let line = |text: &'static str| {
        text.strip_prefix("driftline ").or_else(|| text.strip_prefix("cargo run --release -- "))
    };
    in_blocks.chain(in_text).filter_map(line).collect()
}

#[test]
fn commands_exist_with_their_options() {
    let lines = command_lines();
    assert!(lines.len() > 6, "README has commands: {lines:?}");
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = driftline(&[words[0], "--help"]);

        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "`driftline {line}`: no verb {}", words[0]);
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "`driftline {line}`: no option {option}");
        }
    }
}

#[test]
fn benches_and_files_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let quoted = || README.split('`').skip(1).step_by(2);
    for bench in quoted().filter_map(|text| text.strip_prefix("cargo bench --bench ")) {
        assert!(manifest.contains(&format!("name = \"{bench}\"")), "no bench {bench}");
    }
    for folder in ["src/", "tests/", "schemas/", "deploy/"] {
        for file in quoted().filter(|text| text.starts_with(folder) && !text.contains(' ')) {
            assert!(root.join(file).exists(), "README names {file}");
        }
    }
}

#[test]
fn events_have_the_fields_of_their_schemas() {
    let mut kinds = Vec::new();
    for text in of_language("json") {
        let event: Value = serde_json::from_str(text).expect("JSON");
        let name = event["type"].as_str().expect("an event names its type");
        let kind = EventKind::of_type(name).expect("a type there is");
        let schema: Value = serde_json::from_str(kind.schema_text()).expect("JSON");
        let fields = schema["fields"].as_array().expect("fields");
        let fields: Vec<&str> = fields.iter().filter_map(|field| field["name"].as_str()).collect();

        let data = event["data"].as_object().expect("data");
        let keys: Vec<&str> = data.keys().map(String::as_str).collect();
        assert_eq!(keys, fields, "{name}");
        kinds.push(kind);
    }
    let missing: Vec<&EventKind> =
        EventKind::ALL.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "no example of {missing:?}");
}

#[test]
fn metrics_are_those_of_the_code() {
    let (_, after) = README.split_once("<!-- metrics: ").expect("the mark is there");
    let (_, after) = after.split_once("-->\n").expect("it is closed");
    let (table, _) = after.split_once("<!-- end of metrics -->").expect("and its end");
    let expected = serve::markdown();
    if table.trim_end() != expected.trim_end() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.md");
        std::fs::write(&file, &expected).expect("the scratch folder takes a file");
        panic!("README's metrics are not the code's; put in what is in {}", file.display());
    }
}

#[test]
fn topics_are_those_that_are_made() {
    let config = Config::parse("app: a\ndatasets: { orders: { topic: orders } }", "drift.yaml");
    let (plan, _) = config.and_then(|config| config.plan()).expect("valid");
    for spec in TopicNames::new("APP", &PublicTopics::default()).specs(&plan) {
        let partitions = spec.partitions.map_or("any".to_owned(), |n| n.to_string());
        let settings = match (spec.compacted, spec.append_time) {
            (true, true) => "compacted, LogAppendTime",
            (false, true) => "LogAppendTime, retention",
            (_, false) => "not compacted",
        };
        let row = format!("| `{}` | {partitions} | {settings}", spec.name);
        assert!(README.contains(&row), "no row {row}");
    }
}

fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&std::fs::read_to_string(&path).expect("UTF-8 source"));
        }
    }
}

#[test]
fn tests_that_the_crate_docs_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let docs = include_str!("../src/lib.rs");
    let (_, invariants) = docs.split_once("# Invariants").expect("the section is there");
    let (invariants, _) = invariants.split_once("# Left out").expect("and the next one");
    let names = invariants.split('`').skip(1).step_by(2).filter(|name| name.contains('_'));
    let mut count = 0;
    for name in names.filter(|name| !name.contains(['/', '.'])) {
        assert!(code.contains(&format!("fn {name}(")), "no test {name}");
        count += 1;
    }
    assert!(count > 20, "invariants name their tests");
}
