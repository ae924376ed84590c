//! What is printed, held to files. `UPDATE_GOLDEN=1` writes them anew, to be looked at.

use clap::Parser;

use super::*;
use crate::config::Config;

const CONFIG: &str = "
app: fraud-watch
kafka:
  bootstrap_servers: b1:9093,b2:9093
  security: { protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: u, password: p }
registry: { url: \"https://registry\" }
datasets: { orders: { topic: orders } }
models:
  fraud:
    inputs: { orders: [amount] }
    predictions: { topic: scores, id: tx, score: p, decision: { score_above: 0.8 } }
    outcomes: { topic: chargebacks, id: tx, label: l, positive: true, horizon: 14d }
topics: { drift_events: Fraud_Drift }
";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: TopicsArgs,
}

fn print(format: &str, more: &[&str]) -> String {
    let line = ["topics", "--config", "drift.yaml", "--format", format];
    let args = Line::parse_from(line.iter().chain(more)).args;
    let planned = Config::parse(CONFIG, "drift.yaml").and_then(|config| config.plan());
    let (plan, deployment) = planned.expect("valid");
    printed(&args, &plan, &deployment)
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn formats_are_those_of_the_files() {
    for (format, file) in [
        ("kafka-acls", "kafka-acls.sh"),
        ("kafka-topics", "kafka-topics.sh"),
        ("strimzi", "strimzi.yaml"),
        ("terraform", "terraform.tf"),
    ] {
        let path = format!("{}/tests/data/golden/topics/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = print(format, &[]);
        if is_update() {
            std::fs::write(&path, &text).expect("written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "{format}: run this test with UPDATE_GOLDEN=1 and look");
    }
}

#[test]
fn names_of_principals_are_quoted_for_the_shell() {
    let text =
        print("kafka-acls", &["--principal", "CN=drift line,O=Bank", "--events-reader", "e"]);

    assert!(text.contains(" --allow-principal 'User:CN=drift line,O=Bank' "), "{text}");
    assert!(text.contains(" --allow-principal User:e "), "{text}");
}

#[test]
fn readers_of_events_and_of_quarantine_read_nothing_else() {
    let text = print("kafka-acls", &[]);
    let of = |principal: &str| -> Vec<&str> {
        let option = format!(" --allow-principal User:{principal} ");
        text.lines().filter_map(|line| line.split_once(&option)).map(|(_, right)| right).collect()
    };

    let events =
        "--operation Read --topic Fraud_Drift --topic retrain-requests --topic action-requests";
    assert_eq!(of("driftline-events"), [events]);
    assert_eq!(of("driftline-quarantine"), ["--operation Read --topic fraud-watch.quarantine"]);
}
