//! Starts the loops of a process, and ends them all when one cannot go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::error::RunError;
use super::setup::{Input, Setup};
use super::transaction::EventEncoder;
use super::{observe_loop, stage_loop};
use crate::config::plan::Plan;
use crate::registry::SchemaSource;
use crate::stage::Stage;

/// A loop has this long to commit and leave; orchestrators kill after 10 s or more.
const STOP_WITHIN: Duration = Duration::from_secs(9);
/// How soon a requested shutdown is noticed.
const LOOK: Duration = Duration::from_millis(50);

/// The running loops of a process.
#[derive(Debug)]
pub struct Supervisor {
    setup: Setup,
    running: Vec<&'static str>,
    ended: (Sender<Ended>, Receiver<Ended>),
}

type Ended = (&'static str, Result<(), RunError>);

impl Supervisor {
    /// None running yet.
    ///
    /// # Errors
    /// When a configured property is the runtime's own.
    pub fn new(setup: Setup) -> Result<Supervisor, RunError> {
        super::client::check_properties(&setup.access)?;
        Ok(Supervisor { setup, running: Vec::new(), ended: channel() })
    }

    /// Starts the loop of a stage; `fresh` makes an empty one for a partition of its input.
    pub fn stage<S: Stage + 'static>(
        &mut self,
        input: Input,
        encoder: EventEncoder,
        fresh: impl Fn(i32) -> S + Send + 'static,
    ) {
        let setup = self.setup.clone();
        self.spawn(S::NAME, move || stage_loop::run(&setup, input, encoder, &fresh));
    }

    /// Starts the loop of observe; without a source, records that need a schema are quarantined.
    pub fn observe(&mut self, plan: Arc<Plan>, schemas: Option<SchemaSource>) {
        let setup = self.setup.clone();
        self.spawn(observe_loop::NAME, move || observe_loop::run(&setup, plan, schemas));
    }

    fn spawn(
        &mut self,
        stage: &'static str,
        body: impl FnOnce() -> Result<(), RunError> + Send + 'static,
    ) {
        let ended = self.ended.0.clone();
        self.running.push(stage);
        let started = thread::Builder::new().name(stage.to_owned()).spawn(move || {
            // A panic is a broken invariant: this loop ends, and with it the process.
            let end =
                catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(RunError::Panicked { stage }));
            let _ = ended.send((stage, end));
        });
        if started.is_err() {
            let _ = self.ended.0.send((stage, Err(RunError::Panicked { stage })));
        }
    }

    /// Waits until all loops have ended: after a shutdown was asked for, or because one failed,
    /// which stops the others.
    ///
    /// # Errors
    /// The first failure.
    pub fn wait(self) -> Result<(), RunError> {
        self.wait_or(|| false)
    }

    /// As [`Supervisor::wait`], and asks for the shutdown itself once `leave` says so; it is asked
    /// many times a second.
    ///
    /// # Errors
    /// The first failure.
    pub fn wait_or(mut self, mut leave: impl FnMut() -> bool) -> Result<(), RunError> {
        let mut result = Ok(());
        let mut deadline: Option<Instant> = None;
        while let Some(&stage) = self.running.first() {
            if deadline.is_none() && leave() {
                self.setup.shutdown.request();
            }
            if deadline.is_none() && self.setup.shutdown.requested() {
                deadline = Some(Instant::now() + STOP_WITHIN);
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                let seconds = STOP_WITHIN.as_secs();
                return result.and(Err(RunError::SlowShutdown { stage, seconds }));
            }
            let (stage, end) = match self.ended.1.recv_timeout(LOOK) {
                Ok(ended) => ended,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.running.retain(|running| *running != stage);
            match end {
                Ok(()) | Err(RunError::Stopped) => {}
                Err(error) => {
                    tracing::error!(stage, %error, "stage ended");
                    self.setup.shutdown.request();
                    result = result.and(Err(error));
                }
            }
        }
        result
    }
}
