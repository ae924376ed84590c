//! The loop on the registry's thread: one flight per id, back-off, answers to all who wait.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;

use crate::observe::SchemaAnswer;

use super::cache::Cache;
use super::client::Options;
use super::fetch::{Failure, Fetcher};
use super::status::Reporter;

/// What handles ask of the loop.
#[derive(Debug)]
pub(super) enum Command {
    /// The schema of an id.
    Schema {
        /// Id.
        id: u32,
        /// Who asks.
        waiter: Waiter<(u32, SchemaAnswer)>,
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
    Schema { id: u32, result: Result<SchemaAnswer, Failure> },
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
    waiters: Vec<Waiter<(u32, SchemaAnswer)>>,
    failures: u32,
}

/// State of the loop.
#[derive(Debug)]
pub(super) struct Keeper {
    options: Options,
    fetcher: Arc<Fetcher>,
    cache: Cache,
    flights: BTreeMap<u32, Flight>,
    reporter: Reporter,
    calls: Arc<Semaphore>,
    tasks: JoinSet<Landed>,
    /// Counts retries; the only source of jitter.
    retries: u64,
}

impl Keeper {
    pub(super) fn new(options: Options, fetcher: Fetcher, reporter: Reporter) -> Keeper {
        Keeper {
            cache: Cache::new(options.cached_max, options.unknown_kept),
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
            Command::Schema { id, waiter } => {
                if let Some(answer) = self.cache.get(id, Instant::now()) {
                    let _ = waiter.reply.send((id, answer));
                    return;
                }
                let fresh = !self.flights.contains_key(&id);
                self.flights.entry(id).or_default().waiters.push(waiter);
                if fresh {
                    self.fly(id, Duration::ZERO);
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
            Landed::Schema { id, result: Ok(answer) } => {
                self.reporter.answered();
                self.cache.put(id, answer.clone(), Instant::now());
                for waiter in self.flights.remove(&id).unwrap_or_default().waiters {
                    let _ = waiter.reply.send((id, answer.clone()));
                }
            }
            Landed::Schema { id, result: Err(failure) } => {
                self.reporter.failed(&failure.reason, Instant::now());
                let Some(flight) = self.flights.get_mut(&id) else {
                    return;
                };
                flight.waiters.retain(Waiter::waits);
                flight.failures += 1;
                if flight.waiters.is_empty() {
                    self.flights.remove(&id);
                } else {
                    let failures = flight.failures;
                    let pause = self.pause(failures);
                    self.fly(id, pause);
                }
            }
            Landed::Register { mut flight, result } => {
                match &result {
                    Err(failure) if !failure.refused => {
                        self.reporter.failed(&failure.reason, Instant::now());
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

    fn fly(&mut self, id: u32, pause: Duration) {
        let (fetcher, calls) = (Arc::clone(&self.fetcher), Arc::clone(&self.calls));
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            let _permit = calls.acquire().await;
            Landed::Schema { id, result: fetcher.schema(id).await }
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
