//! The vocabulary as types: what travels between the stages and out of the last one.
//!
//! Messages here are plain data. They know nothing of Kafka, of clocks, or of the state a stage
//! keeps; [`wire`] turns them into bytes and back. Time is always an integer from the data.

pub mod cell;
pub mod epoch;
pub mod fact;
pub mod finding;
pub mod layout;
pub mod path;
pub mod progress;
pub mod public;
pub mod route;
pub mod schema;
pub mod summary;
pub mod time;
pub mod wire;
