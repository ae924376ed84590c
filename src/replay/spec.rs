//! What names a file on the command line: `orders.avro`, `orders=data/2024.csv.gz`, `orders=-`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::ReplayError;

/// What a file holds, where its content does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Avro object container.
    Avro,
    /// One JSON object a line.
    Json,
    /// A header row, then records.
    Csv,
}

/// A file to read, and the topic it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Topic.
    pub topic: String,
    /// Path; `-` is standard input.
    pub path: PathBuf,
    /// Format; `None` looks at the content.
    pub format: Option<Format>,
    /// Dotted path of the field, or the column, that holds the time records are merged by:
    /// epoch milliseconds, an Avro timestamp or date, or RFC 3339 text (a time without zone is
    /// UTC). `None` keeps the file's order and gives no timestamps.
    pub time: Option<String>,
}

impl FromStr for FileSpec {
    type Err = ReplayError;

    /// `topic=path`, or a path whose stem is the topic. What stands before `=` is a topic when
    /// it can be one, so write `./a=b.csv` for a path with `=` in it.
    fn from_str(text: &str) -> Result<FileSpec, ReplayError> {
        let refuse = |reason| Err(ReplayError::Spec { spec: text.to_owned(), reason });
        let (topic, path) = match text.split_once('=') {
            Some((topic, path)) if is_topic(topic) => (topic.to_owned(), path),
            _ => (stem(text), text),
        };
        if path.is_empty() {
            return refuse("no file is named; write `topic=path`");
        }
        if path == "-" && topic == "-" {
            return refuse("standard input has no name; write `topic=-`");
        }
        if !is_topic(&topic) {
            return refuse("the file's name cannot be a topic; write `topic=path`");
        }
        Ok(FileSpec { topic, path: PathBuf::from(path), format: None, time: None })
    }
}

fn is_topic(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !text.is_empty() && text.len() <= 249 && text.bytes().all(fits) && text != "." && text != ".."
}

/// The name without folders, compression and format: `data/orders.jsonl.gz` is `orders`.
fn stem(path: &str) -> String {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let name = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_given_or_the_stem() {
        for (text, topic, path) in [
            ("data/orders.jsonl.gz", "orders", "data/orders.jsonl.gz"),
            ("orders.v1.avro", "orders.v1", "orders.v1.avro"),
            ("pay=data/x.csv", "pay", "data/x.csv"),
            ("pay=-", "pay", "-"),
            ("data/day=1/x.csv", "x", "data/day=1/x.csv"),
        ] {
            let spec: FileSpec = text.parse().expect(text);
            assert_eq!((spec.topic.as_str(), spec.path), (topic, PathBuf::from(path)));
        }
    }

    #[test]
    fn what_names_no_topic_or_file_is_refused() {
        for text in ["-", "pay=", "a b.csv", ""] {
            assert!(text.parse::<FileSpec>().is_err(), "{text}");
        }
    }
}
