//! The demo: a bank's stream made up from a seed, and what it runs against.
//!
//! [`bank`], [`record`] and their drawing are pure like a stage. [`feed`] and [`world`] are not:
//! they pace, produce and start brokers. What is told on the terminal is told by the `demo` verb.

pub mod bank;
mod draw;
pub mod feed;
mod random;
pub mod record;
pub mod world;

/// The demo's configuration, with `{app}`, `{brokers}`, `{registry}` and `{prefix}` to fill in.
pub const CONFIGURATION: &str = include_str!("demo.yaml");
