//! Carries a program out over the bytes of one record.
//!
//! The only recursion is into items of arrays and maps and into records inside themselves.

use crate::observe::Slot;
use crate::observe::framing::{DEPTH_MAX, DecodeError, DecodeLimits};
use crate::observe::items::Items;

use super::cursor::{self, Cursor};
use super::program::{Each, Op, Program, Span, Unit};

const DAY_MS: i64 = 86_400_000;

/// Decodes one record; slots and items have been emptied.
pub(super) fn run<'a>(
    program: &'a Program,
    body: &'a [u8],
    limits: &DecodeLimits,
    (slots, items): (&mut [Slot<'a>], &mut Items<'a>),
) -> Result<(), DecodeError> {
    let mut run = Run {
        program,
        cursor: Cursor::new(body),
        text_bytes: limits.text_bytes,
        depth_left: limits.depth.min(DEPTH_MAX),
        slots,
        items,
    };
    run.range(program.root.start, program.root.end)?;
    if run.cursor.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
}

struct Run<'a, 's> {
    program: &'a Program,
    cursor: Cursor<'a>,
    text_bytes: usize,
    depth_left: usize,
    slots: &'s mut [Slot<'a>],
    items: &'s mut Items<'a>,
}

impl<'a> Run<'a, '_> {
    #[inline]
    fn set(&mut self, slot: u32, value: Slot<'a>) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = value;
        }
    }

    fn range(&mut self, start: u32, end: u32) -> Result<(), DecodeError> {
        let program = self.program;
        let Some(ops) = program.ops.get(..end as usize) else {
            return Ok(());
        };
        let mut at = start as usize;
        while let Some(op) = ops.get(at) {
            at += 1;
            match *op {
                Op::Int { slot } => {
                    let value = Slot::Integer(self.cursor.int()?);
                    self.set(slot, value);
                }
                Op::Long { slot } => {
                    let value = Slot::Integer(self.cursor.long()?);
                    self.set(slot, value);
                }
                Op::Float { slot } => {
                    let value = Slot::Float(self.cursor.float()?);
                    self.set(slot, value);
                }
                Op::Double { slot } => {
                    let value = Slot::Float(self.cursor.double()?);
                    self.set(slot, value);
                }
                Op::Text { slot } => {
                    let text = cursor::text(self.cursor.sized()?, self.text_bytes)?;
                    self.set(slot, Slot::Text(text));
                }
                Op::Time { slot, unit } => {
                    let value = Slot::TimeMs(self.time(unit)?);
                    self.set(slot, value);
                }
                Op::Skip { bytes } => {
                    self.cursor.take(bytes as usize)?;
                }
                Op::SkipVarints { count } => self.cursor.skip_varints(count)?,
                Op::SkipSized => {
                    self.cursor.sized()?;
                }
                Op::Nullable { null_index, nulls, end } => {
                    if self.is_null(null_index)? {
                        self.set_null(nulls);
                        at = end as usize;
                    }
                }
                Op::Branch { starts } => at = self.branch(starts)?,
                Op::Jump { to } => at = to as usize,
                Op::Items { is_map, end } => {
                    let first = at;
                    at = end as usize;
                    self.items(is_map, first, end)?;
                }
                Op::FixedItems { size } => {
                    self.fixed_items(size)?;
                }
                Op::CountedItems { is_map, end, slot } => {
                    let first = at;
                    at = end as usize;
                    let count = self.items(is_map, first, end)?;
                    self.set(slot, Slot::Integer(count));
                }
                Op::EachItem { each } => at = self.each(each, at)?,
                Op::Again { record } => self.again(record)?,
                rare => self.rare(rare)?,
            }
        }
        Ok(())
    }

    /// Values met less often, kept out of the loop above.
    fn rare(&mut self, op: Op) -> Result<(), DecodeError> {
        match op {
            Op::Bool { slot } => {
                let value = Slot::Bool(self.cursor.boolean()?);
                self.set(slot, value);
            }
            Op::Enum { slot, symbols } => {
                let index = self.cursor.index()?;
                let symbols = self.program.enums.get(symbols as usize);
                let symbol = symbols.and_then(|symbols| symbols.get(index));
                let symbol = symbol.ok_or(DecodeError::BadEnum)?.as_str();
                self.set(slot, Slot::Text(symbol.get(..self.text_bytes).unwrap_or(symbol)));
            }
            Op::Bytes { slot } => {
                let bytes = self.cursor.sized()?;
                self.set_bytes(slot, bytes);
            }
            Op::Fixed { slot, size } => {
                let bytes = self.cursor.take(size as usize)?;
                self.set_bytes(slot, bytes);
            }
            Op::Decimal { slot, scale } => {
                let value = cursor::decimal(self.cursor.sized()?, scale.into());
                self.set(slot, Slot::Float(value));
            }
            Op::FixedDecimal { slot, size, scale } => {
                let value = cursor::decimal(self.cursor.take(size as usize)?, scale.into());
                self.set(slot, Slot::Float(value));
            }
            Op::BigDecimal { slot } => {
                let value = cursor::big_decimal(self.cursor.sized()?)?;
                self.set(slot, Slot::Float(value));
            }
            Op::CountedFixedItems { size, slot } => {
                let count = self.fixed_items(size)?;
                self.set(slot, Slot::Integer(count));
            }
            Op::Null { slot } => self.set(slot, Slot::Null),
            Op::Composite { slot } => self.set(slot, Slot::Composite),
            // The others are dealt with where they are met.
            _ => {}
        }
        Ok(())
    }

    fn set_bytes(&mut self, slot: u32, bytes: &'a [u8]) {
        let len = bytes.len().min(self.text_bytes);
        self.set(slot, Slot::Bytes(&bytes[..len]));
    }

    #[inline]
    fn time(&mut self, unit: Unit) -> Result<i64, DecodeError> {
        Ok(match unit {
            Unit::Millis => self.cursor.long()?,
            Unit::Micros => self.cursor.long()?.div_euclid(1_000),
            Unit::Nanos => self.cursor.long()?.div_euclid(1_000_000),
            Unit::IntMillis => self.cursor.int()?,
            Unit::Days => self.cursor.int()? * DAY_MS,
        })
    }

    #[inline]
    fn is_null(&mut self, null_index: bool) -> Result<bool, DecodeError> {
        match self.cursor.index()? {
            0 => Ok(!null_index),
            1 => Ok(null_index),
            _ => Err(DecodeError::BadBranch),
        }
    }

    fn set_null(&mut self, nulls: Span) {
        let program = self.program;
        let start = nulls.start as usize;
        for &slot in &program.slot_lists[start..start + nulls.len as usize] {
            self.set(slot, Slot::Null);
        }
    }

    fn branch(&mut self, starts: Span) -> Result<usize, DecodeError> {
        let branch = self.cursor.index()?;
        if branch >= starts.len as usize {
            return Err(DecodeError::BadBranch);
        }
        Ok(self.program.branches[starts.start as usize + branch] as usize)
    }

    fn deeper(&mut self) -> Result<(), DecodeError> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        Ok(())
    }

    fn again(&mut self, record: u32) -> Result<(), DecodeError> {
        let Some(range) = self.program.recursive.get(record as usize) else {
            return Ok(());
        };
        self.deeper()?;
        self.range(range.start, range.end)?;
        self.depth_left += 1;
        Ok(())
    }

    /// Leaves items out and gives their number. Each one walked takes at least a byte, so a count
    /// that lies ends with the record.
    #[inline(never)]
    fn items(&mut self, is_map: bool, first: usize, end: u32) -> Result<i64, DecodeError> {
        self.deeper()?;
        let mut all = 0;
        loop {
            let (count, told) = self.cursor.block()?;
            all = more(all, count);
            match told {
                _ if count == 0 => break,
                Some(size) => {
                    self.cursor.take(size)?;
                }
                None => {
                    for _ in 0..count {
                        if is_map {
                            self.cursor.sized()?;
                        }
                        self.range(first as u32, end)?;
                    }
                }
            }
        }
        self.depth_left += 1;
        Ok(all)
    }

    /// Reads items that are watched, their instructions from `first` on; gives where to go on.
    #[inline(never)]
    fn each(&mut self, each: u32, first: usize) -> Result<usize, DecodeError> {
        let each = &self.program.each[each as usize];
        self.deeper()?;
        let mut all = 0;
        loop {
            let (count, told) = self.cursor.block()?;
            if count == 0 {
                break;
            }
            all = more(all, count);
            let Some(size) = told else {
                self.block(each, first, count)?;
                continue;
            };
            let body = self.cursor.take(size)?;
            let behind = std::mem::replace(&mut self.cursor, Cursor::new(body));
            self.block(each, first, count)?;
            if !self.cursor.is_empty() {
                return Err(DecodeError::TrailingBytes);
            }
            self.cursor = behind;
        }
        self.depth_left += 1;
        if let Some(slot) = each.length {
            self.set(slot, Slot::Integer(all));
        }
        Ok(each.end as usize)
    }

    fn block(&mut self, each: &Each, first: usize, count: u64) -> Result<(), DecodeError> {
        let program = self.program;
        let start = each.slots.start as usize;
        let slots = &program.slot_lists[start..start + each.slots.len as usize];
        let mut left = count;
        while left > 0 {
            let before = self.cursor.len();
            if each.is_map {
                self.cursor.sized()?;
            }
            self.range(first as u32, each.end)?;
            // An item without bytes is as all others: a count that lies costs nothing.
            let same = if self.cursor.len() == before { left } else { 1 };
            self.items.take(slots, self.slots, same);
            left -= same;
        }
        Ok(())
    }

    fn fixed_items(&mut self, size: u32) -> Result<i64, DecodeError> {
        let mut all = 0;
        loop {
            let (count, told) = self.cursor.block()?;
            all = more(all, count);
            let bytes = match told {
                _ if count == 0 => return Ok(all),
                Some(bytes) => bytes,
                None => usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(size as usize),
            };
            self.cursor.take(bytes)?;
        }
    }
}

/// Items so far and those of a block; a block may claim more than there can be.
fn more(all: i64, count: u64) -> i64 {
    all.saturating_add(i64::try_from(count).unwrap_or(i64::MAX))
}
