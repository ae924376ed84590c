//! JSON text (RFC 8259) token by token: what a value is and where it ends.
//!
//! It knows no paths and keeps nothing. Every value is held against the grammar, watched or not.

use crate::observe::framing::{DecodeError, EXACT_POWERS, is_space};

/// Every byte of a word one.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// The highest bit of every byte of a word.
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Digits that always fit into 64 bits.
const DIGITS_MAX: usize = 19;

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// A string between its quotes, as written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    pub(super) text: &'a str,
    pub(super) has_escapes: bool,
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Written without fraction and exponent, and fits.
    Integer(i64),
    /// Any other; infinite where it is out of range.
    Float(f64),
}

impl<'a> Lexer<'a> {
    /// The start of `body`.
    pub(super) fn new(body: &'a [u8]) -> Result<Lexer<'a>, DecodeError> {
        let text = std::str::from_utf8(body).map_err(|_| DecodeError::BadUtf8)?;
        Ok(Lexer { text, at: 0 })
    }

    #[inline]
    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of the next token, which is not taken.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, DecodeError> {
        while let Some(byte) = self.here() {
            if !is_space(byte) {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(DecodeError::Truncated)
    }

    /// Takes the byte that [`Lexer::peek`] showed.
    #[inline]
    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    /// Takes the next token, which must be this byte.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.peek()? != byte {
            return Err(DecodeError::BadJson);
        }
        self.at += 1;
        Ok(())
    }

    /// Takes the next token if it is this byte.
    #[inline]
    pub(super) fn takes(&mut self, byte: u8) -> Result<bool, DecodeError> {
        let is_next = self.peek()? == byte;
        self.at += usize::from(is_next);
        Ok(is_next)
    }

    /// Nothing but white space may be left.
    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            Ok(_) => Err(DecodeError::TrailingBytes),
            Err(_) => Ok(()),
        }
    }

    /// Takes the next token if it is exactly this string, which must have nothing to escape.
    #[inline]
    pub(super) fn takes_string(&mut self, plain: &str) -> bool {
        let Some(rest) = self.text.as_bytes().get(self.at..) else {
            return false;
        };
        let len = plain.len();
        let matches = rest.len() >= len + 2
            && rest[0] == b'"'
            && rest[len + 1] == b'"'
            && &rest[1..=len] == plain.as_bytes();
        if matches {
            self.at += len + 2;
        }
        matches
    }

    /// A string, its opening quote next.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Raw<'a>, DecodeError> {
        self.expect(b'"')?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            match self.stop_in_string()? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.escape()?;
                }
                _ => return Err(DecodeError::BadJson),
            }
        }
        let text = self.text.get(start..self.at).ok_or(DecodeError::BadJson)?;
        self.at += 1;
        Ok(Raw { text, has_escapes })
    }

    /// Goes on to the next quote, backslash or control character.
    #[inline]
    fn stop_in_string(&mut self) -> Result<u8, DecodeError> {
        let bytes = self.text.as_bytes();
        while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let stops = stops(u64::from_le_bytes(*chunk));
            if stops != 0 {
                self.at += (stops.trailing_zeros() / 8) as usize;
                return Ok(bytes[self.at]);
            }
            self.at += 8;
        }
        while let Some(byte) = self.here() {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(DecodeError::Truncated)
    }

    /// Goes past an escape, its backslash next.
    fn escape(&mut self) -> Result<(), DecodeError> {
        self.at += 1;
        let kind = self.here().ok_or(DecodeError::Truncated)?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    let digit = self.here().ok_or(DecodeError::Truncated)?;
                    if !digit.is_ascii_hexdigit() {
                        return Err(DecodeError::BadJson);
                    }
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(DecodeError::BadJson),
        }
    }

    /// `true`, `false` or `null`.
    pub(super) fn word(&mut self, word: &str) -> Result<(), DecodeError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        let is_cut = word.as_bytes().starts_with(rest);
        Err(if is_cut { DecodeError::Truncated } else { DecodeError::BadJson })
    }

    /// Digits, at least one. What they mean is added to `value`, wrapping beyond 19 digits.
    #[inline]
    fn digits(&mut self, value: &mut u64) -> Result<usize, DecodeError> {
        let start = self.at;
        while let Some(byte @ b'0'..=b'9') = self.here() {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        match self.at - start {
            0 if self.here().is_none() => Err(DecodeError::Truncated),
            0 => Err(DecodeError::BadJson),
            count => Ok(count),
        }
    }

    /// A number, its sign or first digit next.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, DecodeError> {
        let start = self.at;
        let is_negative = self.here() == Some(b'-');
        self.at += usize::from(is_negative);
        let starts_with_zero = self.here() == Some(b'0');
        let mut value = 0;
        let whole = self.digits(&mut value)?;
        if starts_with_zero && whole > 1 {
            return Err(DecodeError::BadJson);
        }
        let mut places = 0;
        if self.here() == Some(b'.') {
            self.at += 1;
            places = self.digits(&mut value)?;
        }
        let has_exponent = matches!(self.here(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.here(), Some(b'+' | b'-')));
            self.digits(&mut 0)?;
        }
        let is_exact = whole + places <= DIGITS_MAX && !has_exponent;
        if is_exact && places == 0 {
            let limit = i64::MAX.unsigned_abs() + u64::from(is_negative);
            if value <= limit {
                let signed = value.cast_signed();
                return Ok(Number::Integer(if is_negative {
                    signed.wrapping_neg()
                } else {
                    signed
                }));
            }
        // One operation on two exact numbers gives the nearest double.
        } else if is_exact && value < 1 << 53 && places < EXACT_POWERS.len() {
            let size = value as f64 / EXACT_POWERS[places];
            return Ok(Number::Float(if is_negative { -size } else { size }));
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        written.parse().map(Number::Float).map_err(|_| DecodeError::BadJson)
    }

    /// Leaves a value out. `depth` is how many levels it may still nest.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.skip_object(depth),
            b'[' => self.skip_array(depth).map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            _ => Err(DecodeError::BadJson),
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        self.bump();
        if self.takes(b'}')? {
            return Ok(());
        }
        loop {
            self.string()?;
            self.expect(b':')?;
            self.skip(depth)?;
            if self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    /// Leaves an array out, its bracket next; gives how many items it has.
    pub(super) fn skip_array(&mut self, depth: usize) -> Result<i64, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        self.bump();
        if self.takes(b']')? {
            return Ok(0);
        }
        let mut count = 0;
        loop {
            self.skip(depth)?;
            count += 1;
            if self.ends(b']')? {
                return Ok(count);
            }
        }
    }

    /// Behind a member: whether it was the last.
    #[inline]
    pub(super) fn ends(&mut self, close: u8) -> Result<bool, DecodeError> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Ok(false),
            _ if byte == close => Ok(true),
            _ => Err(DecodeError::BadJson),
        }
    }
}

/// The high bit of every byte that is a quote, a backslash or a control character, exact up to
/// and including the lowest such byte.
#[inline]
fn stops(word: u64) -> u64 {
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes & HIGHS;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control
}
