//! Why a run ends, and the exit code that says so.

use rdkafka::error::KafkaError;

use super::client::ReservedProperty;
use super::cluster::TopicsError;

/// Why a loop cannot go on. Transient trouble is not here: it is waited out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A property that would break correctness was configured.
    #[error(transparent)]
    Property(#[from] ReservedProperty),
    /// A topic is missing or wrong.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// A client could not be made from the configuration.
    #[error("cannot set up a Kafka client for {stage}: {source}")]
    Client {
        /// Stage.
        stage: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// Another live process has the same slot.
    #[error(
        "another process runs slot {slot} of app {app}, and took {stage} from this one each time \
         it came back: give each process of an app its own slot, for example --slot {next}, or \
         this deployment an app of its own"
    )]
    SlotTaken {
        /// Prefix of the deployment.
        app: String,
        /// The stage that was taken.
        stage: &'static str,
        /// The slot both have.
        slot: u32,
        /// A slot to try.
        next: u32,
    },
    /// The app's groups have members of another deployment.
    #[error(
        "app {app} is in use by another deployment: the group of {member} at {host} reads \
         {theirs}, and this configuration reads {ours}: give one of the two an app of its own, or \
         stop the other first where this one is to follow it"
    )]
    OtherDeployment {
        /// Prefix of both.
        app: String,
        /// Id of a member of the other, which begins with its static id.
        member: String,
        /// Where it runs.
        host: String,
        /// What it reads.
        theirs: String,
        /// What this one reads.
        ours: String,
    },
    /// The committed offset does not lie within what the topic still holds.
    #[error(
        "{topic} partition {partition}: the committed offset {committed} is outside \
         [{low}, {high}]: {}; {}; and make retention longer than an outage may take",
        lost(.committed, .low, .high), way_on(.stage)
    )]
    OffsetLost {
        /// The stage that reads it.
        stage: &'static str,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Committed offset, or the checkpoint's.
        committed: i64,
        /// First offset that can be read.
        low: i64,
        /// End of the partition.
        high: i64,
    },
    /// Offsets and state do not belong together.
    #[error(
        "{topic} partition {partition}: {what}; offsets and state belong together and one of \
         them was reset; use a new app prefix, or delete the state topic and the group's offsets"
    )]
    StateMismatch {
        /// Input topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What does not fit.
        what: String,
    },
    /// A state entry that this build cannot read.
    #[error("state of {stage}, partition {partition}: {reason}")]
    StateUnreadable {
        /// Stage.
        stage: &'static str,
        /// Partition.
        partition: i32,
        /// What the stage said.
        reason: String,
    },
    /// A message that Kafka will never take.
    #[error(
        "{stage} cannot write to {topic}: {source}: raise max.message.bytes of this topic, and \
         message.max.bytes under kafka.properties where that is lower"
    )]
    Unwritable {
        /// Stage.
        stage: &'static str,
        /// Topic.
        topic: String,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// Kafka could not be reached for longer than is worth waiting inside the process.
    #[error("{stage}: no success {doing} for {seconds} s: {source}")]
    Unreachable {
        /// Stage.
        stage: &'static str,
        /// What was tried.
        doing: &'static str,
        /// How long.
        seconds: u64,
        /// The last failure.
        source: KafkaError,
    },
    /// A partition is not read on although there is more, also with a new consumer.
    #[error(
        "{stage}: {topic} partition {partition} goes on to {end} and is not read beyond {reached} \
         by a second consumer either: a restart may help; if it does not, look at the log of the \
         broker that leads this partition"
    )]
    NotFed {
        /// Stage.
        stage: &'static str,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// How far it was read.
        reached: i64,
        /// How far it goes.
        end: i64,
    },
    /// A stage panicked: a broken invariant, said on standard error by the panic itself.
    #[error(
        "the thread of {stage} ended by a panic, which is a fault of driftline: what it had \
         committed is safe and a restart goes on from there; please report the lines above"
    )]
    Panicked {
        /// Stage.
        stage: &'static str,
    },
    /// A loop did not end in time after it was asked to.
    #[error("{stage} did not stop within {seconds} s; what it had committed is safe")]
    SlowShutdown {
        /// Stage.
        stage: &'static str,
        /// Time given.
        seconds: u64,
    },
    /// The shutdown was asked for while something was being waited for.
    #[error("stopped")]
    Stopped,
}

/// What has happened to offsets that are not there.
fn lost(committed: &i64, low: &i64, high: &i64) -> String {
    if committed < low {
        format!("retention has taken {} offsets that were not read", low - committed)
    } else {
        format!("the topic ends {} before it, so it was made anew", committed - high)
    }
}

/// What can be done about it: a source may be read on without them, while the memory of a stage is
/// built from each message of its input.
fn way_on(stage: &str) -> &'static str {
    if stage == super::observe_loop::NAME {
        "to go on without them, stop every process of this app and run `driftline rewind --config \
         FILE --accept-gap`: the windows concerned are then told as incomplete"
    } else {
        "what this stage knows is built from them, so a new `app` prefix has to start over"
    }
}

impl RunError {
    /// Exit code after `sysexits.h`: 78 for what configuration must mend, 75 for what a restart
    /// may mend, 1 for a fault of our own.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Property(_)
            | RunError::Client { .. }
            | RunError::SlotTaken { .. }
            | RunError::OtherDeployment { .. }
            | RunError::OffsetLost { .. }
            | RunError::StateMismatch { .. }
            | RunError::StateUnreadable { .. }
            | RunError::Unwritable { .. } => 78,
            RunError::Topics(error) => error.exit_code(),
            RunError::Unreachable { .. }
            | RunError::NotFed { .. }
            | RunError::SlowShutdown { .. } => 75,
            RunError::Panicked { .. } => 1,
            RunError::Stopped => 0,
        }
    }
}
