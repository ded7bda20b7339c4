//! A plugin's keys as a table: key, type, default, description. It is made from the schema of its
//! configuration type, so that what `pump plugins` and the documents say is what is read.

use std::fmt::Write;

use schemars::Schema;
use serde_json::Value;

use super::schema::View;
use super::text_value;

/// The keys of one configuration type, nested ones with a point: `rotate.max_size`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTable {
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    key: String,
    type_name: String,
    default: String,
    description: String,
}

/// The table of a schema that [`super::schema_of`] or [`super::PluginType::schema`] made.
pub fn key_table(schema: &Schema) -> KeyTable {
    let mut rows = Vec::new();
    let root = View::root(schema.as_value());
    add_rows(root, "", root.keyword("default"), 0, &mut rows);
    KeyTable { rows }
}

impl KeyTable {
    /// For a terminal: a key and its facts on one line, its description below.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for Row { key, type_name, default, description } in &self.rows {
            let facts = if default == REQUIRED || default.is_empty() {
                default.clone()
            } else {
                format!("default {default}")
            };
            let separator = if facts.is_empty() { "" } else { ", " };
            let _ = writeln!(out, "{key}: {type_name}{separator}{facts}\n    {description}");
        }
        if self.rows.is_empty() {
            out.push_str("no keys of its own\n");
        }
        out
    }

    /// For the documents.
    pub fn to_markdown(&self) -> String {
        if self.rows.is_empty() {
            return "It has no keys of its own.\n".to_owned();
        }
        let mut out = String::from("| key | type | default | description |\n|---|---|---|---|\n");
        for Row { key, type_name, default, description } in &self.rows {
            let default = if default == REQUIRED || default.is_empty() {
                default.clone()
            } else {
                format!("`{}`", default.replace('|', "\\|"))
            };
            let (type_name, description) = (type_name.replace('|', "\\|"), description.replace('|', "\\|"));
            let _ = writeln!(out, "| `{key}` | {type_name} | {default} | {description} |");
        }
        out
    }

    /// The names of the keys that are not nested.
    pub fn top_level(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.key.as_str()).filter(|key| !key.contains('.'))
    }
}

const REQUIRED: &str = "required";

/// `defaults` is the default of the whole mapping, which holds those of its keys.
fn add_rows(schema: View<'_>, prefix: &str, defaults: Option<&Value>, depth: usize, rows: &mut Vec<Row>) {
    const DEEPEST: usize = 8;
    let required: Vec<&str> = schema.required().collect();
    for (name, property) in schema.properties() {
        let key = format!("{prefix}{name}");
        let default = defaults.and_then(|all| all.get(name)).or_else(|| property.keyword("default"));
        let is_nested = property.properties().next().is_some() && depth < DEEPEST;
        rows.push(Row {
            type_name: type_name(property),
            default: match default {
                _ if required.contains(&name) => REQUIRED.to_owned(),
                // The keys below say it one by one.
                _ if is_nested => String::new(),
                Some(value) => plain(value),
                None => String::new(),
            },
            description: property.text("description").unwrap_or_default().replace('\n', " "),
            key: key.clone(),
        });
        if is_nested {
            add_rows(property, &format!("{key}."), default, depth + 1, rows);
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Object(entries) if entries.is_empty() => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn type_name(schema: View<'_>) -> String {
    if schema.is_secret() {
        return "secret".to_owned();
    }
    if let Some(choices) = schema.choices() {
        return choices.join(", ");
    }
    match schema.text("format").filter(|format| text_value::form(format).is_some()) {
        Some("byte-size") => return "size".to_owned(),
        Some("pump-duration") => return "duration".to_owned(),
        Some("pump-max-age") => return "`never` or duration".to_owned(),
        Some("pump-in-flight") => return "`auto` or integer".to_owned(),
        Some("redis-url") => return "Redis address".to_owned(),
        Some("host-port") => return "host:port".to_owned(),
        Some("http-url") => return "HTTP address".to_owned(),
        Some("statsd-address") => return "StatsD address".to_owned(),
        Some("statsd-prefix") => return "string".to_owned(),
        Some("listen-address") => return "address".to_owned(),
        Some(other) => return other.to_owned(),
        None => {}
    }
    if schema.is_type("array") {
        let item = schema.items().map_or_else(|| "value".to_owned(), type_name);
        return format!("list of {item}");
    }
    for (name, words) in
        [("string", "string"), ("integer", "integer"), ("boolean", "true, false"), ("number", "number")]
    {
        if schema.is_type(name) {
            return words.to_owned();
        }
    }
    match schema.additional() {
        Some(values) if schema.is_type("object") => format!("map to {}", type_name(values)),
        _ => "mapping".to_owned(),
    }
}
