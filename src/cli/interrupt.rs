//! Ctrl-C and SIGTERM: the first asks a verb to end, the second ends the process.
#![expect(clippy::disallowed_methods, reason = "a thread of its own waits for the signal")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a process that a second Ctrl-C ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// Becomes true when the user wants an end.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. Where that is not possible, signals end the process as ever.
    pub(super) fn listen() -> Interrupt {
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(flag.wait()),
                Err(error) => tracing::warn!(%error, "cannot listen for signals"),
            }
        });
        interrupt
    }

    /// Whether to end.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    async fn wait(&self) {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if self.0.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        }
    }
}
