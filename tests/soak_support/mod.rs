//! What only the soak needs: a registry that can go away, and the vital signs of processes.
#![allow(unreachable_pub, reason = "a private module of one test binary")]

pub mod gate;
pub mod vitals;
