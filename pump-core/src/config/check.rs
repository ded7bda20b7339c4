//! Checks a tree against a schema and finds everything that is wrong, not only the first thing.
//!
//! serde stops at the first error, so it comes second: what passes here it reads, and it still has
//! the last word. On the way the check notes which values the schema calls secret and which not:
//! only the latter may be shown (see [`super::snippet`]).

use serde_json::json;

use super::error::{ConfigError, below, listed, quoted};
use super::nearest::nearest;
use super::node::{Entry, Mapping, Node, Value};
use super::redis_url::RedisUrl;
use super::schema::View;
use super::snippet::Disclosure;
use super::text_value::{self, Form, TextValue};

/// Nobody reads more errors, and looking for the nearest name takes its time for each.
const ENOUGH: usize = 1000;

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<ConfigError>,
    pub(super) disclosure: Disclosure,
}

impl Findings {
    pub(super) fn push(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    /// Checks a value. `beside` are keys that belong here too but are read by someone else; they are
    /// only offered when a key is wrong.
    pub(super) fn check(&mut self, schema: View<'_>, node: &Node, path: &str, beside: &[&str]) {
        if matches!(node.value, Value::Unresolved) || self.errors.len() >= ENOUGH {
            return;
        }
        self.disclose(schema, node);
        if schema.is_open() || (node.is_null() && schema.is_nullable()) {
            return;
        }
        if node.as_str().is_some_and(|text| schema.later().any(|name| name == text)) {
            let found = node.as_str().unwrap_or_default();
            let error = not_in_this_release(found).help(format!("expected {}", schema.expected()));
            return self.push(error.at(&node.location).on(path));
        }
        if let Some(choices) = schema.choices() {
            return self.check_choice(schema, &choices, node, path);
        }
        let alternatives = schema.alternatives();
        if !alternatives.is_empty() {
            return self.check_alternatives(&alternatives, node, path, beside);
        }
        match &*node.typed() {
            Value::Mapping(mapping) if schema.is_type("object") => {
                self.check_mapping(schema, mapping, node, path, beside);
            }
            Value::Sequence(items) if schema.is_type("array") => self.check_list(schema, items, node, path),
            Value::Bool(_) if schema.is_type("boolean") => {}
            Value::Int(number) if schema.is_type("integer") || schema.is_type("number") => {
                self.check_bounds(schema, *number as f64, node, path);
            }
            Value::Float(number) if schema.is_type("number") => {
                self.check_bounds(schema, *number, node, path)
            }
            // What a reference brought in may be both, a number and a text.
            _ if schema.is_type("string") && node.as_str().is_some() => self.check_text(schema, node, path),
            _ => self.push(mismatch(schema, node).on(path)),
        }
        for other in schema.all_of() {
            self.check(other, node, path, beside);
        }
    }

    /// Notes that a key stands where keys belong.
    pub(super) fn show_key(&mut self, entry: &Entry) {
        self.disclosure.public.insert(entry.location.clone());
    }

    /// Notes whether a value may be shown; only scalars are ever asked about.
    fn disclose(&mut self, schema: View<'_>, node: &Node) {
        // An address may hold a password before its `@`, also in the default of a reference.
        let may_hold_secret = schema.is_secret()
            || node.as_str().is_some_and(|text| text.contains(['@', '?']))
            || (node.reference.is_some() && schema.text("format") == Some(RedisUrl::FORMAT));
        if may_hold_secret {
            self.disclosure.secret.insert(node.location.clone());
        } else if schema.is_scalar() {
            // A text where a mapping belongs may be anything, also a password: it is in neither list.
            self.disclosure.public.insert(node.location.clone());
        }
    }

    fn check_mapping(
        &mut self,
        schema: View<'_>,
        mapping: &Mapping,
        node: &Node,
        path: &str,
        beside: &[&str],
    ) {
        let mut misspelt = Vec::new();
        for entry in &mapping.entries {
            if self.errors.len() >= ENOUGH {
                return;
            }
            self.show_key(entry);
            let path = below(path, &entry.key);
            if let Some(property) = schema.property(&entry.key) {
                self.check(property, &entry.value, &path, &[]);
            } else if let Some(additional) = schema.additional() {
                self.check(additional, &entry.value, &path, &[]);
            } else {
                misspelt.extend(self.unknown_key(schema, mapping, entry, &path, beside));
            }
        }
        for key in schema.required() {
            // Of a misspelt key one error is enough.
            if mapping.get(key).is_none() && !misspelt.contains(&key) {
                let expected = schema.property(key).map(|property| property.expected()).unwrap_or_default();
                self.push(
                    ConfigError::new(format!("the key {} is missing", quoted(key)))
                        .at(&node.location)
                        .on(path)
                        .help(format!("expected {expected}")),
                );
            }
        }
        let least = schema.keyword("minProperties").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if (mapping.entries.len() as u64) < least {
            self.push(ConfigError::new("the mapping is empty").at(&node.location).on(path));
        }
    }

    /// Reports a key that nobody knows; gives the key that was probably meant.
    fn unknown_key<'s>(
        &mut self,
        schema: View<'s>,
        mapping: &Mapping,
        entry: &Entry,
        path: &str,
        beside: &[&str],
    ) -> Option<&'s str> {
        if schema.later().any(|name| name == entry.key) {
            self.push(not_in_this_release(&entry.key).help("remove it").at(&entry.location).on(path));
            return None;
        }
        let own = || schema.properties().map(|(name, _)| name);
        let free = |name: &&str| mapping.get(name).is_none();
        let meant = nearest(&entry.key, own().filter(free).chain(beside.iter().copied().filter(free)));
        match meant.map(|name| schema.property(name)) {
            Some(Some(property)) => self.disclose(property, &entry.value),
            // The keys beside are the engine's, and none of them is a secret.
            Some(None) => self.disclose(View::root(&json!({ "type": "string" })), &entry.value),
            None => {}
        }
        let error =
            ConfigError::new(format!("unknown key {}", quoted(&entry.key))).at(&entry.location).on(path);
        self.push(match meant {
            Some(name) => error.help(format!("did you mean `{name}`?")),
            None => {
                let mut all: Vec<_> = own().chain(beside.iter().copied()).collect();
                all.sort_unstable();
                match all.is_empty() {
                    true => error.help("there are no keys here"),
                    false => error.help(format!("the keys here are {}", listed(all))),
                }
            }
        });
        schema.properties().map(|(name, _)| name).find(|name| meant.is_some_and(|meant| meant == *name))
    }

    fn check_list(&mut self, schema: View<'_>, items: &[Node], node: &Node, path: &str) {
        if let Some(schema) = schema.items() {
            for (index, item) in items.iter().enumerate() {
                self.check(schema, item, &format!("{path}[{index}]"), &[]);
            }
        }
        let bound = |name: &str| schema.keyword(name).and_then(serde_json::Value::as_u64);
        let count = items.len() as u64;
        if bound("minItems").is_some_and(|least| count < least) {
            self.push(
                ConfigError::new("the list is empty")
                    .at(&node.location)
                    .on(path)
                    .help("remove the key, or name at least one"),
            );
        }
        if let Some(most) = bound("maxItems").filter(|most| count > *most) {
            self.push(
                ConfigError::new(format!("the list has more than {most} items")).at(&node.location).on(path),
            );
        }
    }

    fn check_choice(&mut self, schema: View<'_>, choices: &[&str], node: &Node, path: &str) {
        let Some(found) = node.as_str() else {
            return self.push(mismatch(schema, node).on(path));
        };
        if choices.contains(&found) {
            return;
        }
        let error =
            ConfigError::new(format!("expected {}, found {}", schema.expected(), shown(schema, node)));
        let error = error.at(&node.location).on(path);
        // The nearest name would tell what stood behind a reference.
        let meant = nearest(found, choices.iter().copied()).filter(|_| node.reference.is_none());
        self.push(match meant {
            Some(name) => error.help(format!("did you mean `{name}`?")),
            None => error,
        });
    }

    /// The first alternative that fits; if none does, the errors of the one that was meant.
    fn check_alternatives(&mut self, alternatives: &[View<'_>], node: &Node, path: &str, beside: &[&str]) {
        let mut closest: Option<Findings> = None;
        for schema in alternatives {
            let mut findings = Findings::default();
            findings.check(*schema, node, path, beside);
            if findings.errors.is_empty() {
                return self.absorb(findings);
            }
            // Errors inside the value mean that the value itself was of the right type.
            let inside = findings.errors.iter().any(|error| error.path() != path);
            if inside && closest.as_ref().is_none_or(|known| findings.errors.len() < known.errors.len()) {
                closest = Some(findings);
            }
        }
        match closest {
            Some(findings) => self.absorb(findings),
            None => {
                let all: Vec<_> = alternatives.iter().map(|one| one.expected().into_owned()).collect();
                let message = format!("expected {}, found {}", all.join(", or "), found(node));
                self.push(ConfigError::new(message).at(&node.location).on(path));
            }
        }
    }

    pub(super) fn absorb(&mut self, other: Findings) {
        self.errors.extend(other.errors);
        self.disclosure.public.extend(other.disclosure.public);
        self.disclosure.secret.extend(other.disclosure.secret);
    }

    fn check_text(&mut self, schema: View<'_>, node: &Node, path: &str) {
        let Some(text) = node.as_str() else { return };
        if let Some(Form { expected, unit, check }) = schema.text("format").and_then(text_value::form)
            && let Err(reason) = check(text)
        {
            let error = match &node.reference {
                Some(reference) => ConfigError::new(format!(
                    "expected {expected}, found another string (from {})",
                    reference.shown
                )),
                None => ConfigError::new(format!("expected {expected}: {reason}")),
            };
            let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            self.push(with_unit(error, unit.filter(|_| is_bare), text, node).at(&node.location).on(path));
        }
        let length = |name: &str| schema.keyword(name).and_then(serde_json::Value::as_u64);
        if length("minLength").is_some_and(|least| (text.chars().count() as u64) < least) {
            let least = length("minLength").unwrap_or_default();
            let message = if text.is_empty() {
                "the string is empty".to_owned()
            } else {
                format!("the string has fewer than {least} characters")
            };
            self.push(ConfigError::new(message).at(&node.location).on(path));
        }
    }

    fn check_bounds(&mut self, schema: View<'_>, number: f64, node: &Node, path: &str) {
        let bound = |name: &str| schema.keyword(name).and_then(serde_json::Value::as_f64);
        if bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most)
        {
            let message = format!("expected {}, found {}", schema.expected(), shown(schema, node));
            self.push(ConfigError::new(message).at(&node.location).on(path));
        }
    }
}

/// An error for a name that a later release will know.
pub(super) fn not_in_this_release(name: &str) -> ConfigError {
    ConfigError::new(format!("{} is not in this release", quoted(name)))
}

/// A value of the wrong type, with what to do where that is plain.
fn mismatch(schema: View<'_>, node: &Node) -> ConfigError {
    let error =
        ConfigError::new(format!("expected {}, found {}", schema.expected(), found(node))).at(&node.location);
    if node.reference.is_some() || schema.is_secret() {
        return match (&node.value, schema.is_secret()) {
            (Value::Int(_) | Value::Float(_) | Value::Bool(_), true) => error.help("put it in quotes"),
            _ => error,
        };
    }
    match &node.value {
        Value::Null => error.help("give it a value, or remove the key"),
        Value::Int(number) => {
            let number = number.to_string();
            match schema.text("format").and_then(text_value::form) {
                Some(form) => with_unit(error, form.unit, &number, node),
                None if schema.is_type("string") => error.help(format!("put it in quotes: \"{number}\"")),
                None => error,
            }
        }
        Value::Float(_) | Value::Bool(_) if schema.is_type("string") => error.help("put it in quotes"),
        Value::String(text) if schema.is_type("boolean") => match &*text.to_ascii_lowercase() {
            "yes" | "on" | "true" => error.help("write `true`"),
            "no" | "off" | "false" => error.help("write `false`"),
            _ => error,
        },
        Value::String(text) if schema.is_type("integer") && text.parse::<i64>().is_ok() => {
            error.help("remove the quotes")
        }
        Value::String(_) if schema.is_type("array") => error.help("put it in brackets: `[a, b]`"),
        _ => error,
    }
}

fn with_unit(error: ConfigError, unit: Option<&'static str>, number: &str, node: &Node) -> ConfigError {
    match unit {
        Some(unit) if node.reference.is_some() => {
            error.help(format!("a bare number needs its unit, such as `{unit}`"))
        }
        Some(unit) => error.help(format!("write `{number}{unit}`, not `{number}`")),
        None => error,
    }
}

/// The kind of a value and, for one from a reference, where it came from.
fn found(node: &Node) -> String {
    match &node.reference {
        Some(reference) => format!("{} (from {})", node.kind(), reference.shown),
        None => node.kind().to_owned(),
    }
}

/// The value itself where it may be shown.
fn shown(schema: View<'_>, node: &Node) -> String {
    match &node.value {
        _ if node.reference.is_some() || schema.is_secret() => found(node),
        Value::String(text) => quoted(text),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        _ => found(node),
    }
}
