//! What a decoder finds at a watched path: borrowed from the record, no allocation.

/// The value at one watched path of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Slot<'a> {
    /// The path is not in the record (a JSON key left out, a branch of a union not taken) or not
    /// in its schema.
    #[default]
    Absent,
    /// Null.
    Null,
    /// A whole number that fits.
    Integer(i64),
    /// Any other number; decimals are given with their scale applied.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text, an enum's symbol, a UUID in text form. UTF-8 is checked.
    Text(&'a str),
    /// A timestamp or date by its logical type. *Units*: milliseconds since the epoch, UTC.
    TimeMs(i64),
    /// Bytes or fixed without a logical type.
    Bytes(&'a [u8]),
    /// A value no scalar: an array, map or record where a scalar was found before (JSON).
    Composite,
}
