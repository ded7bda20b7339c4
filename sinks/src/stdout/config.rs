//! Settings of the `stdout` sink.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::encoding::Encoding;

/// Settings of the `stdout` sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdoutConfig {
    /// How records are written.
    pub encoding: Encoding,
}
