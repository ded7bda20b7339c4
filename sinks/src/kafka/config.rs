//! Settings of the `kafka` sink.

use std::collections::BTreeMap;

use pump_core::config::{HostPort, Secret, TlsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the `kafka` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Some of the cluster's brokers; the others are learned from them.
    #[schemars(length(min = 1))]
    pub brokers: Vec<HostPort>,
    /// The topic; a template, such as `tyk-{kind}`.
    #[schemars(length(min = 1))]
    pub topic: String,
    /// The field whose value is a message's key, so that equal values share a partition and keep their order;
    /// `none` spreads messages evenly.
    #[serde(default = "api_id")]
    #[schemars(length(min = 1))]
    pub key: String,
    /// Further headers of each message, the same for all.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How records become messages.
    #[serde(default)]
    pub encoding: KafkaEncoding,
    /// How messages are compressed, many together.
    #[serde(default)]
    pub compression: KafkaCompression,
    /// Who we are to the cluster.
    #[serde(default)]
    pub sasl: Option<SaslConfig>,
    /// Encrypts connections when it is there, be it empty (`{}`): how the brokers are known, and our certificate.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Properties of librdkafka's by their names, such as `linger.ms: "50"`; their values are never shown.
    #[serde(default)]
    pub properties: BTreeMap<String, Secret>,
}

/// How records become messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KafkaEncoding {
    /// A JSON object, as `format` says.
    #[default]
    Json,
    /// The bytes as they came: msgpack or protobuf from a gateway. Not with `omit`, `redact` and `add`.
    Wire,
}

/// How messages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KafkaCompression {
    /// With Zstandard.
    #[default]
    Zstd,
    /// With LZ4.
    Lz4,
    /// With Snappy.
    Snappy,
    /// With gzip.
    Gzip,
    /// Not at all.
    None,
}

/// Who we are to the cluster: a user's name and password, and how they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SaslConfig {
    /// How the password is shown to the brokers; with `PLAIN` they, and without `tls` everybody on the way, see it.
    pub mechanism: SaslMechanism,
    /// The user.
    #[schemars(length(min = 1))]
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// How a password is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// As it is.
    #[serde(rename = "PLAIN")]
    Plain,
    /// By proof that we have it.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// By proof that we have it, with the longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl KafkaCompression {
    /// As librdkafka names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }
}

impl SaslMechanism {
    /// As Kafka names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

fn api_id() -> String {
    "api_id".to_owned()
}
