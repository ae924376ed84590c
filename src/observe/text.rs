//! Text of a value without allocating: numbers written into a fixed buffer.
//!
//! Categories, ids and labels are compared as text. This is the one place that says how a number
//! or a boolean becomes text, so that a header, a field and a configured value agree.

use std::fmt::{self, Write};

use arrayvec::ArrayString;

use super::slot::Slot;

/// The longest text of an f64 without an exponent is 327 bytes.
const CAPACITY: usize = 336;

/// A fixed buffer for the text of one number.
#[derive(Debug)]
pub(super) struct TextBuffer(ArrayString<CAPACITY>);

impl TextBuffer {
    pub(super) fn new() -> TextBuffer {
        TextBuffer(ArrayString::new())
    }

    /// The text of a scalar; `None` for what has none (absent, null, times, bytes, composites).
    pub(super) fn text_of<'t>(&'t mut self, slot: Slot<'t>) -> Option<&'t str> {
        match slot {
            Slot::Text(text) => Some(text),
            Slot::Bool(true) => Some("true"),
            Slot::Bool(false) => Some("false"),
            Slot::Integer(number) => self.written(format_args!("{number}")),
            Slot::Float(number) => self.written(format_args!("{number}")),
            Slot::Absent | Slot::Null | Slot::TimeMs(_) | Slot::Bytes(_) | Slot::Composite => None,
        }
    }

    fn written(&mut self, arguments: fmt::Arguments<'_>) -> Option<&str> {
        self.0.clear();
        self.0.write_fmt(arguments).ok()?;
        Some(&self.0)
    }
}

/// The longest prefix of at most `bytes` bytes that ends between two characters.
pub(super) fn prefix(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_text() {
        for number in [0.0, -0.5, f64::MAX, f64::MIN, 5e-324, -5e-324, f64::NAN] {
            let mut buffer = TextBuffer::new();

            let text = buffer.text_of(Slot::Float(number)).map(str::to_owned);
            assert_eq!(text, Some(number.to_string()));
        }
        let mut buffer = TextBuffer::new();
        assert_eq!(buffer.text_of(Slot::Integer(i64::MIN)), Some("-9223372036854775808"));
    }

    #[test]
    fn prefix_ends_between_two_characters() {
        assert_eq!(prefix("aé", 2), "a");
        assert_eq!(prefix("aé", 3), "aé");
        assert_eq!(prefix("é", 0), "");
    }
}
