//! A schema with its names resolved, its paths found and its unions told apart.
//!
//! It is the one place that walks [`apache_avro::Schema`]; it decides nothing about what is
//! watched and emits no instruction.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, NamesRef, RecordField, RecordSchema, ResolvedSchema, UnionSchema};

use crate::event::schema::SchemaField;

use super::leaf::{About, Leaf, leaf_of};
use super::{CompileError, FoundField, FoundKind, SCHEMA_DEPTH_MAX, SCHEMA_TYPES_MAX, WORDS_MAX};

/// A whole schema.
#[derive(Debug)]
pub(super) struct Shape {
    /// Paths in schema order, each once.
    pub(super) fields: Vec<FoundField>,
    /// The root.
    pub(super) root: Node,
    /// What [`Node::Again`] refers to: records without paths.
    pub(super) recursive: Vec<Node>,
}

/// One type in its place.
#[derive(Debug)]
pub(super) enum Node {
    /// A scalar, with its index in [`Shape::fields`] unless it lies in a recursion.
    Leaf(Leaf, Option<usize>),
    /// Fields in order.
    Record(Vec<Node>),
    /// Branches in order.
    Union(Vec<Node>),
    /// An array's items, or a map's keys and values.
    Items {
        node: Box<Node>,
        is_map: bool,
        field: Option<usize>,
        length: Option<usize>,
        /// Path of each item; `None` in a recursion.
        path: Option<String>,
    },
    /// A record met inside itself: index into [`Shape::recursive`].
    Again(usize),
}

impl Shape {
    /// Walks a schema.
    pub(super) fn of(schema: &Schema) -> Result<Shape, CompileError> {
        let resolved = ResolvedSchema::new(schema)
            .map_err(|error| CompileError::Invalid(error.to_string()))?;
        let mut walk = Walk {
            names: resolved.get_names(),
            fields: Vec::new(),
            by_path: BTreeMap::new(),
            open: Vec::new(),
            again: Vec::new(),
            types: 0,
        };
        if !walk.is_root(schema) {
            return Err(CompileError::NotARecord);
        }
        let root = walk.node(schema, &Place::root(Some(String::new())))?;
        let mut recursive = Vec::new();
        // Walking one may meet others; each name is met once, so this ends.
        while let Some(name) = walk.again.get(recursive.len()).cloned() {
            let record = walk.named(&name)?;
            recursive.push(walk.node(record, &Place::root(None))?);
        }
        Ok(Shape { fields: walk.fields, root, recursive })
    }
}

/// Where in the schema a walk is.
#[derive(Clone, Debug)]
struct Place<'s> {
    /// Dotted path; `None` in a recursion.
    path: Option<String>,
    /// A union with a null branch lies above.
    nullable: bool,
    /// The record field this is the type of.
    field: Option<&'s RecordField>,
    namespace: Option<String>,
    depth: usize,
}

impl Place<'_> {
    fn root(path: Option<String>) -> Place<'static> {
        Place { path, nullable: false, field: None, namespace: None, depth: 0 }
    }
}

struct Walk<'s> {
    names: &'s NamesRef<'s>,
    fields: Vec<FoundField>,
    by_path: BTreeMap<String, usize>,
    /// Records the walk is inside of.
    open: Vec<Name>,
    /// Records met inside themselves, in the order met.
    again: Vec<Name>,
    types: usize,
}

impl<'s> Walk<'s> {
    fn named(&self, name: &Name) -> Result<&'s Schema, CompileError> {
        let known = self.names.get(name).copied();
        known.ok_or_else(|| CompileError::Invalid(format!("type {name} is not defined")))
    }

    fn is_root(&self, schema: &Schema) -> bool {
        match schema {
            Schema::Record(_) => true,
            Schema::Union(union) => union.variants().iter().all(|variant| match variant {
                Schema::Null | Schema::Record(_) => true,
                Schema::Ref { name } => matches!(self.names.get(name), Some(Schema::Record(_))),
                _ => false,
            }),
            _ => false,
        }
    }

    fn node(&mut self, schema: &'s Schema, place: &Place<'s>) -> Result<Node, CompileError> {
        self.types += 1;
        if self.types > SCHEMA_TYPES_MAX {
            return Err(CompileError::TooLarge);
        }
        if place.depth > SCHEMA_DEPTH_MAX {
            return Err(CompileError::TooDeep);
        }
        match schema {
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(place.namespace.as_deref()).into_owned();
                let target = self.named(&name)?;
                self.node(target, place)
            }
            Schema::Record(record) => self.record(record, place),
            Schema::Union(union) => self.union(union, place),
            Schema::Array(array) => self.items(&array.items, false, place),
            Schema::Map(map) => self.items(&map.types, true, place),
            scalar => Ok(self.leaf(scalar, place)),
        }
    }

    fn record(
        &mut self,
        record: &'s RecordSchema,
        place: &Place<'s>,
    ) -> Result<Node, CompileError> {
        let name = record.name.fully_qualified_name(place.namespace.as_deref()).into_owned();
        if self.open.contains(&name) {
            let met = self.again.iter().position(|known| *known == name);
            return Ok(Node::Again(met.unwrap_or_else(|| {
                self.again.push(name);
                self.again.len() - 1
            })));
        }
        let namespace = name.namespace().map(str::to_owned);
        self.open.push(name);
        let mut nodes = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let inside = Place {
                path: place.path.as_deref().map(|path| join(path, &field.name)),
                nullable: place.nullable,
                field: Some(field),
                namespace: namespace.clone(),
                depth: place.depth + 1,
            };
            nodes.push(self.node(&field.schema, &inside)?);
        }
        self.open.pop();
        Ok(Node::Record(nodes))
    }

    fn union(&mut self, union: &'s UnionSchema, place: &Place<'s>) -> Result<Node, CompileError> {
        let has_null = union.variants().iter().any(|variant| matches!(variant, Schema::Null));
        let inside =
            Place { nullable: place.nullable || has_null, depth: place.depth + 1, ..place.clone() };
        let mut nodes = Vec::with_capacity(union.variants().len());
        for variant in union.variants() {
            nodes.push(match variant {
                Schema::Null => Node::Leaf(Leaf::Null, None),
                _ => self.node(variant, &inside)?,
            });
        }
        Ok(Node::Union(nodes))
    }

    fn items(
        &mut self,
        items: &'s Schema,
        is_map: bool,
        place: &Place<'s>,
    ) -> Result<Node, CompileError> {
        let about = About::plain(FoundKind::Composite, if is_map { "map" } else { "array" });
        let field = self.found(about, place);
        let marked = |mark: &str| place.path.as_ref().map(|path| format!("{path}{mark}"));
        let (length, path) = if is_map { ("{#}", "{}") } else { ("[#]", "[]") };
        let (length, path) = (marked(length), marked(path));
        let about = About::plain(FoundKind::Length, "length");
        let length = self.found(about, &Place { path: length, ..place.clone() });
        let inside = Place {
            path: path.clone(),
            nullable: false,
            field: None,
            namespace: place.namespace.clone(),
            depth: place.depth + 1,
        };
        let node = Box::new(self.node(items, &inside)?);
        Ok(Node::Items { node, is_map, field, length, path })
    }

    fn leaf(&mut self, schema: &'s Schema, place: &Place<'s>) -> Node {
        let (leaf, about) = leaf_of(schema);
        let field = self.found(about, place);
        Node::Leaf(leaf, field)
    }

    /// Notes a path; one met before, in another branch of a union, is widened.
    fn found(&mut self, about: About<'s>, place: &Place<'s>) -> Option<usize> {
        let path = place.path.as_ref()?;
        if let Some(&index) = self.by_path.get(path) {
            widen(&mut self.fields[index], &about, place.nullable);
            return Some(index);
        }
        let index = self.fields.len();
        self.by_path.insert(path.clone(), index);
        let default = place.field.and_then(|field| field.default.as_ref());
        let doc = place.field.and_then(|field| field.doc.as_deref()).or(about.doc);
        self.fields.push(FoundField {
            kind: about.kind,
            schema: SchemaField {
                path: path.clone(),
                type_name: about.type_name.to_owned(),
                nullable: place.nullable || about.kind == FoundKind::Null,
                logical_type: about.logical_type,
                default: default.map(|value| cut(&value.to_string())),
                symbols: about.symbols.to_vec(),
                doc: doc.map(cut),
            },
        });
        Some(index)
    }
}

fn widen(field: &mut FoundField, about: &About<'_>, nullable: bool) {
    if field.kind != about.kind {
        field.kind = FoundKind::Mixed;
    }
    let schema = &mut field.schema;
    schema.nullable |= nullable;
    if !schema.type_name.split('|').any(|name| name == about.type_name) {
        schema.type_name = format!("{}|{}", schema.type_name, about.type_name);
    }
    if schema.logical_type.is_none() {
        schema.logical_type.clone_from(&about.logical_type);
    }
    for symbol in about.symbols {
        if !schema.symbols.contains(symbol) {
            schema.symbols.push(symbol.clone());
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn cut(words: &str) -> String {
    words.chars().take(WORDS_MAX).collect()
}
