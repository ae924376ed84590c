//! What a decision looks like on the wire: CloudEvents 1.0 in Kafka's binary mode.
//!
//! Attributes are `ce_*` headers. The body is Avro in Confluent framing where a registry is
//! configured, else JSON of the same structure. [`Encoder`] writes, [`decode`] reads back, and
//! [`human`] puts an event into words for a terminal.
//!
//! Sends nothing and asks no registry: the runtime does, through [`crate::registry`].

mod decode;
mod encode;
mod human;
mod schemas;
mod structured;
#[cfg(test)]
mod tests;

pub use decode::{DecodeError, Decoded, decode};
pub use encode::{EncodedEvent, Encoder};
pub use human::human;
pub(crate) use schemas::without_credentials;
pub use schemas::{EventKind, RegisteredEventSchemas};
pub use structured::structured;
