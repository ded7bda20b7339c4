//! Reload: a running pump becomes what its pipeline file has become.
//!
//! At SIGHUP, and when the files change, everything is read and checked as at the start, references
//! too. A file that is wrong changes nothing. Sinks that say what they said before are left alone;
//! changed, new and removed ones are given to the engine. Whatever else has changed is named, and waits
//! for a restart. Nobody asks a sink whether it can be reached: its lane does, beside everything else.
//!
//! Files are looked at each two seconds rather than watched: that works on every file system, and when
//! a mounted ConfigMap is swapped by its links.

use std::convert::Infallible;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use pump_core::config::{Pipeline, pipeline_files};
use pump_core::engine::{Reload, Reloaded, Reloader};
use pump_core::plugin::Registry;
use pump_core::record::{Kind, Timestamp};
use tokio::signal::unix::Signal;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::admin::{Facts, LastReload};
use crate::assemble::{self, Plan};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long files must have stayed as they are after a SIGHUP: whoever sent it is done with them.
const SETTLES_IN: Duration = Duration::from_millis(200);
/// How long without one. Whoever writes may be half way through, and half a file can be a sound one with
/// fewer sinks.
const RESTS_FOR: Duration = Duration::from_secs(2);
/// How much of a file is looked at for changes: a pipeline file is smaller.
const MAX_LOOKED_AT: u64 = 16 << 20;

/// What the running pump is made of.
pub(crate) struct Running {
    pipeline: Pipeline,
    /// Each source and what it gives.
    kinds: Vec<(Arc<str>, Vec<Kind>)>,
}

impl Running {
    pub(crate) fn of(plan: &Plan) -> Self {
        let kinds = plan.sources.iter().map(|source| (source.name.clone(), source.kinds.clone()));
        Self { pipeline: plan.pipeline.clone(), kinds: kinds.collect() }
    }
}

/// How the files of a pipeline look: equal as long as nobody touched them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    files: Vec<(PathBuf, Option<SystemTime>, u64)>,
    content: u64,
}

impl Stamp {
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let mut hasher = DefaultHasher::new();
        let files = Self::files(paths);
        for (path, ..) in &files {
            let mut content = Vec::new();
            let read = File::open(path).and_then(|file| file.take(MAX_LOOKED_AT).read_to_end(&mut content));
            read.ok().map(|_| content).hash(&mut hasher);
        }
        Self { files, content: hasher.finish() }
    }

    fn files(paths: &[PathBuf]) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
        // What cannot be listed is no file; the reload that follows says why.
        let files = pipeline_files(paths).unwrap_or_default();
        let look = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).ok()?;
            // A pipe can be read once.
            metadata.is_file().then(|| (path, metadata.modified().ok(), metadata.len()))
        };
        files.into_iter().filter_map(look).collect()
    }
}

/// What a reload has applied.
#[derive(Default)]
struct Applied {
    sinks: Reloaded,
    needs_restart: Vec<&'static str>,
    notes: Vec<String>,
}

/// Keeps a running pump what its files say.
pub(crate) struct Reloading<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) registry: &'a Registry,
    pub(crate) reloader: Reloader,
    pub(crate) facts: Arc<Facts>,
    pub(crate) running: Running,
}

impl Reloading<'_> {
    /// Reloads at each SIGHUP and each change, for as long as it is polled.
    pub(crate) async fn run(mut self, mut stamp: Stamp, mut hangup: Signal) -> Infallible {
        loop {
            let is_told = tokio::select! {
                Some(()) = hangup.recv() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            if !is_told && Stamp::files(self.files) == stamp.files {
                continue;
            }
            let mut now = Stamp::of(self.files);
            loop {
                sleep(if is_told { SETTLES_IN } else { RESTS_FOR }).await;
                let before = std::mem::replace(&mut now, Stamp::of(self.files));
                if now == before {
                    break;
                }
            }
            let is_changed = now.content != stamp.content || now.files.len() != stamp.files.len();
            stamp = now;
            if is_told || is_changed {
                self.reload().await;
            }
        }
    }

    async fn reload(&mut self) {
        let outcome = self.apply().await;
        let time = Timestamp::now().to_string();
        let news = self.reloader.news();
        match outcome {
            Ok(Applied { sinks: Reloaded { added, changed, removed }, needs_restart, notes }) => {
                for note in notes {
                    info!(note, "note on the pipeline file");
                }
                if !needs_restart.is_empty() {
                    let sections = needs_restart.join(", ");
                    warn!(sections, "these sections have changed and are not applied before a restart");
                }
                let [new, other, gone] = [&added, &changed, &removed].map(|names| names.join(", "));
                info!(added = new, changed = other, removed = gone, "pipeline file reloaded");
                if !removed.is_empty() {
                    warn!(sinks = gone, "sinks were taken out: what they had no outcome for is left behind");
                }
                let names = |names: &[Arc<str>]| names.iter().map(|name| &**name).collect::<Vec<_>>().into();
                let details = [
                    ("success", true.into()),
                    ("config_hash", self.running.pipeline.hash.to_string().into()),
                    ("added", names(&added)),
                    ("changed", names(&changed)),
                    ("removed", names(&removed)),
                    ("needs_restart", needs_restart.clone().into()),
                ];
                news.post("reload", "the pipeline file was read again and applied", &details);
                let needs_restart = needs_restart.into_iter().map(str::to_owned).collect();
                let last = LastReload { time, success: true, error: None, needs_restart };
                self.facts.reloaded(Some(&self.running.pipeline), last);
            }
            Err(reason) => {
                let reason = format!("{reason:#}");
                error!(reason, "pipeline file not reloaded: nothing is changed");
                let details = [("success", false.into()), ("error", reason.as_str().into())];
                news.post(
                    "reload",
                    "the pipeline file was read again and is wrong: nothing is changed",
                    &details,
                );
                let last =
                    LastReload { time, success: false, error: Some(reason), needs_restart: Vec::new() };
                self.facts.reloaded(None, last);
            }
        }
    }

    async fn apply(&mut self) -> anyhow::Result<Applied> {
        let wrong = |errors: pump_core::config::ConfigErrors| anyhow!("{errors}");
        // Everything is checked as at a start, so that a restart would not fail where a reload went well.
        let whole = assemble::load_plan(self.files, self.registry).map_err(wrong)?.pipeline;
        let running = &self.running.pipeline;
        let needs_restart = running.needs_restart(&whole);
        let mut plan = assemble::plan(running.with_sinks_of(&whole), self.registry).map_err(|errors| {
            // The file is right; it does not fit the sources that run.
            anyhow!("the sinks do not fit the sources that run, restart to apply this: {errors}")
        })?;
        self.check_kinds(&mut plan)?;
        let mut reload = Reload::default();
        for sink in plan.sinks {
            if running.sinks.iter().any(|own| own.is_same(&sink.entry)) {
                reload.kept.push(sink.name);
            } else {
                reload.lanes.push(crate::assemble::open(sink).await?);
            }
        }
        let sinks = self.reloader.reload(reload).await?;
        self.running.pipeline = plan.pipeline;
        Ok(Applied { sinks, needs_restart, notes: plan.notes })
    }

    /// What a source gives and no required sink takes any more would be settled without having been
    /// delivered. What required sinks take now that it does not give stays in its buffer.
    fn check_kinds(&self, plan: &mut Plan) -> anyhow::Result<()> {
        for (source, (name, given)) in plan.sources.iter().zip(&self.running.kinds) {
            if let Some(kind) = given.iter().find(|kind| !source.kinds.contains(kind)) {
                return Err(anyhow!(
                    "source {name} reads {} records, which no required sink would take any more: restart to \
                     apply this",
                    kind.name()
                ));
            }
            for kind in source.kinds.iter().filter(|kind| !given.contains(kind)) {
                plan.notes.push(format!(
                    "source {name}: {} records stay in the buffer until a restart, because no required sink took \
                     them at the start",
                    kind.name()
                ));
            }
        }
        Ok(())
    }
}
