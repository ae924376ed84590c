//! Servers that answer as a test has them, for the client to be held against: by a script, or
//! well while they keep what they were sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const GOOD: Reply = Reply::Status(200, r#"{"schema":"\"string\""}"#);
pub(super) const NOT_FOUND: Reply = Reply::Status(404, r#"{"error_code":40403,"message":"no"}"#);

#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Status(u16, &'static str),
    /// The connection is held open and nothing is said.
    Never,
}

/// Answers schema calls by a script, then well; counts them. Has no versions to tell.
pub(super) fn scripted(listener: TcpListener, script: Vec<Reply>) -> Arc<AtomicU64> {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let serve = move || {
        let mut script = script.into_iter();
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepted");
            let head = read_head(&mut stream);
            let reply = if head.contains("/versions") && head.starts_with("GET") {
                NOT_FOUND
            } else {
                counted.fetch_add(1, Ordering::SeqCst);
                script.next().unwrap_or(GOOD)
            };
            match reply {
                Reply::Status(status, body) => respond(&mut stream, status, body),
                Reply::Never => held.push(stream),
            }
        }
    };
    std::thread::Builder::new().spawn(serve).expect("thread");
    calls
}

fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn respond(stream: &mut TcpStream, status: u16, body: &str) {
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
}

pub(super) fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("free port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    (listener, url)
}

/// Answers every call well and keeps what was sent ahead of its body.
pub(super) fn recorded(listener: TcpListener) -> Arc<Mutex<Vec<String>>> {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepted");
            let head = read_head(&mut stream);
            kept.lock().expect("no panic").push(head);
            respond(&mut stream, 200, r#"{"schema":"\"string\""}"#);
        }
    });
    heads
}
