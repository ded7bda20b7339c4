//! Settings of the `file` sink.

use pump_core::config::{ByteSize, ConfigDuration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;

/// Settings of the `file` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Where records are written; a template, such as `/logs/%Y/%m/%d/{api_id}.ndjson`.
    #[schemars(length(min = 1))]
    pub path: String,
    /// How records are written.
    #[serde(default)]
    pub encoding: Encoding,
    /// How files are compressed; each delivery is a gzip member or zstd frame of its own.
    #[serde(default = "uncompressed")]
    pub compression: Compression,
    /// When a file is finished and the next one begun.
    #[serde(default)]
    pub rotate: Rotation,
}

/// How files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// With gzip.
    Gzip,
    /// With Zstandard.
    Zstd,
}

/// When a file is finished and the next one begun: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// When it has this size on disk.
    pub max_size: ByteSize,
    /// This long after it was begun.
    pub max_age: ConfigDuration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_size: ByteSize::mib(256), max_age: ConfigDuration::secs(3600) }
    }
}

fn uncompressed() -> Compression {
    Compression::None
}
