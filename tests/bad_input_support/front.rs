//! A front before the stand-in registry: passes calls on, or misbehaves in a chosen way.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use driftline::registry::StandIn;
use serde_json::{Value, json};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As the stand-in does.
    Good,
    /// With a status and nothing else.
    Status(u16),
    /// Not at all: the connection is closed.
    Closed,
    /// Not at all: the connection stays open.
    Silent,
}

/// A running front.
pub struct Front {
    address: SocketAddr,
    behind: String,
    shared: Arc<Mutex<(Mood, u64)>>,
}

impl Front {
    pub fn before(stand_in: &StandIn) -> Front {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let behind = stand_in.url().trim_start_matches("http://").to_owned();
        let shared = Arc::new(Mutex::new((Mood::Good, 0)));
        let (mood, to) = (Arc::clone(&shared), behind.clone());
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = read_head(&mut stream);
                let mood = {
                    let mut shared = mood.lock().unwrap();
                    shared.1 += u64::from(shared.0 != Mood::Good);
                    shared.0
                };
                match mood {
                    Mood::Good => pass_on(&mut stream, &head, &to),
                    Mood::Status(status) => {
                        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n");
                        let _ = stream
                            .write_all(format!("{answer}connection: close\r\n\r\n").as_bytes());
                    }
                    Mood::Closed => drop(stream),
                    Mood::Silent => held.push(stream),
                }
            }
        });
        Front { address, behind, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mood: Mood) {
        self.shared.lock().unwrap().0 = mood;
    }

    /// Calls that were not passed on.
    pub fn refused(&self) -> u64 {
        self.shared.lock().unwrap().1
    }

    pub fn until_refused(&self, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.refused() < count {
            assert!(Instant::now() < deadline, "nobody asked");
            std::thread::yield_now();
        }
    }

    /// Registers a schema of one long, of that name, at the stand-in itself; gives its id.
    pub fn register(&self, name: &str) -> u32 {
        let field = json!({ "name": "amount", "type": "long" });
        let schema = json!({ "type": "record", "name": "R", "doc": name, "fields": [field] });
        let body = json!({ "schema": schema.to_string() }).to_string();
        let said = self.call(&format!(
            "POST /subjects/{name}/versions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ));
        u32::try_from(said["id"].as_u64().unwrap()).unwrap()
    }

    /// The id that the next schema will get.
    pub fn next_id(&self) -> u32 {
        self.register("the-one-before") + 1
    }

    fn call(&self, request: &str) -> Value {
        let mut stream = TcpStream::connect(&self.behind).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    head
}

/// Every connection serves one call.
fn pass_on(stream: &mut TcpStream, head: &[u8], to: &str) {
    let head = String::from_utf8_lossy(head).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut behind = TcpStream::connect(to).unwrap();
    behind.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    behind.read_to_end(&mut answer).unwrap();
    let _ = stream.write_all(&answer);
}
