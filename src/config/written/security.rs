//! Encryption and log-in, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::scalar::{OneOrMany, Text};
use crate::config::secret::SecretSource;

/// Encryption and log-in. Files are read again when they change: passwords, tokens and
/// certificates can be replaced while Driftline runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`. Default: PLAINTEXT.
    pub protocol: Option<String>,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `GSSAPI`.
    pub mechanism: Option<String>,
    /// User name, for PLAIN and SCRAM.
    pub username: Option<String>,
    /// Password, for PLAIN and SCRAM.
    pub password: Option<SecretSource>,
    /// Token, for OAUTHBEARER, where something else renews it: best `{ file: path }`.
    pub token: Option<SecretSource>,
    /// Identity provider to ask for tokens, for OAUTHBEARER. Needs a build with `oidc`.
    pub oidc: Option<Oidc>,
    /// Kerberos, for GSSAPI. Needs a build with `gssapi`.
    pub kerberos: Option<Kerberos>,
    /// File of the authorities that the brokers' certificates must come from, in PEM. Default:
    /// those of the system.
    pub ca: Option<String>,
    /// File of our own certificate and those above it, in PEM, where brokers ask for one.
    pub certificate: Option<String>,
    /// File of the private key of `certificate`, in PEM.
    pub key: Option<String>,
    /// What `key` is encrypted with.
    pub key_password: Option<SecretSource>,
    /// Allows what gives secrets away or lets anyone pass as a broker: a log-in without
    /// encryption, and properties that switch off checks of certificates. Default: false.
    #[serde(default)]
    pub allow_insecure: bool,
}

/// An identity provider that gives tokens for client credentials.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// Address of its token endpoint.
    pub token_url: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretSource,
    /// Scope to ask for.
    pub scope: Option<String>,
    /// File of the authorities that its certificate must come from, in PEM. Default: those of
    /// the system.
    pub ca: Option<String>,
}

/// Kerberos.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kerberos {
    /// Our principal, as in `driftline@EXAMPLE.COM`.
    pub principal: String,
    /// File of its key.
    pub keytab: String,
    /// Name of the brokers' service. Default: kafka.
    pub service: Option<String>,
}

/// How to reach the schema registry.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Base URL; of a list, tried in order.
    pub url: OneOrMany<Text>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretSource>,
    /// Token, in place of a user name and password.
    pub token: Option<SecretSource>,
    /// File of the authorities that its certificate must come from, in PEM. Default: those of
    /// the system.
    pub ca: Option<String>,
    /// File of our own certificate, in PEM, where it asks for one.
    pub certificate: Option<String>,
    /// File of the private key of `certificate`: PKCS #8 in PEM, not encrypted.
    pub key: Option<String>,
    /// Allows a log-in over `http://`. Default: false.
    #[serde(default)]
    pub allow_insecure: bool,
}
