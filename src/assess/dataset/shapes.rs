//! Versions of plain JSON: a producer's records of a window are named by what nearly all of them
//! have.
//!
//! Registered records carry a version, others may say one in a header or a field. Records that do
//! neither are named here, when their window is closed, by the paths that 99 % of them have and by
//! the types of their values. Read from a window's exact counts, that is the same whoever read the
//! records and in whatever order.
//!
//! A path changes the name only by going from one end to the other: one that all had is gone once
//! no more than 1 % have it, one that nobody had has come once 99 % have it. So the window in which
//! a producer changes over keeps the old name, and a path that comes and goes changes nothing. What
//! a producer writes first is compared with nothing.
//!
//! *Bound*: [`SHAPES_MAX`] producers; further ones stay unnamed.

use super::*;
use crate::event::schema::{NO_PLACE, SchemaField};
use crate::sketch::{FieldKind, FieldSummary};

/// Producers whose records are named, as many as versions are held against each other.
const SHAPES_MAX: usize = 16;
/// Records that a window must have of a producer, so that 1 % of them are some.
const ROWS_LEAST: u64 = 100;

/// What producers write, by producer. An entry of its own in checkpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::assess) struct Shapes {
    of: BTreeMap<String, Shape>,
}

/// What a producer writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shape {
    /// Paths that all records have.
    always: BTreeMap<String, Type>,
    /// Paths that some had and some had not from the first; they say nothing until none has.
    loose: BTreeSet<String>,
    /// Start of the last window with records.
    last: EventTime,
}

/// Type of a path's values, as far as the kind tells that it is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Type {
    Numeric,
    /// Counted as a number, and it is none.
    NotNumeric,
    Category,
    /// Counted as a category, and it is none.
    NotCategory,
    /// Some are of one type and some of another.
    Any,
}

/// How many of all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Portion {
    None,
    Some,
    All,
}

impl Portion {
    fn of(n: u64, rows: u64) -> Portion {
        let hundredfold = u128::from(n) * 100;
        if hundredfold <= u128::from(rows) {
            Portion::None
        } else if hundredfold >= u128::from(rows) * 99 {
            Portion::All
        } else {
            Portion::Some
        }
    }
}

impl Type {
    fn as_str(self) -> &'static str {
        match self {
            Type::Numeric => "numeric",
            Type::NotNumeric => "not numeric",
            Type::Category => "category",
            Type::NotCategory => "not category",
            Type::Any => "any",
        }
    }

    fn of(summary: &FieldSummary, before: Option<Type>) -> Type {
        let counters = &summary.counters;
        let now = match (summary.kind, Portion::of(counters.mismatch, counters.there())) {
            (FieldKind::Numeric, Portion::None) => Type::Numeric,
            (FieldKind::Numeric, Portion::All) => Type::NotNumeric,
            (FieldKind::Category, Portion::None) => Type::Category,
            (FieldKind::Category, Portion::All) => Type::NotCategory,
            _ => return before.unwrap_or(Type::Any),
        };
        match (before, now) {
            (Some(Type::Any), _) => Type::Any,
            // Another process may count the same values as what they are.
            (Some(Type::NotNumeric), Type::Category) => Type::NotNumeric,
            (Some(Type::NotCategory), Type::Numeric) => Type::NotCategory,
            (_, now) => now,
        }
    }
}

impl Shape {
    /// What a producer wrote first.
    fn first(rows: u64, fields: &BTreeMap<&String, &FieldSummary>) -> Shape {
        let (mut always, mut loose) = (BTreeMap::new(), BTreeSet::new());
        for (path, summary) in fields {
            match portion(summary, rows) {
                Portion::None => {}
                Portion::Some => drop(loose.insert((*path).clone())),
                Portion::All => drop(always.insert((*path).clone(), Type::of(summary, None))),
            }
        }
        Shape { always, loose, last: EventTime::MIN }
    }

    /// Takes a further window.
    fn follow(&mut self, rows: u64, fields: &BTreeMap<&String, &FieldSummary>) {
        let is_gone = |path: &String| {
            fields.get(path).is_none_or(|summary| portion(summary, rows) == Portion::None)
        };
        self.always.retain(|path, _| !is_gone(path));
        self.loose.retain(|path| !is_gone(path));
        for (path, summary) in fields {
            if let Some(known) = self.always.get_mut(*path) {
                *known = Type::of(summary, Some(*known));
            } else if portion(summary, rows) == Portion::All && !self.loose.contains(*path) {
                self.always.insert((*path).clone(), Type::of(summary, None));
            }
        }
    }

    fn name(&self) -> String {
        let mut text = String::new();
        for (path, of_type) in &self.always {
            text.extend([path, "\u{1f}", of_type.as_str(), "\u{1f}"]);
        }
        format!("shape-{:08x}", xxh3_64(text.as_bytes()) as u32)
    }

    fn fields(&self) -> Vec<SchemaField> {
        let field = |(path, of_type): (&String, &Type)| SchemaField {
            path: path.clone(),
            type_name: of_type.as_str().into(),
            nullable: false,
            logical_type: None,
            default: None,
            symbols: Vec::new(),
            doc: None,
        };
        self.always.iter().map(field).collect()
    }
}

fn portion(summary: &FieldSummary, rows: u64) -> Portion {
    Portion::of(summary.counters.there(), rows)
}

/// What naming a producer's records of a window came to.
struct Named {
    producer: String,
    before: Option<String>,
    now: String,
}

impl Shapes {
    /// Names a producer's records; `None` where they are too few to tell and it has no name yet,
    /// or too many producers have one.
    fn name(
        &mut self,
        (producer, start): (&str, EventTime),
        rows: u64,
        fields: &BTreeMap<&String, &FieldSummary>,
    ) -> Option<Named> {
        let before = self.of.get(producer).map(Shape::name);
        let is_told = rows >= ROWS_LEAST;
        if let Some(shape) = self.of.get_mut(producer) {
            if is_told {
                shape.follow(rows, fields);
            }
        } else if is_told && self.has_room(start) {
            self.of.insert(producer.to_owned(), Shape::first(rows, fields));
        }
        let shape = self.of.get_mut(producer)?;
        shape.last = start;
        Some(Named { producer: producer.to_owned(), before, now: shape.name() })
    }

    /// Whether one more has room; one that has long been silent gives way.
    fn has_room(&mut self, start: EventTime) -> bool {
        if self.of.len() >= SHAPES_MAX {
            self.of.retain(|_, shape| start.since_ms(shape.last) < YOUNG_MS);
        }
        self.of.len() < SHAPES_MAX
    }

    /// Forgets what was read from windows that start at `from` or later.
    pub(in crate::assess) fn rewind(&mut self, from: EventTime) {
        self.of.retain(|_, shape| shape.last < from);
    }
}

impl Dataset {
    /// Names the records of a window that say no version; a producer's new name is told with what
    /// it changes.
    pub(super) fn name_shapes(&mut self, start: EventTime, plan: &DatasetPlan) -> Vec<FindingItem> {
        let Some(window) = self.windows.get_mut(&start) else { return Vec::new() };
        if plan.schema_version.is_some() {
            return Vec::new();
        }
        let shapes = &mut self.core.learnt.shapes;
        let mut all = Vec::new();
        for (producer, rows, fields) in window.of_version(NO_SCHEMA) {
            let fields = fields.iter().filter(|(path, _)| !plan.fields.is_of_items(path));
            all.extend(shapes.name((producer, start), rows, &fields.collect()));
        }
        if all.is_empty() {
            return Vec::new();
        }
        self.touched.push(Part::Shapes);
        for named in &all {
            window.rename(&named.producer, NO_SCHEMA, &named.now);
        }
        all.into_iter().filter_map(|named| self.meet_shape(named, start, plan)).collect()
    }

    fn meet_shape(
        &mut self,
        Named { producer, before, now }: Named,
        start: EventTime,
        plan: &DatasetPlan,
    ) -> Option<FindingItem> {
        let versions = &mut self.core.learnt.versions;
        if versions.contains_key(&now) {
            return None;
        }
        let seen = SchemaSeen {
            dataset: plan.name.clone(),
            schema_version: now.clone(),
            subject: None,
            number: None,
            fields: self.core.learnt.shapes.of.get(&producer)?.fields(),
            partition: NO_PLACE,
            offset: i64::from(NO_PLACE),
            event_time: start,
            producer,
        };
        let original = before.is_none();
        let known =
            Version { seen: Some(seen.clone()), first_seen: start, original, reference: None };
        versions.insert(now, known);
        self.change_to(&before?, &seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(kind: FieldKind, present: u64, mismatch: u64) -> FieldSummary {
        let mut summary = FieldSummary::new(kind, None);
        (summary.counters.present, summary.counters.mismatch) = (present, mismatch);
        summary
    }

    fn number(present: u64) -> FieldSummary {
        summary(FieldKind::Numeric, present, 0)
    }

    /// The paths of the name after each window of 1,000 records, and whether the name changed.
    fn named(windows: &[&[(&str, FieldSummary)]]) -> Vec<(Vec<String>, bool)> {
        let mut shapes = Shapes::default();
        let mut told = Vec::new();
        for (nth, window) in windows.iter().enumerate() {
            let owned: BTreeMap<String, FieldSummary> = window
                .iter()
                .map(|(path, summary)| ((*path).to_owned(), summary.clone()))
                .collect();
            let at = ("web", EventTime(nth as i64));
            let named = shapes.name(at, 1_000, &owned.iter().collect()).expect("there is room");
            let fields = shapes.of["web"].fields();
            let paths = fields.iter().map(|f| format!("{} {}", f.path, f.type_name));
            let changed = named.before.is_some_and(|before| before != named.now);
            told.push((paths.collect(), changed));
        }
        told
    }

    #[test]
    fn a_path_changes_the_name_by_going_from_one_end_to_the_other() {
        let (all, half, none) = (number(990), number(500), number(10));
        let told = named(&[
            &[("a", all.clone()), ("b", all.clone())],
            &[("a", all.clone()), ("b", half.clone()), ("c", half)],
            &[("a", all.clone()), ("b", none), ("c", all.clone())],
            &[("a", all.clone()), ("c", all)],
        ]);

        let (old, new) = (["a numeric", "b numeric"], ["a numeric", "c numeric"]);
        let expected = [(old, false), (old, false), (new, true), (new, false)];
        let expected = expected.map(|(paths, changed)| (paths.map(str::to_owned).into(), changed));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_path_that_comes_and_goes_is_in_no_name() {
        let all = ("a", number(1_000));
        let told = named(&[
            &[all.clone(), ("b", number(980))],
            &[all.clone(), ("b", number(1_000))],
            &[all.clone(), ("b", number(20))],
            &[all],
        ]);

        assert!(told.iter().all(|(paths, changed)| paths == &["a numeric"] && !changed));
    }

    #[test]
    fn a_type_changes_the_name_once_nearly_all_values_have_another() {
        let amount = |present, mismatch| [("a", summary(FieldKind::Numeric, present, mismatch))];
        let text = [("a", summary(FieldKind::Category, 1_000, 0))];
        let told = named(&[
            &amount(1_000, 0),
            &amount(500, 500),
            &amount(0, 1_000),
            // A process that starts counts it as what it is.
            &text,
            &amount(1_000, 0),
        ]);

        let types: Vec<(&str, bool)> = told.iter().map(|(p, c)| (p[0].as_str(), *c)).collect();
        let (number, none) = ("a numeric", "a not numeric");
        let expected =
            [(number, false), (number, false), (none, true), (none, false), (number, true)];
        assert_eq!(types, expected);
    }

    #[test]
    fn few_records_keep_the_name_there_is_and_give_none() {
        let mut shapes = Shapes::default();
        let (path, summary) = ("a".to_owned(), number(99));
        let fields = BTreeMap::from([(&path, &summary)]);
        let mut name =
            |rows, fields| shapes.name(("web", EventTime(0)), rows, fields).map(|named| named.now);

        assert_eq!(name(99, &fields), None);
        let told = name(100, &fields);
        assert!(told.as_ref().is_some_and(|name| name.starts_with("shape-")), "{told:?}");
        let nothing = BTreeMap::new();
        assert_eq!(name(99, &nothing), told);
        assert_ne!(name(100, &nothing), told);
    }

    #[test]
    fn producers_beyond_the_limit_stay_unnamed_until_others_are_long_silent() {
        let mut shapes = Shapes::default();
        let mut is_named = |producer: usize, at| {
            let producer = format!("p{producer:02}");
            shapes.name((&producer, EventTime(at)), 100, &BTreeMap::new()).is_some()
        };

        assert!((0..SHAPES_MAX).all(|producer| is_named(producer, 0)));
        assert!(!is_named(SHAPES_MAX, 1));
        assert!(is_named(0, 1));
        assert!(is_named(SHAPES_MAX, YOUNG_MS));
        shapes.rewind(EventTime(1));
        assert_eq!(shapes.of.len(), 0, "{:?}", shapes.of.keys());
    }
}
