//! What join writes beside a committed offset so that it can be built again from `facts`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Longest offset metadata a broker takes by default is 4,096 bytes (`offset.metadata.max.bytes`).
const METADATA_BYTES_MAX: usize = 4_096;
const VERSION: u8 = 1;

/// Where to read again from, and what reading cannot tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metadata {
    version: u8,
    /// Offset silent replay starts at.
    pub(super) from: i64,
    /// Ids above this are not kept.
    pub(super) kept_to: u64,
    /// The limit `kept_to` was found under: a larger one starts over.
    pub(super) limit: u64,
    /// Clocks by model. Replay arrives at them by itself unless facts were deleted meanwhile, so
    /// they may be left out where there are too many.
    pub(super) clocks: BTreeMap<String, i64>,
}

impl Metadata {
    pub(super) fn new(from: i64, kept_to: u64, limit: u64) -> Metadata {
        Metadata { version: VERSION, from, kept_to, limit, clocks: BTreeMap::new() }
    }

    /// The text that is committed, short enough for a broker.
    pub(super) fn text(mut self) -> String {
        let text = json(&self);
        if text.len() <= METADATA_BYTES_MAX {
            return text;
        }
        self.clocks.clear();
        json(&self)
    }

    /// What a text says; `None` when it is not this build's (lost, or of another version).
    pub(super) fn parse(text: &str) -> Option<Metadata> {
        let metadata: Metadata = serde_json::from_str(text).ok()?;
        (metadata.version == VERSION).then_some(metadata)
    }
}

fn json(metadata: &Metadata) -> String {
    serde_json::to_string(metadata).expect("numbers and text keys are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back() {
        let mut metadata = Metadata::new(12, u64::MAX, 1_000);
        metadata.clocks.insert("fraud".into(), i64::MIN);

        assert_eq!(Metadata::parse(&metadata.clone().text()), Some(metadata));
    }

    #[test]
    fn text_of_many_models_leaves_their_clocks_out_and_fits() {
        let mut metadata = Metadata::new(12, u64::MAX, 1_000);
        for model in 0..500 {
            metadata.clocks.insert(format!("model-{model}"), model);
        }

        let text = metadata.text();

        assert!(text.len() <= METADATA_BYTES_MAX);
        assert_eq!(Metadata::parse(&text), Some(Metadata::new(12, u64::MAX, 1_000)));
    }

    #[test]
    fn text_of_another_version_is_not_read() {
        let text = Metadata::new(12, 0, 0).text().replace("\"version\":1", "\"version\":2");

        assert_eq!(Metadata::parse(&text), None);
        assert_eq!(Metadata::parse(""), None);
    }
}
