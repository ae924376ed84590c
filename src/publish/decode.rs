//! Kafka record to event, for people and tools: any CloudEvent in binary mode, not only ours.
//!
//! Reads with the writer's schema and resolves to no other; the body stays a JSON value.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde_json::Value;

use super::encode::{AVRO, JSON};

/// An event as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// `ce_id`.
    pub id: String,
    /// `ce_type`.
    pub kind: String,
    /// `ce_source`.
    pub source: String,
    /// `ce_subject`.
    pub subject: Option<String>,
    /// `ce_time`, as written.
    pub time: Option<String>,
    /// `ce_correlationid`.
    pub correlation_id: Option<String>,
    /// `ce_causationid`.
    pub causation_id: Option<String>,
    /// The body.
    pub data: Value,
}

/// Why a record is not a readable event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No CloudEvents headers.
    #[error("no {0} header: not a CloudEvent in binary mode")]
    NotAnEvent(&'static str),
    /// No payload.
    #[error("no payload")]
    Tombstone,
    /// A body that is neither Avro nor JSON.
    #[error("content type {0:?} is not {AVRO} or {JSON}")]
    ContentType(String),
    /// Avro without the five bytes in front.
    #[error("no schema id in front of the Avro body")]
    Framing,
    /// No schema for the id.
    #[error("schema {id}: {reason}")]
    Schema {
        /// The id.
        id: u32,
        /// Why.
        reason: String,
    },
    /// Bytes that do not fit their schema.
    #[error("body does not fit schema {id}: {source}")]
    Avro {
        /// The id.
        id: u32,
        /// Why.
        source: Box<apache_avro::Error>,
    },
    /// Not JSON.
    #[error("body is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads an event; `resolve` finds the schema of an id.
///
/// # Errors
/// When it is not a CloudEvent, or its body cannot be read.
pub fn decode(
    headers: &[(String, Vec<u8>)],
    payload: Option<&[u8]>,
    resolve: impl FnOnce(u32) -> Result<Schema, String>,
) -> Result<Decoded, DecodeError> {
    let mut event = attributes(headers)?;
    let payload = payload.ok_or(DecodeError::Tombstone)?;
    let content_type = text(headers, "content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    event.data = if media_type.eq_ignore_ascii_case(AVRO) {
        avro(payload, resolve)?
    } else if media_type.eq_ignore_ascii_case(JSON) {
        serde_json::from_slice(payload)?
    } else {
        return Err(DecodeError::ContentType(content_type));
    };
    Ok(event)
}

fn attributes(headers: &[(String, Vec<u8>)]) -> Result<Decoded, DecodeError> {
    let required = |name: &'static str| text(headers, name).ok_or(DecodeError::NotAnEvent(name));
    Ok(Decoded {
        id: required("ce_id")?,
        kind: required("ce_type")?,
        source: required("ce_source")?,
        subject: text(headers, "ce_subject"),
        time: text(headers, "ce_time"),
        correlation_id: text(headers, "ce_correlationid"),
        causation_id: text(headers, "ce_causationid"),
        data: Value::Null,
    })
}

/// The last header of that name, as Kafka's own rule has it.
fn text(headers: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let (_, value) = headers.iter().rev().find(|(key, _)| key == name)?;
    String::from_utf8(value.clone()).ok()
}

fn avro(
    payload: &[u8],
    resolve: impl FnOnce(u32) -> Result<Schema, String>,
) -> Result<Value, DecodeError> {
    let Some((&[0, a, b, c, d], mut body)) = payload.split_first_chunk::<5>() else {
        return Err(DecodeError::Framing);
    };
    let id = u32::from_be_bytes([a, b, c, d]);
    let schema = resolve(id).map_err(|reason| DecodeError::Schema { id, reason })?;
    let unreadable = |source| DecodeError::Avro { id, source: Box::new(source) };
    let value = GenericDatumReader::builder(&schema)
        .build()
        .and_then(|reader| reader.read_value(&mut body))
        .map_err(unreadable)?;
    Value::try_from(value).map_err(unreadable)
}
