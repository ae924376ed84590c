//! The contract between the runtime and the stages behind observe.
//!
//! One trait, because there is one real choice: which stage a loop drives. A [`Stage`] value is
//! one input partition's worth of a stage; it takes messages in offset order and cannot fail.

use crate::event::route::Outbox;

/// The next message of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its offset.
    pub offset: i64,
    /// Broker time, milliseconds: the only *now* a stage has.
    pub timestamp_ms: i64,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// How a stage gets its memory back after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It is a function of its input: read again from [`Stage::replay_from`], in silence.
    Replay,
    /// Read its entries from the state topic, then its input from the checkpoint on, in silence.
    Checkpoint,
}

/// One entry of a stage's state; `None` deletes it.
pub type StateEntry = (Vec<u8>, Option<Vec<u8>>);

/// A stage instance for one input partition.
pub trait Stage: Send {
    /// Name used in group ids, metrics and logs.
    const NAME: &'static str;
    /// How it gets its memory back.
    const RESTART: Restart;

    /// Takes the next message.
    fn step(&mut self, message: Incoming<'_>, out: &mut Outbox);

    /// Says what a commit at `next_offset` must say and returns the offset's metadata
    /// (at most 4,096 bytes). Called at the end of a silent replay too, its output thrown away.
    fn commit(&mut self, next_offset: i64, out: &mut Outbox) -> String;

    /// Where silent replay starts, from the metadata of the committed offset. Only for
    /// [`Restart::Replay`]; `committed` is the offset itself.
    fn replay_from(metadata: &str, committed: i64) -> i64;

    /// Called when silent replay has reached the committed offset, before [`Stage::commit`].
    fn replayed(&mut self, metadata: &str);

    /// Entries changed since the last call; empty for [`Restart::Replay`].
    fn checkpoint(&mut self) -> Vec<StateEntry>;

    /// Takes one entry of a checkpoint back.
    ///
    /// # Errors
    /// When this build cannot read the entry; the text says which and why.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String>;
}
