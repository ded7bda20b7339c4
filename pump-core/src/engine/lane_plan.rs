//! From a sink's section of the pipeline file to its lane.

use std::sync::Arc;

use super::LaneBlueprint;
use crate::config::{ConfigError, MaxAge, MaxInFlight, SinkEntry, SinkKeys};
use crate::edit::Edits;
use crate::encode::Additions;
use crate::filter::Filter;
use crate::lane::{self, LaneSettings, RetrySettings};
use crate::plugin::{BatchDefaults, PlannedSink, Registry, SinkContext, SinkError};
use crate::preview::{Preview, PreviewParts};
use crate::record::{IdKey, Kind};

/// A lane whose section is checked; its sink is not opened.
pub struct LanePlan {
    /// The sink's name.
    pub name: Arc<str>,
    /// Its section.
    pub entry: SinkEntry,
    /// The kinds that the lane takes.
    pub kinds: Vec<Kind>,
    /// Where a batch ends.
    pub batch: BatchDefaults,
    planned: PlannedSink,
    edits: Edits,
}

impl LanePlan {
    /// Checks a section that was read without errors. What the operator should know although nothing is
    /// wrong is added to the notes.
    ///
    /// # Panics
    /// When the registry does not have the type; whoever read the section has asked it.
    pub fn new(
        entry: &SinkEntry,
        registry: &Registry,
        id_key: &IdKey,
        notes: &mut Vec<String>,
    ) -> Result<Self, Vec<ConfigError>> {
        let keys = &entry.keys;
        let wrong = |key: &str, message: String| {
            vec![ConfigError::new(message).at(&entry.location).on(format!("sinks.{}.{key}", entry.name))]
        };
        let plan_sink = registry.plan_sink(&entry.type_name).expect("the loader knows the type");
        let planned = plan_sink(&entry.plugin, keys.format)?;
        let plan = &planned.plan;
        let kinds = match &keys.kinds {
            None => plan.kinds.clone(),
            Some(kinds) => {
                if let Some(kind) = kinds.iter().find(|kind| !plan.kinds.contains(kind)) {
                    let can = plan.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
                    let message = format!("this sink cannot take {}; it takes {can}", kind.name());
                    return Err(wrong("kinds", message));
                }
                kinds.clone()
            }
        };
        if !keys.add.is_empty() && !plan.takes_additions {
            let message = "what this sink writes has no place for further fields: take `add` out";
            return Err(wrong("add", message.into()));
        }
        let edits = Edits::new(&keys.omit, &keys.redact, id_key)
            .map_err(|error| wrong("redact", error.to_string()))?;
        let heeds_edits = plan.body.as_ref().is_none_or(|body| body.encoder.heeds_edits());
        if !edits.is_empty() && !heeds_edits {
            let key = if keys.omit.is_empty() { "redact" } else { "omit" };
            let message = "this sink writes records as they came, and would show what is to be hidden: take `omit` and \
                           `redact` out, or have it write the records anew";
            return Err(wrong(key, message.into()));
        }
        for name in edits.unknown_names() {
            notes.push(format!(
                "sink {}: `{name}` is no field of transactions or uptime records; it applies to other kinds only",
                entry.name
            ));
        }
        let defaults = plan.batch;
        let batch = BatchDefaults {
            max_records: keys.batch.max_records.map_or(defaults.max_records, |count| count.get() as usize),
            max_bytes: keys.batch.max_bytes.map_or(defaults.max_bytes, |size| size.bytes() as usize),
            max_age: keys.batch.max_age.map_or(defaults.max_age, |age| age.get()),
        };
        let name = entry.name.as_str().into();
        Ok(Self { name, entry: entry.clone(), planned, kinds, edits, batch })
    }

    /// Whether records are written otherwise than they came.
    pub fn rewrites(&self) -> bool {
        !self.edits.is_empty()
    }

    /// What the lane would make of records.
    pub fn preview(self, id_key: &Arc<IdKey>) -> Preview {
        let Self { entry, planned, kinds, edits, .. } = self;
        Preview::new(PreviewParts {
            sources: sources(&entry),
            kinds,
            filter: Filter::new(&entry.keys.filter),
            edits,
            additions: additions(&entry.keys),
            body: planned.plan.body,
            route: planned.plan.route,
            id_key: id_key.clone(),
        })
    }

    /// Opens the sink, which contacts nobody.
    pub async fn open(self) -> Result<LaneBlueprint, SinkError> {
        let Self { name, entry, planned, kinds, edits, batch } = self;
        let sources = sources(&entry);
        let keys = entry.keys;
        let context = SinkContext { name: name.clone(), format: keys.format, timeout: keys.timeout.get() };
        let sink = (planned.open)(context).await?;
        Ok(LaneBlueprint {
            name,
            sink,
            sources: Some(sources),
            kinds,
            is_required: keys.required,
            filter: Filter::new(&keys.filter),
            edits,
            additions: additions(&keys),
            body: planned.plan.body,
            route: planned.plan.route,
            repeats_batches: planned.plan.repeats_batches,
            settings: LaneSettings {
                batch,
                max_in_flight: match keys.max_in_flight {
                    MaxInFlight::Auto => lane::ceiling(batch.max_bytes),
                    MaxInFlight::Fixed(number) => usize::from(number),
                },
                is_adaptive: keys.max_in_flight == MaxInFlight::Auto,
                rate_limit: keys.rate_limit.map(|rate| f64::from(rate.get().get())),
                timeout: keys.timeout.get(),
                retry: RetrySettings {
                    initial: keys.retry.initial.get(),
                    max: keys.retry.max.get(),
                    max_age: match keys.retry.max_age {
                        MaxAge::Never => None,
                        MaxAge::After(age) => Some(age),
                    },
                },
            },
        })
    }
}

fn sources(entry: &SinkEntry) -> Vec<Arc<str>> {
    entry.sources.iter().map(|source| source.as_str().into()).collect()
}

fn additions(keys: &SinkKeys) -> Additions {
    Additions::new(keys.add.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}
