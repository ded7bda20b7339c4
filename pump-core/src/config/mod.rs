//! The pipeline file: from its text to typed values, strictly, and to errors a person can act on.
//!
//! The way of a file: the text is made into a positioned tree, references are replaced in it, files
//! are laid together, each section is checked against the schema of its type (which finds everything
//! that is wrong) and then read by serde (which has the last word). [`load`] does all of it.
//!
//! What a reference brought in and what a schema calls secret never appears in an error.

mod address;
mod assemble;
mod byte_size;
mod catalog;
mod changes;
mod check;
mod connection;
mod deserialize;
mod document;
mod duration;
mod error;
mod hash;
mod http_url;
mod in_flight;
mod load;
mod merge;
mod nearest;
mod node;
mod pipeline;
mod pipeline_schema;
mod rate;
mod read;
mod redis_server;
mod redis_url;
mod reference;
mod scalar;
mod schema;
mod secret;
mod sections;
mod sink_keys;
mod sink_rules;
mod snippet;
mod statsd;
mod text_value;
mod tls;
mod yaml;

#[cfg(test)]
mod tests;

pub use crate::with_redis_keys;
pub use address::{HostPort, ListenAddress};
pub use byte_size::ByteSize;
pub use catalog::{Catalog, PluginType};
pub use connection::{Auth, AuthConfig, BasicAuth, HttpCompression};
pub use document::{KeyTable, key_table};
pub use duration::{ConfigDuration, MaxAge};
pub use error::{ConfigError, ConfigErrors};
pub use hash::ConfigHash;
pub use http_url::HttpUrl;
pub use in_flight::MaxInFlight;
pub use load::{load, load_text, pipeline_files};
pub use nearest::nearest;
pub use node::{Entry, Location, Mapping, Node, Reference, Value};
pub use pipeline::{OWN_SOURCE, Pipeline, PluginKeys, SinkEntry, SourceEntry};
pub use pipeline_schema::pipeline_schema;
pub use rate::Rate;
pub use read::{read, read_at};
pub use redis_server::{RedisMode, RedisServer};
pub use redis_url::RedisUrl;
pub use reference::Environment;
pub use schema::schema_of;
pub use secret::Secret;
pub use sections::{
    AdminConfig, DeadLetterConfig, DeadLetterDirectory, DeadLetterRedisList, DiskLogConfig, LogConfig,
    LogFormat, LogLevel, LogLines, MemoryLogConfig, RecordIdConfig, StatsdTelemetry, TelemetryConfig,
};
pub use sink_keys::{BatchConfig, Format, RetryConfig, SinkKeys};
#[cfg(any(test, feature = "testing"))]
pub(crate) use snippet::lines as lines_of;
pub use statsd::{StatsdAddress, StatsdPrefix, StatsdTags};
pub use text_value::TextError;
pub use tls::TlsConfig;
pub use yaml::{MAX_FILE_SIZE, MAX_NESTING};

/// The tree of a text, for tests that look for something in it; `None` when it is no YAML.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn tree_of(text: &str) -> Option<Node> {
    yaml::parse(text, &std::sync::Arc::from("pipeline.yaml")).root
}
