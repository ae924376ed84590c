//! An instance of observe, driven as `runtime::observe_loop` drives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::config::plan::Plan;
use driftline::event::layout::LayoutUpdate;
use driftline::event::route::Outbox;
use driftline::event::wire;
use driftline::observe::{Observe, Taken};

use super::broker::{Broker, Place};
use super::member::{Context, Ended, Instance, Member};

/// Longest time between two commits.
const INTERVAL_MS: u64 = 24_000;

/// The instance and how far it has read.
pub struct Observer {
    member: Member,
    observe: Observe,
    next: BTreeMap<Place, i64>,
    /// Next offset of the layouts.
    layouts: i64,
    out: Outbox,
    commit_at_ms: i64,
}

impl Observer {
    /// A process that starts: it reads all layouts there are.
    pub fn start(plan: &Arc<Plan>, slot: &str, broker: &mut Broker) -> Observer {
        let mut observer = Observer {
            member: Member::start(broker, slot, "observe"),
            observe: Observe::new(Arc::clone(plan)),
            next: BTreeMap::new(),
            layouts: 0,
            out: Outbox::default(),
            commit_at_ms: i64::MIN,
        };
        observer.follow_layouts(broker, usize::MAX);
        observer
    }

    pub fn leave(&self, broker: &mut Broker) {
        self.member.leave(broker);
    }

    fn follow_layouts(&mut self, broker: &Broker, most: usize) -> bool {
        let before = self.layouts;
        for _ in 0..most {
            let Some((offset, stored)) = broker.next(("layouts", 0), self.layouts) else { break };
            let payload = stored.payload.as_deref().expect("layouts are not deleted");
            let update: LayoutUpdate = wire::decode(payload).expect("layouts decode");
            self.observe.layout(&update);
            self.layouts = offset + 1;
        }
        self.layouts > before
    }

    /// Reads some of what there is, of some partitions more and of others nothing.
    fn read(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        let places: Vec<Place> = self.next.keys().copied().collect();
        for place in places {
            let end = context.sources.end(place);
            let most = match context.random.bits() % 4 {
                _ if context.thorough => usize::MAX,
                0 => 0,
                1 => 7,
                2 => 60,
                _ => 400,
            };
            let next = self.next.get_mut(&place).expect("its own key");
            for _ in 0..most {
                if *next >= end {
                    break;
                }
                let row = context.sources.row(place, *next);
                let taken = row.with_source(|record| self.observe.record(record, &mut self.out));
                match taken {
                    Taken::Done => *next += 1,
                    // It waits for a layout.
                    Taken::Ahead => break,
                    Taken::NeedSchema(id) => panic!("no schema has an id here, asked for {id}"),
                }
                moved = true;
            }
            self.observe.at_end(place.0, place.1, *next >= end);
        }
        moved
    }

    fn commit_is_due(&self, context: &Context<'_>, moved: bool) -> bool {
        if context.thorough {
            return moved || self.observe.has_news() || context.even_empty;
        }
        context.broker.now_ms() >= self.commit_at_ms || self.observe.urgent()
    }
}

impl Instance for Observer {
    fn member(&mut self) -> &mut Member {
        &mut self.member
    }

    fn forget(&mut self) {
        self.observe.rewind();
        self.next.clear();
        self.out.clear();
        self.member.restored = false;
    }

    fn restore(&mut self, context: &mut Context<'_>) -> bool {
        let mut starts = Vec::new();
        for place in &self.member.assigned {
            let Ok(committed) = context.broker.committed(self.member.group(), *place) else {
                return false;
            };
            starts.push((*place, committed.unwrap_or((0, String::new()))));
        }
        self.forget();
        for (place, (next, metadata)) in starts {
            let count = context.sources.partitions(place.0);
            self.observe.assign(place.0, place.1, count, next, &metadata);
            self.next.insert(place, next);
        }
        self.commit_at_ms = context.broker.now_ms();
        self.member.restored = true;
        true
    }

    fn work(&mut self, context: &mut Context<'_>) -> (bool, bool) {
        let some = 1 + (context.random.bits() % 3) as usize;
        let mut moved = false;
        if context.thorough || context.random.one_in(3) {
            let most = if context.thorough { usize::MAX } else { some };
            moved |= self.follow_layouts(context.broker, most);
        }
        moved |= self.read(context);
        (moved, self.commit_is_due(context, moved))
    }

    /// Commits what was read; with nothing read, the news that nothing was.
    fn commit(&mut self, context: &mut Context<'_>) -> Ended {
        let commits = self.observe.commit(&mut self.out);
        if commits.is_empty() {
            self.out.clear();
            return Ended::Committed;
        }
        let offsets = commits.iter().map(|commit| {
            let line = &commit.progress;
            let place = *self
                .next
                .keys()
                .find(|place| place.0 == line.topic && place.1 == line.partition)
                .expect("observe commits what it was given");
            (place, line.to, commit.metadata.clone())
        });
        let offsets = offsets.collect();
        let ended = self.member.commit(context, &self.out, Vec::new(), offsets);
        self.out.clear();
        let wait_ms = (context.random.bits() % INTERVAL_MS) as i64;
        self.commit_at_ms = context.broker.now_ms() + wait_ms;
        ended
    }
}
