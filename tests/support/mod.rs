//! What several tests share. Each test binary uses its own part of it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles all of it as a private module and uses a part"
)]

pub mod random;
pub mod summaries;
