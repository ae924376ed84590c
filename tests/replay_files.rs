//! `driftline replay` from outside: the bank's story from files, twice the same, and what is
//! said when it cannot be told.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use driftline::demo::bank::{Bank, BankPlan, HeaderValue, TopicKind};
use driftline::event::time::EventTime;
use serde_json::Value;

/// A Monday.
const START: EventTime = EventTime(1_704_067_200_000);

fn story() -> BankPlan {
    BankPlan { windows: 28, rows_per_window: 4_000, ..BankPlan::story(START) }
}

/// Writes the three topics as JSON lines; what the demo has in headers becomes fields.
fn write_bank(plan: BankPlan, folder: &Path) {
    let open = |topic: TopicKind| {
        let path = folder.join(format!("{}.jsonl", topic.name()));
        BufWriter::new(File::create(path).expect("a file"))
    };
    let mut files = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels].map(open);
    for record in Bank::new(plan) {
        let mut value: Value = serde_json::from_str(&record.json()).expect("JSON");
        for (name, header) in &record.headers {
            value[*name] = match header {
                HeaderValue::Text(text) => Value::from(*text),
                HeaderValue::SchemaId(schema) => Value::from(schema.number().to_string()),
            };
        }
        if record.topic == TopicKind::Orders {
            value["schema_version"] = Value::from(record.schema.number().to_string());
        }
        let file = &mut files[record.topic as usize];
        writeln!(file, "{value}").expect("written");
    }
    files.iter_mut().for_each(|file| file.flush().expect("flushed"));
}

fn replay(folder: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_driftline"))
        .arg("replay")
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    // A verb that has failed reads nothing.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_story_is_told_from_files_without_configuration_and_twice_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    write_bank(story(), folder.path());
    let parts = ["--predictions", "scores", "--outcomes", "labels", "--flag-above", "0.8"];
    let parts = [&parts[..], &["--window", "1h"]].concat();
    let args = [&["orders.jsonl", "scores.jsonl", "labels.jsonl"][..], &parts].concat();

    let first = replay(folder.path(), &args, b"");
    let second = replay(folder.path(), &args, b"");

    let errors = text(&first.stderr);
    assert_eq!(first.status.code(), Some(0), "{errors}");
    assert_eq!(text(&first.stdout), text(&second.stdout), "two runs say the same");
    let stdout = text(&first.stdout);
    let events: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert!(events.iter().all(|event| event["specversion"] == "1.0"), "{stdout}");
    let of_type = |part: &str| {
        let with_type = |event: &&Value| event["type"].as_str().is_some_and(|t| t.contains(part));
        events.iter().filter(with_type).collect::<Vec<_>>()
    };
    let last = of_type("incident").last().map(|event| &event["data"]).cloned().unwrap_or_default();
    assert_eq!(last["causes"][0]["schema_version"], "13", "{errors}");
    assert!(last["causes"][0]["probability"].as_f64() >= Some(0.8), "{errors}");
    assert!(!of_type("action.requested").is_empty(), "history acts: {errors}");
    assert!(errors.contains("orders: 112000 read: 112000 accepted\n"), "{errors}");
    assert!(errors.contains("dataset/orders: 28 windows closed"), "{errors}");
    assert!(errors.contains("model/scores: 28 windows closed"), "{errors}");
    assert!(errors.contains("# Inferred"), "{errors}");
    assert!(errors.contains("producer: app"), "{errors}");
}

fn rows(from: i64, n: i64) -> String {
    let row = |i: i64| format!("{},{},{}\n", i, START.0 + i * 60_000, i % 7);
    (from..from + n).map(row).collect()
}

#[test]
fn gzip_zstd_and_standard_input_are_read_as_partitions_of_one_topic() {
    let folder = tempfile::tempdir().expect("a folder");
    let header = "id,at_time,items\n";
    let gz = File::create(folder.path().join("a.csv.gz")).expect("a file");
    let mut gz = flate2::write::GzEncoder::new(gz, flate2::Compression::fast());
    gz.write_all(format!("{header}{}", rows(0, 600)).as_bytes()).expect("written");
    gz.finish().expect("flushed");
    let zst = zstd::encode_all(format!("{header}{}", rows(600, 600)).as_bytes(), 1);
    std::fs::write(folder.path().join("b.csv.zst"), zst.expect("compressed")).expect("written");
    let input = format!("{header}{}", rows(1_200, 300));
    let files = ["orders=a.csv.gz", "orders=b.csv.zst", "orders=-"];

    let inferred = replay(folder.path(), &files, input.as_bytes());
    assert_eq!(inferred.status.code(), Some(0), "{}", text(&inferred.stderr));
    let errors = text(&inferred.stderr);
    assert!(errors.contains("orders: 1500 read: 1500 accepted"), "{errors}");
    assert!(errors.contains("dataset/orders: 25 windows closed"), "{errors}");

    let config = "app: a\ndatasets: { orders: { topic: orders, event_time: at_time } }\n";
    std::fs::write(folder.path().join("drift.yaml"), config).expect("written");
    let args = [&["--config", "drift.yaml"][..], &files].concat();
    let given = replay(folder.path(), &args, input.as_bytes());
    assert_eq!(given.status.code(), Some(0), "{}", text(&given.stderr));
    assert!(text(&given.stderr).contains("1500 accepted"), "{}", text(&given.stderr));
    assert!(!text(&given.stderr).contains("Inferred"), "nothing is inferred");
}

#[test]
fn what_is_wrong_is_named_with_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = format!("id,at_time,items\n{}", rows(0, 10));
    std::fs::write(folder.path().join("orders.csv"), good).expect("written");
    std::fs::write(folder.path().join("plain.csv"), "a,b\n1,2\n").expect("written");
    std::fs::write(folder.path().join("broken.avro"), "Obj\u{1}nothing").expect("written");
    let config = "app: a\ndatasets: { pay: { topic: pay, event_time: { header: at } } }\n";
    std::fs::write(folder.path().join("drift.yaml"), config).expect("written");
    let check = |args: &[&str], code: i32, said: &str| {
        let output = replay(folder.path(), args, b"");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(said), "{args:?}: {errors}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
    };

    check(&["plain.csv"], 78, "give --time plain=FIELD; fields are a, b");
    check(&["orders.csv", "--predictions", "scores"], 78, "there are orders");
    check(&["orders.csv", "--time", "created_at"], 78, "is not TOPIC=FIELD");
    check(&["--config", "drift.yaml", "orders.csv"], 78, "it reads pay: write TOPIC=orders.csv");
    check(&["--config", "drift.yaml", "pay=orders.csv"], 78, "files have no headers");
    check(&["--config", "none.yaml", "orders.csv"], 78, "none.yaml");
    check(&["orders.csv", "--window", "1x"], 78, "1x");
    check(&["missing.csv"], 1, "cannot open missing.csv");
    check(&["broken.avro"], 1, "broken.avro, header");
    check(&["orders.csv", "--config", "drift.yaml", "--id", "id"], 78, "cannot be used with");
}

#[test]
fn events_in_words_and_broken_rows_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = format!("id,at_time,items\n{}1,2\n", rows(0, 10));
    std::fs::write(folder.path().join("orders.csv"), broken).expect("written");

    let output = replay(folder.path(), &["orders.csv", "--human", "--quiet"], b"");

    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("10 accepted"), "{errors}");
    assert!(errors.contains("1 places in the files cannot be read"), "{errors}");
}
