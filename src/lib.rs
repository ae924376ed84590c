//! Driftline: which upstream change moved which model's outcomes.
