//! What assess tells observe: how to count, and how far it has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::EventTime;
use crate::sketch::FieldLayout;

/// One message on `layouts`, keyed by dataset and its definition's turn. Later ones replace
/// earlier ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayoutUpdate {
    /// Dataset name.
    pub dataset: String,
    /// Definition it holds for.
    pub definition: u64,
    /// End of the newest window that has ended, with anything in it or not: until there is a
    /// layout, observe reads at most two windows beyond it.
    pub closed_through: Option<EventTime>,
    /// The layout, once learnt.
    pub layout: Option<Layout>,
}

/// The layouts of a dataset's fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Hash of `fields`.
    pub id: u64,
    /// First window (start) to be counted in it; an instance already past that switches at its
    /// next window.
    pub effective_from: EventTime,
    /// By field path.
    pub fields: BTreeMap<String, FieldLayout>,
}
