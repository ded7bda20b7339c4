//! A positioned tree: what a pipeline file says, and where it says it.
//!
//! Types from a general library lose the place of a value as soon as something looks ahead (a tagged
//! enum does), so we keep our own tree and hand it to serde only at the very end. Every error can
//! then name file, line and column.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::scalar;

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The file as it was named on the command line.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column of the first character.
    pub column: u32,
    /// How many characters of that line belong to it; at least 1.
    pub width: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One value of a pipeline file.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// What stands there.
    pub value: Value,
    /// Where it stands. Behind an alias: where the anchor is.
    pub location: Location,
    /// Set when the value, or a part of it, came from a reference: then it is never shown.
    pub reference: Option<Reference>,
}

/// The value of a [`Node`].
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number, also one too large for [`Value::Int`].
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order of the file.
    Mapping(Mapping),
    /// A reference that could not be resolved; reported already, so nothing more is said of it.
    Unresolved,
}

/// What a value was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The references as they may be shown, such as `${PORT}`; never with a default.
    pub shown: Arc<str>,
    /// The value is one reference and nothing else, and takes the type that its place wants.
    pub is_whole: bool,
}

/// The entries of a mapping, each key once, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapping {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub location: Location,
    /// What belongs to it.
    pub value: Node,
}

impl Mapping {
    /// The entry of that key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl Node {
    /// A value without a reference.
    pub fn new(value: Value, location: Location) -> Self {
        Self { value, location, reference: None }
    }

    /// The mapping, if it is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value for a place that wants no text: a whole reference is typed as if its text stood in
    /// the file, so `${PORT}` can be a number.
    pub fn typed(&self) -> Cow<'_, Value> {
        match (&self.value, &self.reference) {
            (Value::String(text), Some(Reference { is_whole: true, .. })) => {
                Cow::Owned(scalar::typed(text.trim()))
            }
            (value, _) => Cow::Borrowed(value),
        }
    }

    /// Whether nothing stands there: also a whole reference to an empty text.
    pub fn is_null(&self) -> bool {
        match (&self.value, &self.reference) {
            (Value::Null, _) => true,
            (Value::String(text), Some(reference)) => reference.is_whole && text.is_empty(),
            _ => false,
        }
    }

    /// Whether this value or one inside came from a reference.
    pub fn holds_reference(&self) -> bool {
        self.reference.is_some()
            || match &self.value {
                Value::Sequence(items) => items.iter().any(Self::holds_reference),
                Value::Mapping(mapping) => mapping.entries.iter().any(|entry| entry.value.holds_reference()),
                _ => false,
            }
    }

    /// Whether every reference in it has a value.
    pub fn is_resolved(&self) -> bool {
        match &self.value {
            Value::Unresolved => false,
            Value::Sequence(items) => items.iter().all(Self::is_resolved),
            Value::Mapping(mapping) => mapping.entries.iter().all(|entry| entry.value.is_resolved()),
            _ => true,
        }
    }

    /// What it is, without saying its value.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Unresolved => "an unresolved reference",
        }
    }
}

/// Says the kind and the place, never the value: a tree holds secrets.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} at {})", self.kind(), self.location)
    }
}
