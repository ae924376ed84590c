//! Stage 3: closes windows of one subject and tests them against what is usual for it.

pub mod tests;
