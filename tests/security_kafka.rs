//! The real binary on a real broker with TLS, log-in and an authorizer: the rights that
//! `driftline topics` prints are enough, each one that is taken away is named and waited for, and
//! passwords and certificates can be replaced while it runs.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "says what was measured")]

mod security_support;
mod support;

use std::time::{Duration, Instant};

use security_support::{CANARY, PATIENCE, PrintedRight, Secure};
use support::wait;

/// What is said of a right that is not there, and how it is got.
fn missing(secure: &Secure, right: &PrintedRight) -> (String, String) {
    let said = format!("no right to {} on {}", right.operation, right.subject());
    let servers = &secure.broker.sasl_ssl;
    let command = format!(
        "kafka-acls.sh --bootstrap-server {servers} --add --allow-principal User:NAME {}",
        right.words().join(" ")
    );
    (said, command)
}

/// That `check --connect` names this right alone, with the command that grants it, and ends with 78.
fn assert_check_names(secure: &Secure, right: &PrintedRight) {
    let (code, said) = secure.check();
    assert_eq!(code, Some(78), "{said}");
    let named: Vec<&str> = said.lines().filter(|line| line.contains("no right to")).collect();
    let (missing, command) = missing(secure, right);
    assert!(named.len() == 1 && named[0].contains(&format!("{missing}; ")), "{said}");
    assert!(named[0].ends_with(&command), "{said}");
}

#[test]
fn printed_rights_are_enough_and_each_that_is_taken_away_is_named_and_waited_for() {
    let mut secure = Secure::new("rights");
    let (code, said) = secure.check();
    assert!(code == Some(78) && said.contains("no right to"), "{said}");
    secure.grant_printed();
    let (code, said) = secure.check();
    assert_eq!(code, Some(0), "{said}");

    let mut running = secure.start();
    secure.feed("first", 2000);
    secure.await_all(&running);
    secure.feed("second", 1000);
    secure.await_all(&running);
    let is_told = || secure.broker.end(&secure.events()) > 0;
    wait::until(PATIENCE, is_told, || format!("no event of the change; {}", running.tail()));

    // Requests are not written here, and of settings only the start asks.
    let is_used = |right: &PrintedRight| {
        right.operation != "DescribeConfigs" && !right.name.ends_with("-requests")
    };
    let rights = secure.printed_rights().into_iter();
    let (used, others): (Vec<_>, Vec<_>) = rights.partition(is_used);
    assert_eq!((used.len(), others.len()), (6, 6), "{used:?} {others:?}");
    for (index, right) in used.iter().enumerate() {
        let (started, from) = (Instant::now(), secure.log().len());
        let (missing, _) = missing(&secure, right);
        secure.change("--remove", &right.words());
        secure.feed(&format!("next-{index}"), 200);
        if right.subject().starts_with("transactional") {
            // Of these a cluster tells nothing: the id that was refused is named, not the prefix.
            let refused = format!("waiting: no right to Write on transactional id {}", right.name);
            secure.await_log(from, &refused);
        } else {
            secure.await_log(from, &format!("waiting: {missing}; "));
            assert_check_names(&secure, right);
        }
        secure.change("--add", &right.words());
        secure.await_all(&running);
        assert!(running.is_alive(), "{}", running.tail());
        println!("{missing}: {:?}", started.elapsed());
    }
    // The event of every version is there, those that had to wait too.
    let are_told = || secure.broker.end(&secure.events()) > used.len().try_into().expect("few");
    wait::until(PATIENCE, are_told, || format!("an event is missing; {}", running.tail()));
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");

    for right in &others {
        let started = Instant::now();
        let (missing, command) = missing(&secure, right);
        secure.change("--remove", &right.words());
        let output = secure.driftline(&["run", &secure.config()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert_eq!(said.matches("no right to").count(), 1, "{said}");
        assert!(said.contains(&missing) && said.contains(&command), "{said}");
        secure.change("--add", &right.words());
        println!("{missing}: {:?}", started.elapsed());
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
    let (code, said) = secure.check();
    assert_eq!(code, Some(75), "{said}");
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

#[test]
fn every_way_to_log_in_says_who_we_are_and_wrong_ones_say_why_not() {
    let secure = Secure::new("login");
    let broker = secure.broker;
    secure.change("--add", &["--operation", "Read", "--topic", &secure.source()]);
    broker.set_password(&secure.app, "SCRAM-SHA-256", &format!("first-{CANARY}"));
    broker.certificate(&secure.app, &secure.path("own"));
    std::fs::write(secure.path("token"), broker.token(&secure.app, 3600)).expect("written");
    let connect = |servers: &str, security: &str| {
        secure.configure(servers, security);
        secure.check()
    };
    let bearer = "protocol: SASL_SSL, mechanism: OAUTHBEARER, token: { file: token }";
    let own = format!("ok       source topic {}", secure.source());

    for (servers, security) in [
        (&broker.sasl_ssl, secure.scram("SCRAM-SHA-256")),
        (&broker.sasl_ssl, secure.scram("SCRAM-SHA-512")),
        (&broker.sasl_ssl, bearer.to_owned()),
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
    for (what, token) in [
        ("ended", broker.token(&secure.app, -3600)),
        ("of another signer", broker.token_signed_with(&secure.path("own.key"), &secure.app)),
    ] {
        std::fs::write(secure.path("token"), token).expect("written");
        let (code, said) = connect(&broker.sasl_ssl, bearer);
        assert!(code == Some(75) && said.contains("invalid_token"), "{what}: {said}");
    }
    let wrong = secure.scram("SCRAM-SHA-512").replace("{ file: password }", "wrong");
    let (code, said) = connect(&broker.sasl_ssl, &wrong);
    assert!(code == Some(75) && said.contains("Authentication failed"), "{said}");
    // A certificate that is no authority of the broker's.
    secure.configure_trusting(&secure.path("own.pem"), &broker.sasl_ssl, &wrong);
    let (code, said) = secure.check();
    assert!(code == Some(75) && said.contains("certificate verify failed"), "{said}");
}
