//! Which field is event time: logical timestamps first, then names that promise a time and keep
//! the promise.

use super::field::FieldSample;
use super::topic::TopicSample;

/// Names in order of preference.
const NAMES: [&str; 13] = [
    "event_time",
    "event_timestamp",
    "occurred_at",
    "created_at",
    "scored_at",
    "predicted_at",
    "labelled_at",
    "labeled_at",
    "timestamp",
    "ts",
    "time",
    "datetime",
    "date",
];
/// Ends of names that promise a time.
const ENDS: [&str; 5] = ["_at", "_time", "_timestamp", "_ts", "_date"];

/// The field that most likely is event time; `None` where no field is.
#[must_use]
pub fn time_field(sample: &TopicSample) -> Option<&str> {
    let usable = |(path, field): (&'_ String, &FieldSample)| {
        let fits = field.is_time() && sample.is_common(field);
        let rank = rank(path, field)?;
        fits.then_some(rank)
    };
    let ranked = sample.fields.iter().filter_map(|entry| Some((usable(entry)?, entry.0)));
    // Of equals, the shortest path: the record's own time rather than that of a part.
    let best = ranked.min_by_key(|(rank, path)| (*rank, path.matches('.').count(), *path))?;
    Some(best.1)
}

/// Lower is likelier; `None` for what nothing says is a time.
fn rank(path: &str, field: &FieldSample) -> Option<(bool, usize)> {
    let is_plain = field.logical_times == 0;
    let name = snake(path.rsplit('.').next().unwrap_or(path));
    let by_name = NAMES.iter().position(|known| *known == name);
    let by_end = || ENDS.iter().any(|end| name.ends_with(end)).then_some(NAMES.len());
    match by_name.or_else(by_end) {
        Some(place) => Some((is_plain, place)),
        None if is_plain => None,
        None => Some((false, NAMES.len() + 1)),
    }
}

/// `createdAt` and `Created-At` as `created_at`.
pub(super) fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = letter.is_lowercase() || letter.is_ascii_digit();
        let letter = if letter == '-' || letter == ' ' { '_' } else { letter };
        snake.extend(letter.to_lowercase());
    }
    snake
}
