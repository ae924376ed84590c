//! Producers and versions as small integers.
//!
//! Cells are looked up once a record, so their keys are integers; the text comes back at commit.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A hash table that depends on nothing but its keys.
pub(super) type Table<K, V> = HashMap<K, V, FixedState>;

/// Rough size of an entry beside its text, which is held twice.
const ENTRY_BYTES: usize = 64;

/// Texts met, numbered as they come. Numbers hold until [`Interner::settle`].
#[derive(Debug, Default)]
pub(super) struct Interner {
    numbers: Table<Box<str>, u32>,
    texts: Vec<Box<str>>,
    last: u32,
    fresh_bytes: usize,
}

impl Interner {
    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if self.texts.get(self.last as usize).is_some_and(|last| &**last == text) {
            return self.last;
        }
        self.last = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = self.texts.len() as u32;
                self.fresh_bytes += ENTRY_BYTES + 2 * text.len();
                self.texts.push(text.into());
                self.numbers.insert(text.into(), number);
                number
            }
        };
        self.last
    }

    /// The text of a number.
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }

    /// Rough size of the texts met since the last [`Interner::settle`].
    pub(super) fn fresh_bytes(&self) -> usize {
        self.fresh_bytes
    }

    /// Nothing holds a number any more: forgets all texts when there are more than `keep`.
    pub(super) fn settle(&mut self, keep: usize) {
        if self.texts.len() > keep {
            *self = Interner::default();
        }
        self.fresh_bytes = 0;
    }
}
