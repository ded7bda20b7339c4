//! A pump with one lane, built from a sink's section as the binary builds it, on the suite's samples.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::watch;
use super::witness::{Attempts, Moment, Witness, read};
use super::{Sample, Sink};
use crate::accounting::LaneBooks;
use crate::config::load_text;
use crate::engine::{LaneBlueprint, LanePlan, LogBlueprint, Monitor, Pump, PumpError};
use crate::plugin::{Mode, PlanError, Port, Registry, Source, SourceContext, SourceError, SourcePlan};
use crate::record::{Codec, IdKey, Kind};
use crate::statistics::LaneStatistics;
use crate::testing::{ListSource, MemoryStore, blueprint};

/// How long a stop waits for what is in flight.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(1);

/// Bytes of records in a chunk of the source, unless one has to hold all of them.
const CHUNK: usize = 100_000;

/// A pump to be.
pub(super) struct Stage<'s> {
    lane: LaneBlueprint,
    samples: &'s [Sample],
    mode: Mode,
    chunk: usize,
    attempts: Arc<Attempts>,
}

impl<'s> Stage<'s> {
    /// A lane to this sink with the plugin's keys, and with what the engine's keys say besides the suite's own.
    pub(super) async fn new<S: Sink>(
        keys: &str,
        engine: &str,
        samples: &'s [Sample],
    ) -> Result<Self, String> {
        let opened = plan::<S>(keys, engine)?.open().await;
        let lane = opened.map_err(|error| seen(format!("it cannot be opened: {error}")))?;
        Ok(Self { lane, samples, mode: Mode::Drain, chunk: CHUNK, attempts: Arc::default() })
    }

    /// It does not end by itself.
    pub(super) fn following(self) -> Self {
        Self { mode: Mode::Follow, ..self }
    }

    /// All records come at once.
    pub(super) fn in_one_chunk(self) -> Self {
        Self { chunk: usize::MAX, ..self }
    }

    /// It runs, and the first deliveries are dropped, each at its moment.
    pub(super) fn dropping(mut self, moments: Vec<Moment>) -> Running {
        let witness = Witness::new(self.lane.sink.clone(), self.attempts.clone()).dropping(moments);
        self.lane.sink = Arc::new(witness);
        self.run()
    }

    /// It runs, and whatever the sink's probe says, it is delivered to.
    pub(super) fn blind(mut self) -> Running {
        let witness = Witness::new(self.lane.sink.clone(), self.attempts.clone()).blind();
        self.lane.sink = Arc::new(witness);
        self.run()
    }

    /// It runs.
    pub(super) fn start(mut self) -> Running {
        self.lane.sink = Arc::new(Witness::new(self.lane.sink.clone(), self.attempts.clone()));
        self.run()
    }

    fn run(self) -> Running {
        let bodies = self.samples.iter().map(Sample::encode);
        let (mut chunks, mut size) = (vec![Vec::new()], 0);
        let mut total = 0;
        for body in bodies {
            if size + body.len() > self.chunk {
                chunks.push(Vec::new());
                size = 0;
            }
            size += body.len();
            total += body.len();
            chunks.last_mut().expect("there is one").push(body);
        }
        // As with real sources, no two records have one partition and position.
        static PARTITIONS: AtomicU64 = AtomicU64::new(0);
        let partition = format!("suite-{}", PARTITIONS.fetch_add(1, Ordering::Relaxed));
        let source = ListSource::of(Kind::Transaction, Codec::Msgpack, chunks).in_partition(&partition);
        let mut parts = blueprint(self.mode, vec![("suite", Box::new(source))]);
        let letters = MemoryStore::default();
        parts.lanes = vec![self.lane];
        // So large that it cuts no batch short.
        parts.log = LogBlueprint::Memory { max_size: (total * 4).max(16 << 20) };
        parts.dead_letters = Arc::new(letters.clone());
        parts.shutdown_timeout = SHUTDOWN;
        let pump = Pump::new(parts);
        let monitor = pump.monitor();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(pump.run(async {
            // A suite that goes away stops it too.
            let _ = stopped.await;
        }));
        let count = self.samples.len() as u64;
        Running { monitor, letters, attempts: self.attempts, count, stop: Some(stop), task }
    }
}

/// Whether the sink has a place for `add`.
pub(super) fn takes_additions<S: Sink>(keys: &str) -> bool {
    plan::<S>(keys, "add: { probe: probe }").is_ok()
}

fn plan<S: Sink>(keys: &str, engine: &str) -> Result<LanePlan, String> {
    let registry = Registry::new().source::<Nothing>().sink::<S>();
    let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    // What a behaviour is about comes first, then what the destination says, then what is usual.
    let (mut taken, mut section) = (Vec::new(), String::new());
    let usual = "kinds: [transaction]\nretry: { initial: 20ms, max: 200ms }\n\
                 batch: { max_records: 50, max_age: 100ms }\ntimeout: 5s";
    for text in [engine, keys, usual] {
        let mut is_taken = false;
        let before = taken.len();
        for line in text.lines() {
            // Lines that are indented belong to the key above.
            if !line.starts_with([' ', '-']) {
                is_taken = taken[..before].contains(&key(line));
                taken.push(key(line));
            }
            if !is_taken {
                section.push_str(&format!("    {line}\n"));
            }
        }
    }
    let text =
        format!("sources:\n  suite:\n    type: nothing\nsinks:\n  tested:\n    type: {}\n{section}", S::NAME);
    // The section has its secrets in it by right; the error must not.
    let wrong =
        |error: &dyn std::fmt::Display| format!("its section is wrong: {}\n{text}", seen(error.to_string()));
    let pipeline =
        load_text("suite.yaml", &text, &|_| None, registry.catalog()).map_err(|error| wrong(&error))?;
    let entry = pipeline.sinks.first().expect("it has one sink");
    LanePlan::new(entry, &registry, &IdKey::default(), &mut Vec::new())
        .map_err(|errors| wrong(&crate::config::ConfigErrors(errors)))
}

fn seen(text: String) -> String {
    watch::look(&text);
    text
}

/// A pump that runs.
pub(super) struct Running {
    monitor: Monitor,
    letters: MemoryStore,
    attempts: Arc<Attempts>,
    count: u64,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), PumpError>>,
}

/// What came of a pump that has ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) books: LaneBooks,
    pub(super) attempts: Arc<Attempts>,
    /// Why records became dead letters.
    pub(super) reasons: Vec<String>,
}

impl Outcome {
    /// Records that are at the destination, by what the sink says.
    pub(super) fn arrived(&self) -> u64 {
        self.books.delivered + self.books.duplicate
    }

    /// That so many are there and so many were given up, and none is without an outcome.
    pub(super) fn expect(&self, arrived: u64, dead: u64) -> Result<(), String> {
        let found = (self.arrived(), self.books.dead_lettered, self.books.pending());
        if found == (arrived, dead, 0) {
            return Ok(());
        }
        Err(format!(
            "{arrived} are to arrive and {dead} to be given up: {:?}, {:.500?}",
            self.books, self.reasons
        ))
    }
}

impl Running {
    pub(super) fn books(&self) -> LaneBooks {
        self.monitor.books().lanes[0]
    }

    pub(super) fn statistics(&self) -> LaneStatistics {
        let (lane, _) = self.monitor.lanes().next().expect("there is one lane");
        let statistics = self.monitor.statistics().lane(lane);
        if let Some(error) = &statistics.last_error {
            watch::look(error);
        }
        statistics
    }

    pub(super) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Waits until this is so.
    pub(super) async fn wait(
        &self,
        limit: Duration,
        what: &str,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let begin = Instant::now();
        while !is_so(self) {
            if begin.elapsed() > limit || self.task.is_finished() {
                return Err(format!("{what}: not so after {:.1?}: {}", begin.elapsed(), self.told()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Waits until it has drained.
    pub(super) async fn drained(mut self, limit: Duration) -> Result<Outcome, String> {
        let begin = Instant::now();
        while !self.task.is_finished() && begin.elapsed() < limit {
            self.statistics();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !self.task.is_finished() {
            return Err(format!("not delivered within {limit:.0?}: {}", self.told()));
        }
        self.ended().await
    }

    /// Stops it; gives how long that took.
    pub(super) async fn stop(mut self, limit: Duration) -> Result<(Duration, Outcome), String> {
        let begin = Instant::now();
        drop(self.stop.take());
        match tokio::time::timeout(limit, self.ended()).await {
            Ok(ended) => ended.map(|outcome| (begin.elapsed(), outcome)),
            Err(_) => Err(format!("it has not stopped after {limit:.1?}: {}", self.told())),
        }
    }

    async fn ended(&mut self) -> Result<Outcome, String> {
        match (&mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(seen(format!("the pump ended with an error: {error}"))),
            Err(error) => return Err(seen(format!("the pump panicked: {error}"))),
        }
        let books = self.books();
        if !books.is_balanced() || books.accepted > self.count {
            return Err(format!("the books do not balance: {books:?}"));
        }
        let letters = self.letters.letters();
        let reasons = letters.iter().map(|letter| seen(format!("{}: {}", letter.reason, letter.detail)));
        Ok(Outcome { books, attempts: self.attempts.clone(), reasons: reasons.collect() })
    }

    fn told(&self) -> String {
        let LaneStatistics { state, last_error, in_flight, .. } = self.statistics();
        let attempts = (read(&self.attempts.delivered), self.attempts.failed());
        format!(
            "{state:?}, {in_flight} in flight, {attempts:?} attempts went well and failed, last error {last_error:?}, {:?}",
            self.books()
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Stands for the source in the section's file; the samples come from a [`ListSource`].
struct Nothing;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

#[async_trait]
impl Source for Nothing {
    const NAME: &'static str = "nothing";
    type Config = NoKeys;

    fn plan(_: &NoKeys) -> Result<SourcePlan, PlanError> {
        Ok(SourcePlan { kinds: vec![Kind::Transaction], ..SourcePlan::default() })
    }

    async fn open(_: NoKeys, _: SourceContext) -> Result<Self, SourceError> {
        Ok(Self)
    }

    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(self, _: Port) -> Result<(), SourceError> {
        Ok(())
    }
}
