//! Driftline: which upstream change moved which model's outcomes.

pub mod assess;
pub mod cli;
pub mod config;
pub mod decide;
pub mod demo;
pub mod event;
pub mod infer;
pub mod join;
pub mod observe;
pub mod process;
pub mod publish;
pub mod registry;
pub mod replay;
pub mod runtime;
pub mod serve;
pub mod sketch;
pub mod stage;
pub mod topology;
pub mod watch;
