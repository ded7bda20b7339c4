//! Settings of the `__name__` source.

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of the `__name__` source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct __Name__Config {
    // FILL IN: one field per key. The comment above a field is what `pump plugins __name__` and editors show. Types of
    // `pump_core::config` bring their own checks: addresses, durations, sizes, `Secret`, `TlsConfig`. A key that may be
    // missing is an `Option`, or has its default in the type.
    /// Events that it hands over, each a JSON object.
    pub events: Vec<String>,
}
