//! What a pipeline file says once it has been read: typed, complete and sound.

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::duration::ConfigDuration;
use super::error::ConfigError;
use super::hash::ConfigHash;
use super::node::{Location, Node};
use super::read::read_at;
use super::sections::{AdminConfig, DeadLetterConfig, LogConfig, RecordIdConfig, TelemetryConfig};
use super::sink_keys::SinkKeys;

/// A whole pipeline.
#[derive(Clone)]
pub struct Pipeline {
    /// In the order of the files; never empty.
    pub sources: Vec<SourceEntry>,
    /// In the order of the files; never empty.
    pub sinks: Vec<SinkEntry>,
    /// The log between them.
    pub log: LogConfig,
    /// Where records go that were given up.
    pub dead_letters: DeadLetterConfig,
    /// The endpoints.
    pub admin: AdminConfig,
    /// How long a shutdown waits for deliveries in flight.
    pub shutdown_timeout: ConfigDuration,
    /// What the pump says of itself.
    pub telemetry: TelemetryConfig,
    /// How record ids are made; `None`: with a key that everyone can know.
    pub record_id: Option<RecordIdConfig>,
    /// Changes when the configuration does.
    pub hash: ConfigHash,
}

/// The name under which a sink can ask for the pump's own news.
pub const OWN_SOURCE: &str = "pump";

/// How long a shutdown waits when the file does not say.
pub(super) const DEFAULT_SHUTDOWN_TIMEOUT: ConfigDuration = ConfigDuration::secs(25);

/// One source.
#[derive(Debug, Clone)]
pub struct SourceEntry {
    /// Its name in the file.
    pub name: String,
    /// Where the name stands.
    pub location: Location,
    /// Which plugin it is.
    pub type_name: String,
    /// The plugin's own keys; checked already.
    pub plugin: PluginKeys,
}

/// One sink.
#[derive(Clone)]
pub struct SinkEntry {
    /// Its name in the file, which is also its lane's.
    pub name: String,
    /// Where the name stands.
    pub location: Location,
    /// Which plugin it is.
    pub type_name: String,
    /// The engine's keys as they are written.
    pub keys: SinkKeys,
    /// The sources it takes, each of which exists; holds [`OWN_SOURCE`] only where the file names it.
    pub sources: Vec<String>,
    /// The plugin's own keys; checked already.
    pub plugin: PluginKeys,
}

/// Names only: any value may have come from a reference.
impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("sources", &self.sources)
            .field("sinks", &self.sinks)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// Names only, as for [`Pipeline`].
impl fmt::Debug for SinkEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkEntry")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .finish_non_exhaustive()
    }
}

/// The keys of one source or sink that belong to its plugin, and where they stand.
#[derive(Debug, Clone)]
pub struct PluginKeys {
    /// The mapping without `type` and without the engine's keys.
    pub node: Node,
    /// The path of the mapping, such as `sinks.search`.
    pub path: String,
}

impl PluginKeys {
    /// As the plugin's type.
    pub fn read<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Vec<ConfigError>> {
        read_at(&self.node, &self.path)
    }

    /// Gives an error of the plugin's own (from its `plan`) the place of one of its keys, such as
    /// `rotate.max_size`: of the innermost that is written, or of the whole.
    pub fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let (mut node, mut path) = (&self.node, self.path.clone());
        for step in key.split('.') {
            let Some(entry) = node.as_mapping().and_then(|mapping| mapping.get(step)) else { break };
            (node, path) = (&entry.value, super::error::below(&path, step));
        }
        ConfigError::new(message).at(&node.location).on(path)
    }
}
