//! Settings of the `s3` sink.

use std::collections::BTreeMap;

use pump_core::config::{ConfigDuration, HttpUrl, Secret, TlsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the `s3` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket; it is there already.
    #[schemars(length(min = 1))]
    pub bucket: String,
    /// What keys begin with; a template, such as `tyk/%Y/%m/%d/{api_id}/`.
    #[serde(default = "hourly")]
    pub prefix: String,
    /// The bucket's region; without this key what the environment says.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub region: Option<String>,
    /// Where the store is, if it is not Amazon's.
    #[serde(default)]
    pub endpoint: Option<HttpUrl>,
    /// Whether the bucket stands in the path and not before the host; most stores of one's own want it.
    #[serde(default)]
    pub path_style: bool,
    /// How records become an object.
    #[serde(default)]
    pub encoding: Encoding,
    /// How objects are compressed; with `encoding: parquet` the columns in them, by `zstd` or `none`.
    #[serde(default)]
    pub compression: Compression,
    /// Until when objects can be neither deleted nor overwritten; the bucket has Object Lock.
    #[serde(default)]
    pub object_lock: Option<ObjectLock>,
    /// How the store encrypts objects; without this key as the bucket says.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// The storage class, such as `STANDARD_IA`; without this key the bucket's.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub storage_class: Option<String>,
    /// Tags of each object.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Who we are to the store; without this key and the next what the environment says.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub access_key_id: Option<String>,
    /// The secret of that key.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// Whom we take for the store: `ca_file`. It asks for no certificate of ours.
    #[serde(default)]
    pub tls: TlsConfig,
}

/// How records become an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// Apache Parquet: a row for each record, a column for each field; transactions only.
    Parquet,
}

/// How objects are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// With gzip.
    Gzip,
    /// With Zstandard.
    #[default]
    Zstd,
}

/// Until when objects can be neither deleted nor overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    /// Who may lift it before its time.
    pub mode: LockMode,
    /// How long, from the upload on, such as `90d`.
    pub retain: ConfigDuration,
}

/// Who may lift a lock before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Nobody.
    Compliance,
    /// Who has a right of its own for it.
    Governance,
}

/// How the store encrypts objects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// Whose key: the store's, or one of its key service.
    pub algorithm: Algorithm,
    /// Which key of the key service; without this key the account's own for S3.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub key_id: Option<String>,
}

/// Whose key objects are encrypted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// The store's.
    #[serde(rename = "sse-s3")]
    Store,
    /// One of the key service.
    #[serde(rename = "aws:kms")]
    KeyService,
}

fn hourly() -> String {
    "%Y/%m/%d/%H/".to_owned()
}
