//! The compose file says the same as the script the tests use: versions, ports, broker settings.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::Value;

const COMPOSE: &str = include_str!("../deploy/compose.yaml");
const SCRIPT: &str = include_str!("../deploy/local/kafka.sh");

fn compose() -> Value {
    serde_saphyr::from_str(COMPOSE).unwrap()
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
    rest.split_once(after).unwrap().0
}

#[test]
fn images_have_the_versions_of_the_script() {
    let services = compose()["services"].clone();
    let kafka = between(SCRIPT, "KAFKA_LIBS=\"$WORK/kafka-", "\"");
    let registry = between(SCRIPT, "REGISTRY_VERSION=", "\n");

    assert_eq!(services["kafka"]["image"], format!("apache/kafka:{kafka}"));
    assert_eq!(services["registry"]["image"], format!("apicurio/apicurio-registry:{registry}"));
}

#[test]
fn ports_are_on_loopback_and_those_of_the_script() {
    let services = compose()["services"].clone();
    for (service, variable) in
        [("kafka", "DRIFTLINE_KAFKA_PORT"), ("registry", "DRIFTLINE_REGISTRY_PORT")]
    {
        let port = between(SCRIPT, &format!("${{{variable}:-"), "}");
        let ports = services[service]["ports"].as_array().unwrap();
        let [published] = ports.as_slice() else { panic!("{ports:?}") };
        let published = published.as_str().unwrap();
        assert!(published.starts_with(&format!("127.0.0.1:{port}:")), "{published}");
    }
}

#[test]
fn the_broker_has_the_settings_of_the_script() {
    let file = between(SCRIPT, "common_settings() {\n  cat <<'PROPERTIES'\n", "\nPROPERTIES");
    let scripted: BTreeMap<&str, &str> =
        file.lines().map(|line| line.split_once('=').unwrap()).collect();
    let environment = compose()["services"]["kafka"]["environment"].clone();
    // Where it listens differs, threads and cleaning are for tests, and data has a home of its own.
    let own = ["log.cleaner.backoff.ms", "num.io.threads", "num.network.threads"];
    for (name, value) in scripted.into_iter().filter(|(name, _)| !own.contains(name)) {
        let variable = format!("KAFKA_{}", name.to_uppercase().replace('.', "_"));
        assert_eq!(environment[&variable], value, "{variable}");
    }
    let advertised = environment["KAFKA_ADVERTISED_LISTENERS"].as_str().unwrap();
    assert!(advertised.contains("://127.0.0.1:29092"), "{advertised}");
}
