//! Tests of the pipeline file. What wrong files look like to a person is held by the snapshots of
//! `tests/wrong/` at the top.

mod changes;
mod loading;
mod random;
mod references;
mod secrecy;
mod trees;
mod values;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::yaml::{Document, parse};
use super::{Catalog, ConfigErrors, Node, Pipeline, RedisUrl, Secret, load_text};

/// The settings of an invented plugin.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TestConfig {
    name: Option<String>,
    count: Option<u32>,
    password: Option<Secret>,
    url: Option<RedisUrl>,
    share: Option<Share>,
}

/// A type whose own code refuses values, and quotes them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "f64")]
struct Share(f64);

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if value <= 1.0 { Ok(Self(value)) } else { Err(format!("{value} is more than all")) }
    }
}

fn catalog() -> Catalog {
    Catalog::new().source::<TestConfig>("demo").sink::<TestConfig>("null")
}

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "WORD" => "hunter2",
        "NUMBER" => "7",
        "EMPTY" => "",
        "DOLLAR" => "${WORD}$$",
        _ => return None,
    };
    Some(value.to_owned())
}

fn load(text: &str) -> Result<Pipeline, ConfigErrors> {
    load_text("pipeline.yaml", text, &environment, &catalog())
}

/// A whole file around the keys of one sink.
fn load_sink(keys: &str) -> Result<Pipeline, ConfigErrors> {
    load(&format!("sources: {{ a: {{ type: demo }} }}\nsinks:\n  out:\n    type: \"null\"\n{keys}"))
}

fn tree(text: &str) -> Document {
    parse(text, &Arc::from("pipeline.yaml"))
}

fn root(text: &str) -> Node {
    let document = tree(text);
    assert_eq!(document.errors, [], "{text:?}");
    document.root.expect("it is YAML")
}

fn messages(errors: &ConfigErrors) -> Vec<&str> {
    errors.0.iter().map(super::ConfigError::message).collect()
}
