//! JSON: one pass over the text of a record, its scalars into slots, no value tree.
//!
//! A plan is a growing tree of the paths met; each new path is asked about once. Keys are guessed
//! in the order they came before, which saves looking most of them up. The tokenizer is our own
//! because serde_json's allocates for every record with an escape and refuses a whole record
//! for one number like 1e400.
//!
//! *Paths.* Keys joined by dots; a key with a dot in it and a nested one can share a path. Arrays
//! are skipped. Of equal keys the last one counts, with all that is below it.
//!
//! *Lengths.* How many items an array has, or members an object, goes to the path with `[#]` or
//! `{#}` behind it where [`JsonPlan::count`] asked for that; null and absent are as for a scalar.

mod escape;
mod lex;
mod trie;

use std::ops::Range;

use crate::observe::Slot;

use super::framing::{DEPTH_MAX, DecodeError, DecodeLimits};
use lex::{Lexer, Number, Raw};
use trie::{Length, NodeId, Trie, Watch};

/// The paths of one kind of record, and which of them are watched.
///
/// ```
/// use driftline::observe::{DecodeLimits, JsonPlan, Slot};
///
/// let limits = DecodeLimits { depth: 32, text_bytes: 256, paths: 100 };
/// let mut plan = JsonPlan::new();
/// let mut slots = Vec::new();
/// let body = br#"{"id": 7, "card": {"country": "DE"}}"#;
/// plan.decode(body, &limits, &mut |path, _| (path == "card.country").then_some(0), &mut slots)?;
/// assert_eq!(slots, [Slot::Text("DE")]);
/// # Ok::<(), driftline::observe::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonPlan {
    trie: Trie,
    scratch: Scratch,
    skipped: u64,
}

/// Text of one record that had escapes, and whose it is. The texts are handed on when the record
/// has been read, as the buffer may move until then.
#[derive(Clone, Debug, Default)]
struct Scratch {
    text: String,
    owners: Vec<(u32, Range<usize>)>,
    key: String,
}

/// Stands in a slot for text in [`Scratch`]; JSON has no bytes.
const PENDING: Slot<'static> = Slot::Bytes(&[]);

/// Called with each path never met before and the first value there.
type Want<'w> = dyn FnMut(&str, &Slot<'_>) -> Option<usize> + 'w;

impl JsonPlan {
    /// A plan that has met nothing.
    #[must_use]
    pub fn new() -> JsonPlan {
        JsonPlan { trie: Trie::new(), scratch: Scratch::default(), skipped: 0 }
    }

    /// Counts what is at a path: `tags[#]` the items of an array, `tags{#}` the members of an
    /// object. To be called before any record; gives whether the path asks for that.
    pub fn count(&mut self, path: &str, slot: usize) -> bool {
        let (array, object) = (path.strip_suffix("[#]"), path.strip_suffix("{#}"));
        match (array.or(object), u32::try_from(slot)) {
            (Some(path), Ok(slot)) => {
                self.trie.count(path, Length { slot, is_map: object.is_some() });
                true
            }
            _ => false,
        }
    }

    /// Decodes one record.
    ///
    /// `want` is called once for each path that has a scalar or null for the first time and
    /// answers with the slot its values go to, or `None` for a path nobody watches; `slots` grows
    /// as needed. All of them are set to [`Slot::Absent`] first. An array or object at a watched
    /// path gives [`Slot::Composite`]. Half a surrogate pair is read as U+FFFD. After an error
    /// the slots hold nothing to rely on.
    ///
    /// *Bound*: time is linear in the body's length but for new paths and keys out of their
    /// order; memory in [`DecodeLimits::paths`] and the longest body.
    ///
    /// # Errors
    /// [`DecodeError`] when the body is not one JSON object in UTF-8, or nests too deeply.
    pub fn decode<'a>(
        &'a mut self,
        body: &'a [u8],
        limits: &DecodeLimits,
        want: &mut Want<'_>,
        slots: &mut Vec<Slot<'a>>,
    ) -> Result<(), DecodeError> {
        slots.fill(Slot::Absent);
        self.trie.start();
        self.scratch.text.clear();
        self.scratch.owners.clear();
        let mut lexer = Lexer::new(body)?;
        if lexer.peek()? != b'{' {
            return Err(DecodeError::BadMagic);
        }
        let depth = limits.depth.min(DEPTH_MAX);
        let mut pass = Pass { plan: self, lexer, limits, want, slots };
        pass.object(NodeId::ROOT, depth)?;
        pass.lexer.finish()?;
        self.hand_on(slots);
        Ok(())
    }

    /// Puts texts that had escapes where they belong: backwards, as a later one replaces an
    /// earlier one of the same slot, and nowhere if something else has replaced it.
    fn hand_on<'a>(&'a self, slots: &mut [Slot<'a>]) {
        for (slot, range) in self.scratch.owners.iter().rev() {
            if let Some(place @ Slot::Bytes(_)) = slots.get_mut(*slot as usize) {
                *place = Slot::Text(self.scratch.text.get(range.clone()).unwrap_or_default());
            }
        }
    }

    /// Values skipped because their path was one too many or too long to remember.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Paths remembered, objects on the way included.
    #[must_use]
    pub fn paths(&self) -> usize {
        self.trie.len()
    }
}

impl Default for JsonPlan {
    fn default() -> JsonPlan {
        JsonPlan::new()
    }
}

/// One pass over one record.
struct Pass<'p, 'w, 'a> {
    plan: &'p mut JsonPlan,
    lexer: Lexer<'a>,
    limits: &'p DecodeLimits,
    want: &'p mut Want<'w>,
    slots: &'p mut Vec<Slot<'a>>,
}

impl<'a> Pass<'_, '_, 'a> {
    /// An object at `parent`, its brace next; gives how many members it has.
    fn object(&mut self, parent: NodeId, depth: usize) -> Result<i64, DecodeError> {
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
                    let slots = &mut *self.slots;
                    self.plan.trie.enter(id, &mut |slot| put(slots, slot, Slot::Absent));
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
                if let Some(length) = self.plan.trie.length(id) {
                    put(self.slots, length.slot, Slot::Null);
                }
            }
            b'{' => {
                self.composite(id);
                let count = self.object(id, depth)?;
                self.plan.trie.leave(id);
                self.length(id, true, count);
            }
            b'[' => {
                self.composite(id);
                let count = self.lexer.skip_array(depth)?;
                self.length(id, false, count);
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
            self.plan.scratch.owners.push((slot, range));
            put(self.slots, slot, PENDING);
        }
    }

    #[inline]
    fn scalar(&mut self, id: NodeId, value: Slot<'a>) {
        if let Watch::Slot(slot) = asked(&mut self.plan.trie, id, &mut *self.want, &value) {
            put(self.slots, slot, value);
        }
    }

    fn length(&mut self, id: NodeId, of_map: bool, count: i64) {
        let length = self.plan.trie.length(id);
        if let Some(length) = length.filter(|length| length.is_map == of_map) {
            put(self.slots, length.slot, Slot::Integer(count));
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

#[cfg(test)]
mod tests;
