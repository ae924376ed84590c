//! The demo's data: a bank's stream, made up from a seed.
//!
//! Pure like a stage: no clock, no broker. Whoever drives it frames the bytes with registry ids,
//! paces them and writes them to topics.

pub mod bank;
mod draw;
mod random;
pub mod record;
