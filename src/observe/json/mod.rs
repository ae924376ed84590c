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
//! *Lengths and items.* How many items an array has, or members an object, goes to the path with
//! `[#]` or `{#}` behind it where [`JsonPlan::name`] asked for that; null and absent are as for a
//! scalar. Where it asked for a path of items (`tags[]`, `lines[].price`), each item is read like a
//! record of its own, into [`Items`]; an object asked about in this way (`tags{}`) is a map, and
//! its members are no paths.

mod escape;
mod lex;
mod pass;
mod trie;

use std::ops::Range;

use crate::observe::Slot;

use super::framing::{DEPTH_MAX, DecodeError, DecodeLimits};
use super::items::Items;
use lex::Lexer;
use pass::Pass;
use trie::{NodeId, Trie};

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
    owners: Vec<(Owner, Range<usize>)>,
    key: String,
}

/// Where a text with escapes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Slot(u32),
    /// A value of an item, by its place among [`Items`].
    Item(usize),
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

    /// Watches what a path names of an array or object: `tags[#]` and `tags{#}` its length,
    /// `tags[]`, `tags{}` and `lines[].price` values of its items. To be called before any record;
    /// gives whether the path names such a thing.
    pub fn name(&mut self, path: &str, slot: usize) -> bool {
        u32::try_from(slot).is_ok_and(|slot| self.trie.name(path, slot))
    }

    /// Decodes one record. Values of items are dropped.
    ///
    /// # Errors
    /// As [`JsonPlan::decode_with_items`].
    pub fn decode<'a>(
        &'a mut self,
        body: &'a [u8],
        limits: &DecodeLimits,
        want: &mut Want<'_>,
        slots: &mut Vec<Slot<'a>>,
    ) -> Result<(), DecodeError> {
        self.decode_with_items(body, limits, want, (slots, &mut Items::new(1)))
    }

    /// Decodes one record.
    ///
    /// `want` is called once for each path that has a scalar or null for the first time and
    /// answers with the slot its values go to, or `None` for a path nobody watches; `slots` grows
    /// as needed. All of them are set to [`Slot::Absent`] first. An array or object at a watched
    /// path gives [`Slot::Composite`]. Half a surrogate pair is read as U+FFFD. The items are to be
    /// empty, and take the values of items. After an error both hold nothing to rely on.
    ///
    /// *Bound*: time is linear in the body's length but for new paths and keys out of their
    /// order; memory in [`DecodeLimits::paths`] and the longest body.
    ///
    /// # Errors
    /// [`DecodeError`] when the body is not one JSON object in UTF-8, or nests too deeply.
    pub fn decode_with_items<'a>(
        &'a mut self,
        body: &'a [u8],
        limits: &DecodeLimits,
        want: &mut Want<'_>,
        (slots, items): (&mut Vec<Slot<'a>>, &mut Items<'a>),
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
        let mut pass = Pass { plan: self, lexer, limits, want, slots, items };
        pass.object(NodeId::ROOT, depth)?;
        pass.lexer.finish()?;
        self.hand_on(slots, items);
        Ok(())
    }

    /// Puts texts that had escapes where they belong: backwards, as a later one replaces an
    /// earlier one of the same slot, and nowhere if something else has replaced it.
    fn hand_on<'a>(&'a self, slots: &mut [Slot<'a>], items: &mut Items<'a>) {
        for (owner, range) in self.scratch.owners.iter().rev() {
            let place = match owner {
                Owner::Slot(slot) => slots.get_mut(*slot as usize),
                Owner::Item(at) => items.value(*at),
            };
            if let Some(place @ Slot::Bytes(_)) = place {
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

#[cfg(test)]
mod tests;
