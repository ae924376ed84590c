//! The schema registry: a client that outlives its outages, and a stand-in for demos and tests.
//!
//! IMPURE: sockets, a clock, one thread. [`Registry`] owns the thread; the loop of observe holds a
//! [`SchemaSource`], asks for ids and picks up answers, and never waits. An answer is only ever
//! what the registry said: while it cannot be reached or refuses, the id stays asked for.
//!
//! Reads no schema beyond putting references in their place; that is observe's business.
#![expect(clippy::disallowed_methods, reason = "negative entries expire by wall time")]

mod cache;
mod client;
mod fetch;
mod keeper;
mod references;
#[cfg(test)]
mod scripted;
mod stand_in;
mod status;
#[cfg(test)]
mod tests;

pub use client::{Options, Registry, RegistryError, SchemaSource, subjects};
pub use stand_in::StandIn;
pub use status::RegistryStatus;
