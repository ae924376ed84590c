//! SIGTERM and Ctrl-C become the wish to stop.

use std::io;

use crate::runtime::Shutdown;

/// Requests the shutdown at the first SIGTERM or SIGINT; a second SIGINT ends the process at
/// once, as people expect of a second Ctrl-C.
///
/// # Errors
/// When no thread or signal handler can be had.
pub(super) fn request_on_signal(shutdown: &Shutdown) -> io::Result<()> {
    let shutdown = shutdown.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut term), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                tracing::error!("cannot listen for signals; stop by SIGKILL loses nothing");
                return;
            };
            tokio::select! {
                _ = term.recv() => tracing::info!("SIGTERM: committing and leaving"),
                _ = interrupt.recv() => tracing::info!("interrupt: committing and leaving"),
            }
            shutdown.request();
            interrupt.recv().await;
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(body)?;
    Ok(())
}
