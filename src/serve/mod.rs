//! What an operator looks at: metrics, health, and the HTTP server that tells them.
//!
//! IMPURE: sockets and threads. Loops write into cheap handles ([`Metrics`], [`Health`]) once a
//! commit, never once a record; the [`Server`] reads them. Decides nothing.

mod health;
mod http;
mod latency;
mod metrics;
mod table;

pub use health::Health;
pub use http::{ServeError, Server};
pub use metrics::Metrics;
pub use table::{Kind, Metric, TABLE, markdown};
