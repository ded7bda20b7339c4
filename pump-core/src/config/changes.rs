//! What is different between two pipelines, for a reload.

use super::node::{Node, Value};
use super::pipeline::{Pipeline, PluginKeys, SinkEntry, SourceEntry};

impl Pipeline {
    /// Sections in which `newer` differs and which a running pump cannot change, as they are called in
    /// the file.
    pub fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        let is_same_sources = self.sources.len() == newer.sources.len()
            && self.sources.iter().all(|source| newer.sources.iter().any(|other| source.is_same(other)));
        let sections = [
            ("sources", is_same_sources),
            ("log", self.log == newer.log),
            ("dead_letters", self.dead_letters == newer.dead_letters),
            ("admin", self.admin == newer.admin),
            ("shutdown_timeout", self.shutdown_timeout == newer.shutdown_timeout),
            ("telemetry", self.telemetry == newer.telemetry),
            ("record_id", self.record_id == newer.record_id),
        ];
        sections.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
    }

    /// The sinks of `newer`, and everything else as it is here: what a pump that runs this can become.
    /// A sink that does not name its sources takes from those that run.
    #[must_use]
    pub fn with_sinks_of(&self, newer: &Self) -> Self {
        let mut sinks = newer.sinks.clone();
        for sink in sinks.iter_mut().filter(|sink| sink.keys.sources.is_none()) {
            sink.sources = self.sources.iter().map(|source| source.name.clone()).collect();
        }
        Self { sinks, hash: newer.hash, ..self.clone() }
    }
}

impl SinkEntry {
    /// Whether it says the same, wherever and in whatever order it says it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.type_name == other.type_name
            && self.keys == other.keys
            && self.sources == other.sources
            && self.plugin.is_same(&other.plugin)
    }
}

impl SourceEntry {
    /// Whether it says the same, wherever and in whatever order it says it.
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.type_name == other.type_name && self.plugin.is_same(&other.plugin)
    }
}

impl PluginKeys {
    fn is_same(&self, other: &Self) -> bool {
        is_same(&self.node, &other.node)
    }
}

/// Values count, after references were replaced; places in the file and the order of keys do not.
fn is_same(left: &Node, right: &Node) -> bool {
    match (&left.value, &right.value) {
        (Value::Sequence(left), Value::Sequence(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Mapping(left), Value::Mapping(right)) => {
            left.entries.len() == right.entries.len()
                && left.entries.iter().all(|entry| {
                    right.get(&entry.key).is_some_and(|other| is_same(&entry.value, &other.value))
                })
        }
        (left, right) => left == right,
    }
}
