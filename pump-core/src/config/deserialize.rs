//! serde's view of a tree: types are read straight from nodes, so their errors have a place.
//!
//! An error takes the place of the innermost node at which it arose, and its path grows on the way
//! out. What a type says of a value that came from a reference is not repeated, since it may quote it.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ConfigError, below};
use super::node::{Location, Mapping, Node, Value};

/// An error on its way from the innermost node out.
#[derive(Debug)]
pub(super) struct Error {
    message: String,
    location: Option<Location>,
    /// Innermost first.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl Error {
    /// As an error of the value that lies at `path`.
    pub(super) fn into_config_error(self, path: &str) -> ConfigError {
        let path = self.path.iter().rev().fold(path.to_owned(), |path, step| match step {
            Step::Key(key) => below(&path, key),
            Step::Index(index) => format!("{path}[{index}]"),
        });
        let error = ConfigError::new(self.message).on(path);
        match &self.location {
            Some(location) => error.at(location),
            None => error,
        }
    }

    fn within(mut self, node: &Node) -> Self {
        if self.location.is_none() {
            self.location = Some(node.location.clone());
            if let Some(reference) = &node.reference {
                self.message = format!("the value (from {}) does not fit here", reference.shown);
            } else if node.holds_reference() {
                "a value in here does not fit".clone_into(&mut self.message);
            }
        }
        self
    }

    fn below(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), location: None, path: Vec::new() }
    }
}

/// What a reference brought in may be a number; what stands in the file is what it is.
fn visit<'de, V: Visitor<'de>>(node: &'de Node, value: &'de Value, visitor: V) -> Result<V::Value, Error> {
    match value {
        Value::Null | Value::Unresolved => visitor.visit_unit(),
        Value::Bool(value) => visitor.visit_bool(*value),
        Value::Int(value) => visit_integer(*value, visitor),
        Value::Float(value) => visitor.visit_f64(*value),
        Value::String(text) => visitor.visit_borrowed_str(text),
        Value::Sequence(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
        Value::Mapping(mapping) => {
            visitor.visit_map(Entries { entries: mapping.entries.iter(), value: None })
        }
    }
    .map_err(|err: Error| err.within(node))
}

fn visit_integer<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, Error> {
    match (u64::try_from(value), i64::try_from(value)) {
        (Ok(value), _) => visitor.visit_u64(value),
        (_, Ok(value)) => visitor.visit_i64(value),
        _ => visitor.visit_i128(value),
    }
}

/// A node as serde reads it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de>(pub(super) &'de Node);

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &*self.0.typed() {
            Value::Null if self.0.reference.is_some() => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visit_integer(*value, visitor),
            Value::Float(value) => visitor.visit_f64(*value),
            _ => return visit(self.0, &self.0.value, visitor),
        }
        .map_err(|err: Error| err.within(self.0))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit(self.0, &self.0.value, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit(self.0, &self.0.value, visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit(self.0, &self.0.value, visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit(self.0, &self.0.value, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
            .map_err(|err: Error| err.within(self.0))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self).map_err(|err: Error| err.within(self.0))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (variant, content) = match &self.0.value {
            Value::String(text) => (text.as_str(), None),
            Value::Mapping(Mapping { entries }) if entries.len() == 1 => {
                (entries[0].key.as_str(), Some(&entries[0].value))
            }
            _ => return Err(Error::custom("expected a name, or a mapping with one key").within(self.0)),
        };
        visitor.visit_enum(Variant { variant, content }).map_err(|err| err.within(self.0))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Reader(item)).map(Some).map_err(|err| err.within(item).below(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, super::node::Entry>,
    value: Option<&'de super::node::Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        let Some(entry) = self.value else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|mut err| {
            err.location.get_or_insert_with(|| entry.location.clone());
            err.below(Step::Key(entry.key.clone()))
        })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let entry = self.value.take().ok_or_else(|| Error::custom("a value was read before its key"))?;
        seed.deserialize(Reader(&entry.value))
            .map_err(|err| err.within(&entry.value).below(Step::Key(entry.key.clone())))
    }
}

struct Variant<'de> {
    variant: &'de str,
    content: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Variant<'de> {
    fn content(&self) -> Result<&'de Node, Error> {
        self.content.ok_or_else(|| Error::custom("a value belongs to this name"))
    }

    fn place<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|err| err.below(Step::Key(self.variant.to_owned())))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            Some(_) => Err(Error::custom("no value belongs to this name")),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let content = self.content()?;
        self.place(seed.deserialize(Reader(content)).map_err(|err| err.within(content)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        let content = self.content()?;
        self.place(Reader(content).deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let content = self.content()?;
        self.place(Reader(content).deserialize_any(visitor))
    }
}
