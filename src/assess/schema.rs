//! What a new schema version does, field by field.

use std::collections::BTreeMap;

use crate::event::finding::FieldChange;
use crate::event::schema::SchemaField;

/// Compares two versions by path; changes in path order, several for one path where several of
/// its properties differ.
pub(super) fn diff(before: &[SchemaField], after: &[SchemaField]) -> Vec<FieldChange> {
    let old: BTreeMap<&str, &SchemaField> = before.iter().map(|f| (f.path.as_str(), f)).collect();
    let new: BTreeMap<&str, &SchemaField> = after.iter().map(|f| (f.path.as_str(), f)).collect();
    let mut changes = Vec::new();
    for (path, field) in &old {
        match new.get(path) {
            None => changes.push(change(path, "removed", Some(describe(field)), None)),
            Some(now) => changes.extend(field_diff(field, now)),
        }
    }
    for (path, field) in &new {
        if !old.contains_key(path) {
            changes.push(change(path, "added", None, Some(describe(field))));
        }
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path).then(a.kind.cmp(&b.kind)));
    changes
}

fn field_diff(before: &SchemaField, after: &SchemaField) -> Vec<FieldChange> {
    let properties = [
        ("type", Some(before.type_name.clone()), Some(after.type_name.clone())),
        ("nullable", Some(before.nullable.to_string()), Some(after.nullable.to_string())),
        ("logical_type", before.logical_type.clone(), after.logical_type.clone()),
        ("default", before.default.clone(), after.default.clone()),
        ("symbols", symbols(before), symbols(after)),
        ("doc", before.doc.clone(), after.doc.clone()),
    ];
    let differs = properties.into_iter().filter(|(_, before, after)| before != after);
    differs.map(|(kind, old, new)| change(&before.path, kind, old, new)).collect()
}

fn change(path: &str, kind: &str, before: Option<String>, after: Option<String>) -> FieldChange {
    FieldChange { path: path.to_owned(), kind: kind.to_owned(), before, after }
}

fn symbols(field: &SchemaField) -> Option<String> {
    (!field.symbols.is_empty()).then(|| field.symbols.join("|"))
}

fn describe(field: &SchemaField) -> String {
    let mut text = field.logical_type.clone().unwrap_or_else(|| field.type_name.clone());
    if field.nullable {
        text.push_str(" or null");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, type_name: &str) -> SchemaField {
        SchemaField {
            path: path.into(),
            type_name: type_name.into(),
            nullable: false,
            logical_type: None,
            default: None,
            symbols: Vec::new(),
            doc: None,
        }
    }

    #[test]
    fn added_removed_and_retyped_fields_are_told_apart() {
        let before = [field("amount", "double"), field("country", "string")];
        let after = [field("amount", "long"), field("channel", "string")];

        let told: Vec<(String, String)> =
            diff(&before, &after).into_iter().map(|c| (c.path, c.kind)).collect();
        let expected = [("amount", "type"), ("channel", "added"), ("country", "removed")];
        assert_eq!(told, expected.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
    }

    #[test]
    fn order_of_fields_is_no_change() {
        let (a, b) = (field("a", "int"), field("b", "int"));

        assert!(diff(&[a.clone(), b.clone()], &[b, a]).is_empty());
    }

    #[test]
    fn a_new_unit_in_the_doc_is_a_change() {
        let before = SchemaField { doc: Some("US dollars".into()), ..field("amount", "double") };
        let after = SchemaField { doc: Some("US cents".into()), ..field("amount", "double") };

        let changes = diff(&[before], &[after]);
        assert_eq!((changes[0].kind.as_str(), changes.len()), ("doc", 1));
    }
}
