//! The registry's client over TLS: a private authority, a certificate of our own, and what is
//! said when either is not there. The other side is `openssl s_server`, which hands out files.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "waits for a process and a port"
)]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftline::config::Config;
use driftline::registry::{self, Options, RegistryError};

/// Runs openssl where the files are.
fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An authority, and certificates of it: `server` for 127.0.0.1, and `client`.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
    );
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").expect("written");
    for name in ["server", "client"] {
        openssl(folder, &format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                 -extfile names -out {name}.pem"
            ),
        );
    }
}

/// A server that wants a certificate of the authority; killed when dropped.
struct Server(Child);

impl Server {
    fn start(folder: &Path) -> (Server, u16) {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let child = Command::new("openssl")
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-WWW"])
            .args(["-cert", "server.pem", "-key", "server.key", "-CAfile", "ca.pem"])
            .args(["-Verify", "1", "-verify_return_error", "-quiet"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let (server, started) = (Server(child), Instant::now());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "openssl does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        (server, port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn private_authority_and_certificate_of_our_own_are_used_and_missing_ones_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    std::fs::write(folder.path().join("subjects"), r#"["orders-value"]"#).expect("written");
    let (_server, port) = Server::start(folder.path());
    let subjects = |tls: &str| -> Result<Vec<String>, RegistryError> {
        let path = folder.path().join("drift.yaml");
        let text = format!(
            "app: a\ndatasets: {{ o: {{ topic: o }} }}\nregistry: {{ url: \
             \"https://127.0.0.1:{port}\"{tls} }}\n"
        );
        std::fs::write(&path, text).expect("written");
        let planned = Config::load(&path).and_then(|config| config.plan());
        let (_, deployment) = planned.unwrap_or_else(|error| panic!("{error}"));
        registry::subjects(&deployment.registry.expect("configured"), &Options::default())
    };

    let own = ", certificate: client.pem, key: client.key";
    assert_eq!(subjects(&format!(", ca: ca.pem{own}")).expect("answered"), ["orders-value"]);
    // The authority is none of the system's.
    assert!(subjects(own).is_err());
    assert!(subjects(", ca: client.pem, certificate: client.pem, key: client.key").is_err());
    // The server wants to see a certificate.
    assert!(subjects(", ca: ca.pem").is_err());
    assert_eq!(subjects(&format!(", ca: ca.pem{own}")).expect("answered"), ["orders-value"]);
}
