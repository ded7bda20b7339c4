//! Reads the merged sections into a [`Pipeline`], and checks what holds between them.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::catalog::{Catalog, PluginType, Shelf};
use super::check::{Findings, not_in_this_release};
use super::error::{ConfigError, below, listed, quoted};
use super::hash::hash;
use super::merge::{Merged, Named};
use super::nearest::nearest;
use super::node::{Entry, Mapping, Node, Value};
use super::pipeline::{DEFAULT_SHUTDOWN_TIMEOUT, OWN_SOURCE, Pipeline, PluginKeys, SinkEntry, SourceEntry};
use super::read::read_into;
use super::schema::{View, schema_of};
use super::sections::{DeadLetterConfig, DeadLetterRedisList, DiskLogConfig, LogConfig};
use super::sink_keys::SinkKeys;
use super::sink_rules;

/// `None` when something is wrong; what, stands in the findings. With `is_incomplete` nothing is
/// said of what is missing.
pub(super) fn assemble(
    merged: &Merged,
    catalog: &Catalog,
    is_incomplete: bool,
    findings: &mut Findings,
) -> Option<Pipeline> {
    let mut reader = Reader { merged, findings };
    let sources = reader.sources(catalog.source_shelf());
    let sinks = reader.sinks(catalog.sink_shelf());
    let log = reader.log();
    let dead_letters = reader.dead_letters();
    let admin = reader.section("admin");
    let telemetry = reader.section("telemetry");
    let shutdown_timeout = reader.optional("shutdown_timeout").unwrap_or(Some(DEFAULT_SHUTDOWN_TIMEOUT));
    let record_id = match reader.optional("record_id") {
        Some(read) => read.map(Some),
        None => Some(None),
    };
    if !is_incomplete {
        reader.refuse_empty(&merged.sources, "source");
        reader.refuse_empty(&merged.sinks, "sink");
    }
    let sinks_are_known = !is_incomplete && !merged.sinks.is_incomplete && sinks.iter().all(Option::is_some);
    let sources_are_known = !is_incomplete && !merged.sources.is_incomplete;
    let sinks: Vec<ReadSink> = sinks.into_iter().flatten().collect();
    if sources_are_known {
        sink_rules::refuse_unknown_sources(&merged.sources, &sinks, findings);
        if sinks_are_known && !sinks.is_empty() {
            sink_rules::refuse_unwanted_sources(&merged.sources, &sinks, findings);
        }
    }
    Some(Pipeline {
        sources: sources.into_iter().collect::<Option<_>>()?,
        sinks: sinks.into_iter().map(|sink| sink.entry).collect(),
        log: log?,
        dead_letters: dead_letters?,
        admin: admin?,
        shutdown_timeout: shutdown_timeout?,
        telemetry: telemetry?,
        record_id: record_id?,
        hash: hash(merged.values(), &findings.disclosure),
    })
}

struct Reader<'m, 'f> {
    merged: &'m Merged,
    findings: &'f mut Findings,
}

/// A sink, and its engine's keys as they stand in the file.
pub(super) struct ReadSink {
    pub(super) entry: SinkEntry,
    pub(super) written: Mapping,
}

impl Reader<'_, '_> {
    /// `None` for each that is wrong.
    fn sources(&mut self, shelf: &Shelf) -> Vec<Option<SourceEntry>> {
        self.merged.sources.entries.iter().map(|entry| self.source(entry, shelf)).collect()
    }

    fn source(&mut self, entry: &Entry, shelf: &Shelf) -> Option<SourceEntry> {
        let path = below("sources", &entry.key);
        self.check_name(entry, &path);
        if entry.key == OWN_SOURCE {
            let error = ConfigError::new(format!("the source name `{OWN_SOURCE}` is reserved"));
            self.findings.push(
                error
                    .at(&entry.location)
                    .on(&path)
                    .help("it stands for the pump's own news in a sink's `sources`: choose another name"),
            );
        }
        let mapping = self.mapping(entry, &path)?;
        let (_, own) = split(mapping, &[]);
        let plugin = self.plugin_type(entry, mapping, shelf, "source", &path)?;
        let node = Node::new(Value::Mapping(own), entry.value.location.clone());
        (plugin.check)(&node, &path, &["type"], self.findings);
        Some(SourceEntry {
            name: entry.key.clone(),
            location: entry.location.clone(),
            type_name: plugin.name().to_owned(),
            plugin: PluginKeys { node, path },
        })
    }

    /// `None` for each whose engine's keys are wrong.
    fn sinks(&mut self, shelf: &Shelf) -> Vec<Option<ReadSink>> {
        let schema = schema_of::<SinkKeys>();
        let engine_keys: Vec<&str> =
            View::root(schema.as_value()).properties().map(|(name, _)| name).collect();
        self.merged.sinks.entries.iter().map(|entry| self.sink(entry, shelf, &engine_keys)).collect()
    }

    fn sink(&mut self, entry: &Entry, shelf: &Shelf, engine_keys: &[&str]) -> Option<ReadSink> {
        let path = below("sinks", &entry.key);
        self.check_name(entry, &path);
        let mapping = self.mapping(entry, &path)?;
        let (engine, own) = split(mapping, engine_keys);
        let engine = Node::new(Value::Mapping(engine), entry.value.location.clone());
        let node = Node::new(Value::Mapping(own), entry.value.location.clone());
        let keys: Option<SinkKeys> = read_into(&engine, &path, &[], self.findings);
        let plugin = self.plugin_type(entry, mapping, shelf, "sink", &path);
        if let Some(plugin) = plugin {
            let beside: Vec<&str> = engine_keys.iter().copied().chain(["type"]).collect();
            (plugin.check)(&node, &path, &beside, self.findings);
        }
        let keys = keys?;
        let written = engine.as_mapping().cloned().unwrap_or_default();
        sink_rules::check(&keys, &written, &path, self.findings);
        let sources = match &keys.sources {
            Some(named) => named.clone(),
            None => self.merged.sources.entries.iter().map(|source| source.key.clone()).collect(),
        };
        Some(ReadSink {
            entry: SinkEntry {
                name: entry.key.clone(),
                location: entry.location.clone(),
                // A type that is not known was reported, so nobody reads this name.
                type_name: plugin.map(|plugin| plugin.name().to_owned()).unwrap_or_default(),
                keys,
                sources,
                plugin: PluginKeys { node, path },
            },
            written,
        })
    }

    fn mapping<'e>(&mut self, entry: &'e Entry, path: &str) -> Option<&'e Mapping> {
        let mapping = entry.value.as_mapping();
        if mapping.is_none() && entry.value.is_resolved() {
            let message = format!("expected a mapping, found {}", entry.value.kind());
            self.findings.push(
                ConfigError::new(message)
                    .at(&entry.value.location)
                    .on(path)
                    .help("it needs at least the key `type`"),
            );
        }
        // These are keys, whoever knows them.
        mapping.into_iter().flat_map(|mapping| &mapping.entries).for_each(|key| self.findings.show_key(key));
        mapping
    }

    fn plugin_type<'c>(
        &mut self,
        entry: &Entry,
        mapping: &Mapping,
        shelf: &'c Shelf,
        what: &str,
        path: &str,
    ) -> Option<&'c PluginType> {
        let there_is = || format!("there is {}", listed(shelf.names()));
        let Some(written) = mapping.get("type") else {
            let error = ConfigError::new("the key `type` is missing").at(&entry.value.location).on(path);
            self.findings.push(error.help(there_is()));
            return None;
        };
        let (node, path) = (&written.value, below(path, "type"));
        let Some(name) = node.as_str() else {
            if node.is_resolved() {
                let message = format!("expected the name of a {what} type, found {}", node.kind());
                // YAML reads null as nothing, and an empty `type:` must not become a sink that forgets.
                let help = match (&node.value, shelf.get("null")) {
                    (Value::Null, Some(_)) => format!("{}; `null` is written `type: \"null\"`", there_is()),
                    _ => there_is(),
                };
                self.findings.push(ConfigError::new(message).at(&node.location).on(path).help(help));
            }
            return None;
        };
        self.findings.disclosure.public.insert(node.location.clone());
        if let Some(plugin) = shelf.get(name) {
            return Some(plugin);
        }
        let error = match &node.reference {
            Some(reference) => ConfigError::new(format!("unknown {what} type (from {})", reference.shown)),
            None if shelf.later.contains(&name) => {
                self.findings.push(not_in_this_release(name).at(&node.location).on(path).help(there_is()));
                return None;
            }
            None => ConfigError::new(format!("unknown {what} type {}", quoted(name))),
        };
        let meant = nearest(name, shelf.names()).filter(|_| node.reference.is_none());
        let help = meant.map_or_else(there_is, |meant| format!("did you mean `{meant}`?"));
        self.findings.push(error.at(&node.location).on(path).help(help));
        None
    }

    fn check_name(&mut self, entry: &Entry, path: &str) {
        let name = &entry.key;
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
            self.findings.push(
                ConfigError::new(format!("{} is no name", quoted(name)))
                    .at(&entry.location)
                    .on(path)
                    .help("a name has 1 to 64 characters of a-z, 0-9, `_` and `-`"),
            );
        }
    }

    fn log(&mut self) -> Option<LogConfig> {
        let Some(entry) = self.merged.section("log") else { return Some(LogConfig::default()) };
        let (kind, keys) = self.typed_section(entry, LogConfig::TYPES)?;
        match kind {
            "disk" => {
                let log: DiskLogConfig = read_into(&keys, "log", &["type"], self.findings)?;
                if log.max_size < DiskLogConfig::LEAST_SIZE {
                    let least = DiskLogConfig::LEAST_SIZE;
                    let keys = PluginKeys { node: keys, path: "log".to_owned() };
                    let message = format!("a log on disk needs {least} at least");
                    self.findings.push(keys.error("max_size", message));
                    return None;
                }
                Some(LogConfig::Disk(log))
            }
            _ => {
                let keys = self.without_keys_of_disk_log(keys);
                read_into(&keys, "log", &["type"], self.findings).map(LogConfig::Memory)
            }
        }
    }

    /// Who gives a folder to a log in memory believes that it is safe there.
    fn without_keys_of_disk_log(&mut self, keys: Node) -> Node {
        let Value::Mapping(mapping) = keys.value else { return keys };
        let (disk, other) = mapping
            .entries
            .into_iter()
            .partition(|entry| ["path", "retain", "ephemeral"].contains(&&*entry.key));
        let disk: Vec<Entry> = disk;
        for entry in disk {
            self.findings.show_key(&entry);
            let error = ConfigError::new(format!("{} belongs to a log on disk", quoted(&entry.key)));
            let error = error.at(&entry.location).on(below("log", &entry.key));
            self.findings.push(error.help("this one is in memory: write `type: disk`, or remove the key"));
        }
        Node { value: Value::Mapping(Mapping { entries: other }), ..keys }
    }

    fn dead_letters(&mut self) -> Option<DeadLetterConfig> {
        let Some(entry) = self.merged.section("dead_letters") else {
            return Some(DeadLetterConfig::default());
        };
        let (kind, keys) = self.typed_section(entry, DeadLetterConfig::TYPES)?;
        match kind {
            "redis_list" => {
                let list: Box<DeadLetterRedisList> =
                    read_into(&keys, "dead_letters", &["type"], self.findings)?;
                if let Some((key, message)) = list.redis().contradiction() {
                    let keys = PluginKeys { node: keys, path: "dead_letters".to_owned() };
                    self.findings.push(keys.error(key, message));
                    return None;
                }
                Some(DeadLetterConfig::RedisList(list))
            }
            _ => read_into(&keys, "dead_letters", &["type"], self.findings).map(DeadLetterConfig::Directory),
        }
    }

    /// Which of these types a section says it is, the first by default, and its other keys.
    fn typed_section<const N: usize>(
        &mut self,
        entry: &Entry,
        types: [&'static str; N],
    ) -> Option<(&'static str, Node)> {
        let mapping = self.mapping_of_section(entry)?;
        let (_, own) = split(mapping, &[]);
        let own = Node::new(Value::Mapping(own), entry.value.location.clone());
        let Some(written) = mapping.get("type") else { return types.first().map(|first| (*first, own)) };
        self.findings.show_key(written);
        let schema = json!({ "type": "string", "enum": types.as_slice() });
        self.findings.check(View::root(&schema), &written.value, &below(&entry.key, "type"), &[]);
        let found = written.value.as_str()?;
        types.into_iter().find(|name| *name == found).map(|name| (name, own))
    }

    fn mapping_of_section<'e>(&mut self, entry: &'e Entry) -> Option<&'e Mapping> {
        let mapping = entry.value.as_mapping();
        if mapping.is_none() && entry.value.is_resolved() {
            let message = format!("expected a mapping, found {}", entry.value.kind());
            let error = ConfigError::new(message).at(&entry.value.location).on(&*entry.key);
            self.findings.push(error.help("give it keys, or remove it"));
        }
        mapping
    }

    /// A section that may be missing, with its defaults.
    fn section<T: DeserializeOwned + JsonSchema + Default>(&mut self, key: &str) -> Option<T> {
        self.optional(key).unwrap_or_else(|| Some(T::default()))
    }

    /// Outer `None`: not in any file. Inner `None`: wrong.
    fn optional<T: DeserializeOwned + JsonSchema>(&mut self, key: &str) -> Option<Option<T>> {
        let entry = self.merged.section(key)?;
        Some(read_into(&entry.value, key, &[], self.findings))
    }

    fn refuse_empty(&mut self, named: &Named, what: &str) {
        if !named.entries.is_empty() || named.is_incomplete {
            return;
        }
        let error = ConfigError::new(format!("there is no {what}"))
            .help(format!("a pipeline has at least one {what}, under `{what}s:`"));
        self.findings.push(match named.location.as_ref().or(self.merged.start.as_ref()) {
            Some(location) => error.at(location),
            None => error,
        });
    }
}

/// Splits a mapping into the engine's keys and the plugin's; `type` is in neither.
fn split(mapping: &Mapping, engine_keys: &[&str]) -> (Mapping, Mapping) {
    let (engine, plugin) = mapping
        .entries
        .iter()
        .filter(|entry| entry.key != "type")
        .cloned()
        .partition(|entry| engine_keys.contains(&entry.key.as_str()));
    (Mapping { entries: engine }, Mapping { entries: plugin })
}
