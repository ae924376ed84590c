//! Every rule, and what its message looks like.

use super::deployment::{RegistryLogin, Secret};
use super::plan::{Decision, FieldSelection, Locator, TimeSource, ValuePolicy, WantedKind};
use super::values::Keeps;
use super::*;

const FULL: &str = r#"
app: fraud-watch
kafka:
  bootstrap_servers: ${KAFKA}
  security: { protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: me, password: "${PASS}" }
  properties: { socket.keepalive.enable: true }
registry: { url: ["http://one:8081/", "http://two:8081"] }
values: { secret_key: "${VALUES_KEY}", drop_tags: [GDPR], quarantine: hash }
datasets:
  orders:
    topic: orders
    owner: payments-team
    event_time: { field: created_at }
    producer: { header: app }
    window: { size: 1h, lateness: 5m }
    bounds: { past: 7d, future: 10m }
    fields:
      amount: { unit: USD, required: true, min: 0 }
      country: { kind: categorical, values: keep, allowed: [DE, 7, true] }
      card: { values: hash }
  clicks:
    topic: clicks
    window: { size: 2h, lateness: 30m }
    only: [amount]
models:
  fraud:
    predictions:
      topic: scores
      id: tx_id
      score: p_fraud
      decision: { score_above: 0.8 }
      version: model_version
      time: scored_at
      exposure:
        orders: { schema: [{ header: schema_id }, schema], producer: { header: app } }
    outcomes:
      topic: chargebacks
      id: tx_id
      label: is_fraud
      positive: true
      absent: negative_after_horizon
      horizon: 14d
    inputs: { orders: [amount, country], clicks: }
act_within: 3h
limits: { memory: 1GiB }
http: { listen: off }
"#;

fn config(text: &str) -> Result<Config, ConfigError> {
    let env = |name: &str| match name {
        "KAFKA" => Some("broker:9092".to_owned()),
        "PASS" => Some("hunter2".to_owned()),
        "VALUES_KEY" => Some("hunter2 hunter2 hunter2 hunter2 hunter2".to_owned()),
        "LIMIT" => Some("0.25".to_owned()),
        _ => None,
    };
    Config::parse_with(text, "drift.yaml", &env)
}

fn plan(text: &str) -> (Plan, Deployment) {
    config(text).and_then(|config| config.plan()).expect("a valid configuration")
}

/// The whole message, all lines.
fn check(text: &str, expected: &str) {
    let error = config(text).and_then(|config| config.plan()).expect_err("must be refused");
    assert_eq!(error.to_string(), expected);
}

/// A dataset with more lines, and what is wrong with them.
fn check_dataset(lines: &str, expected: &str) {
    let text = format!("app: a\ndatasets:\n  orders:\n    topic: orders\n    {lines}\n");
    check(&text, expected);
}

/// The model's predictions are on lines 5 to 9; `predictions` goes to line 9, `rest` to 10.
fn check_model(predictions: &str, rest: &str, expected: &str) {
    let text = format!(
        "app: a\ndatasets: {{ orders: {{ topic: orders }} }}\nmodels:\n  fraud:\n    predictions:\n      \
         topic: scores\n      id: tx\n      version: v\n      {predictions}\n    {rest}\n"
    );
    check(&text, expected);
}

const DECIDED: &str = "decision: { field: flag, equals: true }";

#[test]
fn a_topic_alone_is_a_dataset_with_every_default() {
    let (plan, deployment) = plan("app: a\ndatasets: { orders: { topic: orders } }");

    let orders = &plan.datasets["orders"];
    assert_eq!(orders.window.ms(), 3_600_000);
    assert_eq!(orders.lateness_ms, 300_000);
    assert_eq!(orders.event_time, TimeSource::Record);
    assert_eq!(orders.bounds.past_ms, 30 * 86_400_000);
    assert_eq!(orders.bounds.future_ms, 3_600_000);
    assert!(matches!(&orders.fields, FieldSelection::All(named) if named.is_empty()));
    assert_eq!(plan.act_within_ms, 7_200_000);
    assert_eq!(plan.hold_max_ms, 600_000);
    assert_eq!(plan.limits.memory_bytes, 512 << 20);
    assert_eq!(plan.limits.cells_per_window, 64);
    assert_eq!(deployment.commit_interval.as_secs(), 30);
    assert_eq!(deployment.kafka.bootstrap_servers, "localhost:9092");
    assert_eq!(deployment.http.map(|at| at.to_string()).as_deref(), Some("127.0.0.1:9464"));
    assert!(deployment.registry.is_none());
}

#[test]
fn what_is_written_is_in_the_plan() {
    let (plan, deployment) = plan(FULL);

    let FieldSelection::All(fields) = &plan.datasets["orders"].fields else { panic!("all") };
    assert_eq!(fields["amount"].min, Some(0.0));
    assert!(fields["amount"].required);
    assert_eq!(fields["country"].kind, Some(WantedKind::Category));
    assert_eq!(fields["country"].allowed, ["DE", "7", "true"]);
    assert_eq!(fields["card"].values, ValuePolicy::Hash);
    assert!(plan.values.key.is_some());
    assert_eq!((plan.values.drop_tags, plan.values.quarantine), (vec!["GDPR".into()], Keeps::Hash));
    assert!(plan.datasets["clicks"].fields.watches("amount"));
    assert!(!plan.datasets["clicks"].fields.watches("other"));
    let fraud = &plan.models["fraud"];
    assert_eq!(fraud.predictions.id, Locator::Field("tx_id".into()));
    assert_eq!(fraud.predictions.decision, Decision::ScoreAbove(0.8));
    assert_eq!(
        fraud.predictions.exposure["orders"].schema,
        [Locator::Header("schema_id".into()), Locator::Field("schema".into())]
    );
    assert_eq!(fraud.outcomes.as_ref().map(|o| o.positive.clone()), Some(vec!["true".into()]));
    assert_eq!(fraud.inputs["clicks"], Vec::<String>::new());
    assert_eq!(plan.act_within_ms, 3 * 3_600_000);
    assert_eq!(deployment.kafka.bootstrap_servers, "broker:9092");
    assert_eq!(deployment.registry.as_ref().map(|r| r.urls[0].as_str()), Some("http://one:8081"));
    assert_eq!(deployment.http, None);
    let password = ("sasl.password".to_owned(), Secret::new("hunter2".into()));
    assert!(deployment.kafka.properties.contains(&password));
}

#[test]
fn a_model_takes_the_largest_window_and_lateness_of_its_inputs() {
    let (plan, _) = plan(FULL);

    assert_eq!(plan.models["fraud"].window.ms(), 2 * 3_600_000);
    assert_eq!(plan.models["fraud"].lateness_ms, 30 * 60_000);
}

#[test]
fn short_windows_shorten_lateness_and_commits() {
    let (plan, deployment) = plan("app: a\ndatasets: { o: { topic: o, window: { size: 2m } } }");

    assert_eq!(plan.datasets["o"].lateness_ms, 120_000);
    assert_eq!(deployment.commit_interval.as_millis(), 1_000);
}

#[test]
fn secrets_are_in_no_output() {
    let config = config(FULL).expect("valid");
    let (plan, deployment) = config.plan().expect("valid");

    assert!(!format!("{config:?} {plan:?} {deployment:?}").contains("hunter2"));
}

#[test]
fn a_secret_beside_an_error_is_masked() {
    let text = "app: a\nkafka: { security: { password: hunter2, protocl: SSL } }\n";
    let error = config(text).expect_err("unknown key");

    let shown = format!("{error} {error:?} {:?}", error.report());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_secret_over_several_lines_is_masked() {
    let text = "app: a\nkafka:\n  properties:\n    ssl.key.pem: |\n      hunter2\n      hunter3\n    \
                group.id: x\ndatasets: { o: { topic: o } }\n";
    let error = config(text).and_then(|config| config.plan()).expect_err("own property");

    let shown = format!("{error} {:?}", error.report());
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("group.id"), "{shown}");
}

#[test]
fn a_secret_is_read_from_a_file_beside_the_configuration() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("key"), "s3cret\n").expect("write");
    let path = folder.path().join("drift.yaml");
    let text = "app: a\ndatasets: { o: { topic: o } }\nregistry: { url: https://r, username: u, \
                password: { file: key } }\n";
    std::fs::write(&path, text).expect("write");

    let (_, deployment) = Config::load(&path).and_then(|config| config.plan()).expect("valid");

    let login = deployment.registry.and_then(|registry| registry.login);
    assert_eq!(login, Some(RegistryLogin::Basic("u".into(), Secret::new("s3cret".into()))));
}

#[test]
fn numbers_come_from_the_environment_too() {
    let text = FULL.replace("score_above: 0.8", "score_above: \"${LIMIT}\"");

    let (plan, _) = plan(&text);

    assert_eq!(plan.models["fraud"].predictions.decision, Decision::ScoreAbove(0.25));
}

#[test]
fn shape_errors_name_place_value_and_fix() {
    check(
        "app: a\ndatasets:\n  orders:\n    topic: orders\n    windw: { size: 1h }\n",
        "drift.yaml:5:5: datasets.orders: unknown key `windw`; did you mean `window`?",
    );
    check_dataset(
        "segments: [[channel]]",
        "drift.yaml:5:5: datasets.orders: unknown key `segments`; known here: topic, owner, \
         event_time, producer, schema_version, window, bounds, fields, only, quarantine_breaches",
    );
    check_dataset(
        "window: { size: 1 hour }",
        "drift.yaml:5:21: datasets.orders.window.size: invalid value: string \"1 hour\", expected \
         a duration such as 500ms, 5m, 1h or 14d",
    );
    check_dataset(
        "window: { size: 60 }",
        "drift.yaml:5:21: datasets.orders.window.size: invalid type: integer `60`, expected a \
         duration such as 500ms, 5m, 1h or 14d",
    );
    check_dataset(
        "fields: { a: { kind: number } }",
        "drift.yaml:5:26: datasets.orders.fields.a.kind: `number` is not known; use one of \
         numeric, categorical",
    );
    check_dataset(
        "producer: { header: a, field: b }",
        "drift.yaml:5:5: datasets.orders.producer: `field` and `header` cannot both be given \
         here; keep one of them",
    );
    check_dataset(
        "event_time: a..b",
        "drift.yaml:5:17: datasets.orders.event_time: `a..b` is no path of a field; write names \
         with single dots between, as in `user.id`",
    );
    check(
        "app: a\ndatasets: { orders: { owner: me } }\n",
        "drift.yaml:2:13: datasets.orders: `topic` is missing; add `topic:`",
    );
    check("datasets: {}", "drift.yaml:1:1: `app` is missing; add `app:`");
    check(
        "app: ${NOPE}\n",
        "drift.yaml:1:6: app: the environment variable NOPE is not set; set it, or write \
         `${NOPE:-default}`",
    );
}

#[test]
fn broken_yaml_names_its_place() {
    let error = config("app: a\ndatasets: [\n").expect_err("not closed").to_string();
    assert!(error.starts_with("drift.yaml:"), "{error}");
    assert!(error.contains("this is not valid YAML"), "{error}");

    let twice = config("app: a\ndatasets:\n  o: { topic: a }\n  o: { topic: b }\n");
    let error = twice.expect_err("one name twice").to_string();
    assert!(error.starts_with("drift.yaml:4:"), "{error}");
    assert!(error.contains("duplicate"), "{error}");
}

#[test]
fn an_unreadable_file_is_named() {
    let error = Config::load(Path::new("/no/such.yaml")).expect_err("absent").to_string();
    assert!(error.starts_with("/no/such.yaml: cannot read the file: "), "{error}");
}

#[test]
fn all_problems_of_meaning_are_told_at_once() {
    check(
        "app: Fraud\ndatasets:\n  o:\n    topic: o\n    window: { size: 1m, lateness: 5m }\n",
        "drift.yaml:1:6: app: `Fraud` cannot be an app; use 1 to 64 of a-z, 0-9 and `-`\n\
         drift.yaml:5:35: datasets.o.window.lateness: 5m is longer than the window of 1m; use at \
         most 1m, or a larger window",
    );
    let error = config("app: A\nhold_max: 0s").and_then(|c| c.plan()).expect_err("refused");
    assert!(format!("{:?}", error.report()).contains("drift.yaml has 3 problems"));
}

#[test]
fn datasets_are_checked() {
    check(
        "app: a",
        "drift.yaml: datasets: nothing is watched; name a dataset: `datasets: { \
                     orders: { topic: orders } }`",
    );
    check_dataset(
        "window: { size: 0s }",
        "drift.yaml:5:21: datasets.orders.window.size: must be longer than 0s; give a duration \
         such as 1h",
    );
    check(
        "app: a\ndatasets: { __x: { topic: a b } }",
        "drift.yaml:2:13: datasets.__x: `__x` cannot be a name; use 1 to 64 of a-z, A-Z, 0-9, \
         `.`, `_` and `-`, not starting with `__`\n\
         drift.yaml:2:27: datasets.__x.topic: `a b` cannot be a Kafka topic; use 1 to 249 of \
         a-z, A-Z, 0-9, `.`, `_` and `-`",
    );
    check(
        "app: a\ndatasets: { a: { topic: o }, b: { topic: o } }",
        "drift.yaml:2:42: datasets.b.topic: topic `o` is already dataset `a`; a topic is one \
         dataset: put the fields of both into one",
    );
    check_dataset(
        "fields: { x: { min: 3, max: 1 } }",
        "drift.yaml:5:15: datasets.orders.fields.x: min 3 is above max 1: no value is allowed; \
         swap them",
    );
    check_dataset(
        "fields: { x: { kind: categorical, max: 1 } }",
        "drift.yaml:5:15: datasets.orders.fields.x: a category has no min or max; use `allowed`, \
         or `kind: numeric`",
    );
    check_dataset(
        "only: [x]\n    fields: { y: }",
        "drift.yaml:6:15: datasets.orders.fields.y: `y` is not watched: it is not in `only`; add \
         it to `only`, or take it out of `fields`",
    );
}

#[test]
fn predictions_are_checked() {
    check_model(
        "decision: { score_above: 0.5 }",
        "",
        "drift.yaml:9:7: models.fraud.predictions.decision: `score_above` needs a score; add \
         `score:` to the predictions",
    );
    check_model(
        "decision: { score_above: 80 }",
        "",
        "drift.yaml:9:7: models.fraud.predictions.decision: `score_above` needs a score; add \
         `score:` to the predictions\n\
         drift.yaml:9:32: models.fraud.predictions.decision.score_above: no score in [0, 1] can \
         tell anything by being above 80; use a number from 0 to below 1",
    );
    check_model(
        "decision: { field: flag }",
        "",
        "drift.yaml:9:7: models.fraud.predictions.decision: it is not said which values are \
         positive; add `equals:` with the values that are positive",
    );
    check_model(
        "decision:",
        "",
        "drift.yaml:9:7: models.fraud.predictions.decision: it is not said what a positive \
         decision is; write `{ score_above: 0.5 }` or `{ field: decision, equals: [yes] }`",
    );
}

#[test]
fn lineage_is_checked() {
    check_model(
        DECIDED,
        "inputs: { order: [] }",
        "drift.yaml:10:15: models.fraud.inputs.order: there is no dataset `order`; did you mean \
         `orders`?",
    );
    let exposed =
        "decision: { field: flag, equals: true }\n      exposure: { orders: { schema: s } }";
    check_model(
        exposed,
        "",
        "drift.yaml:10:19: models.fraud.predictions.exposure.orders: `orders` is not among the \
         inputs; add `orders: []` to `models.fraud.inputs`",
    );
    check_model(
        "decision: { field: flag, equals: true }\n      exposure: { orders: }",
        "inputs: { orders: }",
        "drift.yaml:10:19: models.fraud.predictions.exposure.orders: it names no place; add \
         `schema:` and `producer:` with the places that hold them",
    );
}

#[test]
fn outcomes_are_checked() {
    check_model(
        DECIDED,
        "outcomes: { topic: o, id: i, label: l, positive: [], horizon: 0s }",
        "drift.yaml:10:67: models.fraud.outcomes.horizon: must be longer than 0s; give a duration \
         such as 1h\n\
         drift.yaml:10:44: models.fraud.outcomes.positive: no label is positive; name one: \
         `positive: [true]`",
    );
    check_model(
        DECIDED,
        "outcomes: { topic: o, id: i, label: l, positive: true }",
        "drift.yaml:10:5: models.fraud.outcomes: `horizon` is missing; add `horizon:`",
    );
}

#[test]
fn the_deployment_is_checked() {
    let check = |lines: &str, expected: &str| {
        check(&format!("app: a\ndatasets: {{ o: {{ topic: o }} }}\n{lines}\n"), expected);
    };
    check(
        "topics: { drift_events: o, action_requests: a.facts }",
        "drift.yaml:3:25: topics.drift_events: `o` is already taken: read as datasets.o.topic; \
         choose another name\n\
         drift.yaml:3:45: topics.action_requests: `a.facts` is already taken: an internal topic; \
         choose another name",
    );
    check(
        "kafka: { properties: { group.id: mine } }",
        "drift.yaml:3:34: kafka.properties.group.id: `group.id` is set by Driftline; take it out",
    );
    check(
        "kafka: { security: { protocol: SASL_SSL } }",
        "drift.yaml:3:10: kafka.security.mechanism: `protocol` asks for a log-in; add \
         `mechanism:`",
    );
    check(
        "registry: { url: registry:8081 }",
        "drift.yaml:3:18: registry.url: `registry:8081` is no address of a registry; start it \
         with http:// or https://",
    );
    check(
        "http: { listen: 9464x }",
        "drift.yaml:3:17: http.listen: `9464x` is no address to listen on; write an IP address \
         and a port, as in 127.0.0.1:9464, or `off`",
    );
    check(
        "limits: { memory: 1MiB }",
        "drift.yaml:3:19: limits.memory: 1 MiB is too little; give at least 64MiB",
    );
    check(
        "commit: { interval: 2h }",
        "drift.yaml:3:21: commit.interval: 2h is longer than the smallest window of 1h; leave it \
         out, or shorten it",
    );
    check(
        "registry: { url: \"https://r\", username: u, password: { file: /no/such } }",
        "drift.yaml:3:44: registry.password: cannot read /no/such: No such file or directory (os \
         error 2); create the file, or name another",
    );
}

#[test]
fn a_dataset_cannot_read_an_internal_topic() {
    check(
        "app: a\ndatasets: { o: { topic: a.summaries } }",
        "drift.yaml:2:25: datasets.o.topic: `a.summaries` is an internal topic of this app; read \
         another topic, or change `app`",
    );
}

#[test]
fn the_definition_follows_meaning_alone() {
    let definition = |text: &str| plan(text).0.datasets["orders"].definition;
    let of = |lines: &str| {
        definition(&format!("app: a\ndatasets:\n  orders:\n    topic: orders\n    {lines}\n"))
    };
    let plain = of("");

    assert_eq!(of("owner: me"), plain);
    assert_eq!(of("window: { size: 60m }"), plain);
    assert_eq!(of("fields: { x: { unit: USD } }"), plain);
    assert_ne!(of("window: { size: 30m }"), plain);
    assert_ne!(of("producer: { header: app }"), plain);
    assert_ne!(of("producer: { header: app }"), of("producer: { field: app }"));
    assert_ne!(of("fields: { x: { min: 0 } }"), plain);
    assert_ne!(of("only: [x]"), plain);
    assert_ne!(of("only: [x]"), of("only: [x, y]"));
}

#[test]
fn the_definition_is_the_same_in_every_build() {
    let (plan, _) = plan(FULL);

    assert_eq!(plan.datasets["orders"].definition, 2_907_708_104_621_233_417);
    assert_eq!(plan.models["fraud"].definition, 4_643_645_696_429_564_056);
}
