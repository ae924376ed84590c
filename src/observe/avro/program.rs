//! What a plan consists of: instructions in a row, and the lists they refer to.

use std::ops::Range;

/// Compiled instructions and what they refer to.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    /// The root's instructions; items and recursive records lie in or behind them.
    pub(super) root: Range<u32>,
    /// Slots that null branches and composites set, by ranges.
    pub(super) slot_lists: Vec<u32>,
    /// First instruction of each branch, by ranges.
    pub(super) branches: Vec<u32>,
    /// Symbols of each watched enum.
    pub(super) enums: Vec<Vec<String>>,
    /// What becomes of watched items.
    pub(super) each: Vec<Each>,
    /// Instructions of each recursive record.
    pub(super) recursive: Vec<Range<u32>>,
}

/// A range in one of the program's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// Watched items of an array or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Each {
    pub(super) is_map: bool,
    /// Each item is the instructions that follow up to here.
    pub(super) end: u32,
    /// Where the number of items goes.
    pub(super) length: Option<u32>,
    /// The slots an item fills.
    pub(super) slots: Span,
}

/// What a count or an index of a 64-bit integer means as a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Days,
    IntMillis,
    Millis,
    Micros,
    Nanos,
}

/// One instruction. `slot` says where the value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Skip {
        bytes: u32,
    },
    SkipVarints {
        count: u32,
    },
    SkipSized,
    Bool {
        slot: u32,
    },
    Int {
        slot: u32,
    },
    Long {
        slot: u32,
    },
    Float {
        slot: u32,
    },
    Double {
        slot: u32,
    },
    Text {
        slot: u32,
    },
    Bytes {
        slot: u32,
    },
    Fixed {
        slot: u32,
        size: u32,
    },
    Enum {
        slot: u32,
        symbols: u32,
    },
    Decimal {
        slot: u32,
        scale: i32,
    },
    FixedDecimal {
        slot: u32,
        size: u32,
        scale: i32,
    },
    BigDecimal {
        slot: u32,
    },
    Time {
        slot: u32,
        unit: Unit,
    },
    Null {
        slot: u32,
    },
    Composite {
        slot: u32,
    },
    /// A union of null and something that follows up to `end`; `nulls` are set when it is null.
    Nullable {
        null_index: bool,
        nulls: Span,
        end: u32,
    },
    /// Any other union.
    Branch {
        starts: Span,
    },
    /// The end of a branch that is not the last.
    Jump {
        to: u32,
    },
    /// Items of an array or map, each the instructions that follow up to `end`.
    Items {
        is_map: bool,
        end: u32,
    },
    /// Items of an array that all have the same size.
    FixedItems {
        size: u32,
    },
    /// As [`Op::Items`]; how many there are goes to a slot.
    CountedItems {
        is_map: bool,
        end: u32,
        slot: u32,
    },
    /// As [`Op::FixedItems`]; how many there are goes to a slot.
    CountedFixedItems {
        size: u32,
        slot: u32,
    },
    /// Items that are watched: index into [`Program::each`].
    EachItem {
        each: u32,
    },
    /// A record inside itself.
    Again {
        record: u32,
    },
}
