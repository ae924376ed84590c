//! Statistical tests on counts: plain functions from integers to small result structs.
//!
//! What a room above does with a result (alarms, persistence over windows, gates) is not decided
//! here, and nothing here keeps state. Floats are summed in the order of the slices given, so the
//! same counts always give the same bits.
//!
//! - [`chi_square`]: is the drift certainly larger than what is tolerated?
//! - [`rates`]: support, null and outcome rates, with intervals.
//! - [`multiple`]: many fields tested at once.
//! - [`change`]: what kind of change an alarm is about ("x100", not "drift").
//! - [`shown`]: PSI, JS and KS, which people ask for and which decide nothing.
//! - [`special`], [`tails`]: the distribution functions underneath.

pub mod change;
pub mod chi_square;
pub mod multiple;
pub mod rates;
pub mod shown;
pub mod special;
pub mod tails;

/// Closed interval of an estimate, in the unit of the estimate; `low <= high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Standard normal quantile at 0.975, behind every 95 % interval of this room.
pub const Z_95: f64 = 1.959_963_984_540_054;
