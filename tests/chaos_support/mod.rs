//! What the test of faults is made of: faults, processes, who looks on, what was measured.
#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a private module of one test; waits for processes and says what was measured"
)]

pub mod fault;
pub mod fleet;
pub mod headers;
pub mod times;
