//! Paths of fields, and which of them name values that a record has many of.
//!
//! A path is names joined by dots. Behind a name, `[]` stands for each item of an array and `{}`
//! for each value of a map, `[#]` and `{#}` for how many there are: `lines[].price`, `tags{}`,
//! `lines[#]`. Whether a path is watched is configuration's to say.

/// The items that a path names or lies in, innermost: `lines[]` for `lines[].price`. `None` for a
/// path at which a record has one value.
#[must_use]
pub fn items(path: &str) -> Option<&str> {
    let marks = path.match_indices("[]").chain(path.match_indices("{}"));
    let ends = marks.filter(|(at, _)| *at > 0).map(|(at, mark)| at + mark.len());
    let ends = ends.filter(|end| {
        let rest = &path[*end..];
        rest.is_empty() || rest.starts_with(['.', '[', '{'])
    });
    ends.max().map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_items_is_told_by_its_last_mark() {
        for (path, expected) in [
            ("a[]", Some("a[]")),
            ("a.b[].c.d", Some("a.b[]")),
            ("a[].b{}.c", Some("a[].b{}")),
            ("a{}[]", Some("a{}[]")),
            ("a[].b[#]", Some("a[]")),
            ("a[#]", None),
            ("a{#}", None),
            ("a", None),
            ("a[]b", None),
            ("[]", None),
            ("[].a", None),
        ] {
            assert_eq!(items(path), expected, "{path}");
        }
    }
}
