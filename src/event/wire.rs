//! Internal bytes: one byte kind, one byte version, then postcard.
//!
//! These are ours alone, so not Avro. Golden files in `tests/` hold the bytes; a change of a
//! message's meaning is a new version beside the old one, never a silent edit.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::fact::FactBatch;
use super::finding::FindingBatch;
use super::layout::LayoutUpdate;
use super::summary::SummaryBatch;

/// Why bytes are not the message they were expected to be.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WireError {
    /// Fewer than two bytes, or another kind of message.
    #[error("expected message kind {expected}, got {got:?}")]
    Kind {
        /// Kind asked for.
        expected: u8,
        /// First byte, if there was one.
        got: Option<u8>,
    },
    /// Written by a version this build does not read.
    #[error("message kind {kind} has version {version}, this build reads {reads}")]
    Version {
        /// Kind.
        kind: u8,
        /// Version found.
        version: u8,
        /// Version this build reads.
        reads: u8,
    },
    /// The body is cut or garbled.
    #[error("message kind {kind} does not decode: {reason}")]
    Body {
        /// Kind.
        kind: u8,
        /// What postcard said.
        reason: String,
    },
}

/// A message with a place in the internal topics.
pub trait Wire: Serialize + DeserializeOwned {
    /// First byte.
    const KIND: u8;
    /// Second byte.
    const VERSION: u8;
}

impl Wire for FactBatch {
    const KIND: u8 = 1;
    const VERSION: u8 = 1;
}

impl Wire for SummaryBatch {
    const KIND: u8 = 2;
    const VERSION: u8 = 1;
}

impl Wire for FindingBatch {
    const KIND: u8 = 3;
    const VERSION: u8 = 1;
}

impl Wire for LayoutUpdate {
    const KIND: u8 = 4;
    const VERSION: u8 = 1;
}

/// The bytes of a message.
#[must_use]
pub fn encode<M: Wire>(message: &M) -> Vec<u8> {
    postcard::to_extend(message, vec![M::KIND, M::VERSION])
        .expect("a Vec grows and every type here has a length postcard can write")
}

/// The message in `bytes`.
///
/// # Errors
/// When the bytes are another kind, another version, or garbled.
pub fn decode<M: Wire>(bytes: &[u8]) -> Result<M, WireError> {
    let [kind, version, body @ ..] = bytes else {
        return Err(WireError::Kind { expected: M::KIND, got: bytes.first().copied() });
    };
    if *kind != M::KIND {
        return Err(WireError::Kind { expected: M::KIND, got: Some(*kind) });
    }
    if *version != M::VERSION {
        return Err(WireError::Version { kind: *kind, version: *version, reads: M::VERSION });
    }
    let broken = |reason: String| WireError::Body { kind: *kind, reason };
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(broken(format!("{} bytes follow it", rest.len()))),
        Err(error) => Err(broken(error.to_string())),
    }
}
