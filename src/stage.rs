//! The contract between the runtime and the stages behind observe.
//!
//! One trait, because there is one real choice: which stage a loop drives. A [`Stage`] value is
//! one input partition's worth of a stage; it takes messages in offset order and cannot fail.

use serde::Serialize;
use serde::de::DeserializeOwned;

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
    fn commit(&mut self, _next_offset: i64, _out: &mut Outbox) -> String {
        String::new()
    }

    /// Where silent replay starts, from the metadata of the committed offset. Only for
    /// [`Restart::Replay`]; `committed` is the offset itself.
    #[must_use]
    fn replay_from(_metadata: &str, committed: i64) -> i64 {
        committed
    }

    /// Called when silent replay has reached the committed offset, before [`Stage::commit`].
    fn replayed(&mut self, _metadata: &str) {}

    /// Entries changed since the last call; empty for [`Restart::Replay`].
    fn checkpoint(&mut self) -> Vec<StateEntry> {
        Vec::new()
    }

    /// Takes one entry of a checkpoint back.
    ///
    /// # Errors
    /// When this build cannot read the entry; the text says which and why.
    fn restore(&mut self, _key: &[u8], _value: &[u8]) -> Result<(), String> {
        Err(format!("{} keeps no checkpoints", Self::NAME))
    }
}

/// Format of state entries. An entry of another version is refused.
const STATE_VERSION: u8 = 1;

/// The bytes of a state key or value: a byte of version, then postcard.
pub(crate) fn state_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![STATE_VERSION])
        .expect("a Vec grows and state has known lengths")
}

/// The key or value in `bytes`; `what` names it in the error.
pub(crate) fn state_value<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    match bytes {
        [STATE_VERSION, body @ ..] => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(format!("{what} is followed by {} bytes", rest.len())),
            Err(error) => Err(format!("{what} does not decode: {error}")),
        },
        [version, ..] => {
            Err(format!("{what} has version {version}, this build reads version {STATE_VERSION}"))
        }
        [] => Err(format!("{what} is empty")),
    }
}
