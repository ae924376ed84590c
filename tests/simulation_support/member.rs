//! What all simulated instances have in common: their place in a group, their producer, and a
//! commit that may end in any of the ways commits end.

use driftline::event::route::{Outbox, Route};

use super::broker::{Broker, Heartbeat, Place, Refused};
use crate::support::random::Random;

/// How the commit at hand is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As the broker has it.
    Fine,
    /// The process dies between the last step and the commit.
    CrashBefore,
    /// It dies when all is sent and nothing is decided: the transaction stays open.
    CrashOpen,
    /// It dies before it hears that all was committed.
    CrashAfter,
    /// The broker says to abort.
    Abort,
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Committed,
    /// Nothing was committed: forget, and begin where the last commit was.
    Rewound,
    /// The process is gone.
    Crashed,
}

/// What an instance is to do at its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Work,
    Wait,
    /// Partitions were given to it.
    Take,
    /// Partitions are taken from it; those of a lost member may be another's already.
    GiveUp {
        lost: bool,
    },
}

/// What happened at a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing to do.
    Idle,
    Moved,
    Crashed,
}

/// What a turn works with.
pub struct Context<'a> {
    pub broker: &'a mut Broker,
    pub sources: &'a super::world::Sources<'a>,
    pub random: &'a mut Random,
    pub fate: Fate,
    /// Do it all: read everything, commit what there is.
    pub thorough: bool,
    /// Commit although nothing was read.
    pub even_empty: bool,
    /// An instance that was stopped does not look at the group before it goes on.
    pub unaware: bool,
    /// Stages are not brought back to where their last commit was: a fault of the model.
    pub skips_replay: bool,
}

/// An instance's place in its group, and its producer.
#[derive(Debug)]
pub struct Member {
    slot: String,
    group: &'static str,
    id: Option<u64>,
    generation: u32,
    epoch: u32,
    pub assigned: Vec<Place>,
    pub restored: bool,
}

impl Member {
    /// A process that starts: its producer ends what a dead predecessor left open.
    pub fn start(broker: &mut Broker, slot: &str, group: &'static str) -> Member {
        Member {
            epoch: broker.init_producer(slot),
            slot: slot.to_owned(),
            group,
            id: None,
            generation: 0,
            assigned: Vec::new(),
            restored: false,
        }
    }

    pub fn group(&self) -> &'static str {
        self.group
    }

    /// Asks the group.
    pub fn look(&mut self, broker: &mut Broker) -> Call {
        let now_ms = broker.now_ms();
        let group = broker.group(self.group);
        let Some(id) = self.id else {
            self.id = Some(group.join(&self.slot, None, now_ms));
            return Call::Wait;
        };
        match group.heartbeat(&self.slot, id, now_ms) {
            Heartbeat::Unknown => Call::GiveUp { lost: true },
            Heartbeat::Rejoin => Call::GiveUp { lost: false },
            Heartbeat::Wait => Call::Wait,
            Heartbeat::Stable if self.generation == group.generation() => Call::Work,
            Heartbeat::Stable => {
                self.generation = group.generation();
                self.assigned = group.assignment(&self.slot);
                self.restored = false;
                Call::Take
            }
        }
    }

    /// Joins the group again, having given up what it had.
    pub fn join_again(&mut self, broker: &mut Broker) {
        let now_ms = broker.now_ms();
        self.assigned.clear();
        self.restored = false;
        self.generation = 0;
        self.id = Some(broker.group(self.group).join(&self.slot, self.id, now_ms));
    }

    /// Leaves for good.
    pub fn leave(&self, broker: &mut Broker) {
        let now_ms = broker.now_ms();
        broker.group(self.group).leave(&self.slot, now_ms);
    }

    /// Writes outputs, state and offsets in one transaction.
    pub fn commit(
        &mut self,
        context: &mut Context<'_>,
        out: &Outbox,
        state: Vec<(Place, Vec<u8>, Option<Vec<u8>>)>,
        offsets: Vec<(Place, i64, String)>,
    ) -> Ended {
        let fate = std::mem::replace(&mut context.fate, Fate::Fine);
        if fate == Fate::CrashBefore {
            return Ended::Crashed;
        }
        let broker = &mut *context.broker;
        let refused = |member: &mut Member, broker: &mut Broker, refused: Refused| {
            if refused == Refused::Fenced {
                member.epoch = broker.init_producer(&member.slot);
            }
            Ended::Rewound
        };
        let transaction = match broker.begin(&self.slot, self.epoch) {
            Ok(transaction) => transaction,
            Err(why) => return refused(self, broker, why),
        };
        for message in &out.messages {
            let place = place_of(message.route);
            broker.send(transaction, place, message.key.clone(), Some(message.payload.clone()));
        }
        for event in &out.events {
            broker.send_event(transaction, event.clone());
        }
        for (place, key, value) in state {
            broker.send(transaction, place, Some(key), value);
        }
        let (group, id, generation) = (self.group, self.id.unwrap_or(0), self.generation);
        let sent = broker.send_offsets(transaction, group, id, generation, offsets);
        match fate {
            Fate::CrashOpen => return Ended::Crashed,
            Fate::Abort => {
                let _ = broker.finish(transaction, false);
                return Ended::Rewound;
            }
            Fate::Fine | Fate::CrashBefore | Fate::CrashAfter => {}
        }
        if let Err(why) = sent {
            let _ = broker.finish(transaction, false);
            return refused(self, broker, why);
        }
        match broker.finish(transaction, true) {
            Ok(()) if fate == Fate::CrashAfter => Ended::Crashed,
            Ok(()) => Ended::Committed,
            Err(why) => refused(self, broker, why),
        }
    }
}

fn place_of(route: Route) -> Place {
    match route {
        Route::Facts(partition) => ("facts", partition),
        Route::Summaries(partition) => ("summaries", partition),
        Route::Findings => ("findings", 0),
        Route::Layouts => ("layouts", 0),
        Route::Quarantine => ("quarantine", 0),
    }
}

/// A process of one stage: all of them answer their group and end a turn alike.
pub trait Instance {
    /// Its place in its group.
    fn member(&mut self) -> &mut Member;
    /// Drops all that was not committed, and what is held.
    fn forget(&mut self);
    /// Takes up what is assigned; `false` where that has to wait.
    fn restore(&mut self, context: &mut Context<'_>) -> bool;
    /// Reads; whether anything moved, and whether a commit is due.
    fn work(&mut self, context: &mut Context<'_>) -> (bool, bool);
    /// Commits what was read.
    fn commit(&mut self, context: &mut Context<'_>) -> Ended;

    /// One turn of its loop.
    fn turn(&mut self, context: &mut Context<'_>) -> Turn {
        let call = if context.unaware { Call::Work } else { self.member().look(context.broker) };
        match call {
            Call::Wait => return Turn::Idle,
            Call::Take => self.forget(),
            Call::GiveUp { lost } => {
                if !lost && self.member().restored && self.commit(context) == Ended::Crashed {
                    return Turn::Crashed;
                }
                self.forget();
                self.member().join_again(context.broker);
                return Turn::Moved;
            }
            Call::Work => {}
        }
        if !self.member().restored && !self.restore(context) {
            return Turn::Idle;
        }
        let (moved, due) = self.work(context);
        if !due {
            return if moved { Turn::Moved } else { Turn::Idle };
        }
        match self.commit(context) {
            Ended::Crashed => Turn::Crashed,
            Ended::Rewound => {
                self.forget();
                Turn::Moved
            }
            Ended::Committed => Turn::Moved,
        }
    }
}
