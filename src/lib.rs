//! Driftline: which upstream change moved which model's outcomes.

pub mod cli;
pub mod config;
pub mod event;
pub mod sketch;
pub mod stage;
