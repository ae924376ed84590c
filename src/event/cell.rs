//! Cell keys: the coordinates a summary is kept under.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Producer named where none is configured or the record does not say.
pub const UNKNOWN_PRODUCER: &str = "unknown";
/// Schema version of records that have none (plain JSON without a configured version).
pub const NO_SCHEMA: &str = "none";
/// Where cells beyond the limit are added together.
pub const OTHER: &str = "__other__";

/// A dataset's cell within one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellKey {
    /// Who wrote the records.
    pub producer: String,
    /// Registry id as decimal text, or the configured version, or the name of a shape.
    pub schema_version: String,
}

impl CellKey {
    /// The cell that takes what the limit leaves no room for.
    #[must_use]
    pub fn other() -> CellKey {
        CellKey { producer: OTHER.into(), schema_version: OTHER.into() }
    }

    /// Rank under the admission limit: the smallest ranks are kept. Depends on the key alone.
    #[must_use]
    pub fn admission_rank(&self) -> u64 {
        rank([self.producer.as_str(), self.schema_version.as_str()].into_iter())
    }
}

/// The origin of one input of a prediction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Dataset the input came from.
    pub dataset: String,
    /// Producer of the record it was computed from, or [`UNKNOWN_PRODUCER`].
    pub producer: String,
    /// Schema version of that record, or [`UNKNOWN_PRODUCER`] where it could not be resolved.
    pub schema_version: String,
}

/// A model's cell within one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelCellKey {
    /// The model's own version.
    pub model_version: String,
    /// Exposure: sorted by dataset, one entry for each dataset the prediction names.
    pub exposure: Vec<Origin>,
}

impl ModelCellKey {
    /// The cell that takes what the limit leaves no room for.
    #[must_use]
    pub fn other() -> ModelCellKey {
        ModelCellKey { model_version: OTHER.into(), exposure: Vec::new() }
    }

    /// Rank under the admission limit: the smallest ranks are kept. Depends on the key alone.
    #[must_use]
    pub fn admission_rank(&self) -> u64 {
        let origins = self.exposure.iter().flat_map(|origin| {
            [origin.dataset.as_str(), origin.producer.as_str(), origin.schema_version.as_str()]
        });
        rank(std::iter::once(self.model_version.as_str()).chain(origins))
    }
}

/// Length-prefixed parts, so that no two keys run together.
fn rank<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    let mut bytes = Vec::with_capacity(64);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    xxh3_64(&bytes)
}
