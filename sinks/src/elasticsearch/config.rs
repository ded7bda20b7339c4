//! Settings of the `elasticsearch` sink.

use pump_core::config::{AuthConfig, HttpCompression, HttpUrl, TlsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the `elasticsearch` sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// The cluster's nodes, used in turn; all of one cluster.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<HttpUrl>,
    /// The index, or the data stream; a template, such as `tyk_analytics-%Y.%m.%d`. It begins with
    /// fixed text; values are put in lower case.
    #[schemars(length(min = 1))]
    pub index: String,
    /// What happens to a record that is there already.
    #[serde(default = "create")]
    pub op: Op,
    /// `index` names a data stream: records get an `@timestamp` each.
    #[serde(default)]
    pub data_stream: bool,
    /// Installs an index template for `index`, once; one of the same name that is there stays as it is.
    #[serde(default)]
    pub install_template: bool,
    /// With `format: tyk`: recorded requests and responses, and user agents, too.
    #[serde(default)]
    pub extended: bool,
    /// Who we are to the cluster.
    #[serde(default)]
    pub auth: Option<AuthConfig>,
    /// How the cluster is known, and our certificate; public authorities are trusted without it.
    #[serde(default)]
    pub tls: TlsConfig,
    /// How requests are compressed.
    #[serde(default)]
    pub compression: HttpCompression,
}

/// What happens to a record that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It stays, and the repeat is counted as a duplicate.
    Create,
    /// It is written again: to repair an index by replay.
    Index,
}

fn create() -> Op {
    Op::Create
}
