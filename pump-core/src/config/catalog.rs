//! Which plugins there are, as far as the pipeline file is concerned: names and configuration types.
//!
//! The core knows no plugin. Whoever loads a file brings a catalog made from the list of plugins.

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use super::check::Findings;
use super::node::Node;
use super::read::read_into;
use super::schema::schema_of;

/// The known types of sources and of sinks.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    sources: Shelf,
    sinks: Shelf,
}

/// One kind of plugin: those that are there, and those that a later release will bring.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    pub(super) types: Vec<PluginType>,
    pub(super) later: Vec<&'static str>,
}

/// A plugin by its name in the pipeline file.
#[derive(Debug, Clone)]
pub struct PluginType {
    name: &'static str,
    schema: fn() -> Schema,
    pub(super) check: fn(&Node, &str, &[&str], &mut Findings),
}

impl Catalog {
    /// A catalog without plugins, which knows what later releases bring.
    pub fn new() -> Self {
        Self {
            sources: Shelf { types: Vec::new(), later: vec!["kafka", "redis_stream"] },
            sinks: Shelf {
                types: Vec::new(),
                later: vec!["elasticsearch", "s3", "kafka", "statsd", "webhook"],
            },
        }
    }

    /// With a source whose configuration is `T`.
    #[must_use]
    pub fn source<T: DeserializeOwned + JsonSchema>(mut self, name: &'static str) -> Self {
        self.sources.add(PluginType::of::<T>(name));
        self
    }

    /// With a sink whose configuration is `T`.
    #[must_use]
    pub fn sink<T: DeserializeOwned + JsonSchema>(mut self, name: &'static str) -> Self {
        self.sinks.add(PluginType::of::<T>(name));
        self
    }

    /// The sources, in the order in which they were added.
    pub fn sources(&self) -> &[PluginType] {
        &self.sources.types
    }

    /// The sinks, in the order in which they were added.
    pub fn sinks(&self) -> &[PluginType] {
        &self.sinks.types
    }

    pub(super) fn source_shelf(&self) -> &Shelf {
        &self.sources
    }

    pub(super) fn sink_shelf(&self) -> &Shelf {
        &self.sinks
    }
}

impl Shelf {
    fn add(&mut self, plugin: PluginType) {
        self.later.retain(|later| *later != plugin.name);
        self.types.push(plugin);
    }

    pub(super) fn get(&self, name: &str) -> Option<&PluginType> {
        self.types.iter().find(|plugin| plugin.name == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.types.iter().map(|plugin| plugin.name)
    }
}

impl PluginType {
    fn of<T: DeserializeOwned + JsonSchema>(name: &'static str) -> Self {
        Self {
            name,
            schema: schema_of::<T>,
            check: |node, path, beside, findings| drop(read_into::<T>(node, path, beside, findings)),
        }
    }

    /// The value of `type` in the pipeline file.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The schema of its own keys.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }
}
