//! The HTTP server: `/metrics`, `/livez`, `/readyz`, and an index.
//!
//! Reads handles only; what it tells needs no user and no secret. It runs on a thread of its
//! own, so that a scrape never takes time from a loop.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use super::health::Health;
use super::metrics::Metrics;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; set http.listen to {fix}, or to off")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What would help.
        fix: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No thread or runtime.
    #[error("cannot start the HTTP server: {0}")]
    Start(io::Error),
}

/// A running server; stops when told to or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Handles {
    metrics: Metrics,
    health: Health,
}

impl Server {
    /// Binds and serves.
    ///
    /// # Errors
    /// When the address is taken or not of this host, or no thread can be made.
    pub fn start(
        address: SocketAddr,
        metrics: Metrics,
        health: Health,
    ) -> Result<Server, ServeError> {
        let listener = std::net::TcpListener::bind(address).map_err(|source| ServeError::Bind {
            address,
            fix: fix(&source),
            source,
        })?;
        listener.set_nonblocking(true).map_err(ServeError::Start)?;
        let address = listener.local_addr().map_err(ServeError::Start)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ServeError::Start)?;
        let (stop, stopped) = oneshot::channel();
        let router = router(Handles { metrics, health });
        let thread = std::thread::Builder::new()
            .name("http".into())
            .spawn(move || runtime.block_on(serve(listener, router, stopped)))
            .map_err(ServeError::Start)?;
        tracing::info!(%address, "serving metrics and health");
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens; tells the port when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections, finishes requests under way, and waits for it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP server had ended in a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(listener: std::net::TcpListener, router: Router, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the HTTP server cannot take its socket");
            return;
        }
    };
    let (closing, closed) = oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopped.await;
        let _ = closing.send(());
    });
    let grace = async move {
        let _ = closed.await;
        // A scraper that keeps its connection open must not hold the process.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    };
    tokio::select! {
        result = async { server.await } => {
            if let Err(error) = result {
                tracing::error!(%error, "the HTTP server has ended");
            }
        }
        () = grace => {}
    }
}

fn router(handles: Handles) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(handles)
}

fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "a port that is free",
        io::ErrorKind::PermissionDenied => "a port above 1023",
        _ => "an address of this host",
    }
}

async fn index() -> &'static str {
    concat!("driftline ", env!("CARGO_PKG_VERSION"), ": /metrics /livez /readyz\n")
}

async fn metrics(State(handles): State<Handles>) -> Response {
    let content_type = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    (content_type, handles.metrics.render()).into_response()
}

async fn livez(State(handles): State<Handles>) -> Response {
    told(&handles.health.reasons_dead(), "alive")
}

async fn readyz(State(handles): State<Handles>) -> Response {
    told(&handles.health.reasons_not_ready(), "ready")
}

/// 200 and a word, or 503 and a line for each reason.
fn told(reasons: &[(String, String)], well: &str) -> Response {
    if reasons.is_empty() {
        return format!("{well}\n").into_response();
    }
    let lines = reasons.iter().map(|(stage, reason)| format!("{stage}: {reason}\n"));
    let text: String = std::iter::once(format!("not {well}\n")).chain(lines).collect();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::*;

    fn start(health: &Health) -> Server {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Server::start(any, Metrics::new(), health.clone()).expect("starts")
    }

    fn get(server: &Server, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(server.address()).expect("connects");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let status = answer.split(' ').nth(1).expect("status").parse().expect("number");
        (status, answer)
    }

    #[test]
    fn metrics_are_text_for_prometheus() {
        let server = start(&Health::default());

        let (status, answer) = get(&server, "/metrics");

        assert_eq!(status, 200);
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("# TYPE driftline_build_info gauge"), "{answer}");
        assert_eq!(get(&server, "/").0, 200);
        assert_eq!(get(&server, "/nothing").0, 404);
    }

    #[test]
    fn readiness_names_the_stages_it_waits_for() {
        let health = Health::default();
        let server = start(&health);
        assert!(get(&server, "/readyz").1.contains("process: no stage has started yet"));

        health.expect("observe");
        health.expect("join");
        health.ready("observe");
        let (status, answer) = get(&server, "/readyz");
        assert_eq!(status, 503);
        assert!(answer.contains("join: not assigned yet"), "{answer}");
        assert!(!answer.contains("observe"), "{answer}");

        health.not_ready("join", "restoring partition 3");
        assert!(get(&server, "/readyz").1.contains("join: restoring partition 3"));
        health.ready("join");
        assert_eq!(get(&server, "/readyz").0, 200);
        assert_eq!(get(&server, "/livez").0, 200);
    }

    #[test]
    fn a_loop_that_does_not_turn_fails_the_liveness_check() {
        let health = Health::with_patience(Duration::ZERO);
        let server = start(&health);
        assert_eq!(get(&server, "/livez").0, 200);

        health.ready("join");
        let (status, answer) = get(&server, "/livez");

        assert_eq!(status, 503);
        assert!(answer.contains("join: its loop has not turned"), "{answer}");
    }

    #[test]
    fn taken_address_is_named_with_a_way_out() {
        let server = start(&Health::default());

        let error =
            Server::start(server.address(), Metrics::new(), Health::default()).expect_err("taken");

        let text = error.to_string();
        assert!(text.contains(&server.address().to_string()), "{text}");
        assert!(text.contains("set http.listen to a port that is free"), "{text}");
    }

    #[test]
    fn stop_frees_the_address_even_with_a_connection_open() {
        let server = start(&Health::default());
        let address = server.address();
        let idle = TcpStream::connect(address).expect("connects");

        server.stop();

        assert!(std::net::TcpListener::bind(address).is_ok());
        drop(idle);
    }
}
