//! JSON lines: each line is a payload, handed on unread unless its time is asked for.

use std::io::{BufRead, Read};

use super::input::Input;
use super::{Row, time};

/// Longest line; a file without line breaks must not fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 20;

pub(super) struct JsonRows {
    input: Input,
    time: Option<String>,
    line: u64,
    is_over: bool,
}

impl JsonRows {
    pub(super) fn new(input: Input, time: Option<String>) -> JsonRows {
        JsonRows { input, time, line: 0, is_over: false }
    }

    pub(super) fn next(&mut self) -> Option<Result<Row, (String, String)>> {
        while !self.is_over {
            let mut payload = Vec::new();
            self.line += 1;
            let mut limited = self.input.by_ref().take(LINE_BYTES_MAX);
            let failure = match limited.read_until(b'\n', &mut payload) {
                Ok(0) => {
                    self.is_over = true;
                    return None;
                }
                Ok(n) if n as u64 == LINE_BYTES_MAX && payload.last() != Some(&b'\n') => {
                    Some(format!("longer than {} MiB", LINE_BYTES_MAX >> 20))
                }
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = failure {
                self.is_over = true;
                return Some(Err((format!("line {}", self.line), reason)));
            }
            if self.line == 1 && payload.starts_with(b"\xef\xbb\xbf") {
                payload.drain(..3);
            }
            payload.truncate(payload.trim_ascii_end().len());
            if !payload.is_empty() {
                let time_ms = self.time.as_deref().and_then(|path| time_of(&payload, path));
                return Some(Ok(Row { payload, time_ms }));
            }
        }
        None
    }
}

fn time_of(payload: &[u8], path: &str) -> Option<i64> {
    let root: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let value = path.split('.').try_fold(&root, |value, name| value.get(name))?;
    match value {
        serde_json::Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().map(|number| number as i64))
        }
        serde_json::Value::String(text) => time::of_text(text),
        _ => None,
    }
}
