//! What several tests share. Each test binary uses its own part of it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles all of it as a private module and uses a part"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of the whole wait for processes and read the clock"
)]

pub mod again;
pub mod broker;
pub mod heard;
pub mod ledger;
pub mod memory;
pub mod own_broker;
pub mod random;
pub mod registry;
pub mod running;
pub mod secured;
pub mod settled;
pub mod stages;
pub mod stream;
pub mod summaries;
pub mod wait;
