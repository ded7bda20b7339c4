//! Settings of the `webhook` sink.

use std::collections::BTreeMap;

use pump_core::config::{AuthConfig, HttpCompression, Secret, TlsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the `webhook` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where requests are posted, such as `https://collector.example/v1/records`. Never shown: many hold a token.
    pub url: Secret,
    /// Whether `url` may begin with `http://`: then everybody on the way can read and change what is sent.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// Further headers of each request, such as a key that the receiver asks for; their values are never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How records become requests.
    #[serde(default)]
    pub encoding: WebhookEncoding,
    /// JSON around what is sent: around the array, as `{"records":"{records}"}`, or with `single` around
    /// the record, as `{"text":"{method} {path}"}`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub body: Option<String>,
    /// JSON around each record of an array or a line, such as `{"id":"{id}","record":"{record}"}`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub record: Option<String>,
    /// How the receiver knows that a request is ours and whole.
    #[serde(default)]
    pub signature: Option<SignatureConfig>,
    /// Who we are to the receiver: `basic` or `bearer`.
    #[serde(default)]
    pub auth: Option<AuthConfig>,
    /// How the receiver is known, and our certificate; public authorities are trusted without it.
    #[serde(default)]
    pub tls: TlsConfig,
    /// How requests are compressed.
    #[serde(default)]
    pub compression: HttpCompression,
}

/// How records become requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookEncoding {
    /// A request is a JSON array of records.
    #[default]
    Json,
    /// A request has a line of JSON for each record.
    Ndjson,
    /// A request is one record; several are under way at once.
    Single,
}

/// HMAC-SHA-256 over the time and the body of each request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureConfig {
    /// The key; the receiver has it too.
    pub secret: Secret,
    /// The header that has the signature.
    #[serde(default = "header")]
    pub header: String,
}

fn header() -> String {
    "Pump-Signature".to_owned()
}
