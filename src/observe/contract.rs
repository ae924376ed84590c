//! What a field's values are counted as, and whether they keep the field's contract.
//!
//! Pure judgement of one value: nothing is counted here.

use super::slot::Slot;
use super::text::TextBuffer;
use crate::config::plan::{FieldPlan, WantedKind};
use crate::sketch::FieldKind;

/// A value as it is to be counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Counted<'a> {
    /// Not there.
    Absent,
    /// Null.
    Null,
    /// Of another kind than the field, or text that is no number.
    Mismatch,
    /// A number.
    Number(f64),
    /// A category.
    Category(&'a str),
    /// A value whose presence alone is counted (times, bytes).
    Present,
}

/// A rule of a contract that a value breaks; the text is for headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Absent or null though required.
    Required,
    /// Another kind than the field's.
    Kind,
    /// Below the smallest value allowed.
    Min,
    /// Above the largest value allowed.
    Max,
    /// None of the values allowed.
    Allowed,
}

impl Rule {
    /// Its name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Rule::Required => "required",
            Rule::Kind => "kind",
            Rule::Min => "min",
            Rule::Max => "max",
            Rule::Allowed => "allowed",
        }
    }
}

/// The kind a first value gives its field; `None` where it says nothing.
pub(super) fn kind_of(slot: &Slot<'_>, wanted: Option<WantedKind>) -> Option<FieldKind> {
    match wanted {
        Some(WantedKind::Numeric) => return Some(FieldKind::Numeric),
        Some(WantedKind::Category) => return Some(FieldKind::Category),
        None => {}
    }
    match slot {
        Slot::Absent | Slot::Null | Slot::Composite => None,
        Slot::Integer(_) | Slot::Float(_) => Some(FieldKind::Numeric),
        Slot::Bool(_) | Slot::Text(_) => Some(FieldKind::Category),
        Slot::TimeMs(_) => Some(FieldKind::Time),
        Slot::Bytes(_) => Some(FieldKind::Opaque),
    }
}

/// How a value of a field of `kind` is counted. With `convert`, a kind was asked for by
/// configuration: text is parsed as a number, and a number is a category by its text.
pub(super) fn classify<'t>(
    slot: &Slot<'t>,
    kind: FieldKind,
    convert: bool,
    buffer: &'t mut TextBuffer,
) -> Counted<'t> {
    match (slot, kind) {
        (Slot::Absent, _) => Counted::Absent,
        (Slot::Null, _) => Counted::Null,
        (Slot::Integer(number), FieldKind::Numeric) => Counted::Number(*number as f64),
        (Slot::Float(number), FieldKind::Numeric) => Counted::Number(*number),
        (Slot::TimeMs(ms), FieldKind::Numeric) if convert => Counted::Number(*ms as f64),
        (Slot::Text(text), FieldKind::Numeric) if convert => {
            text.trim().parse().map_or(Counted::Mismatch, Counted::Number)
        }
        (Slot::Text(_) | Slot::Bool(_), FieldKind::Category) => text(*slot, buffer),
        (Slot::Integer(_) | Slot::Float(_), FieldKind::Category) if convert => text(*slot, buffer),
        (Slot::TimeMs(ms), FieldKind::Category) if convert => text(Slot::Integer(*ms), buffer),
        (Slot::TimeMs(_), FieldKind::Time) | (Slot::Bytes(_), FieldKind::Opaque) => {
            Counted::Present
        }
        _ => Counted::Mismatch,
    }
}

/// The first rule of `plan` that a value breaks, but for its kind.
pub(super) fn breach(counted: Counted<'_>, plan: &FieldPlan) -> Option<Rule> {
    match counted {
        Counted::Absent | Counted::Null => plan.required.then_some(Rule::Required),
        Counted::Mismatch | Counted::Present => None,
        Counted::Number(number) => {
            // NaN breaks any bound.
            if plan.min.is_some_and(|min| number < min || number.is_nan()) {
                return Some(Rule::Min);
            }
            if plan.max.is_some_and(|max| number > max || number.is_nan()) {
                return Some(Rule::Max);
            }
            if plan.allowed.is_empty() {
                return None;
            }
            let mut buffer = TextBuffer::new();
            let text = buffer.text_of(Slot::Float(number))?;
            not_allowed(text, plan)
        }
        Counted::Category(text) => not_allowed(text, plan),
    }
}

fn not_allowed(text: &str, plan: &FieldPlan) -> Option<Rule> {
    let allowed = plan.allowed.is_empty() || plan.allowed.iter().any(|one| one == text);
    (!allowed).then_some(Rule::Allowed)
}

fn text<'t>(slot: Slot<'t>, buffer: &'t mut TextBuffer) -> Counted<'t> {
    buffer.text_of(slot).map_or(Counted::Mismatch, Counted::Category)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(slot: Slot<'_>, kind: FieldKind, convert: bool) -> String {
        format!("{:?}", classify(&slot, kind, convert, &mut TextBuffer::new()))
    }

    #[test]
    fn a_value_of_another_kind_is_a_mismatch() {
        for (slot, kind) in [
            (Slot::Text("5"), FieldKind::Numeric),
            (Slot::Bool(true), FieldKind::Numeric),
            (Slot::Integer(5), FieldKind::Category),
            (Slot::TimeMs(5), FieldKind::Numeric),
            (Slot::Integer(5), FieldKind::Time),
            (Slot::Text("x"), FieldKind::Opaque),
            (Slot::Composite, FieldKind::Category),
        ] {
            assert_eq!(counted(slot, kind, false), "Mismatch", "{slot:?} {kind:?}");
        }
    }

    #[test]
    fn a_wanted_kind_converts() {
        let numeric = FieldKind::Numeric;
        let category = FieldKind::Category;

        assert_eq!(counted(Slot::Text("1.5"), numeric, true), "Number(1.5)");
        assert_eq!(counted(Slot::Text("one"), numeric, true), "Mismatch");
        assert_eq!(counted(Slot::Integer(17), category, true), "Category(\"17\")");
        assert_eq!(counted(Slot::Float(0.5), category, true), "Category(\"0.5\")");
        assert_eq!(counted(Slot::Bool(true), category, false), "Category(\"true\")");
    }

    #[test]
    fn each_rule_has_its_breach() {
        let plan =
            FieldPlan { required: true, min: Some(0.0), max: Some(10.0), ..FieldPlan::default() };
        assert_eq!(breach(Counted::Absent, &plan), Some(Rule::Required));
        assert_eq!(breach(Counted::Null, &plan), Some(Rule::Required));
        assert_eq!(breach(Counted::Number(-0.1), &plan), Some(Rule::Min));
        assert_eq!(breach(Counted::Number(10.1), &plan), Some(Rule::Max));
        assert_eq!(breach(Counted::Number(f64::NAN), &plan), Some(Rule::Min));
        assert_eq!(breach(Counted::Number(10.0), &plan), None);

        let plan = FieldPlan { allowed: vec!["DE".into(), "1".into()], ..FieldPlan::default() };
        assert_eq!(breach(Counted::Category("DE"), &plan), None);
        assert_eq!(breach(Counted::Category("FR"), &plan), Some(Rule::Allowed));
        assert_eq!(breach(Counted::Number(1.0), &plan), None);
        assert_eq!(breach(Counted::Null, &plan), None);
    }
}
