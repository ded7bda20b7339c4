//! From a tree to a type: first the check, which finds all errors, then serde.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::check::Findings;
use super::deserialize::Reader;
use super::error::ConfigError;
use super::node::Node;
use super::schema::{View, schema_of};

/// Reads a value that is the root of its tree.
pub fn read<T: DeserializeOwned + JsonSchema>(node: &Node) -> Result<T, Vec<ConfigError>> {
    read_at(node, "")
}

/// Reads a value whose errors begin with that path of keys.
pub fn read_at<T: DeserializeOwned + JsonSchema>(node: &Node, path: &str) -> Result<T, Vec<ConfigError>> {
    let mut findings = Findings::default();
    read_into(node, path, &[], &mut findings).ok_or(findings.errors)
}

/// Reads a value, and adds to the findings. `None` means that there is an error, here or of a reference.
pub(super) fn read_into<T: DeserializeOwned + JsonSchema>(
    node: &Node,
    path: &str,
    beside: &[&str],
    findings: &mut Findings,
) -> Option<T> {
    let before = findings.errors.len();
    let schema = schema_of::<T>();
    findings.check(View::root(schema.as_value()), node, path, beside);
    // An unresolved reference fits no type, and was reported where it was met.
    if findings.errors.len() > before || !node.is_resolved() {
        return None;
    }
    match T::deserialize(Reader(node)) {
        Ok(value) => Some(value),
        Err(err) => {
            findings.push(err.into_config_error(path));
            None
        }
    }
}
