//! The JSON Schema of the whole pipeline file, for editors. It is put together from the schemas of
//! the same types that read the file.

use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::catalog::{Catalog, PluginType};
use super::duration::ConfigDuration;
use super::schema::schema_of;
use super::sections::{
    AdminConfig, DeadLetterDirectory, DeadLetterRedisList, DiskLogConfig, MemoryLogConfig, RecordIdConfig,
    TelemetryConfig,
};
use super::sink_keys::SinkKeys;

/// The schema of a file for these plugins. Where a value has a type, a text with a reference in it is right
/// too: an editor cannot know what it stands for.
pub fn pipeline_schema(catalog: &Catalog) -> Schema {
    let mut definitions = Definitions::default();
    let sources = definitions.plugins("source", catalog.sources(), None);
    let engine_keys = definitions.of::<SinkKeys>("sink_keys");
    let sinks = definitions.plugins("sink", catalog.sinks(), Some(&engine_keys));
    let [memory, disk] =
        [definitions.of::<MemoryLogConfig>("log.memory"), definitions.of::<DiskLogConfig>("log.disk")];
    let directory = definitions.of::<DeadLetterDirectory>("dead_letters.directory");
    let redis_list = definitions.of::<DeadLetterRedisList>("dead_letters.redis_list");
    let sections = [
        ("log.memory", with_type(memory, "memory", false)),
        ("log.disk", with_type(disk, "disk", true)),
        ("dead_letters.directory", with_type(directory, "directory", false)),
        ("dead_letters.redis_list", with_type(redis_list, "redis_list", true)),
    ];
    for (name, schema) in sections {
        definitions.add(name.to_owned(), schema);
    }
    definitions.add(REFERENCE.to_owned(), json!({ "type": "string", "pattern": ONE_REFERENCE }));
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pump pipeline file",
        "type": "object",
        "properties": {
            "sources": named("Where records come from.", sources),
            "sinks": named("Where batches go.", sinks),
            "log": {
                "description": "What lies between sources and sinks.",
                "if": { "properties": { "type": { "const": "disk" } }, "required": ["type"] },
                "then": reference("log.disk"),
                "else": reference("log.memory"),
            },
            "dead_letters": {
                "description": "Where records go that were given up.",
                "if": { "properties": { "type": { "const": "redis_list" } }, "required": ["type"] },
                "then": reference("dead_letters.redis_list"),
                "else": reference("dead_letters.directory"),
            },
            "admin": definitions.of::<AdminConfig>("admin"),
            "shutdown_timeout": definitions.of::<ConfigDuration>("shutdown_timeout"),
            "telemetry": definitions.of::<TelemetryConfig>("telemetry"),
            "record_id": definitions.of::<RecordIdConfig>("record_id"),
        },
        "additionalProperties": false,
        "$defs": definitions.0,
    });
    allow_references(&mut schema);
    Schema::try_from(schema).unwrap_or_default()
}

/// Where the schema of a text with a reference is.
const REFERENCE: &str = "reference";
/// `${NAME}`, `${NAME:-default}` or `${file:PATH}`, anywhere in a text.
const ONE_REFERENCE: &str = r"\$\{(file:[^}]+|[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?)\}";

/// The definitions of all types. Each type's own ones get its name before theirs, since two plugins
/// may both have a `Compression`.
#[derive(Default)]
struct Definitions(Map<String, Value>);

impl Definitions {
    fn add(&mut self, name: String, schema: Value) {
        self.0.insert(name, schema);
    }

    fn of<T: JsonSchema>(&mut self, prefix: &str) -> Value {
        self.take(schema_of::<T>(), prefix)
    }

    /// The schema without its definitions, which come to the others.
    fn take(&mut self, schema: Schema, prefix: &str) -> Value {
        let mut schema = schema.to_value();
        rename(&mut schema, prefix);
        if let Some(object) = schema.as_object_mut() {
            object.remove("$schema");
            object.remove("title");
            if let Some(Value::Object(own)) = object.remove("$defs") {
                for (name, definition) in own {
                    self.add(format!("{prefix}.{name}"), definition);
                }
            }
        }
        schema
    }

    /// One definition a plugin; gives the schema that chooses among them by `type`.
    fn plugins(&mut self, what: &str, plugins: &[PluginType], engine_keys: Option<&Value>) -> Value {
        let mut branches = Vec::new();
        for plugin in plugins {
            let name = format!("{what}.{}", plugin.name());
            let mut schema = with_type(self.take(plugin.schema(), &name), plugin.name(), true);
            let engine = engine_keys.and_then(|keys| keys["properties"].as_object());
            if let Some(properties) = schema["properties"].as_object_mut() {
                properties
                    .extend(engine.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
            }
            self.add(name.clone(), schema);
            branches.push(json!({
                "if": { "properties": { "type": { "const": plugin.name() } }, "required": ["type"] },
                "then": reference(&name),
            }));
        }
        let names: Vec<_> = plugins.iter().map(PluginType::name).collect();
        let mut schema = json!({
            "type": "object",
            "properties": { "type": { "enum": names } },
            "required": ["type"],
        });
        // An empty `allOf` is not allowed.
        if !branches.is_empty() {
            schema["allOf"] = Value::Array(branches);
        }
        schema
    }
}

fn named(description: &str, entries: Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "propertyNames": { "pattern": "^[a-z0-9_-]{1,64}$" },
        "additionalProperties": entries,
    })
}

/// The schema with a key `type` that has one value.
fn with_type(mut schema: Value, name: &str, is_required: bool) -> Value {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]["type"] = json!({ "const": name });
    if is_required {
        match schema["required"].as_array_mut() {
            Some(required) => required.push("type".into()),
            None => schema["required"] = json!(["type"]),
        }
    }
    schema["additionalProperties"] = json!(false);
    schema
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Every place for one value takes a text with a reference, too.
fn allow_references(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    for (keyword, below) in object.iter_mut() {
        match (keyword.as_str(), below) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(allow_references);
            }
            ("$defs", Value::Object(definitions)) => {
                let others = definitions.iter_mut().filter(|(name, _)| *name != REFERENCE);
                others.for_each(|(_, definition)| allow_references(definition));
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(allow_references);
            }
            ("items" | "additionalProperties" | "then" | "else", below) => allow_references(below),
            _ => {}
        }
    }
    if !is_for_one_value(object) {
        return;
    }
    let mut outer = Map::new();
    for keyword in ["description", "default", "writeOnly"] {
        outer.extend(object.remove_entry(keyword));
    }
    let own = Value::Object(std::mem::take(object));
    outer.insert("anyOf".to_owned(), json!([own, reference(REFERENCE)]));
    *object = outer;
}

/// Whether something is asked of a text, a number or a choice of them. A text of which nothing is asked takes
/// references as it is, and `$ref` leads to where they are taken.
fn is_for_one_value(schema: &Map<String, Value>) -> bool {
    let is_scalar = |name: &Value| ["string", "integer", "number", "boolean"].iter().any(|one| name == one);
    let has_scalar = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().any(is_scalar),
        Some(name) => is_scalar(name),
        None => false,
    };
    let is_any_text = schema.get("type").is_some_and(|name| name == "string")
        && !["pattern", "enum", "const", "minLength"].iter().any(|keyword| schema.contains_key(*keyword));
    let is_choice = ["enum", "const", "oneOf", "anyOf"].iter().any(|keyword| schema.contains_key(*keyword));
    (has_scalar && !is_any_text) || is_choice
}

fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{prefix}.{name}");
                        }
                    }
                    other => rename(other, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, prefix)),
        _ => {}
    }
}
