//! How connections are secured, with every secret still at its source.
//!
//! What is in files is read again whenever it is asked for, so that a password or a certificate
//! that was replaced is found. Nothing here connects; which settings belong together was checked
//! by `validate`.

use std::path::{Path, PathBuf};

use super::deployment::{KafkaAccess, Pems, RegistryAccess, RegistryLogin, Secret};
use super::secret::SecretSource;

/// Where everything that proves who we are comes from.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Of Kafka.
    pub kafka: KafkaSecurity,
    /// Of the registry.
    pub registry: RegistrySecurity,
}

/// How the connections to Kafka are secured.
#[derive(Clone, Debug, Default)]
pub struct KafkaSecurity {
    /// Encryption and log-in.
    pub protocol: Protocol,
    /// Certificates.
    pub tls: Tls,
    /// Who we are, where the protocol asks.
    pub login: Option<KafkaLogin>,
}

/// Kafka's security protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Neither encryption nor log-in.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// Log-in without encryption.
    SaslPlaintext,
    /// Log-in over TLS.
    SaslSsl,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 4] =
        [Protocol::Plaintext, Protocol::Ssl, Protocol::SaslPlaintext, Protocol::SaslSsl];

    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "PLAINTEXT",
            Protocol::Ssl => "SSL",
            Protocol::SaslPlaintext => "SASL_PLAINTEXT",
            Protocol::SaslSsl => "SASL_SSL",
        }
    }

    /// Whether it encrypts.
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    /// Whether it logs in.
    #[must_use]
    pub fn has_login(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }
}

/// Certificates, in PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities to trust in place of the system's.
    pub ca: Option<PathBuf>,
    /// What we show of ourselves.
    pub client: Option<ClientCertificate>,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// What the key is encrypted with.
    pub key_password: Option<SecretSource>,
}

/// Who we are to Kafka.
#[derive(Clone, Debug)]
pub enum KafkaLogin {
    /// A name and a password.
    Password {
        /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
        mechanism: String,
        /// User name.
        username: String,
        /// Password.
        password: SecretSource,
    },
    /// OAUTHBEARER with a token that someone else renews.
    Token(SecretSource),
    /// OAUTHBEARER with tokens asked of an identity provider.
    Oidc(Oidc),
    /// Kerberos.
    Kerberos {
        /// Our principal.
        principal: String,
        /// Where its key is.
        keytab: PathBuf,
        /// The brokers' service name.
        service: String,
    },
}

/// An identity provider that gives tokens for client credentials.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Where to ask.
    pub token_url: String,
    /// Our id there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: SecretSource,
    /// What to ask for.
    pub scope: Option<String>,
    /// Authorities to trust in place of the system's, in PEM.
    pub ca: Option<PathBuf>,
}

/// How the connections to the registry are secured.
#[derive(Clone, Debug, Default)]
pub struct RegistrySecurity {
    /// Certificates.
    pub tls: Tls,
    /// Who we are.
    pub login: Option<RegistryLoginSource>,
}

/// Who we are to the registry.
#[derive(Clone, Debug)]
pub enum RegistryLoginSource {
    /// User name and password.
    Basic(String, SecretSource),
    /// A token.
    Bearer(SecretSource),
}

/// A file of a secret or certificate that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Credentials {
    /// The same access with what its files hold now.
    ///
    /// # Errors
    /// At the first file that cannot be used.
    pub fn kafka(&self, access: &KafkaAccess) -> Result<KafkaAccess, Unreadable> {
        let mut access = access.clone();
        for (name, value) in self.kafka.properties()? {
            match access.properties.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => access.properties.push((name, value)),
            }
        }
        Ok(access)
    }

    /// As [`Credentials::kafka`], of the registry.
    ///
    /// # Errors
    /// At the first file that cannot be used.
    pub fn registry(&self, access: &RegistryAccess) -> Result<RegistryAccess, Unreadable> {
        let tls = self.registry.tls.pems()?;
        let login = self.registry.login.as_ref().map(RegistryLoginSource::read).transpose()?;
        Ok(RegistryAccess { urls: access.urls.clone(), login, tls })
    }
}

impl RegistryLoginSource {
    fn read(&self) -> Result<RegistryLogin, Unreadable> {
        match self {
            RegistryLoginSource::Basic(user, password) => {
                Ok(RegistryLogin::Basic(user.clone(), password.read().map_err(Unreadable)?))
            }
            RegistryLoginSource::Bearer(token) => {
                Ok(RegistryLogin::Bearer(token.read().map_err(Unreadable)?))
            }
        }
    }
}

impl Tls {
    /// The texts of the files.
    ///
    /// # Errors
    /// At the first that is no PEM file of its kind.
    pub fn pems(&self) -> Result<Pems, Unreadable> {
        let ca = self.ca.as_deref().map(certificates).transpose()?;
        let client = self.client.as_ref().map(ClientCertificate::read).transpose()?;
        Ok(Pems { ca, client })
    }
}

impl ClientCertificate {
    fn read(&self) -> Result<(Secret, Secret), Unreadable> {
        Ok((certificates(&self.certificate)?, pem(&self.key, "PRIVATE KEY-----", "private key")?))
    }
}

/// A PEM file of certificates.
pub(super) fn certificates(path: &Path) -> Result<Secret, Unreadable> {
    pem(path, "-----BEGIN CERTIFICATE-----", "certificate")
}

fn pem(path: &Path, mark: &str, what: &str) -> Result<Secret, Unreadable> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Unreadable(format!("cannot read {shown}: {error}")))?;
    if !text.contains(mark) {
        return Err(Unreadable(format!("{shown} holds no {what} in PEM")));
    }
    Ok(Secret::new(text))
}

impl KafkaSecurity {
    /// The librdkafka properties that say this, with what the files hold now.
    ///
    /// # Errors
    /// At the first file that cannot be used.
    pub fn properties(&self) -> Result<Vec<(String, Secret)>, Unreadable> {
        let mut found = Properties::default();
        if self.protocol != Protocol::Plaintext {
            found.plain("security.protocol", self.protocol.name());
        }
        let pems = self.tls.pems()?;
        found.secret("ssl.ca.pem", pems.ca);
        if let Some((certificate, key)) = pems.client {
            found.secret(CERTIFICATE_PROPERTY, Some(certificate));
            found.secret("ssl.key.pem", Some(key));
        }
        if let Some(client) = &self.tls.client {
            found.source("ssl.key.password", client.key_password.as_ref())?;
        }
        match &self.login {
            None => {}
            Some(KafkaLogin::Password { mechanism, username, password }) => {
                found.plain("sasl.mechanism", mechanism);
                found.plain("sasl.username", username);
                found.source("sasl.password", Some(password))?;
            }
            Some(KafkaLogin::Token(token)) => {
                found.plain("sasl.mechanism", "OAUTHBEARER");
                // Free for the application to use; the runtime hands the token over from here.
                found.source(TOKEN_PROPERTY, Some(token))?;
            }
            Some(KafkaLogin::Oidc(oidc)) => oidc.properties(&mut found)?,
            Some(KafkaLogin::Kerberos { principal, keytab, service }) => {
                found.plain("sasl.mechanism", "GSSAPI");
                found.plain("sasl.kerberos.principal", principal);
                found.plain("sasl.kerberos.keytab", &keytab.display().to_string());
                found.plain("sasl.kerberos.service.name", service);
            }
        }
        Ok(found.0)
    }
}

/// The property that holds the certificate we show.
pub const CERTIFICATE_PROPERTY: &str = "ssl.certificate.pem";

/// The property that holds a token to log in with as it is.
pub const TOKEN_PROPERTY: &str = "sasl.oauthbearer.config";

impl Oidc {
    fn properties(&self, found: &mut Properties) -> Result<(), Unreadable> {
        found.plain("sasl.mechanism", "OAUTHBEARER");
        found.plain("sasl.oauthbearer.method", "oidc");
        found.plain("sasl.oauthbearer.token.endpoint.url", &self.token_url);
        found.plain("sasl.oauthbearer.client.id", &self.client_id);
        found.source("sasl.oauthbearer.client.secret", Some(&self.client_secret))?;
        if let Some(scope) = &self.scope {
            found.plain("sasl.oauthbearer.scope", scope);
        }
        found.secret("https.ca.pem", self.ca.as_deref().map(certificates).transpose()?);
        Ok(())
    }
}

/// Names and values for librdkafka.
#[derive(Default)]
struct Properties(Vec<(String, Secret)>);

impl Properties {
    fn plain(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), Secret::new(value.to_owned())));
    }

    fn secret(&mut self, name: &str, value: Option<Secret>) {
        self.0.extend(value.map(|value| (name.to_owned(), value)));
    }

    fn source(&mut self, name: &str, source: Option<&SecretSource>) -> Result<(), Unreadable> {
        let value = source.map(SecretSource::read).transpose().map_err(Unreadable)?;
        self.secret(name, value);
        Ok(())
    }
}
