//! The keys that every sink has. The engine reads them; the plugin never sees them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::byte_size::ByteSize;
use super::duration::{ConfigDuration, MaxAge};
use super::in_flight::MaxInFlight;
use super::rate::Rate;
use crate::edit::RedactConfig;
use crate::filter::FilterConfig;
use crate::record::Kind;

/// The engine's keys of a sink, beside `type`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SinkKeys {
    /// Which sources it takes records from; without this key from all. `pump` is the pump's own news.
    #[schemars(length(min = 1))]
    pub sources: Option<Vec<String>>,
    /// Which kinds of records it takes; without this key all that it can take.
    #[schemars(length(min = 1))]
    pub kinds: Option<Vec<Kind>>,
    /// Which records it takes.
    pub filter: FilterConfig,
    /// Fields that are left out.
    pub omit: Vec<String>,
    /// Values that are made unreadable.
    pub redact: RedactConfig,
    /// Constant fields that are put into each record.
    pub add: BTreeMap<String, String>,
    /// Whether records wait for this sink. `false`: best effort, left behind when the log is full.
    pub required: bool,
    /// When a batch is full; what is not set here, the sink decides.
    pub batch: BatchConfig,
    /// How many batches are on their way at once. 1 keeps the order of the log; `auto` finds out how many make
    /// the destination faster.
    pub max_in_flight: MaxInFlight,
    /// How many records a second it is sent at most.
    pub rate_limit: Option<Rate>,
    /// How long one attempt may take.
    pub timeout: ConfigDuration,
    /// When a batch is tried again.
    pub retry: RetryConfig,
    /// Which fields are written, under which names; what is not set here, the sink decides.
    pub format: Option<Format>,
}

impl Default for SinkKeys {
    fn default() -> Self {
        Self {
            sources: None,
            kinds: None,
            filter: FilterConfig::default(),
            omit: Vec::new(),
            redact: RedactConfig::default(),
            add: BTreeMap::new(),
            required: true,
            batch: BatchConfig::default(),
            max_in_flight: MaxInFlight::Fixed(2),
            rate_limit: None,
            timeout: ConfigDuration::secs(30),
            retry: RetryConfig::default(),
            format: None,
        }
    }
}

/// When a batch is full. What is not set, the sink decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// After that many records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_records: Option<NonZeroU32>,
    /// After that many bytes, as encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<ByteSize>,
    /// That long after its first record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<ConfigDuration>,
}

/// When a batch is tried again. Waits double from the first to the longest, with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// The first wait.
    pub initial: ConfigDuration,
    /// The longest wait.
    pub max: ConfigDuration,
    /// How long a record is tried before it becomes a dead letter.
    pub max_age: MaxAge,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { initial: ConfigDuration::millis(200), max: ConfigDuration::secs(30), max_age: MaxAge::Never }
    }
}

/// Which fields are written, under which names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-later" = ["ecs", "ocsf"]))]
pub enum Format {
    /// What Tyk Pump writes to that destination.
    Tyk,
    /// Every field.
    Full,
}
