//! A stand-in for a schema registry: the Confluent calls that clients need, in memory.
//!
//! For demos and tests. It is not a registry: it stores nothing on disk, checks no
//! compatibility, resolves no references, deletes nothing, and has no users or TLS.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_128;

use crate::observe::SchemaKey;

/// A running stand-in on a free port of the loopback address; stops when dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl StandIn {
    /// Starts one.
    ///
    /// # Errors
    /// When no port or thread is to be had.
    pub fn start() -> std::io::Result<StandIn> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("registry-stand-in".into()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                    return;
                };
                tokio::select! {
                    _ = axum::serve(listener, router()) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(StandIn { address, _stop: stop })
    }

    /// Base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[derive(Debug, Default)]
struct Store {
    /// Index is the id less one.
    schemas: Vec<Stored>,
    /// Ids by subject, in version order.
    subjects: BTreeMap<String, Vec<u32>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Stored {
    schema: String,
    #[serde(rename = "schemaType", default = "avro")]
    schema_type: String,
    #[serde(default)]
    references: Value,
    #[serde(default)]
    metadata: Value,
}

type Shared = Arc<Mutex<Store>>;

/// An error as the real one writes it.
struct ApiError(StatusCode, u32, String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let ApiError(status, code, message) = self;
        (status, Json(json!({ "error_code": code, "message": message }))).into_response()
    }
}

fn avro() -> String {
    "AVRO".to_owned()
}

fn router() -> Router {
    Router::new()
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/schemas/ids/{id}/versions", get(versions_of_id))
        .route("/schemas/guids/{guid}", get(schema_by_guid))
        .route("/schemas/guids/{guid}/ids", get(ids_of_guid))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .with_state(Shared::default())
}

fn open(store: &Shared) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn schema_by_id(
    State(store): State<Shared>,
    Path(id): Path<u32>,
) -> Result<Json<Value>, ApiError> {
    let store = open(&store);
    store.by_id(id).map(|stored| Json(stored.body())).ok_or_else(schema_not_found)
}

async fn schema_by_guid(
    State(store): State<Shared>,
    Path(guid): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let store = open(&store);
    let place = store.place_of(&guid).ok_or_else(schema_not_found)?;
    Ok(Json(store.schemas[place].body()))
}

async fn ids_of_guid(State(store): State<Shared>, Path(guid): Path<String>) -> Json<Value> {
    let place = open(&store).place_of(&guid);
    Json(place.map(|place| json!({ "context": ".", "id": place + 1 })).into_iter().collect())
}

async fn versions_of_id(
    State(store): State<Shared>,
    Path(id): Path<u32>,
) -> Result<Json<Value>, ApiError> {
    let store = open(&store);
    store.by_id(id).ok_or_else(schema_not_found)?;
    let mut found = Vec::new();
    for (subject, ids) in &store.subjects {
        for (place, _) in ids.iter().enumerate().filter(|(_, one)| **one == id) {
            found.push(json!({ "subject": subject, "version": place + 1 }));
        }
    }
    Ok(Json(found.into()))
}

async fn subjects(State(store): State<Shared>) -> Json<Value> {
    Json(open(&store).subjects.keys().cloned().collect())
}

async fn versions(
    State(store): State<Shared>,
    Path(subject): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let store = open(&store);
    let ids = store.subject(&subject)?;
    Ok(Json((1..=ids.len()).collect()))
}

async fn version(
    State(store): State<Shared>,
    Path((subject, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let store = open(&store);
    let ids = store.subject(&subject)?;
    let number = match version.as_str() {
        "latest" | "-1" => ids.len(),
        number => number.parse().map_err(|_| {
            let message = format!("The specified version '{number}' is not a valid version id.");
            ApiError(StatusCode::UNPROCESSABLE_ENTITY, 42202, message)
        })?,
    };
    let id = number.checked_sub(1).and_then(|place| ids.get(place)).ok_or_else(|| {
        ApiError(StatusCode::NOT_FOUND, 40402, format!("Version {number} not found."))
    })?;
    Ok(Json(store.described(&subject, number, *id)))
}

async fn look_up(
    State(store): State<Shared>,
    Path(subject): Path<String>,
    body: String,
) -> Result<Json<Value>, ApiError> {
    let asked = Stored::read(&body)?;
    let store = open(&store);
    let ids = store.subject(&subject)?;
    let place = ids.iter().position(|id| store.by_id(*id) == Some(&asked));
    let place = place.ok_or_else(schema_not_found)?;
    Ok(Json(store.described(&subject, place + 1, ids[place])))
}

async fn register(
    State(store): State<Shared>,
    Path(subject): Path<String>,
    body: String,
) -> Result<Json<Value>, ApiError> {
    let new = Stored::read(&body)?;
    let mut store = open(&store);
    let place = store.schemas.iter().position(|stored| *stored == new);
    let place = place.unwrap_or_else(|| {
        store.schemas.push(new);
        store.schemas.len() - 1
    });
    let id = u32::try_from(place + 1).unwrap_or(u32::MAX);
    let ids = store.subjects.entry(subject).or_default();
    if !ids.contains(&id) {
        ids.push(id);
    }
    Ok(Json(json!({ "id": id })))
}

impl Store {
    fn by_id(&self, id: u32) -> Option<&Stored> {
        self.schemas.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    fn place_of(&self, guid: &str) -> Option<usize> {
        self.schemas.iter().position(|stored| stored.guid() == guid)
    }

    fn subject(&self, subject: &str) -> Result<&Vec<u32>, ApiError> {
        self.subjects.get(subject).ok_or_else(|| {
            ApiError(StatusCode::NOT_FOUND, 40401, format!("Subject '{subject}' not found."))
        })
    }

    fn described(&self, subject: &str, version: usize, id: u32) -> Value {
        let mut body = self.by_id(id).map(Stored::body).unwrap_or_default();
        body["subject"] = subject.into();
        body["version"] = version.into();
        body["id"] = id.into();
        body
    }
}

impl Stored {
    /// Reads a request. The schema text is kept without insignificant space, as the same schema
    /// written differently must get the same id.
    fn read(body: &str) -> Result<Stored, ApiError> {
        let invalid = |message: String| ApiError(StatusCode::UNPROCESSABLE_ENTITY, 42201, message);
        let mut stored: Stored =
            serde_json::from_str(body).map_err(|error| invalid(error.to_string()))?;
        if stored.schema_type != "PROTOBUF" {
            let schema: Value = serde_json::from_str(&stored.schema)
                .map_err(|error| invalid(format!("Invalid schema: {error}")))?;
            stored.schema = schema.to_string();
        }
        if stored.schema_type == "AVRO" && stored.references.is_null() {
            apache_avro::Schema::parse_str(&stored.schema)
                .map_err(|error| invalid(format!("Invalid schema: {error}")))?;
        }
        Ok(stored)
    }

    /// A hash of what the schema says. Real registries take another one; it is theirs to choose.
    fn guid(&self) -> String {
        let said = format!("{} {} {}", self.schema_type, self.schema, self.references);
        SchemaKey::Guid(xxh3_128(said.as_bytes())).to_string()
    }

    fn body(&self) -> Value {
        let mut body = json!({ "schema": self.schema, "guid": self.guid() });
        if self.schema_type != "AVRO" {
            body["schemaType"] = self.schema_type.clone().into();
        }
        if !self.references.is_null() {
            body["references"] = self.references.clone();
        }
        if !self.metadata.is_null() {
            body["metadata"] = self.metadata.clone();
        }
        body
    }
}

fn schema_not_found() -> ApiError {
    ApiError(StatusCode::NOT_FOUND, 40403, "Schema not found".to_owned())
}
