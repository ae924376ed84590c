//! The processes of a deployment: three that stay, and a guest that comes and goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::support::random::Random;
use crate::support::running::Running;

const STAY: u32 = 3;
const GUEST: u32 = 3;
/// What an orchestrator gives before it kills.
const GRACE: Duration = Duration::from_secs(15);

/// The processes that run, by slot.
pub struct Fleet<'a> {
    folder: &'a Path,
    config: &'a Path,
    running: BTreeMap<u32, Running>,
    /// kill -9 so far.
    pub kills: usize,
}

impl<'a> Fleet<'a> {
    /// Those that stay.
    pub fn start_all(folder: &'a Path, config: &'a Path) -> Fleet<'a> {
        let mut fleet = Fleet { folder, config, running: BTreeMap::new(), kills: 0 };
        (0..STAY).for_each(|slot| fleet.start(slot));
        fleet
    }

    /// One of those that stay.
    pub fn any(&self, random: &mut Random) -> u32 {
        u32::try_from(random.bits() % u64::from(STAY)).expect("small")
    }

    pub fn start(&mut self, slot: u32) {
        let slot_text = slot.to_string();
        let mut arguments = vec!["--slot", &slot_text];
        if slot == GUEST {
            arguments.push("--leave");
        }
        let running = Running::start(self.folder, self.config, &arguments);
        self.running.insert(slot, running);
    }

    pub fn kill(&mut self, slot: u32) {
        self.running.remove(&slot).expect("it runs").kill();
        self.kills += 1;
    }

    pub fn kill_and_start(&mut self, slot: u32) {
        self.kill(slot);
        self.start(slot);
    }

    /// SIGSTOP for a while, then SIGCONT.
    pub fn freeze(&mut self, slot: u32, time: Duration) {
        let running = &self.running[&slot];
        running.freeze(true);
        std::thread::sleep(time);
        running.freeze(false);
    }

    pub fn stop(&mut self, slot: u32) {
        let (status, took) = self.running.remove(&slot).expect("it runs").terminate(GRACE);
        assert_eq!(status.code(), Some(0), "slot {slot} after SIGTERM; {}", self.tail());
        print!("gone {took:.1?} after SIGTERM, ");
    }

    pub fn start_guest(&mut self) {
        self.start(GUEST);
    }

    pub fn stop_guest(&mut self) {
        self.stop(GUEST);
    }

    pub fn stop_all(&mut self) {
        let slots: Vec<u32> = self.running.keys().copied().collect();
        slots.into_iter().for_each(|slot| self.stop(slot));
        println!();
    }

    /// Nobody ends unless told to, whatever happens around it.
    pub fn assert_all_run(&mut self) {
        let ended = |running: &mut Running| !running.is_alive();
        let running = self.running.iter_mut();
        let slots: Vec<u32> = running.filter_map(|(slot, r)| ended(r).then_some(*slot)).collect();
        assert!(slots.is_empty(), "slots {slots:?} ended by themselves; {}", self.tail());
    }

    /// The last lines of their log.
    pub fn tail(&self) -> String {
        self.running.values().next().map_or(String::new(), Running::tail)
    }
}
