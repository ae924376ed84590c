//! Checks of how connections are secured: which settings belong together, what this build can
//! do, and what must not happen without being asked for.

use std::path::{Path, PathBuf};

use super::Checks;
use crate::config::deployment::{KafkaAccess, RegistryAccess, Secret};
use crate::config::property::{Refused, in_clear, refused};
use crate::config::secret::SecretSource;
use crate::config::security::{
    ClientCertificate, Credentials, KafkaLogin, KafkaSecurity, Oidc, Protocol, RegistryLoginSource,
    RegistrySecurity, TOKEN_PROPERTY, Tls, certificates,
};
use crate::config::written;

const PASSWORD_MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const MECHANISMS: [&str; 5] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"];
const SERVICE: &str = "kafka";
/// Properties with a key of their own, by that key below `kafka.security`.
const TYPED: [(&str, &str); 26] = [
    ("security.protocol", "protocol"),
    ("sasl.mechanism", "mechanism"),
    ("sasl.mechanisms", "mechanism"),
    ("sasl.username", "username"),
    ("sasl.password", "password"),
    (TOKEN_PROPERTY, "token"),
    ("sasl.oauthbearer.method", "oidc"),
    ("sasl.oauthbearer.token.endpoint.url", "oidc.token_url"),
    ("sasl.oauthbearer.client.id", "oidc.client_id"),
    ("sasl.oauthbearer.client.credentials.client.id", "oidc.client_id"),
    ("sasl.oauthbearer.client.secret", "oidc.client_secret"),
    ("sasl.oauthbearer.client.credentials.client.secret", "oidc.client_secret"),
    ("sasl.oauthbearer.scope", "oidc.scope"),
    ("https.ca.location", "oidc.ca"),
    ("https.ca.pem", "oidc.ca"),
    ("sasl.kerberos.principal", "kerberos.principal"),
    ("sasl.kerberos.keytab", "kerberos.keytab"),
    ("sasl.kerberos.service.name", "kerberos.service"),
    ("ssl.ca.location", "ca"),
    ("ssl.ca.pem", "ca"),
    ("ssl.certificate.location", "certificate"),
    ("ssl.certificate.pem", "certificate"),
    ("ssl.key.location", "key"),
    ("ssl.key.pem", "key"),
    ("ssl.key.password", "key_password"),
    ("ssl.keystore.location", "certificate"),
];
/// How Kafka is reached and secured; the properties hold what the files held just now.
pub(super) fn kafka(checks: &mut Checks<'_>, servers: String) -> (KafkaAccess, KafkaSecurity) {
    let written = checks.config.kafka.security.clone();
    let protocol = protocol(checks, &written);
    let security = KafkaSecurity {
        protocol,
        tls: kafka_tls(checks, &written, protocol),
        login: login(checks, &written, protocol),
    };
    let mut access = KafkaAccess { bootstrap_servers: servers, properties: properties(checks) };
    let credentials = Credentials { kafka: security, ..Credentials::default() };
    if let Ok(read) = credentials.kafka(&access) {
        access = read;
    }
    (access, credentials.kafka)
}

fn at(key: &str) -> [&str; 3] {
    ["kafka", "security", key]
}

fn protocol(checks: &mut Checks<'_>, written: &written::Security) -> Protocol {
    let name = written.protocol.as_deref().unwrap_or(Protocol::Plaintext.name());
    let names = Protocol::ALL.map(Protocol::name);
    let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
    if found.is_none() {
        let message = format!("`{name}` is not known");
        checks.problem(&at("protocol"), message, format!("use one of {}", names.join(", ")));
    }
    found.unwrap_or_default()
}

fn kafka_tls(checks: &mut Checks<'_>, written: &written::Security, protocol: Protocol) -> Tls {
    let has_files = written.ca.is_some() || written.certificate.is_some() || written.key.is_some();
    if has_files && !protocol.has_tls() {
        let message = "certificates are given, but `protocol` does not encrypt".into();
        checks.problem(&at("protocol"), message, "use `protocol: SSL` or `SASL_SSL`");
    }
    let files = TlsFiles {
        ca: written.ca.as_deref(),
        certificate: written.certificate.as_deref(),
        key: written.key.as_deref(),
        key_password: written.key_password.as_ref(),
    };
    files.check(checks, &["kafka", "security"])
}

/// Files as written, of either connection.
struct TlsFiles<'a> {
    ca: Option<&'a str>,
    certificate: Option<&'a str>,
    key: Option<&'a str>,
    key_password: Option<&'a SecretSource>,
}

impl TlsFiles<'_> {
    fn check(&self, checks: &mut Checks<'_>, parent: &[&str]) -> Tls {
        let below = |key| [parent, &[key]].concat();
        if self.certificate.is_some() != self.key.is_some() {
            let message = "`certificate` and `key` go together".into();
            checks.problem(parent, message, "give both or none");
        }
        if self.key_password.is_some() && self.key.is_none() {
            let message = "there is no key that it could open".into();
            checks.problem(&below("key_password"), message, "add `key:`, or take it out");
        }
        let ca = self.ca.map(|path| authority(checks, &below("ca"), path));
        let client = self.certificate.zip(self.key).map(|(certificate, key)| ClientCertificate {
            certificate: placed(checks, certificate),
            key: placed(checks, key),
            key_password: self
                .key_password
                .and_then(|source| secret(checks, &below("key_password"), source)),
        });
        let own = Tls { ca: None, client: client.clone() };
        if let Err(error) = own.pems() {
            let at_key = client.is_some_and(|client| certificates(&client.certificate).is_ok());
            let path = below(if at_key { "key" } else { "certificate" });
            checks.problem(&path, error.0, "name a file in PEM");
        }
        Tls { ca, ..own }
    }
}

/// A file of authorities that is there and holds one.
fn authority(checks: &mut Checks<'_>, path: &[&str], written: &str) -> PathBuf {
    let file = placed(checks, written);
    if let Err(error) = certificates(&file) {
        checks.problem(path, error.0, "name a file of certificates in PEM");
    }
    file
}

/// Relative paths start beside the configuration file.
fn placed(checks: &Checks<'_>, written: &str) -> PathBuf {
    checks.config.source.folder().join(Path::new(written))
}

/// A secret that can be read now; later changes are found by reading it again.
pub(super) fn secret(
    checks: &mut Checks<'_>,
    path: &[&str],
    written: &SecretSource,
) -> Option<SecretSource> {
    let source = written.placed(&checks.config.source.folder());
    match source.read() {
        Ok(_) => Some(source),
        Err(message) => {
            checks.problem(path, message, "create the file, or name another");
            None
        }
    }
}

fn login(
    checks: &mut Checks<'_>,
    written: &written::Security,
    protocol: Protocol,
) -> Option<KafkaLogin> {
    let mechanism = written.mechanism.as_deref();
    if let Some(name) = mechanism
        && !MECHANISMS.contains(&name)
    {
        let message = format!("`{name}` is not known");
        let fix = format!("use one of {}", MECHANISMS.join(", "));
        checks.problem(&at("mechanism"), message, fix);
        return None;
    }
    let given = [
        ("username", written.username.is_some()),
        ("password", written.password.is_some()),
        ("token", written.token.is_some()),
        ("oidc", written.oidc.is_some()),
        ("kerberos", written.kerberos.is_some()),
    ];
    let given = || given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| *key);
    if !protocol.has_login() {
        if mechanism.is_some() || given().next().is_some() {
            let message = "a log-in is given, but `protocol` uses none".into();
            checks.problem(&at("protocol"), message, "use `protocol: SASL_SSL`");
        }
        return None;
    }
    let Some(mechanism) = mechanism else {
        checks.problem(&at("mechanism"), "`protocol` asks for a log-in".into(), "add `mechanism:`");
        return None;
    };
    let belonging: &[&str] = match mechanism {
        "OAUTHBEARER" => &["token", "oidc"],
        "GSSAPI" => &["kerberos"],
        _ => &["username", "password"],
    };
    for key in given().filter(|key| !belonging.contains(key)) {
        let message = format!("{mechanism} does not use it");
        checks.problem(
            &at(key),
            message,
            format!("take it out; {mechanism} uses {}", either(belonging)),
        );
    }
    refuse_in_clear(checks, written, protocol, mechanism);
    match mechanism {
        "OAUTHBEARER" => bearer(checks, written),
        "GSSAPI" => kerberos(checks, written),
        _ => password(checks, written, mechanism),
    }
}

fn either(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.join(" and ")
}

/// A password or token must not travel unencrypted by accident.
fn refuse_in_clear(
    checks: &mut Checks<'_>,
    written: &written::Security,
    protocol: Protocol,
    mechanism: &str,
) {
    if written.allow_insecure {
        return;
    }
    if let Some(refused) = in_clear(protocol, mechanism) {
        let fix = "use `protocol: SASL_SSL`, or `allow_insecure: true`";
        checks.problem(&at("protocol"), refused.to_string(), fix);
    }
}

fn password(
    checks: &mut Checks<'_>,
    written: &written::Security,
    mechanism: &str,
) -> Option<KafkaLogin> {
    debug_assert!(PASSWORD_MECHANISMS.contains(&mechanism), "the others are elsewhere");
    for (key, is_given) in
        [("username", written.username.is_some()), ("password", written.password.is_some())]
    {
        if !is_given {
            checks.problem(&at(key), format!("{mechanism} needs it"), format!("add `{key}:`"));
        }
    }
    let source = secret(checks, &at("password"), written.password.as_ref()?)?;
    Some(KafkaLogin::Password {
        mechanism: mechanism.to_owned(),
        username: written.username.clone()?,
        password: source,
    })
}

fn bearer(checks: &mut Checks<'_>, written: &written::Security) -> Option<KafkaLogin> {
    match (&written.token, &written.oidc) {
        (Some(token), None) => secret(checks, &at("token"), token).map(KafkaLogin::Token),
        (None, Some(oidc)) => identity_provider(checks, oidc).map(KafkaLogin::Oidc),
        _ => {
            let message = "OAUTHBEARER takes its tokens from one place".into();
            checks.problem(&at("mechanism"), message, "give either `token:` or `oidc:`");
            None
        }
    }
}

fn identity_provider(checks: &mut Checks<'_>, written: &written::Oidc) -> Option<Oidc> {
    if !cfg!(feature = "oidc") {
        let message = "this build cannot ask an identity provider".into();
        checks.problem(&at("oidc"), message, "build it with `--features oidc`, or give `token:`");
    }
    let path = ["kafka", "security", "oidc"];
    if !written.token_url.starts_with("https://") && !checks.config.kafka.security.allow_insecure {
        let message = "the client secret would travel without encryption".into();
        let path = [&path[..], &["token_url"]].concat();
        checks.problem(&path, message, "start it with https://, or use `allow_insecure: true`");
    }
    let ca_path = [&path[..], &["ca"]].concat();
    let ca = written.ca.as_deref().map(|file| authority(checks, &ca_path, file));
    let secret_path = [&path[..], &["client_secret"]].concat();
    Some(Oidc {
        token_url: written.token_url.clone(),
        client_id: written.client_id.clone(),
        client_secret: secret(checks, &secret_path, &written.client_secret)?,
        scope: written.scope.clone(),
        ca,
    })
}

fn kerberos(checks: &mut Checks<'_>, written: &written::Security) -> Option<KafkaLogin> {
    if !cfg!(feature = "gssapi") {
        let message = "this build has no Kerberos".into();
        checks.problem(&at("mechanism"), message, "build it with `--features gssapi`");
    }
    let Some(kerberos) = &written.kerberos else {
        checks.problem(&at("kerberos"), "GSSAPI needs it".into(), "add `kerberos:`");
        return None;
    };
    let keytab = placed(checks, &kerberos.keytab);
    if let Err(error) = std::fs::File::open(&keytab) {
        let message = format!("cannot read {}: {error}", keytab.display());
        let path = ["kafka", "security", "kerberos", "keytab"];
        checks.problem(&path, message, "create the file, or name another");
    }
    Some(KafkaLogin::Kerberos {
        principal: kerberos.principal.clone(),
        keytab,
        service: kerberos.service.clone().unwrap_or_else(|| SERVICE.to_owned()),
    })
}

/// The properties passed on as they are.
fn properties(checks: &mut Checks<'_>) -> Vec<(String, Secret)> {
    let written = &checks.config.kafka;
    let mut properties = Vec::new();
    for (name, value) in &written.properties {
        let path = ["kafka", "properties", name];
        if let Some((_, key)) = TYPED.iter().find(|(typed, _)| typed == name) {
            let message = format!("`{name}` has a key of its own");
            checks.problem(&path, message, format!("write it as `kafka.security.{key}`"));
        }
        match refused(name, value.0.reveal()) {
            Some(Refused::Unsafe(_)) if written.security.allow_insecure => {}
            Some(refused @ Refused::Unsafe(_)) => {
                let fix = "take it out, or say `kafka.security.allow_insecure: true`";
                checks.problem(&path, refused.to_string(), fix);
            }
            Some(refused) => checks.problem(&path, refused.to_string(), "take it out"),
            None => {}
        }
        properties.push((name.clone(), value.0.clone()));
    }
    properties
}

/// How the registry is reached and secured, but for its addresses.
pub(super) fn registry(
    checks: &mut Checks<'_>,
    urls: Vec<String>,
) -> (RegistryAccess, RegistrySecurity) {
    let Some(written) = checks.config.registry.clone() else {
        return (RegistryAccess::open(urls), RegistrySecurity::default());
    };
    if written.username.is_some() != written.password.is_some() {
        let message = "`username` and `password` go together".into();
        checks.problem(&["registry"], message, "give both or none");
    }
    if written.username.is_some() && written.token.is_some() {
        let message = "there is a user name already".into();
        checks.problem(&["registry", "token"], message, "give one log-in");
    }
    let has_login = written.password.is_some() || written.token.is_some();
    if has_login && !written.allow_insecure && urls.iter().any(|url| url.starts_with("http://")) {
        let message = "a log-in without encryption gives it away".into();
        checks.problem(&["registry", "url"], message, "use https://, or `allow_insecure: true`");
    }
    let files = TlsFiles {
        ca: written.ca.as_deref(),
        certificate: written.certificate.as_deref(),
        key: written.key.as_deref(),
        key_password: None,
    };
    let tls = files.check(checks, &["registry"]);
    let password =
        written.password.as_ref().and_then(|s| secret(checks, &["registry", "password"], s));
    let token = written.token.as_ref().and_then(|s| secret(checks, &["registry", "token"], s));
    let basic = written.username.clone().zip(password);
    let login = basic
        .map(|(user, password)| RegistryLoginSource::Basic(user, password))
        .or(token.map(RegistryLoginSource::Bearer));
    let credentials =
        Credentials { registry: RegistrySecurity { tls, login }, ..Credentials::default() };
    let access = RegistryAccess::open(urls);
    let read = credentials.registry(&access);
    (read.unwrap_or(access), credentials.registry)
}
