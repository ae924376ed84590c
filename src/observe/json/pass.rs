//! One pass over the text of one record: keys find their paths, values their slots, items their
//! place among [`Items`].
//!
//! It reads tokens and asks the tree; what a record as a whole needs is [`super`]'s.

use crate::observe::Slot;
use crate::observe::framing::{DecodeError, DecodeLimits};
use crate::observe::items::Items;

use super::lex::{Lexer, Number, Raw};
use super::trie::{Forgotten, NodeId, Trie, Watch};
use super::{JsonPlan, Owner, PENDING, Want, escape};

/// One pass over one record.
pub(super) struct Pass<'p, 'w, 'a> {
    pub(super) plan: &'p mut JsonPlan,
    pub(super) lexer: Lexer<'a>,
    pub(super) limits: &'p DecodeLimits,
    pub(super) want: &'p mut Want<'w>,
    pub(super) slots: &'p mut Vec<Slot<'a>>,
    pub(super) items: &'p mut Items<'a>,
}

impl<'a> Pass<'_, '_, 'a> {
    /// An object at `parent`, its brace next; gives how many members it has.
    pub(super) fn object(&mut self, parent: NodeId, depth: usize) -> Result<i64, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        self.lexer.bump();
        if self.lexer.takes(b'}')? {
            return Ok(0);
        }
        let (mut order, mut count) = (0, 0);
        loop {
            count += 1;
            let child = self.key(parent, &mut order)?;
            self.lexer.expect(b':')?;
            match child {
                Some(id) => {
                    let (slots, items) = (&mut *self.slots, &mut *self.items);
                    let met = items.len();
                    self.plan.trie.enter(id, met, &mut |forgotten| match forgotten {
                        Forgotten::Slot(slot) => put(slots, slot, Slot::Absent),
                        Forgotten::Items(of, from) => items.forget(of, from),
                    });
                    self.value(id, depth)?;
                }
                None => {
                    self.plan.skipped += 1;
                    self.lexer.skip(depth)?;
                }
            }
            if self.lexer.ends(b'}')? {
                return Ok(count);
            }
        }
    }

    /// Takes a key; `order` is where it is expected among its siblings and becomes where the next
    /// one is. `None` when its path is not remembered.
    #[inline]
    fn key(&mut self, parent: NodeId, order: &mut usize) -> Result<Option<NodeId>, DecodeError> {
        self.lexer.peek()?;
        if let Some((id, key)) = self.plan.trie.expected(parent, *order)
            && self.lexer.takes_string(key)
        {
            *order += 1;
            return Ok(Some(id));
        }
        let raw = self.lexer.string()?;
        let mut key = raw.text;
        if raw.has_escapes {
            self.plan.scratch.key.clear();
            escape::unescape(raw.text, usize::MAX, &mut self.plan.scratch.key);
            key = &self.plan.scratch.key;
        }
        let child = self.plan.trie.child(parent, key, self.limits.paths);
        if let Some((_, met_at)) = child {
            *order = met_at + 1;
        }
        Ok(child.map(|(id, _)| id))
    }

    /// A value at a path. Part of [`Pass::object`]'s loop: called there, it took a seventh more
    /// instructions for each record.
    #[inline(always)]
    fn value(&mut self, id: NodeId, depth: usize) -> Result<(), DecodeError> {
        match self.lexer.peek()? {
            b'"' => {
                let raw = self.lexer.string()?;
                self.text(id, raw);
            }
            b'-' | b'0'..=b'9' => {
                let value = match self.lexer.number()? {
                    Number::Integer(value) => Slot::Integer(value),
                    Number::Float(value) => Slot::Float(value),
                };
                self.scalar(id, value);
            }
            b't' => {
                self.lexer.word("true")?;
                self.scalar(id, Slot::Bool(true));
            }
            b'f' => {
                self.lexer.word("false")?;
                self.scalar(id, Slot::Bool(false));
            }
            b'n' => {
                self.lexer.word("null")?;
                self.scalar(id, Slot::Null);
                for is_map in [false, true] {
                    self.length(id, is_map, Slot::Null);
                }
            }
            b'{' => {
                self.composite(id);
                let count = match self.item(id, true) {
                    None => self.object(id, depth)?,
                    Some(item) => self.items((id, item), true, depth)?,
                };
                self.plan.trie.leave(id);
                self.length(id, true, Slot::Integer(count));
            }
            b'[' => {
                self.composite(id);
                let count = match self.item(id, false) {
                    None => self.lexer.skip_array(depth)?,
                    Some(item) => self.items((id, item), false, depth)?,
                };
                self.length(id, false, Slot::Integer(count));
            }
            _ => return Err(DecodeError::BadJson),
        }
        Ok(())
    }

    fn text(&mut self, id: NodeId, raw: Raw<'a>) {
        let text_bytes = self.limits.text_bytes;
        if !raw.has_escapes {
            let end = raw.text.floor_char_boundary(text_bytes);
            self.scalar(id, Slot::Text(&raw.text[..end]));
            return;
        }
        if self.plan.trie.watch(id) == Watch::No {
            return;
        }
        let scratch = &mut self.plan.scratch;
        let start = scratch.text.len();
        escape::unescape(raw.text, text_bytes, &mut scratch.text);
        let range = start..scratch.text.len();
        let text = scratch.text.get(range.clone()).unwrap_or_default();
        let watch = asked(&mut self.plan.trie, id, &mut *self.want, &Slot::Text(text));
        if let Watch::Slot(slot) = watch {
            self.plan.scratch.owners.push((Owner::Slot(slot), range));
            put(self.slots, slot, PENDING);
        }
    }

    #[inline]
    fn scalar(&mut self, id: NodeId, value: Slot<'a>) {
        if let Watch::Slot(slot) = asked(&mut self.plan.trie, id, &mut *self.want, &value) {
            put(self.slots, slot, value);
        }
    }

    fn length(&mut self, id: NodeId, is_map: bool, count: Slot<'a>) {
        if let Some(length) = self.plan.trie.inside(id, is_map).and_then(|inside| inside.length) {
            put(self.slots, length, count);
        }
    }

    fn item(&self, id: NodeId, is_map: bool) -> Option<NodeId> {
        self.plan.trie.inside(id, is_map)?.item
    }

    /// Items of the array or map at `id`, its bracket next, each with the paths of `item`; gives
    /// how many there are.
    #[inline(never)]
    fn items(
        &mut self,
        (id, item): (NodeId, NodeId),
        is_map: bool,
        depth: usize,
    ) -> Result<i64, DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let close = if is_map { b'}' } else { b']' };
        self.lexer.bump();
        if self.lexer.takes(close)? {
            return Ok(0);
        }
        let mut count = 0;
        loop {
            count += 1;
            if is_map {
                self.lexer.string()?;
                self.lexer.expect(b':')?;
            }
            let mark = self.plan.trie.mark();
            let owners = self.plan.scratch.owners.len();
            self.value(item, depth)?;
            self.plan.trie.next_item(mark);
            self.take(id, is_map, owners);
            if self.lexer.ends(close)? {
                return Ok(count);
            }
        }
    }

    /// Takes an item out of its slots; texts with escapes, among those from `owners` on, find
    /// their way to where it goes.
    fn take(&mut self, id: NodeId, is_map: bool, owners: usize) {
        let Some(inside) = self.plan.trie.inside(id, is_map) else {
            return;
        };
        let from = self.items.len();
        self.items.take(&inside.slots, self.slots, 1);
        for (place, slot) in (from..self.items.len()).zip(&inside.slots) {
            if self.items.value(place).is_some_and(|value| *value == PENDING) {
                let mut owners = self.plan.scratch.owners.iter_mut().skip(owners).rev();
                if let Some((owner, _)) = owners.find(|(owner, _)| *owner == Owner::Slot(*slot)) {
                    *owner = Owner::Item(place);
                }
            }
        }
    }

    fn composite(&mut self, id: NodeId) {
        if let Watch::Slot(slot) = self.plan.trie.watch(id) {
            put(self.slots, slot, Slot::Composite);
        }
    }
}

/// Whether a path is watched, asking if nobody has yet.
#[inline]
fn asked(trie: &mut Trie, id: NodeId, want: &mut Want<'_>, value: &Slot<'_>) -> Watch {
    match trie.watch(id) {
        Watch::Unasked => ask(trie, id, want, value),
        known => known,
    }
}

#[cold]
fn ask(trie: &mut Trie, id: NodeId, want: &mut Want<'_>, value: &Slot<'_>) -> Watch {
    let slot = want(trie.path(id), value).and_then(|slot| u32::try_from(slot).ok());
    let watch = slot.map_or(Watch::No, Watch::Slot);
    trie.set_watch(id, watch);
    watch
}

#[inline]
fn put<'a>(slots: &mut Vec<Slot<'a>>, slot: u32, value: Slot<'a>) {
    let slot = slot as usize;
    if slot >= slots.len() {
        slots.resize(slot + 1, Slot::Absent);
    }
    slots[slot] = value;
}
