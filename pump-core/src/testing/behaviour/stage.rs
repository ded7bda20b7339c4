//! A pump with one lane, built from a sink's section as the binary builds it, on the suite's samples.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::watch;
use super::{Sample, Sink};
use crate::accounting::LaneBooks;
use crate::config::load_text;
use crate::engine::{LaneBlueprint, LanePlan, Monitor, Pump, PumpError};
use crate::plugin::{
    Answers, Batch, Deadline, DynSink, Mode, PlanError, Port, Registry, SinkError, Source, SourceContext,
    SourceError, SourcePlan,
};
use crate::record::{Codec, IdKey, Kind};
use crate::statistics::LaneStatistics;
use crate::testing::{ListSource, MemoryStore, blueprint};

/// How long a stop waits for what is in flight.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(1);

/// Records in a chunk of the source.
const CHUNK: usize = 100;

/// A lane to this sink with the plugin's keys, and what the engine's keys say besides the suite's own.
pub(super) async fn lane<S: Sink>(keys: &str, engine: &str) -> Result<LaneBlueprint, String> {
    let plan = plan::<S>(keys, engine)?;
    plan.open().await.map_err(|error| seen(format!("it cannot be opened: {error}")))
}

/// Whether the sink has a place for `add`.
pub(super) fn takes_additions<S: Sink>(keys: &str) -> bool {
    plan::<S>(keys, "add: { probe: probe }").is_ok()
}

fn plan<S: Sink>(keys: &str, engine: &str) -> Result<LanePlan, String> {
    let registry = Registry::new().source::<Nothing>().sink::<S>();
    let lines = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let mut text = format!(
        "sources:\n  suite:\n    type: nothing\nsinks:\n  tested:\n    type: {}\n    kinds: [transaction]\n    \
         retry: {{ initial: 20ms, max: 200ms }}\n",
        S::NAME
    );
    let has = |key: &str| {
        keys.lines()
            .chain(engine.lines())
            .any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
    };
    for (key, value) in [("batch", "{ max_records: 50, max_age: 100ms }"), ("timeout", "5s")] {
        if !has(key) {
            text.push_str(&format!("    {key}: {value}\n"));
        }
    }
    text.push_str(&lines(keys));
    text.push_str(&lines(engine));
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
    pub(super) letters: MemoryStore,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), PumpError>>,
}

impl Running {
    /// Sends the samples through the lane. In [`Mode::Drain`] it ends by itself.
    pub(super) fn start(lane: LaneBlueprint, samples: &[Sample], mode: Mode) -> Self {
        let chunks = samples.chunks(CHUNK).map(|chunk| chunk.iter().map(Sample::encode).collect()).collect();
        let source = ListSource::of(Kind::Transaction, Codec::Msgpack, chunks);
        let mut parts = blueprint(mode, vec![("suite", Box::new(source))]);
        let letters = MemoryStore::default();
        parts.lanes = vec![lane];
        parts.log = crate::engine::LogBlueprint::Memory { max_size: 64 << 20 };
        parts.dead_letters = Arc::new(letters.clone());
        parts.shutdown_timeout = SHUTDOWN;
        let pump = Pump::new(parts);
        let monitor = pump.monitor();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(pump.run(async {
            // A suite that goes away stops it too.
            let _ = stopped.await;
        }));
        Self { monitor, letters, stop: Some(stop), task }
    }

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

    /// Waits until it has drained; every record must have an outcome then.
    pub(super) async fn drained(mut self, limit: Duration) -> Result<LaneBooks, String> {
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
    pub(super) async fn stop(mut self, limit: Duration) -> Result<Duration, String> {
        let begin = Instant::now();
        drop(self.stop.take());
        match tokio::time::timeout(limit, self.ended()).await {
            Ok(ended) => ended.map(|_| begin.elapsed()),
            Err(_) => Err(format!("it has not stopped after {limit:.1?}: {}", self.told())),
        }
    }

    async fn ended(&mut self) -> Result<LaneBooks, String> {
        match (&mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(seen(format!("the pump ended with an error: {error}"))),
            Err(error) => return Err(seen(format!("the pump panicked: {error}"))),
        }
        let books = self.books();
        if !books.is_balanced() {
            return Err(format!("the books do not balance: {books:?}"));
        }
        Ok(books)
    }

    fn told(&self) -> String {
        let LaneStatistics { state, last_error, in_flight, .. } = self.statistics();
        format!("{state:?}, {in_flight} in flight, last error {last_error:?}, {:?}", self.books())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When a delivery is dropped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// When it waits for the so-manieth time.
    Wait(usize),
    /// That long after it began.
    After(Duration),
}

/// A sink whose first deliveries are dropped, each at its moment, before the rest get through.
pub(super) struct Dropping {
    inner: Arc<dyn DynSink>,
    left: Mutex<Vec<Moment>>,
    dropped: Arc<AtomicUsize>,
}

impl Dropping {
    /// And how many were dropped.
    pub(super) fn around(inner: Arc<dyn DynSink>, moments: Vec<Moment>) -> (Self, Arc<AtomicUsize>) {
        let dropped = Arc::<AtomicUsize>::default();
        (Self { inner, left: Mutex::new(moments), dropped: dropped.clone() }, dropped)
    }
}

#[async_trait]
impl DynSink for Dropping {
    fn encodes_late(&self) -> bool {
        self.inner.encodes_late()
    }

    fn start(&self) {
        self.inner.start();
    }

    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError> {
        let moment = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut delivery = self.inner.deliver(batch, deadline);
        let answered = match moment {
            None => return delivery.await,
            Some(Moment::After(limit)) => tokio::time::timeout(limit, delivery).await.ok(),
            Some(Moment::Wait(times)) => {
                let mut waits = 0;
                std::future::poll_fn(|context| match delivery.as_mut().poll(context) {
                    Poll::Ready(answered) => Poll::Ready(Some(answered)),
                    Poll::Pending => {
                        waits += 1;
                        if waits >= times { Poll::Ready(None) } else { Poll::Pending }
                    }
                })
                .await
            }
        };
        answered.unwrap_or_else(|| {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            Err(SinkError::retry("the suite has dropped it", io::Error::from(io::ErrorKind::Interrupted)))
        })
    }

    async fn probe(&self) -> Result<(), SinkError> {
        self.inner.probe().await
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.inner.close().await
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
