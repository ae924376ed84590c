//! Internal bytes: one byte kind, one byte version, then postcard.
//!
//! These are ours alone, so not Avro. Golden files in `tests/` hold the bytes; a change of a
//! message's meaning is a new version beside the old one, never a silent edit.
//!
//! A message is written in the oldest version that can say it. What is said all day long stays
//! readable by the build before, so a rolling upgrade needs no order and no switch.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::fact::FactBatch;
use super::finding::{FindingBatch, FindingItem};
use super::layout::LayoutUpdate;
use super::progress::Header;
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
    #[error("message kind {kind} has version {version}, this build reads 1 to {reads}")]
    Version {
        /// Kind.
        kind: u8,
        /// Version found.
        version: u8,
        /// Newest version this build reads.
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
    /// Newest version this build reads; it reads all older ones.
    const VERSION: u8;

    /// Second byte: the oldest version that can say this message.
    fn version(&self) -> u8 {
        Self::VERSION
    }
}

impl Wire for FactBatch {
    const KIND: u8 = 1;
    const VERSION: u8 = 1;
}

/// Version 2 adds [`Header::Rewound`].
impl Wire for SummaryBatch {
    const KIND: u8 = 2;
    const VERSION: u8 = 2;

    fn version(&self) -> u8 {
        if matches!(self.header, Some(Header::Rewound(_))) { 2 } else { 1 }
    }
}

/// Version 2 adds [`FindingItem::Rewound`] and [`FindingItem::Mismatch`].
impl Wire for FindingBatch {
    const KIND: u8 = 3;
    const VERSION: u8 = 2;

    fn version(&self) -> u8 {
        let is_new =
            |item: &FindingItem| matches!(item, FindingItem::Rewound(_) | FindingItem::Mismatch(_));
        if self.items.iter().any(is_new) { 2 } else { 1 }
    }
}

impl Wire for LayoutUpdate {
    const KIND: u8 = 4;
    const VERSION: u8 = 1;
}

/// The bytes of a message.
#[must_use]
pub fn encode<M: Wire>(message: &M) -> Vec<u8> {
    postcard::to_extend(message, vec![M::KIND, message.version()])
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
    if *version == 0 || *version > M::VERSION {
        return Err(WireError::Version { kind: *kind, version: *version, reads: M::VERSION });
    }
    let broken = |reason: String| WireError::Body { kind: *kind, reason };
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(broken(format!("{} bytes follow it", rest.len()))),
        Err(error) => Err(broken(error.to_string())),
    }
}
