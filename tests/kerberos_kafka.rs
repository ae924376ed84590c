//! The real binary logs in by Kerberos: MIT's KDC, a real broker, a keytab of its own.
//!
//! Built with `--features gssapi` alone: `cargo test --features gssapi --test kerberos_kafka`.

mod security_support;
mod support;

use std::time::Duration;

use security_support::Secure;
use support::secured::Secured;

fn login(secure: &Secure, keytab: &str) -> String {
    format!(
        "protocol: SASL_SSL, mechanism: GSSAPI, kerberos: {{ principal: {}, keytab: {keytab} }}",
        secure.app
    )
}

#[test]
fn a_keytab_logs_in_as_its_principal_and_the_key_of_another_does_not() {
    let broker = Secured::with_kerberos();
    let mut secure = Secure::new("kerberos");
    let tickets = format!("FILE:{}", secure.path("tickets").display());
    secure.environment = vec![
        ("KRB5_CONFIG".to_owned(), broker.realm().display().to_string()),
        ("KRB5CCNAME".to_owned(), tickets),
    ];
    secure.grant_printed();
    let other = format!("other-{}", secure.app);
    broker.keytab(&secure.app, &secure.path("own.keytab"));
    broker.keytab(&other, &secure.path("other.keytab"));

    secure.configure(&broker.sasl_ssl, &login(&secure, "other.keytab"));
    let (code, said) = secure.check();
    assert!(code == Some(75) && said.contains("No Kerberos credentials available"), "{said}");

    secure.configure(&broker.sasl_ssl, &login(&secure, "own.keytab"));
    let (code, said) = secure.check();
    assert_eq!(code, Some(0), "{said}");
    let running = secure.start();
    secure.feed("first", 1000);
    secure.await_all(&running);
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");
}
