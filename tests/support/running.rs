//! The real binary as a process: started, killed, stopped, its log at hand.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Lines of the log shown when something is wrong.
const TAIL: usize = 50;

/// A `driftline run`, killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; its log is appended to, so that restarts in place share one.
    pub fn start(folder: &Path, config: &Path, arguments: &[&str]) -> Running {
        Running::start_in(folder, config, arguments, &[])
    }

    /// The same with more in its environment.
    pub fn start_in(
        folder: &Path,
        config: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Running {
        let log = folder.join("driftline.log");
        let append = || File::options().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_driftline"))
            .arg("run")
            .arg(config)
            .args(arguments)
            .env("NO_COLOR", "1")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(append())
            .stderr(append())
            .spawn()
            .expect("the binary starts");
        Running { child, log }
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        format!("last lines of the log:\n{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"))
    }

    /// All of its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self, within: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return status;
            }
            assert!(started.elapsed() < within, "goes on after {within:?}; {}", self.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Stops it where it is, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { "-STOP" } else { "-CONT" });
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success(), "{signal} to {id}");
    }

    /// SIGTERM; gives how it ended and how long that took.
    pub fn terminate(mut self, within: Duration) -> (ExitStatus, Duration) {
        self.wait_until_it_listens(within);
        let asked = Instant::now();
        self.signal("-TERM");
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return (status, asked.elapsed());
            }
            let waited = asked.elapsed();
            assert!(waited < within, "not gone {waited:?} after SIGTERM; {}", self.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Running {
    /// Waits until the process catches SIGTERM, as the kernel tells: one that was only just
    /// started would die of it.
    fn wait_until_it_listens(&self, within: Duration) {
        const SIGTERM_BIT: u64 = 1 << 14;
        let path = format!("/proc/{}/status", self.child.id());
        let started = Instant::now();
        loop {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            if caught.is_none_or(|caught| caught & SIGTERM_BIT != 0) {
                return;
            }
            assert!(started.elapsed() < within, "never listens to SIGTERM; {}", self.tail());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
