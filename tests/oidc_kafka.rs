//! The real binary logs in with tokens of an identity provider, on a real broker that checks their
//! signatures and turns away who shows no new one in time.
//!
//! Built with `--features oidc` alone: `cargo test --features oidc --test oidc_kafka`.

#![allow(clippy::disallowed_methods, reason = "tokens end by the clock")]

#[path = "security_support/identity_provider.rs"]
mod identity_provider;
mod security_support;
mod support;

use std::time::{Duration, Instant};

use identity_provider::{IdentityProvider, Mood};
use security_support::{CANARY, PATIENCE, Secure};
use support::wait;

/// How long a token is good: short, so that it ends often while the test lasts.
const TOKEN: Duration = Duration::from_secs(20);
/// How long the broker takes it after that.
const SKEW: Duration = Duration::from_secs(2);

/// A deployment that logs in by the provider, which knows it by this secret.
fn with_provider(test: &str) -> (Secure, IdentityProvider) {
    let secure = Secure::new(test);
    let provider = IdentityProvider::start(secure.broker, &secure.app, TOKEN);
    set_secret(&secure, &provider, "first");
    (secure, provider)
}

fn set_secret(secure: &Secure, provider: &IdentityProvider, which: &str) {
    let secret = format!("{which}-{CANARY}");
    provider.set_secret(&secret);
    std::fs::write(secure.path("secret"), secret).expect("written");
}

fn login(secure: &Secure, provider: &IdentityProvider, ca: &str) -> String {
    let (app, url) = (&secure.app, &provider.url);
    format!(
        "protocol: SASL_SSL, mechanism: OAUTHBEARER, oidc: {{ token_url: \"{url}\", client_id: \
         {app}, client_secret: {{ file: secret }}, scope: drift, ca: {ca} }}"
    )
}

fn configure(secure: &Secure, provider: &IdentityProvider) {
    let ca = secure.broker.ca().display().to_string();
    secure.configure(&secure.broker.sasl_ssl, &login(secure, provider, &ca));
}

/// Waits until the broker takes no token any more that was given by now.
fn await_end_of_tokens() {
    let end = Instant::now() + TOKEN + SKEW;
    wait::until(PATIENCE, || Instant::now() > end, || "the clock stands".to_owned());
}

#[test]
fn tokens_are_renewed_while_it_runs_and_a_provider_that_is_away_is_waited_for() {
    let (mut secure, provider) = with_provider("oidc");
    secure.grant_printed();
    configure(&secure, &provider);
    let mut running = secure.start();
    secure.feed("first", 1000);
    secure.await_all(&running);

    await_end_of_tokens();
    secure.feed("second", 500);
    secure.await_all(&running);

    // Away for longer than any token lasts.
    provider.set_mood(Mood::Down);
    let refused = || provider.counts().1 > 0;
    wait::until(PATIENCE, refused, || format!("{:?} tokens", provider.counts()));
    await_end_of_tokens();
    assert!(running.is_alive(), "{}", running.tail());
    provider.set_mood(Mood::Giving);
    secure.feed("third", 500);
    secure.await_all(&running);
    assert!(running.is_alive(), "{}", running.tail());

    let from = secure.log().len();
    set_secret(&secure, &provider, "second");
    secure.await_log(from, "new credentials of Kafka");
    secure.feed("fourth", 500);
    secure.await_all(&running);
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");
    assert!(!secure.log().contains(CANARY), "a secret is in the log");
    assert!(!secure.log().contains("eyJ"), "a token is in the log");
}

#[test]
fn a_log_in_that_the_provider_refuses_says_why_and_shows_no_secret() {
    let (secure, provider) = with_provider("oidcno");
    secure.change("--add", &["--operation", "Read", "--topic", &secure.source()]);
    configure(&secure, &provider);
    let (code, said) = secure.check();
    let own = format!("ok       source topic {}", secure.source());
    assert!(code == Some(78) && said.contains(&own), "{said}");

    // The provider's certificate is of an authority that is not trusted.
    secure.broker.certificate(&secure.app, &secure.path("own"));
    secure.configure(&secure.broker.sasl_ssl, &login(&secure, &provider, "own.pem"));
    let (code, said) = secure.check();
    assert!(code == Some(75) && said.contains("certificate"), "{said}");

    configure(&secure, &provider);
    std::fs::write(secure.path("secret"), format!("wrong-{CANARY}")).expect("written");
    let (code, said) = secure.check();
    assert!(code == Some(75) && said.contains("invalid_client"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}
