//! What verification found, and how it looks on a terminal.

use std::collections::BTreeSet;
use std::fmt;

/// What verification found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One line a source partition, and one a partition of facts.
    pub lines: Vec<SourceLine>,
    /// What was held against each other and agrees.
    pub checked: Vec<String>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
    /// What does not agree.
    pub differences: Vec<String>,
    /// Topics of ours whose oldest messages are gone.
    pub(super) cut: BTreeSet<String>,
}

/// What the ledger says of a source partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLine {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Ranges that are not empty.
    pub ranges: u64,
    /// First offset of the first.
    pub from: i64,
    /// End of the last.
    pub to: i64,
    /// Offset its group has committed.
    pub committed: Option<i64>,
    /// Records counted in all ranges; join counts none.
    pub counted: Option<u64>,
    /// Records found in the topic itself and how many had been counted there, where asked for.
    pub found: Option<(u64, u64)>,
    /// Times someone went back.
    pub rewinds: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.lines.iter().map(|line| line.topic.len() + 4);
        let width = places.max().unwrap_or(0).max(9);
        writeln!(
            f,
            "{:width$} {:>8} {:>12} {:>12} {:>12} {:>12} {:>12} {:>8}",
            "partition", "ranges", "from", "to", "committed", "counted", "recounted", "rewinds"
        )?;
        for line in &self.lines {
            let place = format!("{}/{}", line.topic, line.partition);
            let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let count = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
            writeln!(
                f,
                "{place:width$} {:>8} {:>12} {:>12} {:>12} {:>12} {:>12} {:>8}",
                line.ranges,
                line.from,
                line.to,
                number(line.committed),
                count(line.counted),
                count(line.found.map(|(found, _)| found)),
                line.rewinds,
            )?;
        }
        for (title, items) in [
            ("checked", &self.checked),
            ("not checked", &self.unchecked),
            ("differences", &self.differences),
        ] {
            if !items.is_empty() {
                writeln!(f, "\n{title}")?;
                items.iter().try_for_each(|item| writeln!(f, "  {item}"))?;
            }
        }
        match self.differences.len() {
            0 => writeln!(f, "\nthe ledger adds up"),
            1 => writeln!(f, "\n1 difference"),
            n => writeln!(f, "\n{n} differences"),
        }
    }
}
