//! A world for the stages: sources, a model of Kafka, instances that fail, and what must hold
//! whatever fails.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "test binaries compile all of it as a private module and use a part"
)]

pub mod broker;
pub mod calm;
pub mod check;
pub mod member;
pub mod observer;
pub mod recount;
pub mod source;
pub mod verdict;
pub mod worker;
pub mod world;
