//! The client against the stand-in and against servers that misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::config::deployment::{PublicTopics, RegistryAccess, RegistryLogin, Secret};
use crate::observe::{SchemaAnswer, SchemaKey, SchemaLanguage};
use crate::publish::EventKind;

use super::scripted::{NOT_FOUND, Reply, listen, recorded, scripted};
use super::{Options, Registry, RegistryError, SchemaSource, StandIn};

const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(400);
fn options() -> Options {
    Options {
        // Long enough for a good answer on a machine that does other things.
        timeout: Duration::from_millis(1_500),
        first_pause: Duration::from_millis(4),
        longest_pause: Duration::from_millis(40),
        ..Options::default()
    }
}

fn start(url: String, options: Options) -> Registry {
    let access = RegistryAccess::open(vec![url]);
    Registry::start(&access, options).expect("starts")
}

fn call(url: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let address: SocketAddr = url.trim_start_matches("http://").parse().expect("address");
    let mut stream = TcpStream::connect(address).expect("connects");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).expect("status").parse().expect("number");
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn wait_for(source: &mut SchemaSource) -> Vec<(SchemaKey, SchemaAnswer)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answers = source.poll();
        if !answers.is_empty() {
            return answers;
        }
        assert!(Instant::now() < deadline, "no answer");
        std::thread::yield_now();
    }
}

fn is_known(answer: &SchemaAnswer) -> bool {
    matches!(answer, SchemaAnswer::Known(_))
}

#[test]
fn client_recovers_by_itself_from_everything_that_is_no_answer() {
    for bad in [
        Reply::Status(401, r#"{"error_code":40101,"message":"who are you"}"#),
        Reply::Status(403, ""),
        Reply::Status(404, "<html>no such page</html>"),
        Reply::Status(404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
        Reply::Status(429, "slow down"),
        Reply::Status(500, r#"{"error_code":50001,"message":"store"}"#),
        Reply::Status(503, ""),
        Reply::Status(200, "<html>log in first</html>"),
        Reply::Status(200, "{}"),
        Reply::Never,
    ] {
        let (listener, url) = listen();
        let calls = scripted(listener, vec![bad, bad]);
        let registry = start(url, options());

        let answer = registry.fetch(7, PATIENCE).expect("recovers");

        assert!(is_known(&answer), "{bad:?} gave {answer:?}");
        assert_eq!(calls.load(Ordering::SeqCst), 3, "{bad:?}");
        let status = registry.status();
        assert_eq!((status.up, status.failed, status.answered), (Some(true), 2, 1), "{bad:?}");
        assert!(status.last_error.is_some(), "{bad:?}");
        let denied = matches!(bad, Reply::Status(401 | 403, _));
        assert_eq!(status.denied, if denied { 2 } else { 0 }, "{bad:?}");
    }
}

#[test]
fn refused_connection_is_tried_until_the_registry_is_there() {
    let (listener, url) = listen();
    let address = listener.local_addr().expect("address");
    drop(listener);
    let registry = start(url, options());
    let mut source = registry.source();
    source.request(SchemaKey::Id(7), Duration::ZERO);

    let error = registry.fetch(7, SOON).expect_err("nobody listens");

    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert_eq!(registry.status().up, Some(false));
    assert!(source.poll().is_empty(), "an outage is no answer");

    scripted(TcpListener::bind(address).expect("port is free again"), vec![]);

    let answers = wait_for(&mut source);
    assert!(is_known(&answers[0].1));
    assert_eq!(source.pending(), 0);
}

#[test]
fn one_id_is_in_flight_once_whoever_asks() {
    let (listener, url) = listen();
    let calls = scripted(listener, vec![Reply::Never]);
    let registry = start(url, options());
    let mut sources: Vec<SchemaSource> = (0..20).map(|_| registry.source()).collect();

    for source in &mut sources {
        source.request(SchemaKey::Id(7), Duration::ZERO);
        source.request(SchemaKey::Id(7), Duration::ZERO);
    }
    for source in &mut sources {
        let answers = wait_for(source);
        assert_eq!(answers.len(), 1);
        assert!(is_known(&answers[0].1));
    }

    assert_eq!(calls.load(Ordering::SeqCst), 2, "one that never ended, one that did");
}

#[test]
fn nobody_left_to_wait_ends_the_retries() {
    let (listener, url) = listen();
    scripted(listener, vec![Reply::Status(500, ""); 100_000]);
    let registry = start(url, options());
    let mut source = registry.source();
    source.request(SchemaKey::Id(7), Duration::ZERO);
    registry.fetch(8, SOON).expect_err("fails for ever");
    assert!(registry.status().waiting >= 1);

    drop(source);

    let deadline = Instant::now() + PATIENCE;
    while registry.status().waiting > 0 {
        assert!(Instant::now() < deadline, "still trying");
        std::thread::yield_now();
    }
}

#[test]
fn unknown_is_believed_for_its_time_only() {
    for (kept, asked_again) in [(Duration::from_secs(3600), false), (Duration::ZERO, true)] {
        let stand_in = StandIn::start().expect("starts");
        let registry = start(stand_in.url(), Options { useless_kept: kept, ..options() });
        assert_eq!(registry.fetch(1, PATIENCE).expect("answer"), SchemaAnswer::Unknown);

        registry.register("orders-value", r#""string""#, PATIENCE).expect("registers");

        let answer = registry.fetch(1, PATIENCE).expect("answer");
        assert_eq!(is_known(&answer), asked_again, "kept for {kept:?}");
    }
}

#[test]
fn a_schema_that_comes_late_is_waited_for_and_no_longer_than_said() {
    let (listener, url) = listen();
    let calls = scripted(listener, vec![NOT_FOUND; 3]);
    let registry = start(url, options());
    let mut source = registry.source();

    source.request(SchemaKey::Id(7), PATIENCE);
    assert!(is_known(&wait_for(&mut source)[0].1));
    assert_eq!(calls.load(Ordering::SeqCst), 4, "three times there was none");

    let (listener, url) = listen();
    scripted(listener, vec![NOT_FOUND; 100_000]);
    let registry = start(url, options());
    let mut source = registry.source();
    let asked = Instant::now();
    source.request(SchemaKey::Id(7), SOON);
    assert_eq!(wait_for(&mut source)[0].1, SchemaAnswer::Unknown);
    assert!(asked.elapsed() >= SOON, "{:?}", asked.elapsed());
    assert_eq!(registry.fetch(7, PATIENCE).expect("answer"), SchemaAnswer::Unknown);
}

#[test]
fn a_guid_leads_to_the_id_that_cells_are_named_by() {
    let stand_in = StandIn::start().expect("starts");
    let registry = start(stand_in.url(), options());
    registry.register("a-value", r#""long""#, PATIENCE).expect("registers");
    let id = registry.register("orders-value", r#""string""#, PATIENCE).expect("registers");
    let said = call(&stand_in.url(), "GET", &format!("/schemas/ids/{id}"), &Value::Null).1;
    let written = said["guid"].as_str().expect("a guid");
    let guid = u128::from_str_radix(&written.replace('-', ""), 16).expect("hexadecimal");

    let by_guid = registry.fetch(SchemaKey::Guid(guid), PATIENCE).expect("answer");
    let nobody = registry.fetch(SchemaKey::Guid(guid ^ 1), PATIENCE).expect("answer");

    assert_eq!(by_guid, registry.fetch(id, PATIENCE).expect("answer"));
    let SchemaAnswer::Known(schema) = by_guid else { panic!("{by_guid:?}") };
    assert_eq!((schema.id, schema.number), (id, Some(1)));
    assert_eq!(nobody, SchemaAnswer::Unknown);
}

#[test]
fn cache_is_bounded() {
    let (listener, url) = listen();
    let calls = scripted(listener, vec![]);
    let registry = start(url, Options { cached_max: 2, ..options() });

    for id in [1, 2, 3, 3] {
        registry.fetch(id, PATIENCE).expect("answer");
    }

    assert_eq!(registry.status().cached, 2);
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the last was kept");
    registry.fetch(1, PATIENCE).expect("answer");
    assert_eq!(calls.load(Ordering::SeqCst), 4, "the first was not");
}

#[test]
fn second_url_is_asked_when_the_first_is_down_and_credentials_stay_unsaid() {
    let (dead, dead_url) = listen();
    drop(dead);
    let stand_in = StandIn::start().expect("starts");
    let urls = vec![dead_url.replace("http://", "http://user:hunter2@"), stand_in.url()];
    let login = RegistryLogin::Basic("user".to_owned(), Secret::new("hunter2".into()));
    let access = RegistryAccess { login: Some(login), ..RegistryAccess::open(urls) };
    let registry = Registry::start(&access, options()).expect("starts");

    let id = registry.register("orders-value", r#""string""#, PATIENCE).expect("registers");
    let answer = registry.fetch(id, PATIENCE).expect("answer");

    let SchemaAnswer::Known(schema) = answer else { panic!("{answer:?}") };
    assert_eq!((schema.subject.as_deref(), schema.number), (Some("orders-value"), Some(1)));
    assert!(!format!("{registry:?} {:?}", registry.status()).contains("hunter2"));
}

#[test]
fn a_new_log_in_is_sent_from_the_next_call_on() {
    let (listener, url) = listen();
    let heads = recorded(listener);
    let access =
        |login| RegistryAccess { login: Some(login), ..RegistryAccess::open(vec![url.clone()]) };
    let token = |token: &str| access(RegistryLogin::Bearer(Secret::new(token.to_owned())));
    let registry = Registry::start(&token("first"), options()).expect("starts");

    registry.fetch(1, PATIENCE).expect("answer");
    registry.replace(&token("second")).expect("a client");
    registry.fetch(2, PATIENCE).expect("answer");
    let basic = RegistryLogin::Basic("Aladdin".into(), Secret::new("open sesame".into()));
    registry.replace(&access(basic)).expect("a client");
    registry.fetch(3, PATIENCE).expect("answer");

    let heads = heads.lock().expect("no panic");
    let sent = |id: u32| -> Vec<String> {
        let path = format!("GET /schemas/ids/{id}");
        let of = heads.iter().filter(|head| head.starts_with(&path));
        let lines = of.flat_map(|head| head.lines());
        let logins = lines.filter_map(|line| line.split_once(": "));
        logins
            .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .map(|(_, value)| value.to_owned())
            .collect()
    };
    // The schema, and its subject.
    assert_eq!(sent(1), ["Bearer first"; 2]);
    assert_eq!(sent(2), ["Bearer second"; 2]);
    assert_eq!(sent(3), ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="; 2]);
}

#[test]
fn a_log_in_that_is_refused_is_said_to_be() {
    let (listener, url) = listen();
    scripted(listener, vec![Reply::Status(401, r#"{"error_code":40101,"message":"who?"}"#); 99]);
    let registry = start(url, options());

    let error = registry.fetch(1, Duration::from_millis(200)).unwrap_err().to_string();

    assert!(error.contains("the log-in or certificate under `registry:` is refused"), "{error}");
    assert!(error.contains("401"), "{error}");
}

#[test]
fn json_schema_is_passed_on_and_what_nobody_reads_is_unreadable_not_unknown() {
    let stand_in = StandIn::start().expect("starts");
    let path = "/subjects/j-value/versions";
    for (kind, schema) in [("JSON", r#"{"type":"object"}"#), ("PROTOBUF", "message M {}")] {
        let body = json!({ "schema": schema, "schemaType": kind });
        assert_eq!(call(&stand_in.url(), "POST", path, &body).0, 200);
    }
    let registry = start(stand_in.url(), options());

    let json = registry.fetch(1, PATIENCE).expect("answer");
    let protobuf = registry.fetch(2, PATIENCE).expect("answer");

    let SchemaAnswer::Known(json) = json else { panic!("{json:?}") };
    assert_eq!((json.schema.as_str(), json.number), (r#"{"type":"object"}"#, Some(1)));
    assert_eq!(json.language, SchemaLanguage::Json);
    assert!(matches!(protobuf, SchemaAnswer::Unreadable(_)), "{protobuf:?}");
}

#[test]
fn references_are_put_in_their_place() {
    let stand_in = StandIn::start().expect("starts");
    let money = r#"{"type":"record","name":"Money","namespace":"shop","fields":[]}"#;
    let order = r#"{"type":"record","name":"Order","namespace":"shop",
        "fields":[{"name":"amount","type":"shop.Money"}]}"#;
    call(&stand_in.url(), "POST", "/subjects/money/versions", &json!({ "schema": money }));
    let references = json!([{ "name": "shop.Money", "subject": "money", "version": 1 }]);
    let body = json!({ "schema": order, "references": references });
    call(&stand_in.url(), "POST", "/subjects/orders-value/versions", &body);

    let answer = start(stand_in.url(), options()).fetch(2, PATIENCE).expect("answer");

    let SchemaAnswer::Known(schema) = answer else { panic!("{answer:?}") };
    assert!(apache_avro::Schema::parse_str(&schema.schema).is_ok(), "{}", schema.schema);
}

#[test]
fn refusal_is_told_at_once_and_not_tried_again() {
    let (listener, url) = listen();
    let refusal = r#"{"error_code":409,"message":"incompatible"}"#;
    let calls = scripted(listener, vec![Reply::Status(503, ""), Reply::Status(409, refusal)]);

    let error = start(url, options()).register("s", r#""string""#, PATIENCE).expect_err("refused");

    assert!(matches!(error, RegistryError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("incompatible"), "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[test]
fn event_schemas_are_registered_once_and_read_back() {
    let stand_in = StandIn::start().expect("starts");
    let registry = start(stand_in.url(), options());
    let topics = PublicTopics::default();

    let first = registry.register_event_schemas(&topics, PATIENCE).expect("registers");
    let again = registry.register_event_schemas(&topics, PATIENCE).expect("registers");

    assert_eq!(first, again);
    for kind in EventKind::ALL {
        let answer = registry.fetch(first.id(kind), PATIENCE).expect("answer");
        let SchemaAnswer::Known(schema) = answer else { panic!("{answer:?}") };
        assert_eq!(schema.subject, Some(kind.subject(&topics)));
        let parsed = apache_avro::Schema::parse_str(&schema.schema).expect("schema");
        assert_eq!(parsed, kind.schema());
    }
}

#[test]
fn stand_in_speaks_as_the_real_one() {
    let stand_in = StandIn::start().expect("starts");
    let url = stand_in.url();
    let get = |path: &str| call(&url, "GET", path, &Value::Null);
    let post = |path: &str, body: Value| call(&url, "POST", path, &body);
    let error = |(status, body): (u16, Value)| (status, body["error_code"].as_u64());

    let versions = "/subjects/team%2Forders-value/versions";
    assert_eq!(post(versions, json!({ "schema": "\"string\"" })).1, json!({ "id": 1 }));
    assert_eq!(post(versions, json!({ "schema": "\"long\"" })).1, json!({ "id": 2 }));
    assert_eq!(post(versions, json!({ "schema": " \"string\" " })).1, json!({ "id": 1 }));
    let other = "/subjects/b-value/versions";
    assert_eq!(post(other, json!({ "schema": "\"long\"" })).1, json!({ "id": 2 }));

    assert_eq!(get("/subjects").1, json!(["b-value", "team/orders-value"]));
    assert_eq!(get(versions).1, json!([1, 2]));
    let long = get("/schemas/ids/2?deleted=true").1;
    assert_eq!(long["schema"], "\"long\"");
    let guid = long["guid"].as_str().expect("a guid").to_owned();
    assert_eq!(get(&format!("/schemas/guids/{guid}")).1, long);
    let ids = get(&format!("/schemas/guids/{guid}/ids")).1;
    assert_eq!(ids, json!([{ "context": ".", "id": 2 }]));
    assert_eq!(
        error(get("/schemas/guids/00000000-0000-0000-0000-000000000000")),
        (404, Some(40403))
    );
    assert_eq!(
        get("/schemas/ids/2/versions").1,
        json!([
            { "subject": "b-value", "version": 1 },
            { "subject": "team/orders-value", "version": 2 },
        ])
    );
    let latest = get("/subjects/team%2Forders-value/versions/latest").1;
    assert_eq!((&latest["id"], &latest["version"]), (&json!(2), &json!(2)));
    let found = post("/subjects/team%2Forders-value", json!({ "schema": "\"string\"" })).1;
    assert_eq!((&found["id"], &found["version"]), (&json!(1), &json!(1)));

    assert_eq!(error(get("/schemas/ids/9")), (404, Some(40403)));
    assert_eq!(error(get("/schemas/ids/9/versions")), (404, Some(40403)));
    assert_eq!(error(get("/subjects/none/versions")), (404, Some(40401)));
    assert_eq!(error(get("/subjects/b-value/versions/9")), (404, Some(40402)));
    assert_eq!(error(get("/subjects/b-value/versions/0")), (404, Some(40402)));
    assert_eq!(error(post(other, json!({ "schema": "{" }))), (422, Some(42201)));
}

#[test]
fn tags_beside_a_schema_and_those_it_refers_to_come_with_it() {
    let stand_in = StandIn::start().expect("starts");
    let post = |subject: &str, body: Value| {
        let path = format!("/subjects/{subject}/versions");
        assert_eq!(call(&stand_in.url(), "POST", &path, &body).0, 200);
    };
    let tags = |pattern: &str, tag: &str| json!({ "tags": { pattern: [tag] } });
    let money = r#"{"type":"record","name":"Money","namespace":"shop","fields":[]}"#;
    let order = r#"{"type":"record","name":"Order","namespace":"shop",
        "fields":[{"name":"amount","type":"shop.Money"}]}"#;
    post("money", json!({ "schema": money, "metadata": tags("shop.Money.unit", "PUBLIC") }));
    let references = json!([{ "name": "shop.Money", "subject": "money", "version": 1 }]);
    let beside = tags("**.amount", "PII");
    post("o-value", json!({ "schema": order, "references": references, "metadata": beside }));
    post("o-value", json!({ "schema": order.replace("Order", "Other"), "references": references }));
    let registry = start(stand_in.url(), options());

    let known = |id| match registry.fetch(id, PATIENCE) {
        Ok(SchemaAnswer::Known(schema)) => schema.tags,
        other => panic!("{other:?}"),
    };
    let told: Vec<(String, Vec<String>)> = known(2).into_iter().collect();
    let expected = [("**.amount", "PII"), ("shop.Money.unit", "PUBLIC")];
    assert_eq!(told, expected.map(|(pattern, tag)| (pattern.to_owned(), vec![tag.to_owned()])));
    assert_eq!(known(3).len(), 1, "its reference's own");
    assert!(known(1).contains_key("shop.Money.unit"));
}
