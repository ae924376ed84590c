//! Internal bytes: one byte kind, one byte version, then postcard.
//!
//! These are ours alone, so not Avro. Golden files in `tests/` hold the bytes; a change of a
//! message's meaning is a new version beside the old one, never a silent edit.
//!
//! A message is written in the oldest version that can say it, so that the build before reads as
//! much as it can understand. What a version adds to a form that is written already comes behind
//! it: the older form stays one piece of bytes, and one type.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::fact::{FactBatch, FactTerms};
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

    /// First version with an [`Appendix`](Wire::Appendix).
    const APPENDED_FROM: u8 = u8::MAX;
    /// What comes behind the form of older versions.
    type Appendix: Serialize + DeserializeOwned;

    /// Second byte: the oldest version that can say this message.
    fn version(&self) -> u8 {
        Self::VERSION
    }

    /// What comes behind the form of older versions.
    fn appendix(&self) -> Self::Appendix;

    /// Takes the appendix back; `false` when it does not belong to this message.
    fn append(&mut self, appendix: Self::Appendix) -> bool;
}

/// Version 2 appends the terms of each model.
impl Wire for FactBatch {
    const KIND: u8 = 1;
    const VERSION: u8 = 2;
    const APPENDED_FROM: u8 = 2;
    type Appendix = Vec<FactTerms>;

    fn version(&self) -> u8 {
        if self.terms.is_empty() { 1 } else { 2 }
    }

    fn appendix(&self) -> Vec<FactTerms> {
        self.terms.clone()
    }

    fn append(&mut self, terms: Vec<FactTerms>) -> bool {
        self.terms = terms;
        self.terms.len() <= self.models.len()
    }
}

/// Version 2 adds [`Header::Rewound`]; version 3 appends the definition of each of the outcomes.
impl Wire for SummaryBatch {
    const KIND: u8 = 2;
    const VERSION: u8 = 3;
    const APPENDED_FROM: u8 = 3;
    type Appendix = Vec<Option<u64>>;

    fn version(&self) -> u8 {
        if self.outcomes.iter().any(|outcome| outcome.definition.is_some()) {
            3
        } else if matches!(self.header, Some(Header::Rewound(_))) {
            2
        } else {
            1
        }
    }

    fn appendix(&self) -> Vec<Option<u64>> {
        self.outcomes.iter().map(|outcome| outcome.definition).collect()
    }

    fn append(&mut self, definitions: Vec<Option<u64>>) -> bool {
        for (outcome, definition) in self.outcomes.iter_mut().zip(&definitions) {
            outcome.definition = *definition;
        }
        self.outcomes.len() == definitions.len()
    }
}

/// Version 2 adds [`FindingItem::Rewound`] and [`FindingItem::Mismatch`].
impl Wire for FindingBatch {
    const KIND: u8 = 3;
    const VERSION: u8 = 2;
    type Appendix = ();

    fn version(&self) -> u8 {
        let is_new =
            |item: &FindingItem| matches!(item, FindingItem::Rewound(_) | FindingItem::Mismatch(_));
        if self.items.iter().any(is_new) { 2 } else { 1 }
    }

    fn appendix(&self) {}

    fn append(&mut self, (): ()) -> bool {
        true
    }
}

impl Wire for LayoutUpdate {
    const KIND: u8 = 4;
    const VERSION: u8 = 1;
    type Appendix = ();

    fn appendix(&self) {}

    fn append(&mut self, (): ()) -> bool {
        true
    }
}

/// The bytes of a message.
#[must_use]
pub fn encode<M: Wire>(message: &M) -> Vec<u8> {
    const GROWS: &str = "a Vec grows and every type here has a length postcard can write";
    let version = message.version();
    let bytes = postcard::to_extend(message, vec![M::KIND, version]).expect(GROWS);
    if version < M::APPENDED_FROM {
        return bytes;
    }
    postcard::to_extend(&message.appendix(), bytes).expect(GROWS)
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
    let take = |error: postcard::Error| broken(error.to_string());
    let (mut message, mut rest): (M, &[u8]) = postcard::take_from_bytes(body).map_err(take)?;
    if *version >= M::APPENDED_FROM {
        let appendix;
        (appendix, rest) = postcard::take_from_bytes(rest).map_err(take)?;
        if !message.append(appendix) {
            return Err(broken("what is appended belongs to another message".into()));
        }
    }
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(broken(format!("{} bytes follow it", rest.len())))
    }
}
