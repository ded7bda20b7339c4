//! What we read out of a JSON Schema that `schemars` made from a type.
//!
//! Two extensions of our own: `x-later` on a type or a property lists keys or values that a later
//! release will know, so that the error can say so.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::error::listed;
use super::text_value;

/// The schema of a type as it is read.
pub fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>()
}

/// A place in a schema: what stands there, and what the `$ref` there leads to.
#[derive(Clone, Copy)]
pub(super) struct View<'s> {
    root: &'s Value,
    /// The schema as it stands, which may say more than the shared definition behind it.
    outer: &'s Value,
    /// The definition, with `$ref` and an optional's alternative "null" taken away.
    inner: &'s Value,
    is_nullable: bool,
}

impl<'s> View<'s> {
    pub(super) fn root(root: &'s Value) -> Self {
        Self::new(root, root)
    }

    pub(super) fn new(root: &'s Value, outer: &'s Value) -> Self {
        // A definition that refers to itself and nothing else would turn here for ever.
        const MOST_STEPS: usize = 16;
        let (mut inner, mut is_nullable) = (outer, false);
        for _ in 0..MOST_STEPS {
            if let Some(target) = inner.get("$ref").and_then(Value::as_str) {
                let Some(found) = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else {
                    break;
                };
                inner = found;
            } else if let Some((only, false)) = alternatives(inner).and_then(|all| {
                let mut rest = all.iter().filter(|one| !is_null(one));
                let only = rest.next()?;
                (all.len() > 1 && all.iter().any(is_null)).then_some((only, rest.next().is_some()))
            }) {
                (inner, is_nullable) = (only, true);
            } else {
                break;
            }
        }
        is_nullable |= types(inner).contains(&"null");
        is_nullable |= alternatives(inner).is_some_and(|all| all.iter().any(is_null));
        Self { root, outer, inner, is_nullable }
    }

    /// Whether nothing may stand here.
    pub(super) fn is_nullable(&self) -> bool {
        self.is_nullable
    }

    /// A keyword, from the place itself or else from the definition.
    pub(super) fn keyword(&self, name: &str) -> Option<&'s Value> {
        self.outer.get(name).or_else(|| self.inner.get(name))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'s str> {
        self.keyword(name).and_then(Value::as_str)
    }

    pub(super) fn is_secret(&self) -> bool {
        self.keyword("writeOnly").and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn is_type(&self, name: &str) -> bool {
        types(self.inner).contains(&name)
    }

    /// Whether one value can stand here, not a list or a mapping.
    pub(super) fn is_scalar(&self) -> bool {
        self.choices().is_some()
            || ["string", "integer", "number", "boolean"].iter().any(|name| self.is_type(name))
    }

    /// Says nothing of its type: then anything goes.
    pub(super) fn is_open(&self) -> bool {
        types(self.inner).is_empty() && self.choices().is_none() && self.alternatives().is_empty()
    }

    /// The properties, in the order of the fields.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&'s str, View<'s>)> + use<'s> {
        let root = self.root;
        self.inner
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(move |(name, schema)| (name.as_str(), Self::new(root, schema)))
    }

    pub(super) fn property(&self, name: &str) -> Option<View<'s>> {
        self.inner.get("properties")?.get(name).map(|schema| Self::new(self.root, schema))
    }

    pub(super) fn required(&self) -> impl Iterator<Item = &'s str> + use<'s> {
        strings(self.inner.get("required"))
    }

    /// What the values of a map are; `None` when other keys than the properties are wrong.
    pub(super) fn additional(&self) -> Option<View<'s>> {
        match self.inner.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(schema) => Some(Self::new(self.root, schema)),
            None => Some(Self::new(self.root, &Value::Bool(true))),
        }
    }

    pub(super) fn items(&self) -> Option<View<'s>> {
        self.inner.get("items").map(|schema| Self::new(self.root, schema))
    }

    /// The values, where only certain texts are allowed: how `schemars` writes an enum.
    pub(super) fn choices(&self) -> Option<Vec<&'s str>> {
        choices(self.inner)
    }

    /// The alternatives of an `oneOf` or `anyOf` that is no list of texts.
    pub(super) fn alternatives(&self) -> Vec<View<'s>> {
        if self.choices().is_some() {
            return Vec::new();
        }
        let all = alternatives(self.inner).into_iter().flatten();
        all.filter(|one| !is_null(one)).map(|one| Self::new(self.root, one)).collect()
    }

    /// The schemas that hold beside this one.
    pub(super) fn all_of(&self) -> impl Iterator<Item = View<'s>> + use<'s> {
        let root = self.root;
        self.inner
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(move |one| Self::new(root, one))
    }

    /// Names that a later release will know here.
    pub(super) fn later(&self) -> impl Iterator<Item = &'s str> + use<'s> {
        let inner = (!std::ptr::eq(self.inner, self.outer)).then(|| self.inner.get("x-later")).flatten();
        strings(self.outer.get("x-later")).chain(strings(inner))
    }

    /// What is expected here, in words that follow "expected".
    pub(super) fn expected(&self) -> Cow<'static, str> {
        if let Some(form) = self.text("format").and_then(text_value::form) {
            return form.expected.into();
        }
        if let Some(choices) = self.choices() {
            return match *choices {
                [only] => format!("`{only}`").into(),
                _ => format!("one of {}", listed(choices)).into(),
            };
        }
        let bound = |name: &str| self.keyword(name).and_then(Value::as_i64);
        if self.is_type("integer") {
            return match (bound("minimum"), bound("maximum")) {
                (Some(least), Some(most)) => format!("an integer from {least} to {most}").into(),
                (Some(least), None) => format!("an integer of at least {least}").into(),
                _ => "an integer".into(),
            };
        }
        for (name, words) in [
            ("string", "a string"),
            ("boolean", "`true` or `false`"),
            ("number", "a number"),
            ("array", "a list"),
            ("object", "a mapping"),
        ] {
            if self.is_type(name) {
                return words.into();
            }
        }
        let all: Vec<_> = self.alternatives().iter().map(|one| one.expected().into_owned()).collect();
        if all.is_empty() { "a value".into() } else { all.join(", or ").into() }
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        several => strings(several).collect(),
    }
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(only) = schema.get("const") {
        return only.as_str().map(|only| vec![only]);
    }
    if let Some(all) = schema.get("enum").and_then(Value::as_array) {
        return all.iter().filter(|one| !one.is_null()).map(Value::as_str).collect();
    }
    let mut all = Vec::new();
    for one in schema.get("oneOf")?.as_array()?.iter().filter(|one| !is_null(one)) {
        all.extend(choices(one)?);
    }
    Some(all)
}
