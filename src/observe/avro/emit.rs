//! A flat list of instructions from a [`Shape`]: nested records vanish, runs of fixed size that
//! nobody watches become one skip.
//!
//! It runs nothing.

use super::leaf::Leaf;
use super::program::{Each, Op, Program, Span, Unit};
use super::shape::{Node, Shape};
use crate::observe::items::ItemPaths;

impl Program {
    /// Emits a shape; `watched` has the slot of each of its fields, `items` also those of paths
    /// that its items do not have.
    pub(super) fn of(shape: &Shape, watched: &[Option<u32>], items: &ItemPaths) -> Program {
        let program = Program {
            ops: Vec::new(),
            root: 0..0,
            slot_lists: Vec::new(),
            branches: Vec::new(),
            enums: Vec::new(),
            each: Vec::new(),
            recursive: Vec::new(),
        };
        let mut emit = Emit { program, watched, items, label: 0 };
        emit.node(&shape.root);
        emit.program.root = 0..emit.place();
        for record in &shape.recursive {
            let start = emit.place();
            emit.node(record);
            let end = emit.place();
            emit.program.recursive.push(start..end);
        }
        emit.program
    }
}

struct Emit<'s> {
    program: Program,
    watched: &'s [Option<u32>],
    items: &'s ItemPaths,
    /// Where control may arrive from elsewhere: skips are not merged across it.
    label: u32,
}

impl Emit<'_> {
    /// The next instruction's index, as a place to go to.
    fn place(&mut self) -> u32 {
        self.label = index(self.program.ops.len());
        self.label
    }

    fn push(&mut self, op: Op) -> usize {
        self.program.ops.push(op);
        self.program.ops.len() - 1
    }

    fn slot(&self, field: Option<usize>) -> Option<u32> {
        field.and_then(|field| self.watched.get(field).copied().flatten())
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Leaf(leaf, field) => match self.slot(*field) {
                Some(slot) => self.leaf(leaf, slot),
                None => self.skip(leaf),
            },
            Node::Record(nodes) => {
                for inside in nodes {
                    self.node(inside);
                }
            }
            Node::Union(nodes) => self.union(nodes),
            Node::Items { node: inside, is_map, field, length, path } => {
                if let Some(slot) = self.slot(*field) {
                    self.push(Op::Composite { slot });
                }
                let length = self.slot(*length);
                let slots = path.as_ref().map_or_else(Vec::new, |path| self.items.of(path));
                if slots.is_empty() {
                    self.items(inside, *is_map, length);
                } else {
                    self.each(inside, *is_map, (length, slots));
                }
            }
            Node::Again(record) => {
                self.push(Op::Again { record: index(*record) });
            }
        }
    }

    fn leaf(&mut self, leaf: &Leaf, slot: u32) {
        let op = match leaf {
            Leaf::Null => Op::Null { slot },
            Leaf::Bool => Op::Bool { slot },
            Leaf::Int => Op::Int { slot },
            Leaf::Long => Op::Long { slot },
            Leaf::Float => Op::Float { slot },
            Leaf::Double => Op::Double { slot },
            Leaf::Text => Op::Text { slot },
            Leaf::Bytes => Op::Bytes { slot },
            Leaf::Fixed(size) => Op::Fixed { slot, size: index(*size) },
            Leaf::Enum(symbols) => {
                self.program.enums.push(symbols.clone());
                Op::Enum { slot, symbols: index(self.program.enums.len() - 1) }
            }
            Leaf::Decimal { scale } => Op::Decimal { slot, scale: narrow(*scale) },
            Leaf::FixedDecimal { size, scale } => {
                Op::FixedDecimal { slot, size: index(*size), scale: narrow(*scale) }
            }
            Leaf::BigDecimal => Op::BigDecimal { slot },
            Leaf::Days => Op::Time { slot, unit: Unit::Days },
            Leaf::IntMillis => Op::Time { slot, unit: Unit::IntMillis },
            Leaf::Millis => Op::Time { slot, unit: Unit::Millis },
            Leaf::Micros => Op::Time { slot, unit: Unit::Micros },
            Leaf::Nanos => Op::Time { slot, unit: Unit::Nanos },
        };
        self.push(op);
    }

    fn skip(&mut self, leaf: &Leaf) {
        match leaf {
            Leaf::Null => {}
            Leaf::Bool => self.skip_bytes(1),
            Leaf::Float => self.skip_bytes(4),
            Leaf::Double => self.skip_bytes(8),
            Leaf::Fixed(size) | Leaf::FixedDecimal { size, .. } => self.skip_bytes(index(*size)),
            Leaf::Int
            | Leaf::Long
            | Leaf::Enum(_)
            | Leaf::Days
            | Leaf::IntMillis
            | Leaf::Millis
            | Leaf::Micros
            | Leaf::Nanos => self.skip_varint(),
            Leaf::Text | Leaf::Bytes | Leaf::Decimal { .. } | Leaf::BigDecimal => {
                self.push(Op::SkipSized);
            }
        }
    }

    /// The last instruction, unless control may arrive right behind it.
    fn mergeable(&mut self) -> Option<&mut Op> {
        let len = index(self.program.ops.len());
        if len > self.label { self.program.ops.last_mut() } else { None }
    }

    fn skip_bytes(&mut self, more: u32) {
        if more == 0 {
            return;
        }
        if let Some(Op::Skip { bytes }) = self.mergeable()
            && let Some(sum) = bytes.checked_add(more)
        {
            *bytes = sum;
            return;
        }
        self.push(Op::Skip { bytes: more });
    }

    fn skip_varint(&mut self) {
        if let Some(Op::SkipVarints { count }) = self.mergeable() {
            *count += 1;
            return;
        }
        self.push(Op::SkipVarints { count: 1 });
    }

    fn union(&mut self, nodes: &[Node]) {
        let nulls = self.slots_below(nodes);
        match nodes {
            [Node::Leaf(Leaf::Null, _), other] => self.nullable(false, nulls, other),
            [other, Node::Leaf(Leaf::Null, _)] => self.nullable(true, nulls, other),
            _ => self.branches(nulls, nodes),
        }
    }

    fn nullable(&mut self, null_index: bool, nulls: Span, other: &Node) {
        let op = self.push(Op::Nullable { null_index, nulls, end: 0 });
        self.label = index(op + 1);
        self.node(other);
        let end = self.place();
        self.program.ops[op] = Op::Nullable { null_index, nulls, end };
    }

    fn branches(&mut self, nulls: Span, nodes: &[Node]) {
        let start = self.program.branches.len();
        self.program.branches.resize(start + nodes.len(), 0);
        self.push(Op::Branch { starts: Span { start: index(start), len: index(nodes.len()) } });
        let mut jumps = Vec::with_capacity(nodes.len());
        for (branch, node) in nodes.iter().enumerate() {
            self.program.branches[start + branch] = self.place();
            match node {
                Node::Leaf(Leaf::Null, _) => {
                    for at in nulls.start..nulls.start + nulls.len {
                        let slot = self.program.slot_lists[at as usize];
                        self.push(Op::Null { slot });
                    }
                }
                other => self.node(other),
            }
            jumps.push(self.push(Op::Jump { to: 0 }));
        }
        let to = self.place();
        for jump in jumps {
            self.program.ops[jump] = Op::Jump { to };
        }
    }

    /// Every slot that the branches of a union may fill.
    fn slots_below(&mut self, nodes: &[Node]) -> Span {
        let start = self.program.slot_lists.len();
        for node in nodes {
            self.list_slots(node);
        }
        let len = self.program.slot_lists.len() - start;
        Span { start: index(start), len: index(len) }
    }

    fn list_slots(&mut self, node: &Node) {
        match node {
            Node::Leaf(_, field) => self.program.slot_lists.extend(self.slot(*field)),
            Node::Items { field, length, .. } => {
                self.program.slot_lists.extend(self.slot(*field));
                self.program.slot_lists.extend(self.slot(*length));
            }
            Node::Record(nodes) | Node::Union(nodes) => {
                for inside in nodes {
                    self.list_slots(inside);
                }
            }
            Node::Again(_) => {}
        }
    }

    /// Items that are watched.
    fn each(&mut self, node: &Node, is_map: bool, (length, slots): (Option<u32>, Vec<u32>)) {
        let start = index(self.program.slot_lists.len());
        let slots_span = Span { start, len: index(slots.len()) };
        self.program.slot_lists.extend(slots);
        let at = self.program.each.len();
        self.program.each.push(Each { is_map, end: 0, length, slots: slots_span });
        self.push(Op::EachItem { each: index(at) });
        self.place();
        self.node(node);
        self.program.each[at].end = self.place();
    }

    fn items(&mut self, node: &Node, is_map: bool, length: Option<u32>) {
        let op = self.push(Op::Items { is_map, end: 0 });
        let start = op + 1;
        self.label = index(start);
        self.node(node);
        let fixed = match &self.program.ops[start..] {
            [] => Some(0),
            [Op::Skip { bytes }] => Some(*bytes),
            _ => None,
        };
        match fixed {
            Some(size) if !is_map => {
                self.program.ops.truncate(start);
                self.program.ops[op] = match length {
                    None => Op::FixedItems { size },
                    Some(slot) => Op::CountedFixedItems { size, slot },
                };
            }
            _ => {
                let end = index(self.program.ops.len());
                self.program.ops[op] = match length {
                    None => Op::Items { is_map, end },
                    Some(slot) => Op::CountedItems { is_map, end, slot },
                };
            }
        }
        self.place();
    }
}

/// Counts that a schema of bounded size keeps far below 32 bits; a size of a fixed that does not
/// fit is longer than any record, so that the largest count stands for it.
fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn narrow(scale: i64) -> i32 {
    i32::try_from(scale).unwrap_or(i32::MAX)
}
