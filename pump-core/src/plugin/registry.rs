//! The list of plugins, and what is done with a section of the pipeline file that names one.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{
    Buffer, DynSink, DynSource, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan, Source,
    SourceContext, SourceError, SourcePlan,
};
use crate::config::{Catalog, ConfigError, PluginKeys};

type Future_<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Opens a sink whose settings are checked.
pub type OpenSink = Box<dyn FnOnce(SinkContext) -> Future_<Result<Arc<dyn DynSink>, SinkError>> + Send>;
/// Opens a source whose settings are checked.
pub type OpenSource =
    Box<dyn FnOnce(SourceContext) -> Future_<Result<Box<dyn DynSource>, SourceError>> + Send>;

/// A sink whose settings are checked.
pub struct PlannedSink {
    /// What the engine needs to know.
    pub plan: SinkPlan,
    /// Builds it.
    pub open: OpenSink,
}

/// A source whose settings are checked.
pub struct PlannedSource {
    /// What the engine needs to know.
    pub plan: SourcePlan,
    /// What it empties.
    pub buffers: Vec<Buffer>,
    /// Builds it.
    pub open: OpenSource,
}

/// Reads and checks one sink's section, the engine's keys taken out.
pub type PlanSink = fn(&PluginKeys, Option<Format>) -> Result<PlannedSink, Vec<ConfigError>>;
/// Reads and checks one source's section.
pub type PlanSource = fn(&PluginKeys) -> Result<PlannedSource, Vec<ConfigError>>;

/// Every plugin that a pipeline file can name, by its `type`.
pub struct Registry {
    catalog: Catalog,
    sources: BTreeMap<&'static str, PlanSource>,
    sinks: BTreeMap<&'static str, PlanSink>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// No plugins.
    pub fn new() -> Self {
        Self { catalog: Catalog::new(), sources: BTreeMap::new(), sinks: BTreeMap::new() }
    }

    /// One source more.
    #[must_use]
    pub fn source<S: Source + Sync>(mut self) -> Self {
        self.catalog = self.catalog.source::<S::Config>(S::NAME);
        self.sources.insert(S::NAME, plan_source::<S>);
        self
    }

    /// One sink more.
    #[must_use]
    pub fn sink<S: Sink>(mut self) -> Self {
        self.catalog = self.catalog.sink::<S::Config>(S::NAME);
        self.sinks.insert(S::NAME, plan_sink::<S>);
        self
    }

    /// What the pipeline file is checked against.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// How a source of that type is planned.
    pub fn plan_source(&self, type_name: &str) -> Option<PlanSource> {
        self.sources.get(type_name).copied()
    }

    /// How a sink of that type is planned.
    pub fn plan_sink(&self, type_name: &str) -> Option<PlanSink> {
        self.sinks.get(type_name).copied()
    }
}

fn plan_source<S: Source + Sync>(keys: &PluginKeys) -> Result<PlannedSource, Vec<ConfigError>> {
    let config: S::Config = keys.read()?;
    let plan = S::plan(&config).map_err(|error| at(keys, &error))?;
    let buffers = S::buffers(&config);
    let open: OpenSource = Box::new(move |context| {
        Box::pin(async move { Ok(Box::new(S::open(config, context).await?) as Box<dyn DynSource>) })
    });
    Ok(PlannedSource { plan, buffers, open })
}

fn plan_sink<S: Sink>(keys: &PluginKeys, format: Option<Format>) -> Result<PlannedSink, Vec<ConfigError>> {
    let config: S::Config = keys.read()?;
    let plan = S::plan(&config, format).map_err(|error| at(keys, &error))?;
    let open: OpenSink = Box::new(move |context| {
        Box::pin(async move { Ok(Arc::new(S::open(config, context).await?) as Arc<dyn DynSink>) })
    });
    Ok(PlannedSink { plan, open })
}

fn at(keys: &PluginKeys, error: &PlanError) -> Vec<ConfigError> {
    vec![keys.error(&error.key, &*error.message)]
}
