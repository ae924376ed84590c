//! The loop on the registry's thread: one flight per id, back-off, answers to all who wait.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;

use crate::observe::{SchemaAnswer, SchemaKey};

use super::cache::Cache;
use super::client::Options;
use super::fetch::{Failure, Fetcher};
use super::status::Reporter;

/// What handles ask of the loop.
#[derive(Debug)]
pub(super) enum Command {
    /// A schema.
    Schema {
        /// Which.
        key: SchemaKey,
        /// How long "there is none" is not believed: registries of several nodes know a new schema
        /// at different times.
        patience: Duration,
        /// Who asks.
        waiter: Waiter<(SchemaKey, SchemaAnswer)>,
    },
    /// An id for a schema.
    Register {
        /// Subject.
        subject: String,
        /// Avro JSON.
        schema: String,
        /// Who asks.
        waiter: Waiter<Result<u32, Failure>>,
    },
    /// Calls from now on are made with this; those under way end as they began.
    Replace(Box<Fetcher>),
}

/// Where an answer goes, for as long as someone is there to take it.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) reply: Sender<T>,
    pub(super) alive: Weak<()>,
}

impl<T> Waiter<T> {
    fn waits(&self) -> bool {
        self.alive.strong_count() > 0
    }
}

#[derive(Debug)]
enum Landed {
    Schema { key: SchemaKey, result: Result<SchemaAnswer, Failure> },
    Register { flight: Registration, result: Result<u32, Failure> },
}

#[derive(Debug)]
struct Registration {
    subject: String,
    schema: String,
    waiter: Waiter<Result<u32, Failure>>,
    failures: u32,
}

#[derive(Debug, Default)]
struct Flight {
    /// Who waits, and until when for a schema that there is not yet.
    waiters: Vec<(Waiter<(SchemaKey, SchemaAnswer)>, Instant)>,
    /// Calls that gave nothing to tell.
    failures: u32,
}

/// State of the loop.
#[derive(Debug)]
pub(super) struct Keeper {
    options: Options,
    fetcher: Arc<Fetcher>,
    cache: Cache,
    flights: BTreeMap<SchemaKey, Flight>,
    reporter: Reporter,
    calls: Arc<Semaphore>,
    tasks: JoinSet<Landed>,
    /// Counts retries; the only source of jitter.
    retries: u64,
}

impl Keeper {
    pub(super) fn new(options: Options, fetcher: Fetcher, reporter: Reporter) -> Keeper {
        Keeper {
            cache: Cache::new(options.cached_max, options.useless_kept),
            calls: Arc::new(Semaphore::new(options.calls_max.max(1))),
            options,
            fetcher: Arc::new(fetcher),
            flights: BTreeMap::new(),
            reporter,
            tasks: JoinSet::new(),
            retries: 0,
        }
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.take(command),
                    None => return,
                },
                Some(landed) = self.tasks.join_next() => match landed {
                    Ok(landed) => self.land(landed),
                    Err(error) => tracing::error!(%error, "a registry call broke off"),
                },
            }
            self.reporter.sizes(self.flights.len(), self.cache.len());
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Schema { key, patience, waiter } => {
                let now = Instant::now();
                let cached = self.cache.get(key, now);
                let is_settled =
                    |answer: &SchemaAnswer| patience.is_zero() || *answer != SchemaAnswer::Unknown;
                if let Some(answer) = cached.filter(is_settled) {
                    let _ = waiter.reply.send((key, answer));
                    return;
                }
                let fresh = !self.flights.contains_key(&key);
                let flight = self.flights.entry(key).or_default();
                flight.waiters.push((waiter, now + patience));
                if fresh {
                    self.fly(key, Duration::ZERO);
                }
            }
            Command::Register { subject, schema, waiter } => {
                let flight = Registration { subject, schema, waiter, failures: 0 };
                self.fly_registration(flight, Duration::ZERO);
            }
            Command::Replace(fetcher) => self.fetcher = Arc::from(fetcher),
        }
    }

    fn land(&mut self, landed: Landed) {
        match landed {
            Landed::Schema { key, result: Ok(answer) } => {
                self.reporter.answered();
                let now = Instant::now();
                self.cache.put(key, answer.clone(), now);
                let mut flight = self.flights.remove(&key).unwrap_or_default();
                for (waiter, until) in std::mem::take(&mut flight.waiters) {
                    if answer == SchemaAnswer::Unknown && until > now && waiter.waits() {
                        flight.waiters.push((waiter, until));
                    } else {
                        let _ = waiter.reply.send((key, answer.clone()));
                    }
                }
                self.fly_again(key, flight);
            }
            Landed::Schema { key, result: Err(failure) } => {
                self.reporter.failed(&failure, Instant::now());
                let mut flight = self.flights.remove(&key).unwrap_or_default();
                flight.waiters.retain(|(waiter, _)| waiter.waits());
                self.fly_again(key, flight);
            }
            Landed::Register { mut flight, result } => {
                match &result {
                    Err(failure) if !failure.refused => {
                        self.reporter.failed(failure, Instant::now());
                        flight.failures += 1;
                        if flight.waiter.waits() {
                            let pause = self.pause(flight.failures);
                            self.fly_registration(flight, pause);
                            return;
                        }
                    }
                    _ => self.reporter.answered(),
                }
                let _ = flight.waiter.reply.send(result);
            }
        }
    }

    /// Asks once more after a pause, while someone waits.
    fn fly_again(&mut self, key: SchemaKey, mut flight: Flight) {
        if !flight.waiters.is_empty() {
            flight.failures += 1;
            let pause = self.pause(flight.failures);
            self.flights.insert(key, flight);
            self.fly(key, pause);
        }
    }

    fn fly(&mut self, key: SchemaKey, pause: Duration) {
        let (fetcher, calls) = (Arc::clone(&self.fetcher), Arc::clone(&self.calls));
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            let _permit = calls.acquire().await;
            Landed::Schema { key, result: fetcher.schema(key).await }
        });
    }

    fn fly_registration(&mut self, flight: Registration, pause: Duration) {
        let fetcher = Arc::clone(&self.fetcher);
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            let result = fetcher.register(&flight.subject, &flight.schema).await;
            Landed::Register { flight, result }
        });
    }

    /// Doubles with each failure up to the longest, then takes off up to a half, so that ids that
    /// failed together do not come back together.
    fn pause(&mut self, failures: u32) -> Duration {
        self.retries += 1;
        let doublings = failures.saturating_sub(1).min(16);
        let whole = self.options.first_pause.saturating_mul(1 << doublings);
        let whole = whole.min(self.options.longest_pause);
        let jitter = xxh3_64(&self.retries.to_le_bytes()) % 512;
        whole.mul_f64(1.0 - jitter as f64 / 1024.0)
    }
}
