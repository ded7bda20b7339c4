//! From a pipeline file to a pump: check what only the plugins know, then open everything.

pub(crate) mod log;
mod replay;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use pump_core::config::{
    ConfigError, ConfigErrors, DeadLetterConfig, MaxAge, Pipeline, SinkEntry, SinkKeys, SourceEntry, load,
};
use pump_core::dead_letter::{DeadLetterArchive, DeadLetterStore, DirectoryStore};
use pump_core::edit::Edits;
use pump_core::encode::Additions;
use pump_core::engine::{Blueprint, LaneBlueprint, LogBlueprint, SourceBlueprint};
use pump_core::filter::Filter;
use pump_core::plugin::{
    BatchDefaults, Buffer, Mode, PlannedSink, PlannedSource, Registry, SinkContext, SourceContext,
};
use pump_core::preview::{Preview, PreviewParts};
use pump_core::record::{IdKey, Kind};
use pump_core::{LaneSettings, Randomness, RetrySettings};

/// A pipeline whose every section is checked; nothing is opened.
pub(crate) struct Plan {
    pub(crate) pipeline: Pipeline,
    pub(crate) sources: Vec<SourcePlanned>,
    pub(crate) sinks: Vec<SinkPlanned>,
    pub(crate) id_key: Arc<IdKey>,
    /// What the operator should know although nothing is wrong.
    pub(crate) notes: Vec<String>,
}

/// A checked source.
pub(crate) struct SourcePlanned {
    pub(crate) name: Arc<str>,
    pub(crate) type_name: String,
    planned: PlannedSource,
    /// The kinds that required sinks take from it.
    pub(crate) kinds: Vec<Kind>,
}

/// A checked sink.
pub(crate) struct SinkPlanned {
    pub(crate) name: Arc<str>,
    pub(crate) entry: SinkEntry,
    planned: PlannedSink,
    pub(crate) kinds: Vec<Kind>,
    edits: Edits,
    pub(crate) batch: BatchDefaults,
}

/// Reads pipeline files and checks them as far as that goes without opening anything.
pub(crate) fn load_plan(paths: &[PathBuf], registry: &Registry) -> Result<Plan, ConfigErrors> {
    let environment = |name: &str| std::env::var(name).ok();
    plan(load(paths, &environment, registry.catalog())?, registry)
}

/// Checks what only the plugins know.
pub(crate) fn plan(pipeline: Pipeline, registry: &Registry) -> Result<Plan, ConfigErrors> {
    let mut errors = Vec::new();
    let mut notes = Vec::new();
    let id_key = Arc::new(IdKey::new(pipeline.record_id.as_ref().map(|id| id.key.expose().as_bytes())));
    let mut sinks = Vec::new();
    for entry in &pipeline.sinks {
        match plan_sink(entry, registry, &id_key, &mut notes) {
            Ok(sink) => sinks.push(sink),
            Err(more) => errors.extend(more),
        }
    }
    let mut sources = Vec::new();
    for entry in &pipeline.sources {
        match plan_source(entry, registry, &sinks, &mut notes) {
            Ok(source) => sources.push(source),
            Err(more) => errors.extend(more),
        }
    }
    errors.extend(sources.iter().filter_map(|source| refuse_letters_in_a_buffer(&pipeline, source)));
    errors.extend(log::refuse_unbuilt(&pipeline.log));
    if errors.is_empty() {
        notes.extend(general_notes(&pipeline, &sinks));
        Ok(Plan { pipeline, sources, sinks, id_key, notes })
    } else {
        Err(ConfigErrors(errors))
    }
}

fn plan_sink(
    entry: &SinkEntry,
    registry: &Registry,
    id_key: &IdKey,
    notes: &mut Vec<String>,
) -> Result<SinkPlanned, Vec<ConfigError>> {
    let keys = &entry.keys;
    let wrong = |key: &str, message: String| vec![engine_error(entry, key, message)];
    let plan_sink = registry.plan_sink(&entry.type_name).expect("the loader knows the type");
    let planned = plan_sink(&entry.plugin, keys.format)?;
    let plan = &planned.plan;
    let kinds = match &keys.kinds {
        None => plan.kinds.clone(),
        Some(kinds) => {
            if let Some(kind) = kinds.iter().find(|kind| !plan.kinds.contains(kind)) {
                let can = plan.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
                return Err(wrong("kinds", format!("this sink cannot take {}; it takes {can}", kind.name())));
            }
            kinds.clone()
        }
    };
    if !keys.add.is_empty() && !plan.takes_additions {
        return Err(wrong(
            "add",
            "what this sink writes has no place for further fields: take `add` out".into(),
        ));
    }
    let edits =
        Edits::new(&keys.omit, &keys.redact, id_key).map_err(|error| wrong("redact", error.to_string()))?;
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
    Ok(SinkPlanned { name, entry: entry.clone(), planned, kinds, edits, batch })
}

fn plan_source(
    entry: &SourceEntry,
    registry: &Registry,
    sinks: &[SinkPlanned],
    notes: &mut Vec<String>,
) -> Result<SourcePlanned, Vec<ConfigError>> {
    let plan_source = registry.plan_source(&entry.type_name).expect("the loader knows the type");
    let planned = plan_source(&entry.plugin)?;
    let takes = |kind: &Kind| {
        sinks.iter().any(|sink| {
            sink.entry.keys.required && sink.entry.sources.contains(&entry.name) && sink.kinds.contains(kind)
        })
    };
    let (kinds, left): (Vec<Kind>, Vec<Kind>) = planned.plan.kinds.iter().copied().partition(takes);
    // Sinks with errors of their own are missing from the list, so nothing can be said then.
    if kinds.is_empty() && !sinks.is_empty() {
        let given = planned.plan.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let message = format!(
            "no required sink takes what this source gives ({given}): add one, or take the source out"
        );
        return Err(vec![entry.plugin.error("", message)]);
    }
    for kind in left {
        notes.push(format!(
            "source {}: {} records stay in the buffer, because no required sink takes them",
            entry.name,
            kind.name()
        ));
    }
    notes.extend(planned.plan.notes.iter().map(|note| format!("source {}: {note}", entry.name)));
    Ok(SourcePlanned { name: entry.name.as_str().into(), type_name: entry.type_name.clone(), planned, kinds })
}

/// A source would read the letters as records, and each would become a letter again.
fn refuse_letters_in_a_buffer(pipeline: &Pipeline, source: &SourcePlanned) -> Option<ConfigError> {
    let DeadLetterConfig::RedisList(list) = &pipeline.dead_letters else { return None };
    let letters = |server| Buffer { server, name: list.key.clone() };
    let is_read = |server| source.planned.buffers.contains(&letters(server));
    list.redis().places().into_iter().any(is_read).then(|| {
        let message = format!("dead letters cannot be kept in a list that the source {} reads", source.name);
        ConfigError::new(message)
            .on("dead_letters.key")
            .help("name a list of its own, such as `pump-dead-letters`")
    })
}

fn engine_error(entry: &SinkEntry, key: &str, message: String) -> ConfigError {
    ConfigError::new(message).at(&entry.location).on(format!("sinks.{}.{key}", entry.name))
}

fn general_notes(pipeline: &Pipeline, sinks: &[SinkPlanned]) -> Vec<String> {
    let mut notes = Vec::new();
    if sinks.iter().any(|sink| !sink.edits.is_empty()) {
        notes.push("dead letters keep the bytes as they came, without omit and redact: guard them".into());
    }
    let required = sinks.iter().filter(|sink| sink.entry.keys.required).count();
    notes.extend(log::note(&pipeline.log, required));
    notes
}

impl Plan {
    /// A disk log in memory promises what it cannot keep. Asked by those who write into it.
    pub(crate) fn refuse_log_in_memory(&self) -> Result<(), ConfigErrors> {
        log::refuse_in_memory(&self.pipeline.log).map_or(Ok(()), |error| Err(ConfigErrors(vec![error])))
    }

    /// Opens sources and sinks (which contacts nobody) and puts a pump together around a log.
    pub(crate) async fn open(self, mode: Mode, log: LogBlueprint) -> anyhow::Result<Blueprint> {
        let Self { pipeline, sources, sinks, id_key, .. } = self;
        let mut lanes = Vec::new();
        for sink in sinks {
            lanes.push(sink.open().await?);
        }
        let mut opened = Vec::new();
        for SourcePlanned { name, planned, kinds, .. } in sources {
            let context = SourceContext { name: name.clone(), kinds };
            let source = (planned.open)(context).await.with_context(|| format!("source {name}"))?;
            opened.push(SourceBlueprint { name, source });
        }
        Ok(Blueprint {
            sources: opened,
            lanes,
            log,
            dead_letters: dead_letters(&pipeline.dead_letters, None)?,
            id_key,
            mode,
            shutdown_timeout: pipeline.shutdown_timeout.get(),
            randomness: Randomness::default(),
        })
    }

    /// A pump that sends dead letters again and ends. Its only source gives them; its lanes are the one
    /// sink, which is then waited for although it may be best effort, or all that take from the source.
    pub(crate) async fn open_for_replay(
        self,
        source: SourceBlueprint,
        sink: Option<&str>,
        dead_letters: Arc<dyn DeadLetterStore>,
    ) -> anyhow::Result<Blueprint> {
        let is_meant = |planned: &SinkPlanned| match sink {
            Some(name) => *planned.name == *name,
            None => planned.entry.sources.iter().any(|name| **name == *source.name),
        };
        let mut lanes = Vec::new();
        for planned in self.sinks.into_iter().filter(is_meant) {
            let mut lane = planned.open().await?;
            // A letter goes back to its sink whether that takes from the source by now or not.
            lane.sources = Some(vec![source.name.clone()]);
            lane.is_required |= sink.is_some();
            lanes.push(lane);
        }
        Ok(Blueprint {
            sources: vec![source],
            lanes,
            log: log::in_memory(&self.pipeline.log),
            dead_letters,
            id_key: self.id_key,
            mode: Mode::Drain,
            shutdown_timeout: self.pipeline.shutdown_timeout.get(),
            randomness: Randomness::default(),
        })
    }
}

impl SinkPlanned {
    /// What its lane would make of records; the sink is not opened.
    pub(crate) fn preview(self, id_key: &Arc<IdKey>) -> Preview {
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

    pub(crate) async fn open(self) -> anyhow::Result<LaneBlueprint> {
        let Self { name, entry, planned, kinds, edits, batch } = self;
        let sources = sources(&entry);
        let keys = entry.keys;
        let sink = (planned.open)(SinkContext { name: name.clone(), format: keys.format })
            .await
            .with_context(|| format!("sink {name}"))?;
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
                max_in_flight: usize::from(keys.max_in_flight),
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

/// Opens the store of dead letters, and contacts nobody. `max_size` is written instead of the file's.
pub(crate) fn dead_letters(
    config: &DeadLetterConfig,
    max_size: Option<u64>,
) -> anyhow::Result<Arc<dyn DeadLetterArchive>> {
    match config {
        DeadLetterConfig::Directory(directory) => {
            let max_size = max_size.unwrap_or(directory.max_size.bytes());
            Ok(Arc::new(DirectoryStore::new(&directory.path, max_size)))
        }
        #[cfg(feature = "redis")]
        DeadLetterConfig::RedisList(list) => {
            let max_size = max_size.unwrap_or(list.max_size.bytes());
            let store = pump_sources::dead_letter_list::RedisListStore::new(list, max_size);
            let store = store.context("dead_letters")?;
            Ok(Arc::new(store))
        }
        #[cfg(not(feature = "redis"))]
        DeadLetterConfig::RedisList(_) => {
            anyhow::bail!("this build has no Redis: keep dead letters in a directory")
        }
    }
}
