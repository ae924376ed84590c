//! The paths a plan has met, as a tree of keys, and which of them this record has used.
//!
//! It reads no JSON and holds no values.

use crate::observe::items::ItemPaths;

/// Longest path remembered. *Units*: bytes.
const PATH_BYTES_MAX: usize = 1_024;

/// A path: index into the tree's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

impl NodeId {
    /// The record itself.
    pub(super) const ROOT: NodeId = NodeId(0);
}

/// Whether a path's values have a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// No scalar was met there yet.
    Unasked,
    /// Nobody wants it.
    No,
    /// The slot it goes to.
    Slot(u32),
}

/// What is asked about the items of an array, or the members of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Inside {
    /// Where their number goes.
    pub(super) length: Option<u32>,
    /// The path of each of them, where one is watched.
    pub(super) item: Option<NodeId>,
    /// The slots one of them fills.
    pub(super) slots: Vec<u32>,
    /// The same and those of items within.
    pub(super) below: Vec<u32>,
}

/// [`Inside`] of an array and of an object, in the order of `false` and `true`.
pub(super) type Insides = [Inside; 2];

/// Marks behind a path, in the same order.
const MARKS: [(&str, &str); 2] = [("[#]", "[]"), ("{#}", "{}")];

/// What no longer counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Forgotten<'t> {
    /// The value in a slot.
    Slot(u32),
    /// Values of items, of these slots, from a place on.
    Items(&'t [u32], usize),
}

/// Paths met, at most a given number of them.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// Paths of lengths that are watched.
    lengths: Vec<(Box<str>, u32)>,
    items: ItemPaths,
    nodes: Vec<Node>,
    /// Which record this is; counts from 1.
    record: u64,
    /// Nodes met in this record, in order.
    met: Vec<NodeId>,
}

#[derive(Clone, Debug)]
struct Node {
    path: Box<str>,
    key: Box<str>,
    /// The key is written as it is, without escapes.
    is_plain: bool,
    watch: Watch,
    /// Something is asked about items at the path.
    inside: Option<Box<Insides>>,
    /// It is the path of items, or below one.
    of_items: bool,
    /// Where it stands among its parent's children.
    order: usize,
    /// Children in the order first met, which most records repeat.
    children: Vec<NodeId>,
    /// The same by key.
    sorted: Vec<NodeId>,
    /// The last record that had it, and its part of `met`: itself and all below it.
    record: u64,
    met_from: usize,
    met_to: usize,
    /// How many values of items that record had before.
    items_from: usize,
}

impl Node {
    fn new(path: String, key: &str, order: usize) -> Node {
        let needs_escape = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
        Node {
            path: path.into_boxed_str(),
            key: key.into(),
            is_plain: !key.bytes().any(needs_escape),
            watch: Watch::Unasked,
            inside: None,
            of_items: false,
            order,
            children: Vec::new(),
            sorted: Vec::new(),
            record: 0,
            met_from: 0,
            met_to: 0,
            items_from: 0,
        }
    }
}

impl Trie {
    pub(super) fn new() -> Trie {
        let nodes = vec![Node::new(String::new(), "", 0)];
        Trie { lengths: Vec::new(), items: ItemPaths::default(), nodes, record: 0, met: Vec::new() }
    }

    /// Watches the length or the items that a path not met yet names; gives whether it does.
    pub(super) fn name(&mut self, path: &str, slot: u32) -> bool {
        let is_length = MARKS.iter().any(|(mark, _)| path.ends_with(mark));
        if is_length {
            self.lengths.push((path.into(), slot));
        }
        self.items.name(path, slot as usize) || is_length
    }

    /// What is asked about the items at a path.
    #[inline]
    pub(super) fn inside(&self, id: NodeId, is_map: bool) -> Option<&Inside> {
        let insides = self.node(id).inside.as_deref()?;
        Some(&insides[usize::from(is_map)])
    }

    /// What is asked of the path `id` in making it.
    fn look_inside(&mut self, id: NodeId) {
        let mut insides = Insides::default();
        for (inside, (length, item)) in insides.iter_mut().zip(MARKS) {
            let path = &self.node(id).path;
            let (length, path) = (format!("{path}{length}"), format!("{path}{item}"));
            let known = self.lengths.iter().find(|(known, _)| **known == *length);
            inside.length = known.map(|(_, slot)| *slot);
            inside.slots = self.items.of(&path);
            inside.below = self.items.below(&path);
            if !inside.below.is_empty() {
                inside.item = self.make(path, item, (0, true));
            }
        }
        let asked = |inside: &Inside| inside.length.is_some() || inside.item.is_some();
        if insides.iter().any(asked) {
            self.nodes[id.0 as usize].inside = Some(Box::new(insides));
        }
    }

    /// Makes a path and those of its items.
    fn make(&mut self, path: String, key: &str, place: (usize, bool)) -> Option<NodeId> {
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        let (order, of_items) = place;
        let watch = match of_items {
            false => Watch::Unasked,
            true => self.items.slot(&path).map_or(Watch::No, Watch::Slot),
        };
        self.nodes.push(Node { watch, of_items, ..Node::new(path, key, order) });
        self.look_inside(id);
        Some(id)
    }

    /// Paths remembered.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Starts a record.
    pub(super) fn start(&mut self) {
        self.record += 1;
        self.met.clear();
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn path(&self, id: NodeId) -> &str {
        &self.node(id).path
    }

    pub(super) fn watch(&self, id: NodeId) -> Watch {
        self.node(id).watch
    }

    pub(super) fn set_watch(&mut self, id: NodeId, watch: Watch) {
        self.nodes[id.0 as usize].watch = watch;
    }

    /// The child at `order` among those of `parent`, as first met, with its key when that is
    /// written without escapes.
    #[inline]
    pub(super) fn expected(&self, parent: NodeId, order: usize) -> Option<(NodeId, &str)> {
        let id = *self.node(parent).children.get(order)?;
        let node = self.node(id);
        node.is_plain.then_some((id, &*node.key))
    }

    /// The child of that key and its order, made if there is none yet; `None` when it would be
    /// one path more than `paths_max` or its path is too long.
    pub(super) fn child(
        &mut self,
        parent: NodeId,
        key: &str,
        paths_max: usize,
    ) -> Option<(NodeId, usize)> {
        let above = self.node(parent);
        let place = match above.sorted.binary_search_by(|id| (*self.node(*id).key).cmp(key)) {
            Ok(place) => {
                let id = above.sorted[place];
                return Some((id, self.node(id).order));
            }
            Err(place) => place,
        };
        if self.len() >= paths_max || above.path.len() + 1 + key.len() > PATH_BYTES_MAX {
            return None;
        }
        let is_root = parent == NodeId::ROOT;
        let path = if is_root { key.to_owned() } else { format!("{}.{key}", above.path) };
        let (order, of_items) = (above.children.len(), above.of_items);
        let id = self.make(path, key, (order, of_items))?;
        let above = &mut self.nodes[parent.0 as usize];
        above.children.push(id);
        above.sorted.insert(place, id);
        Some((id, order))
    }

    /// Notes that this record has the path, after so many values of items. Met a second time, what
    /// it and all below it had found no longer counts: `forget` is called with each slot.
    #[inline]
    pub(super) fn enter(
        &mut self,
        id: NodeId,
        items: usize,
        forget: &mut dyn FnMut(Forgotten<'_>),
    ) {
        if self.node(id).record == self.record {
            self.forget(id, forget);
        }
        let from = self.met.len();
        let record = self.record;
        self.met.push(id);
        let node = &mut self.nodes[id.0 as usize];
        node.record = record;
        node.met_from = from;
        node.met_to = from + 1;
        node.items_from = items;
    }

    /// How many paths have been met in this record.
    pub(super) fn mark(&self) -> usize {
        self.met.len()
    }

    /// Notes that an item has ended, begun at `mark`: the next may have the same paths.
    pub(super) fn next_item(&mut self, mark: usize) {
        for id in self.met.drain(mark..) {
            self.nodes[id.0 as usize].record = 0;
        }
    }

    /// Notes that the object at `id` has ended: what was met since is below it.
    #[inline]
    pub(super) fn leave(&mut self, id: NodeId) {
        self.nodes[id.0 as usize].met_to = self.met.len();
    }

    #[cold]
    fn forget(&mut self, id: NodeId, forget: &mut dyn FnMut(Forgotten<'_>)) {
        let (from, to) = (self.node(id).met_from, self.node(id).met_to);
        for at in from..to {
            let Some(&below) = self.met.get(at) else {
                break;
            };
            if let Watch::Slot(slot) = self.watch(below) {
                forget(Forgotten::Slot(slot));
            }
            let node = self.node(below);
            for inside in node.inside.iter().flat_map(|insides| insides.iter()) {
                if let Some(length) = inside.length {
                    forget(Forgotten::Slot(length));
                }
                forget(Forgotten::Items(&inside.below, node.items_from));
            }
            self.nodes[below.0 as usize].record = 0;
        }
    }
}
