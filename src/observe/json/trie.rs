//! The paths a plan has met, as a tree of keys, and which of them this record has used.
//!
//! It reads no JSON and holds no values.

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

/// Where the number of items at a path goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) slot: u32,
    /// Of members of an object; else of items of an array.
    pub(super) is_map: bool,
}

/// Paths met, at most a given number of them.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// Paths whose items are counted.
    lengths: Vec<(Box<str>, Length)>,
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
    length: Option<Length>,
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
}

impl Node {
    fn new(path: String, key: &str, order: usize) -> Node {
        let needs_escape = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
        Node {
            path: path.into_boxed_str(),
            key: key.into(),
            is_plain: !key.bytes().any(needs_escape),
            watch: Watch::Unasked,
            length: None,
            order,
            children: Vec::new(),
            sorted: Vec::new(),
            record: 0,
            met_from: 0,
            met_to: 0,
        }
    }
}

impl Trie {
    pub(super) fn new() -> Trie {
        let nodes = vec![Node::new(String::new(), "", 0)];
        Trie { lengths: Vec::new(), nodes, record: 0, met: Vec::new() }
    }

    /// Counts the items at a path not met yet.
    pub(super) fn count(&mut self, path: &str, length: Length) {
        self.lengths.push((path.into(), length));
    }

    pub(super) fn length(&self, id: NodeId) -> Option<Length> {
        self.node(id).length
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
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        let is_root = parent == NodeId::ROOT;
        let path = if is_root { key.to_owned() } else { format!("{}.{key}", above.path) };
        let order = above.children.len();
        let counted = self.lengths.iter().find(|(counted, _)| **counted == *path);
        let length = counted.map(|(_, length)| *length);
        self.nodes.push(Node { length, ..Node::new(path, key, order) });
        let above = &mut self.nodes[parent.0 as usize];
        above.children.push(id);
        above.sorted.insert(place, id);
        Some((id, order))
    }

    /// Notes that this record has the path. Met a second time, what it and all below it had
    /// found no longer counts: `forget` is called with each slot.
    #[inline]
    pub(super) fn enter(&mut self, id: NodeId, forget: &mut dyn FnMut(u32)) {
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
    }

    /// Notes that the object at `id` has ended: what was met since is below it.
    #[inline]
    pub(super) fn leave(&mut self, id: NodeId) {
        self.nodes[id.0 as usize].met_to = self.met.len();
    }

    #[cold]
    fn forget(&mut self, id: NodeId, forget: &mut dyn FnMut(u32)) {
        let (from, to) = (self.node(id).met_from, self.node(id).met_to);
        for at in from..to {
            let Some(&below) = self.met.get(at) else {
                break;
            };
            if let Watch::Slot(slot) = self.watch(below) {
                forget(slot);
            }
            if let Some(length) = self.length(below) {
                forget(length.slot);
            }
            self.nodes[below.0 as usize].record = 0;
        }
    }
}
