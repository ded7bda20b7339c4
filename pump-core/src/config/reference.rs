//! References: values that stand outside the pipeline file.
//!
//! `${NAME}` is an environment variable, `${NAME:-default}` one that may be missing or empty,
//! `${file:PATH}` the content of a file (relative to the working directory, one newline at its end
//! cut). `$$` is a dollar sign; any other `$` stands for itself. References are replaced in values,
//! never in keys, before values get their types; what they bring in is not searched for further
//! references, and is never shown.
//!
//! A value that is one whole reference takes the type that its place wants, quoted or not, since
//! JSON and flow mappings leave no choice: `"${PORT}"` may be a number or a text.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::error::{ConfigError, below, quoted};
use super::node::{Node, Reference, Value};

/// What all references of one load may bring in, in bytes.
const MAX_RESOLVED: usize = 4 * 1024 * 1024;

/// The largest file behind a `${file:PATH}`, in bytes.
const MAX_REFERENCED_FILE: u64 = 1024 * 1024;

/// Looks up an environment variable. Passed in, so that a test needs no process of its own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces references in a tree. A value whose reference cannot be resolved becomes
/// [`Value::Unresolved`].
pub(super) struct Resolver<'a> {
    environment: Environment<'a>,
    resolved: usize,
    pub(super) errors: Vec<ConfigError>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(environment: Environment<'a>) -> Self {
        Self { environment, resolved: 0, errors: Vec::new() }
    }

    pub(super) fn resolve(&mut self, node: &mut Node, path: &str) {
        match &mut node.value {
            Value::String(text) if text.contains('$') => match self.text(text) {
                Ok((text, reference)) => {
                    node.value = Value::String(text);
                    node.reference = reference;
                }
                Err(err) => {
                    self.errors.push(err.at(&node.location).on(path));
                    node.value = Value::Unresolved;
                }
            },
            Value::Sequence(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.resolve(item, &format!("{path}[{index}]"));
                }
            }
            Value::Mapping(mapping) => {
                for entry in &mut mapping.entries {
                    self.resolve(&mut entry.value, &below(path, &entry.key));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, written: &str) -> Result<(String, Option<Reference>), ConfigError> {
        let mut text = String::with_capacity(written.len());
        let mut shown: Vec<String> = Vec::new();
        let mut rest = written;
        let mut is_whole = false;
        while let Some(dollar) = rest.find('$') {
            text.push_str(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            if let Some(expression) = after.strip_prefix('{') {
                let end = expression.find('}').ok_or_else(|| {
                    ConfigError::new("a reference has no end")
                        .help("write `${NAME}`, or `$${` for the characters themselves")
                })?;
                let (value, name) = self.value(&expression[..end])?;
                self.resolved = self.resolved.saturating_add(value.len());
                if self.resolved > MAX_RESOLVED {
                    return Err(ConfigError::new(format!(
                        "references bring in more than {} MiB",
                        MAX_RESOLVED >> 20
                    )));
                }
                is_whole = dollar == 0 && shown.is_empty() && end + 1 == expression.len() && text.is_empty();
                text.push_str(&value);
                if !shown.contains(&name) {
                    shown.push(name);
                }
                rest = &expression[end + 1..];
            } else {
                text.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            }
        }
        text.push_str(rest);
        let reference =
            (!shown.is_empty()).then(|| Reference { shown: Arc::from(shown.join(", ")), is_whole });
        Ok((text, reference))
    }

    /// The value of what stands between the braces, and how it may be shown.
    fn value(&self, expression: &str) -> Result<(String, String), ConfigError> {
        if let Some(path) = expression.strip_prefix("file:") {
            let shown = format!("${{file:{path}}}");
            return read(path).map(|text| (text, shown)).map_err(|reason| {
                ConfigError::new(format!("the file {} {reason}", quoted(path)))
                    .help("it is named by a `${file:PATH}` reference")
            });
        }
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        if !is_variable(name) {
            return Err(ConfigError::new("this is no name of an environment variable").help(
                "write `${NAME}`, `${NAME:-default}`, `${file:PATH}`, or `$${` for the characters themselves",
            ));
        }
        if default.is_some_and(|default| default.contains("${")) {
            return Err(ConfigError::new(format!("the default of `${{{name}}}` holds another reference"))
                .help("a default is plain text"));
        }
        let shown = format!("${{{name}}}");
        let found = (self.environment)(name);
        // As in a shell, `:-` also covers a variable that is set to nothing.
        match (found, default) {
            (Some(value), None) => Ok((value, shown)),
            (Some(value), Some(_)) if !value.is_empty() => Ok((value, shown)),
            (_, Some(default)) => Ok((default.to_owned(), shown)),
            (None, None) => Err(ConfigError::new(format!("the environment variable `{name}` is not set"))
                .help(format!("set it, or give a default: `${{{name}:-default}}`"))),
        }
    }
}

fn is_variable(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() <= 256
        && characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn read(path: &str) -> Result<String, String> {
    let unreadable = |err: std::io::Error| format!("cannot be read: {err}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_REFERENCED_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_REFERENCED_FILE {
        return Err(format!("is larger than {} MiB", MAX_REFERENCED_FILE >> 20));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
