//! Configuration: as written, and validated.

pub mod plan;
