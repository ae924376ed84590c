//! CSV with a header row: each row becomes a JSON object.
//!
//! What JSON takes for a number is a number, digit by digit as written; an empty cell is null;
//! all else is text. The delimiter is the one of comma, semicolon and tab that the header row has
//! most of.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::input::Input;
use super::{Row, time};

/// Longest header row.
const HEADER_BYTES_MAX: u64 = 1 << 20;

pub(super) struct CsvRows {
    reader: Reader<Box<dyn Read + Send>>,
    /// `"name":` of each column, escaped.
    keys: Vec<Vec<u8>>,
    time: Option<usize>,
    row: ByteRecord,
    is_over: bool,
}

impl CsvRows {
    /// Reads the header row; the error is about line 1.
    pub(super) fn new(mut input: Input, time: Option<&str>) -> Result<CsvRows, String> {
        let mut first = Vec::new();
        let mut limited = input.by_ref().take(HEADER_BYTES_MAX);
        io::BufRead::read_until(&mut limited, b'\n', &mut first).map_err(|e| e.to_string())?;
        let most = |byte: &u8| first.iter().filter(|b| *b == byte).count();
        let delimiter = [b'\t', b';', b','].into_iter().max_by_key(most).unwrap_or(b',');
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(first).chain(input));
        let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(whole);
        let header = reader.headers().map_err(|error| reason(&error))?.clone();
        let mut names = BTreeSet::new();
        let mut keys = Vec::new();
        for (i, name) in header.iter().enumerate() {
            // pandas leaves the name of its index empty.
            let name = match name.trim() {
                "" => format!("column_{}", i + 1),
                name => name.to_owned(),
            };
            keys.push(format!("{}:", serde_json::Value::from(name.as_str())).into_bytes());
            if !names.insert(name.clone()) {
                return Err(format!("two columns are named `{name}`"));
            }
        }
        let time = match time {
            None => None,
            Some(wanted) => Some(
                header
                    .iter()
                    .position(|name| name.trim() == wanted)
                    .ok_or_else(|| format!("no column is named `{wanted}`, the time"))?,
            ),
        };
        Ok(CsvRows { reader, keys, time, row: ByteRecord::new(), is_over: false })
    }

    /// A row of the wrong length is an error, and the next call goes on after it.
    pub(super) fn next(&mut self) -> Option<Result<Row, (String, String)>> {
        if self.is_over {
            return None;
        }
        match self.reader.read_byte_record(&mut self.row) {
            Ok(false) => None,
            Ok(true) => Some(Ok(self.converted())),
            Err(error) => {
                self.is_over = matches!(error.kind(), csv::ErrorKind::Io(_));
                let line = error.position().unwrap_or(self.reader.position()).line();
                Some(Err((format!("line {line}"), reason(&error))))
            }
        }
    }

    fn converted(&self) -> Row {
        let mut payload = vec![b'{'];
        for (key, cell) in self.keys.iter().zip(&self.row) {
            if payload.len() > 1 {
                payload.push(b',');
            }
            payload.extend_from_slice(key);
            write_cell(&mut payload, cell);
        }
        payload.push(b'}');
        let time_ms = self
            .time
            .and_then(|column| self.row.get(column))
            .and_then(|cell| std::str::from_utf8(cell).ok())
            .and_then(time::of_text);
        Row { payload, time_ms }
    }
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells, the header row has {expected_len}")
        }
        _ => error.to_string(),
    }
}

fn write_cell(out: &mut Vec<u8>, cell: &[u8]) {
    let cell = cell.trim_ascii();
    if cell.is_empty() {
        out.extend_from_slice(b"null");
    } else if is_number(cell) {
        out.extend_from_slice(cell);
    } else {
        let text = String::from_utf8_lossy(cell);
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// JSON's own grammar, so that `007` and `+1` stay text.
fn is_number(cell: &[u8]) -> bool {
    let starts = cell[0] == b'-' || cell[0].is_ascii_digit();
    starts && serde_json::from_slice::<serde_json::Number>(cell).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_json() {
        for (cell, json) in [
            ("12", "12"),
            ("-0.050", "-0.050"),
            ("1e3", "1e3"),
            ("007", "\"007\""),
            ("+1", "\"+1\""),
            ("-", "\"-\""),
            ("NaN", "\"NaN\""),
            ("a \"b\"", "\"a \\\"b\\\"\""),
            (" ", "null"),
        ] {
            let mut out = Vec::new();
            write_cell(&mut out, cell.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), json);
        }
    }
}
