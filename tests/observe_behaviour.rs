//! Observe from the outside: records in, messages out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "observe_behaviour/datasets.rs"]
mod datasets;
#[path = "observe_behaviour/items.rs"]
mod items;
#[path = "observe_behaviour/merging.rs"]
mod merging;
#[path = "observe_behaviour/models.rs"]
mod models;
#[path = "observe_behaviour/outcomes_of_records.rs"]
mod outcomes_of_records;
#[path = "observe_behaviour/support.rs"]
mod support;
#[path = "observe_behaviour/values.rs"]
mod values;
