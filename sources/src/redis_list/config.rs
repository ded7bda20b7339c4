//! Settings of the `redis_list` source. All but where the Redis is have defaults that fit a Tyk Gateway.

use pump_core::config::{ByteSize, ConfigDuration, with_redis_keys};
use pump_core::record::Codec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

with_redis_keys! {
    /// Settings of the `redis_list` source.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct RedisListConfig {
        /// What the gateway puts before the names of its keys.
        #[serde(default = "analytics")]
        pub key_prefix: String,
        /// The lists to read, without the prefix; without this key all that a gateway writes.
        #[serde(default)]
        #[schemars(length(min = 1))]
        pub keys: Option<Vec<String>>,
        /// How records are written in the lists; without this key what each list's name says.
        #[serde(default)]
        pub codec: Option<Codec>,
        /// How long a segment belongs to a replica that says nothing.
        #[serde(default = "half_a_minute")]
        pub lease: ConfigDuration,
        /// How long records gather in a list before it is taken.
        #[serde(default = "a_fifth_of_a_second")]
        pub seal_interval: ConfigDuration,
        /// How large one reply of the server may be.
        #[serde(default = "eight_mib")]
        pub max_reply: ByteSize,
        /// What to do when the server's memory fills.
        #[serde(default = "warn")]
        pub on_memory: OnMemory,
        /// What to do when the server may evict any key, which loses records.
        #[serde(default = "refuse")]
        pub eviction: Eviction,
    }
}

/// What to do when the server's memory fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMemory {
    /// Go on taking lists, so that nothing expires, and say loudly that Redis fills.
    Warn,
    /// Leave lists to the gateway's expiry; what expires is counted as lost.
    ReturnToTtl,
}

/// What to do when the server has an eviction policy `allkeys-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Eviction {
    /// Do not start.
    Refuse,
    /// Start, and warn: records may vanish.
    Accept,
}

fn analytics() -> String {
    "analytics-".to_owned()
}

fn half_a_minute() -> ConfigDuration {
    ConfigDuration::secs(30)
}

fn a_fifth_of_a_second() -> ConfigDuration {
    ConfigDuration::millis(200)
}

fn eight_mib() -> ByteSize {
    ByteSize::mib(8)
}

fn warn() -> OnMemory {
    OnMemory::Warn
}

fn refuse() -> Eviction {
    Eviction::Refuse
}
