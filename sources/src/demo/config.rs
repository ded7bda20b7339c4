//! Settings of the `demo` source.

use pump_core::config::Rate;
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of the `demo` source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DemoConfig {
    /// How many records it makes; without this key it never ends.
    #[schemars(range(min = 1))]
    pub records: Option<u64>,
    /// How many records a second it makes.
    pub rate: Rate,
    /// Where the generator begins: the same seed makes the same records.
    pub seed: u64,
}

impl Default for DemoConfig {
    fn default() -> Self {
        Self { records: None, rate: Rate::per_second(1_000).expect("more than none"), seed: 0 }
    }
}
