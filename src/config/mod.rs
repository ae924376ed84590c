//! Configuration: as written, and validated.

pub mod deployment;
pub mod plan;
