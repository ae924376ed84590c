//! A broker that a test may kill: on a port of its own, with data that outlive it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::broker::Broker;
use super::wait;

const LOCAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local");

/// A broker of one test, taken down with its data when this is dropped.
#[derive(Debug)]
pub struct OwnBroker {
    port: u16,
}

impl OwnBroker {
    /// Starts it at the port named by this variable, or at the other.
    pub fn start(variable: &str, port: u16) -> OwnBroker {
        let given = std::env::var(variable).ok().and_then(|port| port.parse().ok());
        let own = OwnBroker { port: given.unwrap_or(port) };
        own.run("down");
        own.up();
        own
    }

    /// How to reach it; there is no registry beside it.
    pub fn access(&self) -> Broker {
        Broker { servers: format!("127.0.0.1:{}", self.port), registry: String::new() }
    }

    /// Starts it again on the data it had, and waits until it is ready.
    pub fn up(&self) {
        self.run("up");
    }

    /// kill -9; it is gone when this returns.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(format!("{LOCAL}/.work/kafka-{}/pid", self.port));
        let pid = pid.expect("it runs");
        let pid = pid.trim();
        let killed = Command::new("kill").args(["-9", pid]).status().expect("kill runs");
        assert!(killed.success(), "kill -9 {pid}");
        let gone = || !Path::new("/proc").join(pid).exists();
        wait::until(Duration::from_secs(20), gone, || format!("{pid} is still there"));
    }

    fn run(&self, verb: &str) {
        let mut command = Command::new(format!("{LOCAL}/kafka.sh"));
        command.arg(verb).env("DRIFTLINE_KAFKA_PORT", self.port.to_string());
        // `down` takes a registry down as well: name one that nobody has.
        command.env("DRIFTLINE_REGISTRY_PORT", (self.port + 3).to_string());
        if verb == "up" {
            command.arg("kafka");
        }
        let done = command.output().expect("bash runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "kafka.sh {verb}: {said}");
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.run("down");
    }
}
