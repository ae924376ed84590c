//! `driftline events`: reads public events and prints them, for people or as JSON lines.
//!
//! Reads committed records alone, joins no group and commits nothing: looking changes nothing.

mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use apache_avro::Schema;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::Exit;
use super::property::{PropertyArgs, RefusedProperty};
use crate::config::deployment::{KafkaAccess, PublicTopics, RegistryAccess};
use crate::observe::SchemaAnswer;
use crate::publish::{DecodeError, Decoded, EventKind, decode, human};
use crate::registry::{Options, Registry, RegistryError};

pub(super) use reader::ReadError;
use reader::{Reader, Record};

/// How long one schema is waited for.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(10);

/// Print what Driftline has published
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline events --brokers localhost:9092
  driftline events --brokers localhost:9092 --registry http://localhost:8081 --follow
  driftline events --brokers localhost:9092 --topics retrain-requests --json | jq .data")]
pub(super) struct EventsArgs {
    /// Brokers, as host:port,host:port
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: String,
    /// Schema registry that Avro events name their schemas in; without it Avro events are read
    /// with the schemas of this build
    #[arg(long, value_name = "URL", env = "SCHEMA_REGISTRY_URL", hide_env_values = true)]
    registry: Option<String>,
    /// Topics to read
    #[arg(long, value_delimiter = ',', default_values_t = default_topics())]
    topics: Vec<String>,
    /// Go on with events to come instead of stopping at the end
    #[arg(long)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Where to start
    #[arg(long, value_enum, default_value_t = Since::Earliest)]
    since: Since,
    #[command(flatten)]
    properties: PropertyArgs,
}

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Since {
    /// With the oldest event kept
    Earliest,
    /// With the next one; useful with --follow
    Latest,
}

/// Why no more events are read.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventsError {
    /// Command line.
    #[error(transparent)]
    Property(#[from] RefusedProperty),
    /// Kafka.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Standard output.
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

pub(super) fn run(args: &EventsArgs) -> Exit {
    // A body that claims to be larger is no event.
    apache_avro::util::max_allocation_bytes(16 << 20);
    match print_events(args, &mut io::stdout().lock()) {
        Ok(()) => Exit::Done,
        // The reader of a pipe has seen enough.
        Err(EventsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                EventsError::Read(ReadError::Unreachable { .. } | ReadError::Stalled { .. }) => {
                    Exit::Temporary
                }
                EventsError::Property(_) => Exit::Configuration,
                _ => Exit::Failed,
            }
        }
    }
}

/// Prints events up to the end of the topics, or for ever with `--follow`.
fn print_events(args: &EventsArgs, out: &mut impl Write) -> Result<(), EventsError> {
    let access = args.properties.access(&args.brokers)?;
    let mut schemas = Schemas::new(args.registry.as_deref())?;
    let mut reader = Reader::open(&access, &args.topics, args.since, args.follow)?;
    while let Some(record) = reader.next()? {
        match schemas.event(&record) {
            Ok(event) if args.json => writeln!(out, "{}", line(&record, &event))?,
            Ok(event) => writeln!(out, "{}", human(&event))?,
            Err(error) => {
                let Record { topic, partition, offset, .. } = &record;
                tracing::warn!(topic, partition, offset, %error, "not a readable event");
            }
        }
        // Someone may be watching.
        out.flush()?;
    }
    Ok(())
}

/// Hands events to come to `take`, in time order, until it does not want more.
pub(super) fn follow(
    access: &KafkaAccess,
    registry: Option<&str>,
    topics: &[String],
    mut take: impl FnMut(Decoded) -> bool,
) -> Result<(), EventsError> {
    let mut schemas = Schemas::new(registry)?;
    let mut reader = Reader::open(access, topics, Since::Earliest, true)?;
    while let Some(record) = reader.next()? {
        match schemas.event(&record) {
            Ok(event) => {
                if !take(event) {
                    break;
                }
            }
            Err(error) => tracing::warn!(topic = record.topic, %error, "not a readable event"),
        }
    }
    Ok(())
}

fn line(record: &Record, event: &Decoded) -> String {
    json!({
        "id": event.id,
        "type": event.kind,
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "data": event.data,
    })
    .to_string()
}

/// Writer schemas by id. *Bound*: an entry for each id that events name.
struct Schemas {
    registry: Option<Registry>,
    known: BTreeMap<u32, Result<Schema, String>>,
}

impl Schemas {
    fn new(url: Option<&str>) -> Result<Schemas, RegistryError> {
        let start = |url: &str| {
            let access = RegistryAccess::open(vec![url.to_owned()]);
            Registry::start(&access, Options::default())
        };
        Ok(Schemas { registry: url.map(start).transpose()?, known: BTreeMap::new() })
    }

    fn event(&mut self, record: &Record) -> Result<Decoded, DecodeError> {
        let kind = record.header("ce_type").and_then(EventKind::of_type);
        decode(&record.headers, record.payload.as_deref(), |id| self.schema(id, kind))
    }

    fn schema(&mut self, id: u32, kind: Option<EventKind>) -> Result<Schema, String> {
        let Some(registry) = &self.registry else {
            let kind = kind.ok_or("not a type of this build; give --registry")?;
            return Ok(kind.schema());
        };
        self.known.entry(id).or_insert_with(|| fetch(registry, id)).clone()
    }
}

fn fetch(registry: &Registry, id: u32) -> Result<Schema, String> {
    match registry.fetch(id, SCHEMA_PATIENCE).map_err(|error| error.to_string())? {
        SchemaAnswer::Known(found) => {
            Schema::parse_str(&found.schema).map_err(|error| error.to_string())
        }
        SchemaAnswer::Unknown => Err("the registry has none of that id".to_owned()),
        SchemaAnswer::Unreadable(reason) => Err(reason),
    }
}

fn default_topics() -> Vec<String> {
    let topics = PublicTopics::default();
    vec![topics.drift_events, topics.retrain_requests, topics.action_requests]
}
