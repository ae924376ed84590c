//! What is wrong with a configuration, where, and what to do: for people.
//!
//! The text shown around an error has its secrets masked; no message ever has one in it.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::tree::{Node, Value};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Keys from the root, dotted; empty at the root.
    pub path: String,
    /// What is wrong, with the value.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
    /// Place in the file. *Units*: bytes.
    pub at: Option<Range<usize>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// A configuration that cannot be used, with every problem found.
///
/// `Display` is one line a problem, `file:line:column: path: message; fix`;
/// [`ConfigError::report`] shows the lines of the file.
#[derive(Clone, Debug)]
pub struct ConfigError {
    name: String,
    text: String,
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Problems in a file; secrets in `text` are masked by what `tree` knows of them.
    pub(crate) fn new(
        name: &str,
        text: &str,
        tree: Option<&Node>,
        problems: Vec<Problem>,
    ) -> ConfigError {
        ConfigError { name: name.to_owned(), text: masked(text, tree), problems }
    }

    /// A file that cannot be read.
    pub(crate) fn unreadable(name: &str, reason: &str) -> ConfigError {
        let problem = Problem {
            path: String::new(),
            message: format!("cannot read the file: {reason}"),
            fix: Some("give the path of a configuration file".into()),
            at: None,
        };
        ConfigError::new(name, "", None, vec![problem])
    }

    /// The problems, in the order found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// For a terminal: each problem with its line of the file.
    #[must_use]
    pub fn report(&self) -> miette::Report {
        let mut shown: Vec<Shown> = self.problems.iter().map(|p| self.shown(p)).collect();
        if shown.len() == 1 {
            return miette::Report::new(shown.remove(0));
        }
        miette::Report::new(Many {
            message: format!("{} has {} problems", self.name, shown.len()),
            shown,
        })
    }

    fn shown(&self, problem: &Problem) -> Shown {
        let message = match problem.at {
            Some(_) => problem.to_string(),
            None => format!("{}: {problem}", self.name),
        };
        Shown {
            message,
            fix: problem.fix.clone(),
            label: problem.at.clone().map(|at| LabeledSpan::new_with_span(None, at)),
            file: NamedSource::new(&self.name, self.text.clone()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            f.write_str(&self.name)?;
            if let Some(at) = &problem.at {
                let (line, column) = line_and_column(&self.text, at.start);
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {problem}")?;
            if let Some(fix) = &problem.fix {
                write!(f, "; {fix}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Shown {
    message: String,
    fix: Option<String>,
    label: Option<LabeledSpan>,
    file: NamedSource<String>,
}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.fix.as_ref().map(|fix| Box::new(fix) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.label.clone().map(|label| Box::new(std::iter::once(label)) as Box<_>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.label.as_ref().map(|_| &self.file as &dyn SourceCode)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Many {
    message: String,
    shown: Vec<Shown>,
}

impl Diagnostic for Many {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.shown.iter().map(|shown| shown as &dyn Diagnostic)))
    }
}

/// Both from 1; columns in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The text with every secret replaced by as many bytes of `*`.
fn masked(text: &str, tree: Option<&Node>) -> String {
    let mut secrets = Vec::new();
    match tree {
        Some(tree) => secrets_in(tree, &mut secrets),
        None => secrets_in_lines(text, &mut secrets),
    }
    let mut bytes = text.as_bytes().to_vec();
    for range in secrets {
        for byte in bytes.get_mut(range).into_iter().flatten() {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let words = ["password", "secret", "sasl.jaas", "sasl.oauthbearer.config", "key.pem"];
    key.ends_with("token") || words.iter().any(|word| key.contains(word))
}

fn secrets_in(node: &Node, out: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Map(entries) => {
            for (key, child) in entries {
                match &child.value {
                    Value::Map(_) | Value::List(_) => secrets_in(child, out),
                    _ if is_secret(&key.text) && child.written.is_none() => {
                        out.push(child.at.clone());
                    }
                    _ => {}
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| secrets_in(item, out)),
        _ => {}
    }
}

/// Where there is no tree (the YAML is broken): everything after the colon of such a key, and
/// everything after it when a line holds the key alone.
fn secrets_in_lines(text: &str, out: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for (colon, _) in line.match_indices(':') {
            if is_secret(line.get(..colon).unwrap_or_default()) {
                out.push(start + colon + 1..start + line.len());
                break;
            }
        }
        start += line.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_with_its_length() {
        let text = "kafka:\n  security: { password: hunter2, username: me }\n";
        let tree = Node::parse(text).expect("yaml");

        let shown = masked(text, Some(&tree));

        assert!(shown.contains("password: *******, username: me"), "{shown}");
    }

    #[test]
    fn a_secret_in_broken_yaml_is_masked_to_the_end_of_its_line() {
        let shown = masked("password: hunter2 }\napp: [", None);

        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.ends_with("\napp: ["), "{shown}");
    }
}
