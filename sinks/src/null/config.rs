//! Settings of the `null` sink.

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of the `null` sink: it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NullConfig {}
