//! SIGTERM and Ctrl-C become the wish to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::runtime::Shutdown;

/// Requests the shutdown at the first SIGTERM or SIGINT; a second SIGINT ends the process at
/// once, as people expect of a second Ctrl-C.
///
/// # Errors
/// When no thread or signal handler can be had.
pub(super) fn request_on_signal(shutdown: &Shutdown) -> io::Result<()> {
    let shutdown = shutdown.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Registered before this returns: a signal that comes at once is heard too.
    let (mut term, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let body = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => tracing::info!("SIGTERM: stopping in order"),
                _ = interrupt.recv() => tracing::info!("interrupt: stopping in order"),
            }
            shutdown.request();
            interrupt.recv().await;
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(body)?;
    Ok(())
}
