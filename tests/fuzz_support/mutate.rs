//! Small changes to inputs: bytes, ranges, words of the format, parts of other inputs.

use crate::support::random::Random;

/// Bytes that decide something in most formats.
const TELLING: &[u8] = b"\0\x01\x02\x7f\x80\xfe\xff{}[]\",:\\-+.eE0\n ";
/// Changes to one input at most.
const CHANGES_MAX: usize = 6;

/// Makes inputs of others.
pub struct Mutator<'w> {
    random: Random,
    words: &'w [&'w str],
}

impl<'w> Mutator<'w> {
    pub fn new(seed: u64, words: &'w [&'w str]) -> Mutator<'w> {
        Mutator { random: Random::new(seed), words }
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random.bits() % limit.max(1) as u64) as usize
    }

    /// An input of the pool, changed.
    pub fn of(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = pool[self.below(pool.len())].clone();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut input, pool);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = TELLING[self.below(TELLING.len())],
            2 => input.insert(at, TELLING[self.below(TELLING.len())]),
            3 => drop(input.drain(at..end)),
            4 => {
                let range = input[at..end].to_vec();
                for _ in 0..=self.below(40) {
                    input.splice(at..at, range.iter().copied());
                }
            }
            5 => input.truncate(at),
            6 => {
                let other = &pool[self.below(pool.len())];
                let from = self.below(other.len() + 1);
                let to = from + self.below(other.len() - from + 1);
                input.splice(at..end, other[from..to].iter().copied());
            }
            7 => {
                let number = self.random.bits() >> self.below(64);
                let mut left = number;
                let mut bytes = Vec::new();
                while left >= 0x80 {
                    bytes.push(left as u8 | 0x80);
                    left >>= 7;
                }
                bytes.push(left as u8);
                input.splice(at..end, bytes);
            }
            _ if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                input.splice(at..end, word.bytes());
            }
            _ => input.push(self.random.bits() as u8),
        }
    }
}
