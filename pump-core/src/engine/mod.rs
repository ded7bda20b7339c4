//! The engine: sources, log and lanes put together, started, and ended in order.
//!
//! How it ends. A stop: sources read no more, lanes wait for what is in flight up to a deadline; then
//! the log says that nothing more will be settled, and the sources settle the last, give back what
//! they hold, and end. A drain: sources end by themselves once what the buffer held is settled; then
//! the lanes finish. An error in a source, or a panic anywhere, ends all of it with an error.
//!
//! What it delivers to may change while it runs ([`Reload`]); sources, log and the store of dead letters
//! stay as they were at the start.

mod lane_plan;
mod lanes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tracing::{info, warn};

use crate::accounting::{Accounting, Books, LaneId};
use crate::dead_letter::{Burial, DeadLetterStore};
use crate::edit::Edits;
use crate::encode::Additions;
use crate::filter::Filter;
use crate::lane::{Lane, LaneSettings, Phase, Preparation};
use crate::log::disk::{Gap, Opened};
use crate::log::{LaneInterest, Log, LogError, MemoryLog};
use crate::news::{self, News};
use crate::plugin::{Body, Deadline, DynSink, DynSource, Mode, Port, PortParts, SourceError};
use crate::randomness::Randomness;
use crate::record::{IdKey, Kind};
use crate::statistics::Statistics;
use crate::template::Template;
pub use lane_plan::LanePlan;
use lanes::{Commons, Labels, Lanes};
pub use lanes::{LaneLabel, Reload, ReloadError, Reloaded};

/// How many gaps are told one by one.
const MAX_REPORTED: usize = 64;

/// Everything that a pump is made of, checked and opened, but not started.
pub struct Blueprint {
    /// In the order of the pipeline file.
    pub sources: Vec<SourceBlueprint>,
    /// In the order of the pipeline file.
    pub lanes: Vec<LaneBlueprint>,
    /// What lies between sources and lanes.
    pub log: LogBlueprint,
    /// Where records go that are given up.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Makes record ids.
    pub id_key: Arc<IdKey>,
    /// Whether the pump ends by itself.
    pub mode: Mode,
    /// How long a stop waits for deliveries in flight.
    pub shutdown_timeout: Duration,
    /// Where random numbers come from: the system, but for a pump that is simulated.
    pub randomness: Randomness,
}

/// The log of a pump.
pub enum LogBlueprint {
    /// In memory.
    Memory {
        /// Bytes that it may hold.
        max_size: usize,
    },
    /// On disk, read and sound.
    Disk(Box<Opened>),
}

/// An opened source.
pub struct SourceBlueprint {
    /// Its name in the pipeline file.
    pub name: Arc<str>,
    /// The source.
    pub source: Box<dyn DynSource>,
}

/// An opened sink and what the engine does for it.
pub struct LaneBlueprint {
    /// The sink's name in the pipeline file, and the lane's.
    pub name: Arc<str>,
    /// The sink.
    pub sink: Arc<dyn DynSink>,
    /// Names of sources; `None`: all but the pump's own news.
    pub sources: Option<Vec<Arc<str>>>,
    /// What the lane takes.
    pub kinds: Vec<Kind>,
    /// Whether sources wait for it.
    pub is_required: bool,
    /// Which records it takes.
    pub filter: Filter,
    /// What it leaves out and rewrites.
    pub edits: Edits,
    /// What it adds.
    pub additions: Additions,
    /// How records become bytes.
    pub body: Option<Body>,
    /// How batches are cut apart.
    pub route: Template,
    /// Whether a batch that was tried has to come again as it was: see [`SinkPlan`](crate::plugin::SinkPlan).
    pub repeats_batches: bool,
    /// Batches, retries and limits.
    pub settings: LaneSettings,
}

impl LaneBlueprint {
    fn interest(&self) -> LaneInterest {
        LaneInterest {
            sources: self.sources.clone(),
            kinds: self.kinds.clone(),
            is_required: self.is_required,
        }
    }

    /// Takes what is done to records before they are batched.
    fn preparation(&mut self) -> Preparation {
        let body = self.body.take();
        let edits = Arc::new(std::mem::take(&mut self.edits));
        let (filter, additions) = (std::mem::take(&mut self.filter), std::mem::take(&mut self.additions));
        let preparation = Preparation::new(filter, edits, additions, body, self.route.clone());
        if self.sink.encodes_late() { preparation.encoding_late() } else { preparation }
    }
}

/// Why a pump ended that should not have.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// A source could not go on.
    #[error("source {name} cannot go on")]
    Source {
        /// Its name in the pipeline file.
        name: Arc<str>,
        /// Why.
        #[source]
        error: SourceError,
    },
    /// A drain was stopped before its end. What was not delivered is still in the buffer.
    #[error("told to stop before everything was drained: what is left stays in the buffer")]
    NotDrained,
    /// The log could not go on. What was not settled comes again.
    #[error("the log cannot go on")]
    Log(#[from] LogError),
    /// A part of the pump panicked. What was not settled comes again.
    #[error("{part} panicked: this is a defect in pump; what was not settled will be delivered again")]
    Panicked {
        /// Which part.
        part: &'static str,
    },
}

/// A pump that is ready to run.
pub struct Pump {
    monitor: Monitor,
    lanes: Lanes,
    to_run: Vec<Lane>,
    reloads: mpsc::Receiver<Request>,
    reloader: Reloader,
    sources: Vec<(Arc<str>, Box<dyn DynSource>, Port)>,
    queue: news::NewsQueue,
    news: News,
    mode: Mode,
    shutdown_timeout: Duration,
    phase: watch::Sender<Phase>,
    stopping: watch::Sender<bool>,
}

type Request = (Reload, oneshot::Sender<Result<Reloaded, ReloadError>>);

/// Changes the lanes of a running pump. A handle.
#[derive(Clone)]
pub struct Reloader {
    requests: mpsc::Sender<Request>,
    news: News,
}

impl Reloader {
    /// Makes the lanes what they are to be, or changes nothing. Returns once the lanes are told: each
    /// changes as soon as what it has in flight has ended or a few seconds have passed. No other lane waits.
    pub async fn reload(&self, reload: Reload) -> Result<Reloaded, ReloadError> {
        let (sender, answer) = oneshot::channel();
        self.requests.send((reload, sender)).await.map_err(|_| ReloadError::Ends)?;
        answer.await.unwrap_or(Err(ReloadError::Ends))
    }

    /// Where the pump's own news go.
    pub fn news(&self) -> &News {
        &self.news
    }
}

/// Looks at a running pump from outside. A handle; clones look at the same pump.
#[derive(Clone)]
pub struct Monitor {
    labels: Labels,
    /// The sources' names; the pump's own news come last.
    pub sources: Arc<[Arc<str>]>,
    accounting: Accounting,
    statistics: Arc<Statistics>,
    log: Arc<dyn Log>,
}

impl Monitor {
    /// All books, at one moment.
    pub fn books(&self) -> Books {
        self.accounting.snapshot()
    }

    /// What is measured besides.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// All lanes that there ever were. After a reload there may be more of them than in books that were
    /// looked at before.
    pub fn lanes(&self) -> impl Iterator<Item = (LaneId, LaneLabel)> {
        self.labels.all().into_iter().enumerate().map(|(index, label)| (LaneId::new(index), label))
    }

    /// What the log holds, in bytes.
    pub fn log_size(&self) -> usize {
        self.log.size()
    }
}

impl Pump {
    /// Puts the parts together. Nothing runs yet.
    pub fn new(blueprint: Blueprint) -> Self {
        let Blueprint { sources, lanes, log, dead_letters, id_key, mode, shutdown_timeout, randomness } =
            blueprint;
        let accounting = Accounting::new(sources.len() + 1);
        let statistics = Arc::new(Statistics::default());
        let (news, queue) = news::channel();
        let (senders, receivers): (HashMap<_, _>, Vec<_>) = sources
            .iter()
            .map(|source| {
                let (sender, receiver) = mpsc::unbounded_channel();
                ((source.name.clone(), sender), receiver)
            })
            .unzip();
        let log: Arc<dyn Log> = match log {
            LogBlueprint::Memory { max_size } => {
                Arc::new(MemoryLog::new(max_size, accounting.clone(), senders))
            }
            LogBlueprint::Disk(opened) => {
                report_gaps(opened.gaps(), &news);
                Arc::new(opened.into_log(accounting.clone(), senders))
            }
        };
        let burial = Arc::new(Burial::new(dead_letters, statistics.clone(), news.clone()));
        let phase = watch::Sender::new(match mode {
            Mode::Follow => Phase::Running,
            Mode::Drain => Phase::Draining,
        });
        let stopping = watch::Sender::new(false);
        let commons = Commons {
            log: log.clone(),
            accounting: accounting.clone(),
            statistics: statistics.clone(),
            burial: burial.clone(),
            id_key,
            phase: phase.clone(),
            randomness: randomness.clone(),
        };
        let (kept, mut all) = (Vec::new(), Lanes::new(commons));
        let (to_run, _) = all.apply(Reload { kept, lanes }).expect("the names of a blueprint are its own");
        let (requests, reloads) = mpsc::channel(1);
        let monitor = Monitor {
            labels: all.labels.clone(),
            sources: sources.iter().map(|source| source.name.clone()).chain([news::SOURCE.into()]).collect(),
            accounting: accounting.clone(),
            statistics: statistics.clone(),
            log: log.clone(),
        };
        let sources = sources.into_iter().zip(receivers).enumerate().map(|(index, (source, settled))| {
            let port = Port::new(PortParts {
                name: source.name.clone(),
                mode,
                log: log.clone(),
                burial: burial.clone(),
                account: accounting.source(index),
                news: news.clone(),
                settled,
                stopping: stopping.subscribe(),
                randomness: randomness.clone(),
            });
            (source.name, source.source, port)
        });
        let sources = sources.collect();
        Self {
            monitor,
            lanes: all,
            to_run,
            reloads,
            reloader: Reloader { requests, news: news.clone() },
            sources,
            queue,
            news,
            mode,
            shutdown_timeout,
            phase,
            stopping,
        }
    }

    /// What changes the lanes while the pump runs.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// A look from outside, which outlives the pump.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Runs until `stop` resolves, or in [`Mode::Drain`] until everything is delivered.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), PumpError> {
        let Self { monitor, mut lanes, to_run, mut reloads, sources, queue, news, .. } = self;
        let Self { mode, shutdown_timeout, phase, stopping, .. } = self;
        // Every task is in a set, so that none outlives this future when it is dropped.
        let mut log_task = JoinSet::new();
        log_task.spawn(monitor.log.clone().run());
        let mut lane_tasks = JoinSet::new();
        for lane in to_run {
            lane_tasks.spawn(lane.run());
        }
        let mut source_tasks = JoinSet::new();
        for (name, source, port) in sources {
            source_tasks.spawn(async move { (name, source.run(port).await) });
        }
        let news_account = monitor.accounting.source(monitor.sources.len() - 1);
        let mut news_task = JoinSet::new();
        news_task.spawn(queue.run(monitor.log.clone(), news_account));
        news.post("start", "the pump has started", &[]);
        info!(sources = monitor.sources.len() - 1, lanes = lane_tasks.len(), "pump started");

        let mut stop = std::pin::pin!(stop);
        let mut outcome = loop {
            // Whichever is ready first in this order: every branch before the last ends the loop, so that none can
            // keep the others waiting, and the same events make the same run.
            tokio::select! {
                biased;
                () = &mut stop => break match mode {
                    Mode::Follow => Ok(()),
                    Mode::Drain => Err(PumpError::NotDrained),
                },
                ended = all_delivered(&mut source_tasks, &*monitor.log) => break ended,
                failed = log_end(&mut log_task) => break failed,
                panicked = panic_of(&mut lane_tasks) => break Err(panicked),
                Some((reload, answer)) = reloads.recv(), if mode == Mode::Follow => {
                    let reloaded = lanes.apply(reload).map(|(new, reloaded)| {
                        new.into_iter().for_each(|lane| {
                            lane_tasks.spawn(lane.run());
                        });
                        reloaded
                    });
                    // Whoever asked may have gone meanwhile.
                    let _ = answer.send(reloaded);
                }
            }
        };
        drop(reloads);
        let is_drained = mode == Mode::Drain && source_tasks.is_empty() && outcome.is_ok();
        if is_drained {
            news.post("stop", "the pump has drained its sources", &[]);
            let finish = async {
                news.flushed().await;
                phase.send_replace(Phase::Finishing);
                while lane_tasks.join_next().await.is_some_and(|lane| lane.is_ok()) {}
            };
            // Only best-effort lanes and the pump's own news can be behind now.
            if timeout(shutdown_timeout, finish).await.is_err() {
                warn!("some best-effort sinks did not take everything in time");
            }
        }
        let deadline = Deadline::after(shutdown_timeout);
        info!("pump stops");
        stopping.send_replace(true);
        phase.send_replace(Phase::Stopping(deadline));
        while let Some(lane) = lane_tasks.join_next().await {
            if lane.is_err() {
                outcome = Err(PumpError::Panicked { part: "a lane" });
            }
        }
        news_task.abort_all();
        monitor.log.close();
        // What sources do now is a last round with their buffers; it gets its own few seconds.
        let last_round = Deadline::after(Duration::from_secs(5));
        while let Ok(Some(ended)) = timeout_at(last_round.instant(), source_tasks.join_next()).await {
            if let Err(error) = source_outcome(ended)
                && outcome.is_ok()
            {
                outcome = Err(error);
            }
        }
        if !log_task.is_empty() {
            match timeout_at(last_round.instant(), log_end(&mut log_task)).await {
                Ok(Err(error)) if outcome.is_ok() => outcome = Err(error),
                Ok(_) => {}
                Err(_elapsed) => warn!("the log did not end in time: what is not settled is delivered again"),
            }
        }
        if !source_tasks.is_empty() {
            warn!("a source did not end in time: what it holds is delivered again once its lease has passed");
        }
        info!("pump stopped");
        outcome
    }
}

type SourceEnd = Result<(Arc<str>, Result<(), SourceError>), tokio::task::JoinError>;

/// Resolves when the first source fails, or when all have ended and what they left in the log is delivered.
async fn all_delivered(
    sources: &mut JoinSet<(Arc<str>, Result<(), SourceError>)>,
    log: &dyn Log,
) -> Result<(), PumpError> {
    sources_end(sources).await?;
    log.drained().await;
    Ok(())
}

/// Resolves when the log's task ends, and never again.
async fn log_end(task: &mut JoinSet<Result<(), LogError>>) -> Result<(), PumpError> {
    match task.join_next().await {
        None => std::future::pending().await,
        Some(Ok(ended)) => Ok(ended?),
        Some(Err(_)) => Err(PumpError::Panicked { part: "the log" }),
    }
}

/// What was lost in the disk log and accepted is told to whoever takes the pump's own news.
fn report_gaps(gaps: &[Gap], news: &News) {
    for gap in gaps.iter().take(MAX_REPORTED) {
        let details = [
            ("records", gap.records().into()),
            ("from", gap.from.into()),
            ("to", gap.to.into()),
            ("segment", gap.segment.as_str().into()),
            ("reason", (&*gap.reason).into()),
        ];
        news.post("log_gap", "records in the disk log are lost", &details);
    }
    let (gaps, records) = (gaps.len(), gaps.iter().map(Gap::records).sum::<u64>());
    if gaps > 0 {
        warn!(gaps, records, "the disk log was damaged: it was told to go on without what is lost");
    }
}

/// Resolves when the first source fails, or when all have ended.
async fn sources_end(tasks: &mut JoinSet<(Arc<str>, Result<(), SourceError>)>) -> Result<(), PumpError> {
    while let Some(ended) = tasks.join_next().await {
        source_outcome(ended)?;
    }
    Ok(())
}

fn source_outcome(ended: SourceEnd) -> Result<(), PumpError> {
    match ended {
        Ok((_, Ok(()))) => Ok(()),
        Ok((name, Err(error))) => Err(PumpError::Source { name, error }),
        Err(_) => Err(PumpError::Panicked { part: "a source" }),
    }
}

/// Resolves when a lane panics; lanes do not end otherwise before they are told to.
async fn panic_of(lanes: &mut JoinSet<()>) -> PumpError {
    while let Some(ended) = lanes.join_next().await {
        if ended.is_err() {
            return PumpError::Panicked { part: "a lane" };
        }
    }
    std::future::pending().await
}
