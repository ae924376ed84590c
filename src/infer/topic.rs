//! What was sampled of one topic.

use std::collections::BTreeMap;

use super::field::FieldSample;

/// A topic's fields and headers, over its sampled records.
#[derive(Clone, Debug, Default)]
pub struct TopicSample {
    /// Topic.
    pub topic: String,
    /// Records sampled.
    pub records: u64,
    /// By dotted path.
    pub fields: BTreeMap<String, FieldSample>,
    /// By name.
    pub headers: BTreeMap<String, FieldSample>,
    /// The records' Kafka timestamps, where they have any.
    pub timestamps: FieldSample,
}

impl TopicSample {
    /// Adds another file or partition of the same topic.
    pub fn merge(&mut self, other: TopicSample) {
        self.records += other.records;
        for (path, field) in other.fields {
            self.fields.entry(path).or_default().merge(field);
        }
        for (name, field) in other.headers {
            self.headers.entry(name).or_default().merge(field);
        }
        self.timestamps.merge(other.timestamps);
    }

    /// Ends a file or partition of which this share was sampled, 0 to 1.
    pub fn end(&mut self, share: f64) {
        let fields = self.fields.values_mut().chain(self.headers.values_mut());
        fields.chain([&mut self.timestamps]).for_each(|field| field.end(share));
    }

    /// Whether a field is in nearly all records: an optional one can be neither id nor time.
    pub(super) fn is_common(&self, field: &FieldSample) -> bool {
        field.present * 100 >= self.records * 99
    }

    /// Names of all fields, for messages.
    pub(super) fn field_names(&self) -> String {
        if self.fields.is_empty() {
            return "none: no record could be read".to_owned();
        }
        self.fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}
