//! From a pipeline file to a pump: check what only the plugins know, then open everything.

pub(crate) mod log;
mod replay;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use pump_core::Randomness;
use pump_core::config::{ConfigError, ConfigErrors, DeadLetterConfig, Pipeline, SourceEntry, load};
use pump_core::dead_letter::{DeadLetterArchive, DeadLetterStore, DirectoryStore};
use pump_core::engine::{Blueprint, LaneBlueprint, LanePlan, LogBlueprint, SourceBlueprint};
use pump_core::plugin::{Buffer, Mode, PlannedSource, Registry, SourceContext};
use pump_core::record::{IdKey, Kind};

/// A pipeline whose every section is checked; nothing is opened.
pub(crate) struct Plan {
    pub(crate) pipeline: Pipeline,
    pub(crate) sources: Vec<SourcePlanned>,
    pub(crate) sinks: Vec<LanePlan>,
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
        match LanePlan::new(entry, registry, &id_key, &mut notes) {
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
    if pipeline.telemetry.statsd.is_some() && !cfg!(feature = "statsd") {
        errors.push(ConfigError::new("this build has no StatsD: take it out").on("telemetry.statsd"));
    }
    if errors.is_empty() {
        notes.extend(general_notes(&pipeline, &sinks));
        Ok(Plan { pipeline, sources, sinks, id_key, notes })
    } else {
        Err(ConfigErrors(errors))
    }
}

fn plan_source(
    entry: &SourceEntry,
    registry: &Registry,
    sinks: &[LanePlan],
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

fn general_notes(pipeline: &Pipeline, sinks: &[LanePlan]) -> Vec<String> {
    let mut notes = Vec::new();
    if sinks.iter().any(LanePlan::rewrites) {
        notes.push("dead letters keep the bytes as they came, without omit and redact: guard them".into());
    }
    let required = sinks.iter().filter(|sink| sink.entry.keys.required).count();
    notes.extend(log::note(&pipeline.log, required));
    notes.extend(sinks.iter().filter_map(|sink| log::note_on_batch(&pipeline.log, &sink.name, &sink.batch)));
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
            lanes.push(open(sink).await?);
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
        let is_meant = |planned: &LanePlan| match sink {
            Some(name) => *planned.name == *name,
            None => planned.entry.sources.iter().any(|name| **name == *source.name),
        };
        let mut lanes = Vec::new();
        for planned in self.sinks.into_iter().filter(is_meant) {
            let mut lane = open(planned).await?;
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

/// Opens a sink; the error says which.
pub(crate) async fn open(plan: LanePlan) -> anyhow::Result<LaneBlueprint> {
    let name = plan.name.clone();
    plan.open().await.with_context(|| format!("sink {name}"))
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
