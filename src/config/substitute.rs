//! Puts the environment into text: `${NAME}` and `${NAME:-default}`; `$${` is a plain `${`.
//!
//! Works on the parsed tree, so that a variable can never add keys. It reads no files; secrets
//! in files are read by [`super::secret`].

use super::error::Problem;
use super::tree::{Node, Value};

/// Looks a variable up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Substitutes everywhere below `node`.
pub(crate) fn substitute(node: &mut Node, env: Environment<'_>, problems: &mut Vec<Problem>) {
    walk(node, &mut Vec::new(), env, problems);
}

fn walk(
    node: &mut Node,
    path: &mut Vec<String>,
    env: Environment<'_>,
    problems: &mut Vec<Problem>,
) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => match replaced(text, env) {
            Ok(new) => {
                node.written = Some(std::mem::replace(text, new));
            }
            Err((message, fix)) => problems.push(Problem {
                path: path.join("."),
                message,
                fix: Some(fix),
                at: Some(node.at.clone()),
            }),
        },
        Value::List(items) => items.iter_mut().for_each(|item| walk(item, path, env, problems)),
        Value::Map(entries) => {
            for (key, child) in entries {
                path.push(key.text.clone());
                walk(child, path, env, problems);
                path.pop();
            }
        }
        _ => {}
    }
}

fn replaced(text: &str, env: Environment<'_>) -> Result<String, (String, String)> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let body = &rest[start + 2..];
        let end = body.find('}').ok_or_else(|| {
            ("`${` is not closed".to_owned(), "close it with `}`, or write `$${`".to_owned())
        })?;
        let (name, default) = match body[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&body[..end], None),
        };
        if !is_name(name) {
            let message = format!("`${{{name}}}` names no environment variable");
            return Err((message, "use letters, digits and `_`, or write `$${`".into()));
        }
        let value = env(name).filter(|value| default.is_none() || !value.is_empty());
        match value.or_else(|| default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => {
                let message = format!("the environment variable {name} is not set");
                return Err((message, format!("set it, or write `${{{name}:-default}}`")));
            }
        }
        rest = &body[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let env = |name: &str| match name {
            "HOST" => Some("broker".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let got = replaced(text, &env).map_err(|(message, _)| message);
        assert_eq!(got.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        check("${HOST}:9092", Ok("broker:9092"));
        check("${NONE:-a}-${EMPTY:-b}-${HOST:-c}", Ok("a-b-broker"));
        check("${EMPTY}", Ok(""));
        check("$${HOST} and $5", Ok("${HOST} and $5"));
    }

    #[test]
    fn what_cannot_be_put_in_is_named() {
        check("${NONE}", Err("the environment variable NONE is not set"));
        check("${HOST", Err("`${` is not closed"));
        check("${a b}", Err("`${a b}` names no environment variable"));
    }
}
