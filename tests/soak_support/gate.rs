//! A door in front of a server on loopback that a test can shut: what is beyond is away.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A door; everything that goes through it is passed on while it is open.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    shut: Arc<AtomicBool>,
}

impl Gate {
    /// An open door to `host:port`.
    pub fn new(server: &str) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shut = Arc::new(AtomicBool::new(false));
        let (server, is_shut) = (server.to_owned(), Arc::clone(&shut));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Dropped, which resets it, while the door is shut.
                if !is_shut.load(Ordering::Relaxed)
                    && let Ok(server) = TcpStream::connect(&server)
                {
                    join(client, server, &is_shut);
                }
            }
        });
        Gate { address, shut }
    }

    /// Where to knock.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shuts or opens it. What has been let in is cut with its next word.
    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::Relaxed);
    }
}

fn join(client: TcpStream, server: TcpStream, shut: &Arc<AtomicBool>) {
    let both = || io::Result::Ok((client.try_clone()?, server.try_clone()?));
    if let Ok((client_again, server_again)) = both() {
        pass(client, server, Arc::clone(shut));
        pass(server_again, client_again, Arc::clone(shut));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shut: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 8_192];
        while let Ok(n @ 1..) = io::Read::read(&mut from, &mut bytes) {
            let is_shut = shut.load(Ordering::Relaxed);
            if is_shut || io::Write::write_all(&mut to, &bytes[..n]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
