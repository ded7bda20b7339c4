//! Settings of `redact`, the same for every sink.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Values that a sink is not to see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedactConfig {
    /// HTTP headers in recorded requests and responses, such as `authorization` and `cookie`; upper
    /// and lower case are the same. The header stays, its value becomes `***`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Fields by name, with what becomes of their values, such as `api_key: hash`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldMode>,
}

/// What becomes of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldMode {
    /// 16 hexadecimal digits, the same for the same value. Keyed: set a secret for ids, or whoever
    /// guesses a value can check the guess.
    Hash,
    /// `***`
    Mask,
    /// Left out, as `omit` does it.
    Remove,
}
