//! The sections of a pipeline file beside sources and sinks. Each is optional, and so is each key.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::address::ListenAddress;
use super::byte_size::ByteSize;
use super::duration::ConfigDuration;
use super::secret::Secret;
use super::statsd::{StatsdAddress, StatsdPrefix, StatsdTags};
use crate::log::disk::Compression;

/// The log between sources and sinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogConfig {
    /// In memory: the source keeps what is not yet delivered.
    Memory(MemoryLogConfig),
    /// On disk: what is in it is safe, so a dead sink does not stop the others.
    Disk(DiskLogConfig),
}

impl LogConfig {
    /// The names that `type` may have.
    pub const TYPES: [&'static str; 2] = ["memory", "disk"];

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        let [memory, disk] = Self::TYPES;
        match self {
            Self::Memory(_) => memory,
            Self::Disk(_) => disk,
        }
    }

    /// How large it may become.
    pub fn max_size(&self) -> ByteSize {
        match self {
            Self::Memory(log) => log.max_size,
            Self::Disk(log) => log.max_size,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::Memory(MemoryLogConfig::default())
    }
}

/// A log in memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryLogConfig {
    /// How large it may become. A full log stops the intake of the sources.
    pub max_size: ByteSize,
}

impl Default for MemoryLogConfig {
    fn default() -> Self {
        Self { max_size: ByteSize::mib(32) }
    }
}

/// A log on disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskLogConfig {
    /// Its folder; made when it is missing. One pump to a folder.
    #[schemars(length(min = 1))]
    pub path: String,
    /// How large it may become, to within one segment. A full log stops the intake of the sources.
    #[serde(default = "one_gib")]
    pub max_size: ByteSize,
    /// How long after they were received records are kept for replay, though every sink has passed them; they
    /// go first when the log is full.
    #[serde(default = "no_time")]
    pub retain: ConfigDuration,
    /// How it keeps records. `zstd` takes less disk and more CPU.
    #[serde(default = "uncompressed")]
    pub compression: Compression,
    /// Whether the folder may lie in memory (tmpfs), where everything is lost when the machine stops.
    #[serde(default)]
    pub ephemeral: bool,
}

fn uncompressed() -> Compression {
    Compression::None
}

impl DiskLogConfig {
    /// What it has at least: below that a segment is too small to be worth a file.
    pub const LEAST_SIZE: ByteSize = ByteSize::mib(64);
}

/// Where records go that were given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterConfig {
    /// Files in a directory.
    Directory(DeadLetterDirectory),
    /// A list in Redis.
    RedisList(Box<DeadLetterRedisList>),
}

impl DeadLetterConfig {
    /// The names that `type` may have.
    pub const TYPES: [&'static str; 2] = ["directory", "redis_list"];
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        Self::Directory(DeadLetterDirectory::default())
    }
}

/// Dead letters in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterDirectory {
    /// The directory; made when it is missing.
    #[schemars(length(min = 1))]
    pub path: String,
    /// How large all of them together may become. When it is full the lanes wait.
    pub max_size: ByteSize,
}

impl Default for DeadLetterDirectory {
    fn default() -> Self {
        Self { path: "./dead-letters".to_owned(), max_size: ByteSize::gib(1) }
    }
}

crate::with_redis_keys! {
    /// Dead letters in a Redis list.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct DeadLetterRedisList {
        /// The key of the list.
        #[schemars(length(min = 1))]
        pub key: String,
        /// How large the list may become, in the bytes of its records. When it is full the lanes wait.
        #[serde(default = "one_gib")]
        pub max_size: ByteSize,
    }
}

fn one_gib() -> ByteSize {
    ByteSize::gib(1)
}

fn no_time() -> ConfigDuration {
    ConfigDuration::secs(0)
}

/// The endpoints for probes, metrics and status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-later" = ["token"]))]
pub struct AdminConfig {
    /// The address on which they are served.
    pub listen: ListenAddress,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: ListenAddress(([127, 0, 0, 1], 8083).into()) }
    }
}

/// What the pump says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// The pump's own log lines.
    pub log: LogLines,
    /// A StatsD daemon that gets the pump's own metrics; without this key none does.
    pub statsd: Option<StatsdTelemetry>,
}

/// A StatsD daemon that gets the pump's own metrics.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsdTelemetry {
    /// Where the daemon listens: `host:port` or `udp://host:port`, `tcp://host:port`, `unix:///path`.
    pub address: StatsdAddress,
    /// What every name begins with; a dot follows it.
    #[serde(default = "pump")]
    pub prefix: StatsdPrefix,
    /// Where labels stand.
    #[serde(default)]
    pub tags: StatsdTags,
}

fn pump() -> StatsdPrefix {
    "pump".parse().expect("it is made of letters")
}

/// The pump's own log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogLines {
    /// The least serious level that is written.
    pub level: LogLevel,
    /// How lines are written.
    pub format: LogFormat,
}

impl Default for LogLines {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Json }
    }
}

/// How serious a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// A person is needed.
    Error,
    /// Trouble that was handled.
    Warn,
    /// Start, stop and reload.
    Info,
    /// Each batch.
    Debug,
    /// Each record.
    Trace,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// How record ids are made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordIdConfig {
    /// The key of the hash that makes ids: the same on every replica, and never changed, since a
    /// record that is sent again must keep its id. With it nobody can choose bodies that meet.
    pub key: Secret,
}
