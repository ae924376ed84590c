//! An identity provider as far as a client of it sees: one address that gives tokens for a secret.
#![allow(unreachable_pub, clippy::disallowed_methods, reason = "a private module of one test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::secured::Secured;

/// So long all who ask get the same token.
const FRESH: Duration = Duration::from_secs(1);

/// What the next who ask get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Tokens, for the right secret.
    Giving,
    /// Nothing: out of order.
    Down,
}

/// It listens until the test ends.
pub struct IdentityProvider {
    /// Where tokens are asked for.
    pub url: String,
    desk: Arc<Mutex<Desk>>,
}

/// What its threads share.
struct Desk {
    broker: &'static Secured,
    client: String,
    secret: String,
    /// How long its tokens are good.
    seconds: i32,
    mood: Mood,
    newest: Option<(Instant, String)>,
    given: usize,
    refused: usize,
}

impl IdentityProvider {
    /// Knows one client. Its certificate is of the broker's authority.
    pub fn start(broker: &'static Secured, client: &str, token: Duration) -> IdentityProvider {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("provider");
        broker.certificate("provider", &file);
        let pem = |kind| std::fs::read(file.with_extension(kind)).expect("made");
        let identity = native_tls::Identity::from_pkcs8(&pem("pem"), &pem("key")).expect("a pair");
        let acceptor = native_tls::TlsAcceptor::new(identity).expect("TLS");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let desk = Desk {
            broker,
            client: client.to_owned(),
            secret: String::new(),
            seconds: i32::try_from(token.as_secs()).expect("short"),
            mood: Mood::Giving,
            newest: None,
            given: 0,
            refused: 0,
        };
        let desk = Arc::new(Mutex::new(desk));
        let served = Arc::clone(&desk);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (acceptor, served) = (acceptor.clone(), Arc::clone(&served));
                std::thread::spawn(move || {
                    // Who does not trust our certificate hangs up here.
                    if let Ok(stream) = acceptor.accept(stream) {
                        serve(stream, &served);
                    }
                });
            }
        });
        IdentityProvider { url: format!("https://127.0.0.1:{port}/token"), desk }
    }

    /// From now on this is the client's secret.
    pub fn set_secret(&self, secret: &str) {
        secret.clone_into(&mut self.desk.lock().expect("no panic").secret);
    }

    pub fn set_mood(&self, mood: Mood) {
        self.desk.lock().expect("no panic").mood = mood;
    }

    /// How many tokens it gave, and how often it gave none.
    pub fn counts(&self) -> (usize, usize) {
        let desk = self.desk.lock().expect("no panic");
        (desk.given, desk.refused)
    }
}

fn serve(stream: impl Read + Write, desk: &Mutex<Desk>) {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = request(&mut stream) {
        let (status, answer) = desk.lock().expect("no panic").answer(&head, &body);
        let length = answer.len();
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: \
             {length}\r\n\r\n{answer}"
        );
        if stream.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// Head and body of the next request; nothing once the client has hung up.
fn request(stream: &mut impl BufRead) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

impl Desk {
    fn answer(&mut self, head: &str, body: &str) -> (&'static str, String) {
        let login = base64(&format!("{}:{}", self.client, self.secret));
        let is_known = head.lines().any(|line| line == format!("Authorization: Basic {login}"));
        let asks = ["grant_type=client_credentials", "scope=drift"];
        let refusal = if self.mood == Mood::Down {
            Some(("503 Service Unavailable", "temporarily_unavailable"))
        } else if !head.starts_with("POST /token ") || !asks.iter().all(|ask| body.contains(ask)) {
            Some(("400 Bad Request", "invalid_request"))
        } else if !is_known {
            Some(("401 Unauthorized", "invalid_client"))
        } else {
            None
        };
        if let Some((status, error)) = refusal {
            self.refused += 1;
            return (status, format!(r#"{{"error":"{error}"}}"#));
        }
        self.given += 1;
        let (token, seconds) = (self.token(), self.seconds);
        let answer =
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#);
        ("200 OK", answer)
    }

    fn token(&mut self) -> String {
        match &self.newest {
            Some((made, token)) if made.elapsed() < FRESH => token.clone(),
            _ => {
                let token = self.broker.token(&self.client, self.seconds);
                self.newest = Some((Instant::now(), token.clone()));
                token
            }
        }
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| -> Vec<char> {
        let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - bytes.len()));
        let digit = |index: usize| DIGITS[(bits >> (18 - 6 * index)) as usize & 63] as char;
        let padding = std::iter::repeat_n('=', 3 - bytes.len());
        (0..=bytes.len()).map(digit).chain(padding).collect()
    };
    text.as_bytes().chunks(3).flat_map(group).collect()
}
