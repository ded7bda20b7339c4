//! `replay`: letters go again to the sinks that refused them, through the engine.
//!
//! Letters are counted first, by the sink that refused them and the source that they came from; then
//! each such lot is a pump of its own that drains: its only source gives the letters, its lanes are the
//! sink as the pipeline file has it. What was undecodable comes last and has all sinks that take from
//! its source. New letters of what is refused again may lie beside the old ones for a while, so here the
//! store has no bound: a full store could not be emptied otherwise.
//!
//! A pump waits for ever for a sink that cannot be reached, or that refuses everything. Here somebody
//! waits for an answer, so a sink that is unavailable for half a minute ends the replay.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use pump_core::config::{LogLevel, LogLines};
use pump_core::dead_letter::{DeadLetter, DeadLetterArchive, ReplayCounts, ReplaySource};
use pump_core::engine::{Monitor, Pump, PumpError, SourceBlueprint};
use pump_core::plugin::Registry;
use pump_core::record::Kind;
use pump_core::statistics::LaneState;

use super::selection::Which;
use super::walker::{self, Unreadable};
use crate::assemble::{self, Plan};
use crate::cli::Failure;
use crate::logging;
use crate::output;
use crate::run::stop_signal;
use crate::screen::Screen;

/// How long a sink may be unavailable while nothing gets through.
const PATIENCE: Duration = Duration::from_secs(30);

/// Letters that are sent together.
struct Lot {
    /// `None`: they could not be decoded.
    sink: Option<Arc<str>>,
    source: Arc<str>,
    count: u64,
}

impl Lot {
    /// For a person.
    fn name(&self) -> String {
        let source = output::plain(&self.source);
        match &self.sink {
            Some(sink) => format!("sink {}, from {source}", output::plain(sink)),
            None => format!("undecodable, from {source}"),
        }
    }

    /// The kinds of letters that somebody takes.
    fn kinds(&self, plan: &Plan) -> Result<Vec<Kind>, String> {
        match &self.sink {
            Some(name) => match plan.sinks.iter().find(|sink| sink.name == *name) {
                Some(sink) => Ok(sink.kinds.clone()),
                None => Err(format!("there is no sink `{}` in the pipeline file", output::plain(name))),
            },
            None => match plan.sources.iter().find(|source| source.name == self.source) {
                Some(source) => Ok(source.kinds.clone()),
                None => {
                    Err(format!("there is no source `{}` in the pipeline file", output::plain(&self.source)))
                }
            },
        }
    }
}

pub(super) async fn replay(plan: &Plan, which: &Which, registry: &Registry) -> Result<(), Failure> {
    which.check_sink(&plan.sinks.iter().map(|sink| sink.name.clone()).collect())?;
    logging::start(&LogLines { level: LogLevel::Warn, ..plan.pipeline.telemetry.log.clone() });
    let store = assemble::dead_letters(&plan.pipeline.dead_letters, Some(u64::MAX))?;
    let lots = count(&*store, which).await?;
    if lots.is_empty() {
        output::write(b"no letters were sent: there are none such\n")?;
    }
    let mut stop: Stop = Box::pin(stop_signal()?);
    let mut failed = 0;
    for lot in lots {
        let kinds = match lot.kinds(plan) {
            Ok(kinds) => kinds,
            Err(reason) => {
                eprintln!("warning: {}: {} stay: {reason}", lot.name(), output::letters(lot.count));
                continue;
            }
        };
        let sender = Sender { plan, which, registry, store: &store };
        match sender.send(&lot, kinds, &mut stop).await? {
            End::Settled => {}
            End::Stopped => {
                return Err(anyhow!("told to stop before all letters were settled: the rest stay").into());
            }
            // What one sink does is no reason to keep letters from the others.
            End::Failed(error) => {
                eprintln!("error: {}: {error:#}; what was not settled stays", lot.name());
                failed += 1;
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(anyhow!("not all letters were settled").into()),
    }
}

/// What there is to send, the undecodable last: what a sink refuses of them must not be sent once more.
async fn count(store: &dyn DeadLetterArchive, which: &Which) -> Result<Vec<Lot>, Failure> {
    let mut walk = store.walk().await.context("the letters cannot be gone through")?;
    let (mut counts, mut unreadable) = (BTreeMap::new(), Unreadable::default());
    while let Some(found) = walker::next(&mut *walk, &mut unreadable).await? {
        for found in found.into_iter().filter(|found| which.means(&found.letter, found.at)) {
            let lot = (found.letter.sink.is_none(), found.letter.sink, found.letter.source);
            *counts.entry(lot).or_default() += 1;
        }
    }
    unreadable.report();
    Ok(counts.into_iter().map(|((_, sink, source), count)| Lot { sink, source, count }).collect())
}

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a lot ended.
enum End {
    /// Everything that can be sent is settled.
    Settled,
    /// The operator said so.
    Stopped,
    /// Something is wrong with this lot.
    Failed(anyhow::Error),
}

/// What sending takes.
struct Sender<'a> {
    plan: &'a Plan,
    which: &'a Which,
    registry: &'a Registry,
    store: &'a Arc<dyn DeadLetterArchive>,
}

impl Sender<'_> {
    /// Sends one lot and says what became of it, however it ended.
    async fn send(&self, lot: &Lot, kinds: Vec<Kind>, stop: &mut Stop) -> Result<End, Failure> {
        let walk = self.store.walk().await.context("the letters cannot be gone through")?;
        let (sink, which) = (lot.sink.clone(), self.which.clone());
        let selection = move |letter: &DeadLetter, at| letter.sink == sink && which.means(letter, at);
        let source = ReplaySource::new(walk, Box::new(selection), kinds, self.plan.id_key.clone());
        let counts = source.counts();
        let source = SourceBlueprint { name: lot.source.clone(), source: Box::new(source) };
        // A sink is opened once, so each lot has a plan of its own.
        let plan = assemble::plan(self.plan.pipeline.clone(), self.registry)?;
        let blueprint = match plan.open_for_replay(source, lot.sink.as_deref(), self.store.clone()).await {
            Ok(blueprint) => blueprint,
            // The other sinks get their letters.
            Err(error) => return Ok(End::Failed(error)),
        };
        let pump = Pump::new(blueprint);
        let monitor = pump.monitor();
        let progress = show_progress(lot.name(), lot.count, monitor.clone(), counts.clone());
        let progress = tokio::spawn(progress);
        let mut unavailable = None;
        let ends = async {
            tokio::select! {
                () = stop => {}
                reason = until_unavailable(&monitor) => unavailable = Some(reason),
            }
        };
        let outcome = pump.run(ends).await;
        progress.abort();
        // Waits until the screen was given back.
        let _ = progress.await;
        output::write(report(lot, &monitor, counts_of(&counts)).as_bytes())?;
        Ok(match (outcome, unavailable) {
            (Ok(()), _) => End::Settled,
            (Err(PumpError::NotDrained), Some(reason)) => End::Failed(anyhow!(reason)),
            (Err(PumpError::NotDrained), None) => End::Stopped,
            (Err(error), _) => End::Failed(error.into()),
        })
    }
}

/// Resolves once a sink is unavailable and nothing has got through for too long, with the reason.
async fn until_unavailable(monitor: &Monitor) -> String {
    let (mut since, mut settled) = (Instant::now(), 0);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = settled_by(monitor);
        if now != settled {
            (since, settled) = (Instant::now(), now);
        }
        let unavailable = monitor.lanes().find_map(|(id, label)| {
            let (name, lane) = (label.name, monitor.statistics().lane(id));
            let error = lane.last_error.unwrap_or_default();
            (lane.state == LaneState::Unavailable).then(|| format!("sink {name} is unavailable: {error}"))
        });
        if let Some(reason) = unavailable.filter(|_| since.elapsed() >= PATIENCE) {
            return reason;
        }
    }
}

/// Records that have an outcome.
fn settled_by(monitor: &Monitor) -> u64 {
    monitor.books().lanes.iter().map(|lane| lane.accepted - lane.pending()).sum()
}

fn counts_of(counts: &Mutex<ReplayCounts>) -> ReplayCounts {
    *counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn report(lot: &Lot, monitor: &Monitor, counts: ReplayCounts) -> String {
    let ReplayCounts { sent, removed, undecodable, unwanted } = counts;
    let mut text = format!("{}: {sent} sent, {removed} settled and removed", lot.name());
    for (count, why) in [(undecodable, "cannot be decoded"), (unwanted, "are of a kind that nobody takes")] {
        if count > 0 {
            text.push_str(&format!("; {count} stay: they {why}"));
        }
    }
    text.push('\n');
    for ((_, label), lane) in monitor.lanes().zip(&monitor.books().lanes) {
        let name = label.name;
        let (delivered, duplicate, filtered) = (lane.delivered, lane.duplicate, lane.filtered);
        text.push_str(&format!(
            "  {name}: {delivered} delivered, {duplicate} there already, {filtered} filtered, {} given up again\n",
            lane.dead_lettered
        ));
    }
    text
}

/// On a terminal, a line that is drawn anew twice a second.
async fn show_progress(name: String, total: u64, monitor: Monitor, counts: Arc<Mutex<ReplayCounts>>) {
    let mut screen = Cleared(Screen::new());
    if !screen.0.is_terminal() {
        return;
    }
    let began = Instant::now();
    loop {
        let rate = settled_by(&monitor) as f64 / began.elapsed().as_secs_f64().max(0.001);
        let sent = counts_of(&counts).sent;
        let mut text = format!("{name}: {sent} of {total} letters sent, {rate:.0} records/s\n");
        for (id, label) in monitor.lanes() {
            let name = label.name;
            if let Some(error) = monitor.statistics().lane(id).last_error {
                text.push_str(&format!("  {name}: {}\n", output::plain(&error)));
            }
        }
        screen.0.draw(&text);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Takes away what it drew, also when its task is aborted.
struct Cleared(Screen);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.clear();
    }
}
