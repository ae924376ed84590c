//! What a value is, by its header or its first bytes, and what every decoder shares: limits and
//! errors.
//!
//! It looks at the framing alone: it knows no schema, and whether a registered one means Avro or
//! JSON Schema is the registry's to say.

use crate::config::plan::Limits;

use super::Slot;
use super::answer::SchemaKey;

/// Header that names the schema of a value without a prefix.
pub const SCHEMA_HEADER: &str = "__value_schema_id";

/// Bytes before the body of a registered value: the magic byte and the schema id.
const PREFIX_LEN: usize = 5;

/// Recursion deeper than this is refused whatever the limits say, so that a decoder's stack stays
/// small on any thread.
pub(super) const DEPTH_MAX: usize = 128;

/// Powers of ten that are exact as a double.
pub(super) const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A value taken out of its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// A value of a registered schema: named in a prefix (a zero byte, an id in four bytes,
    /// big-endian) or in [`SCHEMA_HEADER`] (the same, or a one and a GUID in sixteen bytes).
    Registered {
        /// What the writer schema is called.
        schema: SchemaKey,
        /// What was written with it.
        body: &'a [u8],
    },
    /// JSON text without framing: its first byte that is no white space opens an object.
    Json(&'a [u8]),
}

impl<'a> Framed<'a> {
    /// Takes a record's value out of its framing; `header` is that of [`SCHEMA_HEADER`]. Where
    /// there is one the value is body from its first byte on, as any byte may begin an Avro body.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it ends before its framing does (an empty value too),
    /// [`DecodeError::BadMagic`] when it starts as nothing known does,
    /// [`DecodeError::BadSchemaHeader`] when the header names no schema.
    pub fn of(value: &'a [u8], header: Option<&[u8]>) -> Result<Framed<'a>, DecodeError> {
        if let Some(header) = header {
            let schema = named(header).ok_or(DecodeError::BadSchemaHeader)?;
            return Ok(Framed::Registered { schema, body: value });
        }
        match value.first() {
            None => Err(DecodeError::Truncated),
            Some(0) => match value.split_first_chunk::<PREFIX_LEN>() {
                Some((&[_, a, b, c, d], body)) => {
                    let schema = SchemaKey::Id(u32::from_be_bytes([a, b, c, d]));
                    Ok(Framed::Registered { schema, body })
                }
                None => Err(DecodeError::Truncated),
            },
            Some(_) => match value.iter().find(|byte| !is_space(**byte)) {
                Some(b'{') => Ok(Framed::Json(value)),
                Some(_) => Err(DecodeError::BadMagic),
                None => Err(DecodeError::Truncated),
            },
        }
    }
}

/// The schema that a header names.
fn named(header: &[u8]) -> Option<SchemaKey> {
    match header.split_first()? {
        (0, id) => Some(SchemaKey::Id(u32::from_be_bytes(id.try_into().ok()?))),
        (1, guid) => Some(SchemaKey::Guid(u128::from_be_bytes(guid.try_into().ok()?))),
        _ => None,
    }
}

/// What a decoder may spend on one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Deepest nesting followed; never more than 128.
    pub depth: usize,
    /// Longest text or bytes handed on; longer ones are handed on as their prefix. *Units*: bytes.
    pub text_bytes: usize,
    /// JSON paths remembered by one plan, objects on the way included; more are skipped.
    pub paths: usize,
}

impl From<&Limits> for DecodeLimits {
    /// Four paths for each field that may be watched: room for objects and for what is not watched.
    fn from(limits: &Limits) -> DecodeLimits {
        DecodeLimits {
            depth: limits.depth,
            text_bytes: limits.text_bytes,
            paths: limits.fields_per_dataset.saturating_mul(4),
        }
    }
}

/// Why a value could not be decoded. It carries none of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Neither the registry's framing nor a JSON object.
    #[error("value starts neither with a schema id nor with a JSON object")]
    BadMagic,
    /// The header that names its schema names none.
    #[error("header {SCHEMA_HEADER} holds neither a schema id nor a guid")]
    BadSchemaHeader,
    /// It ends too early.
    #[error("value ends too early")]
    Truncated,
    /// Something follows where it should end.
    #[error("bytes follow the end of the value")]
    TrailingBytes,
    /// A variable-length integer is longer than ten bytes or does not fit its type.
    #[error("variable-length integer does not fit its type")]
    BadVarint,
    /// A length or block size is negative.
    #[error("length is negative")]
    BadLength,
    /// Text is not UTF-8.
    #[error("text is not utf-8")]
    BadUtf8,
    /// A boolean is neither 0 nor 1.
    #[error("boolean is neither 0 nor 1")]
    BadBool,
    /// An enum's index has no symbol.
    #[error("enum index has no symbol")]
    BadEnum,
    /// A union's index has no branch.
    #[error("union index has no branch")]
    BadBranch,
    /// A big-decimal is not laid out as one.
    #[error("decimal is not laid out as one")]
    BadDecimal,
    /// Nested deeper than the limit.
    #[error("value is nested deeper than the limit")]
    TooDeep,
    /// Not JSON.
    #[error("text is not json")]
    BadJson,
}

impl DecodeError {
    /// Code for metric labels and quarantine headers: one of a fixed few, never text of a value.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            DecodeError::BadMagic => "bad_magic",
            DecodeError::BadSchemaHeader => "bad_schema_header",
            DecodeError::Truncated => "truncated",
            DecodeError::TrailingBytes => "trailing_bytes",
            DecodeError::BadVarint => "bad_varint",
            DecodeError::BadLength => "bad_length",
            DecodeError::BadUtf8 => "bad_utf8",
            DecodeError::BadBool => "bad_bool",
            DecodeError::BadEnum => "bad_enum",
            DecodeError::BadBranch => "bad_branch",
            DecodeError::BadDecimal => "bad_decimal",
            DecodeError::TooDeep => "too_deep",
            DecodeError::BadJson => "bad_json",
        }
    }
}

/// Empties slots and frees them from the record they borrow from, so that one buffer serves
/// record after record. Between records keep it as `Vec<Slot<'static>>`, in which nothing is
/// borrowed, and recycle it into the next record's slots and back.
///
/// *Bound*: the standard library collects in place, so the allocation is kept.
#[must_use]
pub fn recycle<'next>(mut slots: Vec<Slot<'_>>) -> Vec<Slot<'next>> {
    slots.clear();
    slots.into_iter().map(|_| Slot::Absent).collect()
}

/// White space of JSON.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_framing_gives_id_and_body() {
        let framed = Framed::of(&[0, 0, 0, 1, 2, 9, 8], None);

        assert_eq!(framed, Ok(Framed::Registered { schema: SchemaKey::Id(258), body: &[9, 8] }));
    }

    #[test]
    fn registry_framing_may_have_an_empty_body() {
        assert_eq!(
            Framed::of(&[0, 0, 0, 0, 7], None),
            Ok(Framed::Registered { schema: SchemaKey::Id(7), body: &[] })
        );
    }

    #[test]
    fn a_header_names_the_schema_and_leaves_the_value_whole() {
        let guid = [&[1][..], &[0; 15], &[9]].concat();
        for value in [&b""[..], b"\0\0\0\0\x07", b"{}"] {
            let registered = |schema| Ok(Framed::Registered { schema, body: value });

            assert_eq!(Framed::of(value, Some(&guid)), registered(SchemaKey::Guid(9)));
            assert_eq!(Framed::of(value, Some(&[0, 0, 0, 1, 2])), registered(SchemaKey::Id(258)));
        }
        for header in [&b""[..], b"\x01", b"\0\0\0\x01", &guid[..16], b"\x02\0\0\0\x01"] {
            let framed = Framed::of(b"{}", Some(header));
            assert_eq!(framed, Err(DecodeError::BadSchemaHeader), "{header:?}");
        }
    }

    #[test]
    fn object_after_white_space_is_json() {
        assert_eq!(Framed::of(b" \r\n\t{}", None), Ok(Framed::Json(b" \r\n\t{}")));
    }

    #[test]
    fn values_that_end_in_their_framing_are_truncated() {
        for value in [&b""[..], b"\0", b"\0\0\0\0", b"  "] {
            assert_eq!(Framed::of(value, None), Err(DecodeError::Truncated), "{value:?}");
        }
    }

    #[test]
    fn anything_else_has_bad_magic() {
        for value in [&b"[1]"[..], b"1", b"\x01\0\0\0\0", b" x{", b"\xef\xbb\xbf{}"] {
            assert_eq!(Framed::of(value, None), Err(DecodeError::BadMagic), "{value:?}");
        }
    }

    #[test]
    fn recycled_slots_keep_their_allocation() {
        let body = String::from("text");
        let slots = vec![Slot::Text(&body); 8];
        let (address, capacity) = (slots.as_ptr().addr(), slots.capacity());

        let next = recycle(slots);

        assert!(next.is_empty());
        assert_eq!((next.as_ptr().addr(), next.capacity()), (address, capacity));
    }
}
