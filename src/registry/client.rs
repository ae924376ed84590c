//! Handles to the registry's thread: [`Registry`] for start-up and tools, [`SchemaSource`] for
//! the loop of observe.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::config::deployment::{PublicTopics, RegistryAccess};
use crate::observe::{SchemaAnswer, SchemaKey};
use crate::publish::{EventKind, RegisteredEventSchemas, without_credentials};

use super::fetch::{Failure, Fetcher};
use super::keeper::{Command, Keeper, Waiter};
use super::status::{RegistryStatus, Reporter};

/// Limits and pace of the client.
#[derive(Clone, Debug)]
pub struct Options {
    /// Answers kept.
    pub cached_max: usize,
    /// How long "there is no such schema" and "it cannot be read" are believed. A schema is
    /// registered before it is used, so that a 404 is rare; 5 s bounds the load, and someone who
    /// registers what was missing need not wait before driving records in again.
    pub useless_kept: Duration,
    /// Of one call, connecting and reading together.
    pub timeout: Duration,
    /// Before the second try.
    pub first_pause: Duration,
    /// Between later tries at most.
    pub longest_pause: Duration,
    /// Calls at the same time.
    pub calls_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cached_max: 4096,
            useless_kept: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            calls_max: 8,
        }
    }
}

/// Why the registry is of no use to the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No client could be made.
    #[error("cannot set up the registry client: {0}")]
    Setup(String),
    /// No answer in time; the last failure is said.
    #[error("schema registry did not answer within {patience:?}: {reason}")]
    Unreachable {
        /// How long was waited.
        patience: Duration,
        /// The last failure.
        reason: String,
    },
    /// It does not take the schema.
    #[error("schema registry refuses the schema for {subject}: {reason}")]
    Refused {
        /// Subject.
        subject: String,
        /// Its words.
        reason: String,
    },
}

/// The subjects a registry has, asked once; for `check --connect`.
///
/// # Errors
/// When no client can be made or no URL answers within [`Options::timeout`].
pub fn subjects(access: &RegistryAccess, options: &Options) -> Result<Vec<String>, RegistryError> {
    let setup = |error: std::io::Error| RegistryError::Setup(error.to_string());
    let fetcher = Fetcher::new(access, options.timeout).map_err(RegistryError::Setup)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(setup)?;
    let unreachable = |failure: Failure| RegistryError::Unreachable {
        patience: options.timeout,
        reason: failure.reason,
    };
    runtime.block_on(fetcher.subjects()).map_err(unreachable)
}

/// A running client. Cheap to clone; the thread ends with the last handle.
#[derive(Clone, Debug)]
pub struct Registry {
    url: String,
    timeout: Duration,
    commands: UnboundedSender<Command>,
    status: Arc<Mutex<RegistryStatus>>,
}

impl Registry {
    /// Starts the client's thread. Nothing is fetched yet: a registry that is down is no error.
    ///
    /// # Errors
    /// When there is no URL, or no thread or client can be made.
    pub fn start(access: &RegistryAccess, options: Options) -> Result<Registry, RegistryError> {
        let fetcher = Fetcher::new(access, options.timeout).map_err(RegistryError::Setup)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RegistryError::Setup(error.to_string()))?;
        let (commands, received) = unbounded_channel();
        let reporter = Reporter::default();
        let status = reporter.shared();
        let timeout = options.timeout;
        let keeper = Keeper::new(options, fetcher, reporter);
        std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || runtime.block_on(keeper.run(received)))
            .map_err(|error| RegistryError::Setup(error.to_string()))?;
        let url = access.urls.first().map(|url| without_credentials(url)).unwrap_or_default();
        Ok(Registry { url, timeout, commands, status })
    }

    /// Makes calls from now on with another log-in or other certificates.
    ///
    /// # Errors
    /// When no client can be made of them; the old ones stay.
    pub fn replace(&self, access: &RegistryAccess) -> Result<(), RegistryError> {
        let fetcher = Fetcher::new(access, self.timeout).map_err(RegistryError::Setup)?;
        // The thread only ends when every handle is gone, this one among them.
        let _ = self.commands.send(Command::Replace(Box::new(fetcher)));
        Ok(())
    }

    /// A handle for one loop.
    #[must_use]
    pub fn source(&self) -> SchemaSource {
        let (reply, answers) = channel();
        SchemaSource {
            commands: self.commands.clone(),
            reply,
            answers,
            alive: Arc::new(()),
            pending: BTreeSet::new(),
        }
    }

    /// Waits for a schema.
    ///
    /// # Errors
    /// When there is no answer within `patience`.
    pub fn fetch(
        &self,
        key: impl Into<SchemaKey>,
        patience: Duration,
    ) -> Result<SchemaAnswer, RegistryError> {
        let (_, answer) = self.ask(patience, |waiter| Command::Schema {
            key: key.into(),
            patience: Duration::ZERO,
            waiter,
        })?;
        Ok(answer)
    }

    /// Registers an Avro schema, or finds that it already is, and returns its id.
    ///
    /// # Errors
    /// When it is refused, or there is no answer within `patience`.
    pub fn register(
        &self,
        subject: &str,
        schema: &str,
        patience: Duration,
    ) -> Result<u32, RegistryError> {
        let (subject, schema) = (subject.to_owned(), schema.to_owned());
        let name = subject.clone();
        match self.ask(patience, |waiter| Command::Register { subject, schema, waiter })? {
            Ok(id) => Ok(id),
            Err(Failure { reason, refused: true, .. }) => {
                Err(RegistryError::Refused { subject: name, reason })
            }
            Err(Failure { reason, refused: false, .. }) => {
                Err(RegistryError::Unreachable { patience, reason })
            }
        }
    }

    /// Registers the schemas of all public events.
    ///
    /// # Errors
    /// At the first that is refused or not answered within `patience`.
    pub fn register_event_schemas(
        &self,
        topics: &PublicTopics,
        patience: Duration,
    ) -> Result<RegisteredEventSchemas, RegistryError> {
        let mut ids = [0; EventKind::ALL.len()];
        for (id, kind) in ids.iter_mut().zip(EventKind::ALL) {
            *id = self.register(&kind.subject(topics), kind.schema_text(), patience)?;
        }
        Ok(RegisteredEventSchemas::new(&self.url, ids))
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> RegistryStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ask<T>(
        &self,
        patience: Duration,
        command: impl FnOnce(Waiter<T>) -> Command,
    ) -> Result<T, RegistryError> {
        let alive = Arc::new(());
        let (reply, answer) = channel();
        let waiter = Waiter { reply, alive: Arc::downgrade(&alive) };
        let sent = self.commands.send(command(waiter));
        match sent.map(|()| answer.recv_timeout(patience)) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(RecvTimeoutError::Timeout)) => {
                let last = self.status().last_error;
                let reason = last.unwrap_or_else(|| "no call has ended yet".to_owned());
                Err(RegistryError::Unreachable { patience, reason })
            }
            Ok(Err(RecvTimeoutError::Disconnected)) | Err(_) => {
                Err(RegistryError::Setup("the registry client's thread has ended".to_owned()))
            }
        }
    }
}

/// Asks for schemas and picks up answers without ever waiting.
#[derive(Debug)]
pub struct SchemaSource {
    commands: UnboundedSender<Command>,
    reply: Sender<(SchemaKey, SchemaAnswer)>,
    answers: Receiver<(SchemaKey, SchemaAnswer)>,
    /// Gone with the source: then nobody retries for it.
    alive: Arc<()>,
    pending: BTreeSet<SchemaKey>,
}

impl SchemaSource {
    /// Asks for a schema; asking again before the answer changes nothing. "There is none" is told
    /// only when it is still so after `patience`.
    pub fn request(&mut self, key: SchemaKey, patience: Duration) {
        if self.pending.insert(key) {
            let waiter = Waiter { reply: self.reply.clone(), alive: Arc::downgrade(&self.alive) };
            // The thread only ends when every handle is gone, this one among them.
            let _ = self.commands.send(Command::Schema { key, patience, waiter });
        }
    }

    /// Answers that have come in since the last call.
    pub fn poll(&mut self) -> Vec<(SchemaKey, SchemaAnswer)> {
        let answers: Vec<(SchemaKey, SchemaAnswer)> = self.answers.try_iter().collect();
        for (key, _) in &answers {
            self.pending.remove(key);
        }
        answers
    }

    /// Schemas asked for and not answered.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}
