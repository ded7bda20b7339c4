//! `pump run --from TIME --sinks A,B`: sends what the log on disk of a stopped pump has kept again to some sinks.
//!
//! The log is only read: cursors stay where they are, and sources are not asked. Records keep their ids, so a
//! sink that knows them has them once, and doing it twice does no harm there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use pump_core::config::{LogConfig, LogLevel, LogLines, OWN_SOURCE, nearest};
use pump_core::engine::{LanePlan, Monitor, Pump, PumpError, SourceBlueprint};
use pump_core::log::disk::{KeptSource, ReadOnly, Records, Storage, inspect, kept};
use pump_core::plugin::Registry;
use pump_core::record::{Kind, Timestamp};

use crate::assemble::{self, Plan};
use crate::cli::Failure;
use crate::output::{self, counted, plain};
use crate::run::stop_signal;
use crate::screen::Screen;
use crate::{logging, run};

/// What is sent again, and where to.
pub(crate) struct Order {
    pub(crate) from: Timestamp,
    pub(crate) sinks: Vec<String>,
    /// Whether damage in the log is passed over.
    pub(crate) accept_gap: bool,
}

pub(crate) fn run(files: &[PathBuf], registry: &Registry, order: &Order) -> Result<(), Failure> {
    let plan = assemble::load_plan(files, registry)?;
    check_sinks(&plan, order)?;
    let LogConfig::Disk(log) = &plan.pipeline.log else {
        return Err(Failure::Usage("there is nothing to send again: the log is in memory".to_owned()));
    };
    logging::start(&LogLines { level: LogLevel::Warn, ..plan.pipeline.telemetry.log.clone() });
    let storage = ReadOnly::open(Path::new(&log.path)).context("the disk log (log.path)")?;
    run::to_the_end(replay(plan, Arc::new(storage), order))
}

/// Each sink that is named must be there.
fn check_sinks(plan: &Plan, order: &Order) -> Result<(), Failure> {
    let names = || plan.sinks.iter().map(|sink| &*sink.name);
    let Some(wrong) = order.sinks.iter().find(|name| names().all(|own| own != *name)) else { return Ok(()) };
    let help = match nearest(wrong, names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let all: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            format!("there is {}", all.join(", "))
        }
    };
    Err(Failure::Usage(format!("there is no sink `{}`: {help}", wrong.escape_debug())))
}

async fn replay(plan: Plan, storage: Arc<dyn Storage>, order: &Order) -> Result<(), Failure> {
    let report = inspect(&*storage).await.context("the disk log")?;
    if !report.damages.is_empty() && !order.accept_gap {
        let hint = "`pump log verify` shows what is lost, with --accept-gap the rest is sent";
        return Err(anyhow!("the disk log is damaged: {hint}").into());
    }
    let there = kept(&*storage, order.from).await.context("the disk log")?;
    if let Some(oldest) = there.oldest.filter(|oldest| *oldest > order.from) {
        eprintln!("warning: nothing is kept that was received before {oldest}: what is sent begins there");
    }
    let origins = origins(&plan, order);
    let total = origins.iter().map(|(source, kinds)| taken(&there.records, source, kinds)).sum();
    if total == 0 {
        let text =
            format!("nothing was sent: the log keeps nothing for these sinks from {} on\n", order.from);
        output::write(text.as_bytes())?;
        return Ok(());
    }
    let sources = origins.into_iter().map(|(name, kinds)| SourceBlueprint {
        name,
        source: Box::new(KeptSource::new(storage.clone(), order.from, kinds)),
    });
    let pump = Pump::new(plan.open_for_sinks(&order.sinks, sources.collect()).await?);
    let monitor = pump.monitor();
    let progress = tokio::spawn(show_progress(monitor.clone(), total));
    let outcome = pump.run(stop_signal()?).await;
    progress.abort();
    // Waits until the screen was given back.
    let _ = progress.await;
    output::write(summary(&monitor, order.from).as_bytes())?;
    match outcome {
        Ok(()) => Ok(()),
        Err(PumpError::NotDrained) => Err(anyhow!(
            "told to stop before everything was sent: sent again from the beginning, records have the same ids"
        )
        .into()),
        Err(error) => Err(Failure::Failed(error.into())),
    }
}

/// The sources from which those sinks take, and what they take of each.
fn origins(plan: &Plan, order: &Order) -> Vec<(Arc<str>, Vec<Kind>)> {
    let chosen: Vec<&LanePlan> =
        plan.sinks.iter().filter(|sink| order.sinks.iter().any(|name| **name == *sink.name)).collect();
    let mut origins: Vec<(Arc<str>, Vec<Kind>)> = Vec::new();
    for sink in chosen {
        for source in sink.entry.sources.iter().filter(|name| *name != OWN_SOURCE) {
            let index = origins.iter().position(|(name, _)| **name == **source).unwrap_or_else(|| {
                origins.push((source.as_str().into(), Vec::new()));
                origins.len() - 1
            });
            let known = &mut origins[index].1;
            known.extend(sink.kinds.iter().copied().filter(|kind| !known.contains(kind)).collect::<Vec<_>>());
        }
    }
    origins
}

/// How many records of a source are of these kinds.
fn taken(records: &Records, source: &str, kinds: &[Kind]) -> u64 {
    let Some(own) = records.0.get(source) else { return 0 };
    kinds.iter().filter_map(|kind| own.get(kind.name())).sum()
}

/// How many records the sources have given.
fn sent(monitor: &Monitor) -> u64 {
    let books = monitor.books();
    let origins = monitor.sources.iter().zip(&books.sources).filter(|(name, _)| &***name != OWN_SOURCE);
    origins.map(|(_, source)| source.appended).sum()
}

fn summary(monitor: &Monitor, from: Timestamp) -> String {
    let (books, sent) = (monitor.books(), sent(monitor));
    let mut text = format!("{} received at {from} or later sent again\n", counted(sent, "record"));
    for ((_, label), lane) in monitor.lanes().zip(&books.lanes) {
        let (name, delivered, duplicate) = (label.name, lane.delivered, lane.duplicate);
        text.push_str(&format!(
            "  {name}: {delivered} delivered, {duplicate} there already, {} filtered, {} given up, {} left\n",
            lane.filtered,
            lane.dead_lettered,
            lane.pending()
        ));
    }
    text
}

/// On a terminal, a bar and a line per sink, drawn anew twice a second.
async fn show_progress(monitor: Monitor, total: u64) {
    let mut screen = Screen::new();
    if !screen.is_terminal() {
        return;
    }
    let began = Instant::now();
    loop {
        let books = monitor.books();
        let pending = books.lanes.iter().map(|lane| lane.pending()).max().unwrap_or_default();
        let done = sent(&monitor).saturating_sub(pending);
        let rate = done as f64 / began.elapsed().as_secs_f64().max(0.001);
        let mut text = format!("{} {done} of {total} records, {rate:.0}/s\n", bar(done, total));
        for ((id, label), lane) in monitor.lanes().zip(&books.lanes) {
            let error = monitor.statistics().lane(id).last_error.unwrap_or_default();
            text.push_str(&format!("  {}: {} delivered  {}\n", label.name, lane.delivered, plain(&error)));
        }
        screen.draw(&text);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// `[#####---------------]`
fn bar(done: u64, total: u64) -> String {
    const WIDTH: u64 = 20;
    let filled = (done.min(total) * WIDTH / total.max(1)) as usize;
    format!("[{}{}]", "#".repeat(filled), "-".repeat(WIDTH as usize - filled))
}
