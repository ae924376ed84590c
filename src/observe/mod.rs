//! Stage 1, observe: one record at a time.
//!
//! Finds the schema, decodes the watched fields, checks the contract, judges lateness and adds to
//! per-cell summaries. Keeps nothing across a commit but each partition's highest event time.
//! It fetches nothing: a schema it does not know is asked for by [`Taken::NeedSchema`] and handed
//! in by the runtime.

mod record;

pub use record::SourceRecord;

use std::sync::Arc;

use crate::config::plan::Plan;
use crate::event::layout::LayoutUpdate;
use crate::event::route::Outbox;
use crate::event::time::EventTime;
