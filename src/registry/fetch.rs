//! One call to the registry, and what its result means. No retries, no memory.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_referenced_schema, get_schema_by_guid, get_schema_by_id, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, RegisteredReference, SchemaType, SuppliedSchema,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::deployment::{Pems, RegistryAccess, RegistryLogin};
use crate::observe::{RegisteredSchema, SchemaAnswer, SchemaKey, SchemaLanguage};

use super::references;

/// The registry's own code for "no schema of that id". A bare 404 is not it: that is what a
/// wrong path or a proxy says.
const SCHEMA_NOT_FOUND: u32 = 40403;
/// What a 401 or a 403 means. The calls are tried again: rights and passwords come back.
const REFUSED: &str =
    "the log-in or certificate under `registry:` is refused, or has no right to this";
/// Schemas one schema may refer to, all levels together.
const REFERENCES_MAX: usize = 64;

/// Tags by path pattern, as several schemas have them.
type Tags = Vec<(String, Vec<String>)>;

/// Settings and client of the calls.
pub(super) struct Fetcher {
    settings: SrSettings,
    http: reqwest::Client,
    access: RegistryAccess,
}

impl fmt::Debug for Fetcher {
    /// Without `settings`, which would show the log-in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("access", &self.access).finish_non_exhaustive()
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people; holds no credentials.
    pub(super) reason: String,
    /// The registry said no for good: asking again gives the same.
    pub(super) refused: bool,
    /// It did not let us in: asking again helps once someone has changed that.
    pub(super) denied: bool,
}

#[derive(Deserialize)]
struct SubjectVersion {
    subject: String,
    version: u32,
}

/// An id that a GUID has. Ids of contexts other than the default one (`.`) are no ids elsewhere.
#[derive(Deserialize)]
struct ContextId {
    context: String,
    id: u32,
}

impl Fetcher {
    /// Makes the clients; connects to nothing.
    ///
    /// # Errors
    /// When there is no URL or the TLS set-up of the system is broken.
    pub(super) fn new(access: &RegistryAccess, timeout: Duration) -> Result<Fetcher, String> {
        let mut urls = access.urls.iter().map(|url| url.trim_end_matches('/').to_owned());
        let first = urls.next().ok_or("no registry URL is configured")?;
        let mut builder = SrSettings::new_builder(first);
        for url in urls {
            builder.add_url(url);
        }
        match &access.login {
            Some(RegistryLogin::Basic(user, password)) => {
                builder.set_basic_authorization(user, Some(password.reveal()));
            }
            Some(RegistryLogin::Bearer(token)) => {
                builder.set_token_authorization(token.reveal());
            }
            None => {}
        }
        let client = || {
            let builder = reqwest::Client::builder().connect_timeout(timeout).timeout(timeout);
            with_certificates(builder, &access.tls)
        };
        Ok(Fetcher {
            settings: builder
                .set_timeout(timeout)
                .build_with(client()?)
                .map_err(|error| explain(&error))?,
            http: client()?.build().map_err(|error| error.to_string())?,
            access: access.clone(),
        })
    }

    /// Asks for a schema once.
    pub(super) async fn schema(&self, key: SchemaKey) -> Result<SchemaAnswer, Failure> {
        let found = match key {
            SchemaKey::Id(id) => get_schema_by_id(id, &self.settings).await,
            SchemaKey::Guid(_) => get_schema_by_guid(&key.to_string(), &self.settings).await,
        };
        let found = match found {
            Ok(found) => found,
            Err(error) if code(&error) == Some(SCHEMA_NOT_FOUND) => {
                return Ok(SchemaAnswer::Unknown);
            }
            Err(error) => return Err(failure(&error)),
        };
        let mut tags: BTreeMap<String, Vec<String>> =
            found.tags.unwrap_or_default().into_iter().collect();
        let (language, schema) = match found.schema_type {
            SchemaType::Avro => match self.whole(&found.schema, &found.references).await? {
                Ok((schema, of_references)) => {
                    for (pattern, more) in of_references {
                        tags.entry(pattern).or_default().extend(more);
                    }
                    (SchemaLanguage::Avro, schema)
                }
                Err(reason) => {
                    return Ok(SchemaAnswer::Unreadable(format!("schema {key}: {reason}")));
                }
            },
            // Values of JSON describe themselves; the schema's references are not needed.
            SchemaType::Json => (SchemaLanguage::Json, found.schema),
            other => {
                let reason = format!("schema {key} is {other:?}, neither Avro nor JSON Schema");
                return Ok(SchemaAnswer::Unreadable(reason));
            }
        };
        let id = match key {
            SchemaKey::Id(id) => id,
            SchemaKey::Guid(_) => self.id_of(key).await?,
        };
        let (subject, number) = match (found.subject, found.version) {
            (Some(subject), Some(number)) => (Some(subject), Some(number)),
            _ => self.subject_and_number(id).await.unzip(),
        };
        Ok(SchemaAnswer::Known(RegisteredSchema { id, language, schema, subject, number, tags }))
    }

    /// The id of a schema called by its GUID: cells name versions by id, however a record does.
    async fn id_of(&self, key: SchemaKey) -> Result<u32, Failure> {
        let ids: Vec<ContextId> = self.get(&format!("schemas/guids/{key}/ids")).await?;
        let own = ids.iter().find(|one| one.context == ".").or(ids.first());
        own.map(|one| one.id).ok_or_else(|| Failure {
            reason: format!("the registry gives schema {key} no id"),
            refused: false,
            denied: false,
        })
    }

    /// Registers a schema once, or finds that it already is, and returns its id.
    pub(super) async fn register(&self, subject: &str, schema: &str) -> Result<u32, Failure> {
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        match post_schema(&self.settings, subject.to_owned(), supplied).await {
            Ok(registered) => Ok(registered.id),
            Err(error) => Err(failure(&error)),
        }
    }

    /// An Avro schema with what it refers to in place, and the tags beside the schemas referred
    /// to; or why that cannot be.
    async fn whole(
        &self,
        schema: &str,
        references: &[RegisteredReference],
    ) -> Result<Result<(String, Tags), String>, Failure> {
        if references.is_empty() {
            return Ok(Ok((schema.to_owned(), Tags::new())));
        }
        let Some((referenced, tags)) = self.referenced(references).await? else {
            return Ok(Err(format!("refers to more than {REFERENCES_MAX} schemas")));
        };
        let whole = references::inline(schema, &referenced);
        Ok(whole.map(|schema| (schema, tags)).map_err(|error| error.to_string()))
    }

    /// The texts of all schemas referred to, and the tags beside them; `None` when there are too
    /// many.
    async fn referenced(
        &self,
        direct: &[RegisteredReference],
    ) -> Result<Option<(Vec<String>, Tags)>, Failure> {
        let mut open: Vec<RegisteredReference> = direct.to_vec();
        let mut found: BTreeMap<(String, u32), String> = BTreeMap::new();
        let mut tags = Tags::new();
        while let Some(reference) = open.pop() {
            let key = (reference.subject.clone(), reference.version);
            if found.contains_key(&key) {
                continue;
            }
            if found.len() == REFERENCES_MAX {
                return Ok(None);
            }
            let schema = get_referenced_schema(&self.settings, &reference)
                .await
                .map_err(|error| failure(&error))?;
            open.extend(schema.references);
            tags.extend(schema.tags.into_iter().flatten());
            found.insert(key, schema.schema);
        }
        Ok(Some((found.into_values().collect(), tags)))
    }

    /// For display only: a failure is no failure. Of several subjects the first of a value.
    async fn subject_and_number(&self, id: u32) -> Option<(String, u32)> {
        let path = format!("schemas/ids/{id}/versions");
        let mut versions: Vec<SubjectVersion> = self.get(&path).await.ok()?;
        versions.sort_by_key(|one| (!one.subject.ends_with("-value"), one.subject.clone()));
        versions.into_iter().next().map(|one| (one.subject, one.version))
    }

    /// The names of all subjects.
    pub(super) async fn subjects(&self) -> Result<Vec<String>, Failure> {
        self.get("subjects").await
    }

    /// What the first URL that answers says at a path the converter does not know.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut reason = String::from("no registry URL is configured");
        for url in &self.access.urls {
            let mut request = self.http.get(format!("{}/{path}", url.trim_end_matches('/')));
            match &self.access.login {
                Some(RegistryLogin::Basic(user, password)) => {
                    request = request.basic_auth(user, Some(password.reveal()));
                }
                Some(RegistryLogin::Bearer(token)) => {
                    request = request.bearer_auth(token.reveal());
                }
                None => {}
            }
            let answer = match request.send().await.and_then(|r| r.error_for_status()) {
                Ok(response) => response.bytes().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(body) => match serde_json::from_slice(&body) {
                    Ok(value) => return Ok(value),
                    Err(error) => reason = format!("not the registry's JSON: {error}"),
                },
                Err(error) if matches!(error.status().map(|s| s.as_u16()), Some(401 | 403)) => {
                    reason = format!("{REFUSED}: {}", error.without_url());
                }
                Err(error) => reason = error.without_url().to_string(),
            }
        }
        Err(Failure { reason, refused: false, denied: false })
    }
}

/// Our certificate, and the authorities to trust in place of the system's.
fn with_certificates(
    mut builder: reqwest::ClientBuilder,
    tls: &Pems,
) -> Result<reqwest::ClientBuilder, String> {
    if let Some(ca) = &tls.ca {
        let authorities = reqwest::Certificate::from_pem_bundle(ca.reveal().as_bytes())
            .map_err(|error| format!("certificates of `registry.ca`: {error}"))?;
        builder = builder.tls_certs_only(authorities);
    }
    if let Some((certificate, key)) = &tls.client {
        let (certificate, key) = (certificate.reveal().as_bytes(), key.reveal().as_bytes());
        let identity = reqwest::Identity::from_pkcs8_pem(certificate, key).map_err(|error| {
            format!("`registry.certificate` and its key (PKCS #8, not encrypted): {error}")
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

fn failure(error: &SRCError) -> Failure {
    // 409: not compatible with the subject's versions. 422xx: not a schema.
    let refused = matches!(code(error), Some(409 | 42_200..=42_299));
    // The converter keeps the status in its own words alone.
    let mut reason = explain(error);
    let denied = ["status 401", "status 403"].iter().any(|status| reason.contains(status));
    if denied {
        reason = format!("{REFUSED}: {reason}");
    }
    Failure { reason, refused, denied }
}

/// The registry's own error code, where its answer had one.
fn code(error: &SRCError) -> Option<u32> {
    error.source()?.downcast_ref::<RawError>().map(|raw| raw.error_code)
}

/// The error and its causes; the converter's own text adds flags that mean nothing here.
fn explain(error: &SRCError) -> String {
    let mut text = error.error.clone();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
