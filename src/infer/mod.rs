//! Inference: a bounded sample of records to a configuration that a person could have written.
//!
//! `replay` and `watch` use it where no configuration is given. It reads no file and no topic:
//! it is handed records, decodes them whole, and proposes the text of a configuration, which is
//! then read as any other. What cannot be told from names and values is an error that names the
//! flag to give.
//!
//! ```text
//!  records ─► Sampler ─► TopicSample ─┬─ roles: id, score, label, exposure ─┐
//!                                     ├─ time: which field is event time    ├─► propose ─► text
//!                                     └─ window: rows and span ─────────────┘
//! ```

mod field;
mod proposal;
mod roles;
mod sampler;
#[cfg(test)]
mod tests;
mod time;
mod topic;
mod window;

pub use field::FieldSample;
pub use proposal::{InferError, Setting, Wishes, propose};
pub use sampler::Sampler;
pub use time::time_field;
pub use topic::TopicSample;
