//! The bytes of one record, read from the front: Avro's primitive encodings, every bound checked.
//!
//! It knows no schema and fills no slot.

use crate::observe::framing::{DecodeError, EXACT_POWERS};

/// Longest encoding of 64 bits, seven to a byte.
const VARINT_LEN_MAX: usize = 10;

/// What is left of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: body }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes left.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated);
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(DecodeError::Truncated);
        };
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.varint_of_many(),
        }
    }

    fn varint_of_many(&mut self) -> Result<u64, DecodeError> {
        let mut bits = 0;
        for (index, &byte) in self.rest.iter().take(VARINT_LEN_MAX).enumerate() {
            // The tenth byte holds the one bit that is left.
            if index == VARINT_LEN_MAX - 1 && byte > 1 {
                return Err(DecodeError::BadVarint);
            }
            bits |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(bits);
            }
        }
        Err(DecodeError::Truncated)
    }

    /// Leaves `count` integers out, whatever their type.
    #[inline]
    pub(super) fn skip_varints(&mut self, count: u32) -> Result<(), DecodeError> {
        for _ in 0..count {
            self.varint()?;
        }
        Ok(())
    }

    /// An Avro `long`.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, DecodeError> {
        let bits = self.varint()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    /// An Avro `int`.
    #[inline]
    pub(super) fn int(&mut self) -> Result<i64, DecodeError> {
        let value = self.long()?;
        if i32::try_from(value).is_err() {
            return Err(DecodeError::BadVarint);
        }
        Ok(value)
    }

    /// The index of an enum's symbol or a union's branch; a negative one has neither.
    #[inline]
    pub(super) fn index(&mut self) -> Result<usize, DecodeError> {
        Ok(usize::try_from(self.long()?).unwrap_or(usize::MAX))
    }

    /// A length, then as many bytes.
    #[inline]
    pub(super) fn sized(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.long()?;
        if len < 0 {
            return Err(DecodeError::BadLength);
        }
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    #[inline]
    pub(super) fn float(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from(f32::from_le_bytes(self.chunk()?)))
    }

    #[inline]
    pub(super) fn double(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_le_bytes(self.chunk()?))
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.chunk()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(DecodeError::BadBool),
        }
    }

    /// The head of an array's or map's next block: how many items follow (0 ends it) and, where
    /// the writer said so, their size in bytes.
    pub(super) fn block(&mut self) -> Result<(u64, Option<usize>), DecodeError> {
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        let size = usize::try_from(self.long()?).map_err(|_| DecodeError::BadLength)?;
        Ok((count.unsigned_abs(), Some(size)))
    }
}

/// The text of `bytes`, or its longest prefix of whole characters within `text_bytes`. Only what
/// is handed on is checked.
#[inline]
pub(super) fn text(bytes: &[u8], text_bytes: usize) -> Result<&str, DecodeError> {
    match bytes.get(..text_bytes) {
        Some(prefix) if bytes.len() > text_bytes => cut_text(prefix),
        _ => std::str::from_utf8(bytes).map_err(|_| DecodeError::BadUtf8),
    }
}

#[cold]
fn cut_text(prefix: &[u8]) -> Result<&str, DecodeError> {
    match std::str::from_utf8(prefix) {
        Ok(text) => Ok(text),
        // A character that the cut has split: what comes before it is whole.
        Err(error) if error.error_len().is_none() => {
            Ok(std::str::from_utf8(&prefix[..error.valid_up_to()]).unwrap_or_default())
        }
        Err(_) => Err(DecodeError::BadUtf8),
    }
}

/// A big-endian two's-complement integer over ten to the `scale`.
///
/// *Bound*: exact to the nearest double while the integer is below 2^53 and the scale at most 22,
/// within a few units in the last place otherwise. Infinite when out of the range of a double.
pub(super) fn decimal(bytes: &[u8], scale: i64) -> f64 {
    let fill = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let significant = bytes.iter().position(|byte| *byte != fill).unwrap_or(bytes.len());
    let digits = &bytes[significant..];
    let (head, tail) = digits.split_at(digits.len().min(15));
    let start = if fill == 0 { 0 } else { -1 };
    let integer = head.iter().fold(start, |sum: i128, byte| (sum << 8) | i128::from(*byte));
    let power = i32::try_from(tail.len()).unwrap_or(i32::MAX);
    scaled(integer as f64 * 256f64.powi(power), scale)
}

fn scaled(value: f64, scale: i64) -> f64 {
    if value == 0.0 || value.is_infinite() {
        return value;
    }
    let places = usize::try_from(scale.unsigned_abs()).unwrap_or(usize::MAX);
    match EXACT_POWERS.get(places) {
        Some(power) if scale >= 0 => value / power,
        Some(power) => value * power,
        // In two steps, as ten to the 400th is no double but what it scales may be.
        None => {
            let power = i32::try_from(scale.clamp(-1_000, 1_000)).unwrap_or(0);
            value * 10f64.powi(-(power / 2)) * 10f64.powi(-(power - power / 2))
        }
    }
}

/// The bytes of a `big-decimal`: a sized integer, then its scale.
pub(super) fn big_decimal(bytes: &[u8]) -> Result<f64, DecodeError> {
    let mut inside = Cursor::new(bytes);
    let integer = inside.sized().map_err(|_| DecodeError::BadDecimal)?;
    let scale = inside.long().map_err(|_| DecodeError::BadDecimal)?;
    Ok(decimal(integer, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_zigzag_and_end_at_ten_bytes() {
        let max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Cursor::new(&[3]).long(), Ok(-2));
        assert_eq!(Cursor::new(&max).long(), Ok(i64::MAX));
        assert_eq!(Cursor::new(&[0xff; 9]).long(), Err(DecodeError::Truncated));
        assert_eq!(Cursor::new(&[0xff; 11]).long(), Err(DecodeError::BadVarint));
    }

    #[test]
    fn int_beyond_32_bits_is_an_error() {
        let two_to_the_31 = [0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(Cursor::new(&two_to_the_31).long(), Ok(1 << 31));
        assert_eq!(Cursor::new(&two_to_the_31).int(), Err(DecodeError::BadVarint));
    }

    #[test]
    fn lengths_are_held_against_what_is_left() {
        assert_eq!(Cursor::new(&[4, b'a']).sized(), Err(DecodeError::Truncated));
        assert_eq!(Cursor::new(&[1, b'a']).sized(), Err(DecodeError::BadLength));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let bytes = "aé€".as_bytes();
        for (limit, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (5, "aé"), (6, "aé€")]
        {
            assert_eq!(text(bytes, limit), Ok(expected), "{limit}");
        }
        assert_eq!(text(b"a\xffbc", 3), Err(DecodeError::BadUtf8));
        assert_eq!(text(b"a\xc3", 9), Err(DecodeError::BadUtf8));
    }

    #[test]
    fn decimals_are_signed_and_scaled() {
        assert_eq!(decimal(&[], 2), 0.0);
        assert_eq!(decimal(&[0x07, 0xcb], 2), 19.95);
        assert_eq!(decimal(&[0xff, 0x85], 2), -1.23);
        assert_eq!(decimal(&[0xff], -3), -1000.0);
    }

    #[test]
    fn decimals_of_any_length_are_numbers() {
        let mut wide = vec![0xff; 40];
        wide.push(0x85);
        assert_eq!(decimal(&wide, 0), -123.0);
        wide = vec![1];
        wide.resize(33, 0);
        assert_eq!(decimal(&wide, 0), 2f64.powi(256));
        wide.resize(200, 0);
        assert_eq!(decimal(&wide, 0), f64::INFINITY);
        assert!(decimal(&[0x7f; 16], i64::MAX).abs() < 1e-300);
        assert_eq!(decimal(&[1], i64::MIN), f64::INFINITY);
    }
}
