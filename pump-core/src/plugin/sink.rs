//! A sink: where batches go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Answers, Batch, Deadline, PlanError, SinkError};
use crate::config::Format;
use crate::encode::{Encoder, FullEncoder, TykRecordEncoder};
use crate::record::Kind;
use crate::template::Template;

/// A destination. Everything but the attempt itself is the engine's work.
#[async_trait]
pub trait Sink: Send + Sync + Sized + 'static {
    /// The `type` in the pipeline file.
    const NAME: &'static str;
    /// Whether bodies are made as slices are read, and not before: for batches that are large and wait long. Nothing of
    /// them is encoded while they wait, their size is that of their records on the wire, and their encodings are shared
    /// with nobody.
    const ENCODES_LATE: bool = false;
    /// The plugin's own keys, strict; the engine's keys are taken out before.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// Checks the configuration and says what the engine needs to know. Pure: called by `check` too.
    fn plan(config: &Self::Config, format: Option<Format>) -> Result<SinkPlan, PlanError>;

    /// Builds clients and contacts nobody: a start never waits for a sink. Called once.
    async fn open(config: Self::Config, context: SinkContext) -> Result<Self, SinkError>;

    /// The pump runs from now on. Called once, on its runtime, before the first attempt; never by `check`,
    /// which opens and probes only. A sink with work of its own, such as finishing what a crash left
    /// behind, begins it here; it must not block.
    fn start(&self) {}

    /// Makes one attempt. Up to `max_in_flight` calls run at once. May be dropped at any await: what
    /// was not answered is delivered again.
    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError>;

    /// Whether the destination can be reached and is willing. Called before the first attempt is due,
    /// by `check --connect`, and while the lane is unavailable.
    async fn probe(&self) -> Result<(), SinkError>;

    /// Ends in order. Called once, after the last attempt.
    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// What the engine needs to know of a sink.
pub struct SinkPlan {
    /// What the sink can take.
    pub kinds: Vec<Kind>,
    /// How records become bytes; `None` for a sink that reads fields only.
    pub body: Option<Body>,
    /// Where a batch ends unless the pipeline file says otherwise.
    pub batch: BatchDefaults,
    /// Batches are cut per value of this template.
    pub route: Template,
    /// Network addresses (`host:port`) that the sink will contact, for policies.
    pub targets: Vec<String>,
    /// Whether `add` has a place in what the sink writes.
    pub takes_additions: bool,
    /// Whether a batch has to come again exactly as it was once it was tried, because the sink names what it
    /// writes by [`Batch::digest`]. The engine then makes it durable which records are in a batch before its
    /// first attempt, and repeats the batch after a restart; with the memory log only while the process lives.
    /// Such a batch is halved only after [`SinkError::too_large`], which says that nothing of it was written.
    /// Halves of a batch, and what is left of one that was answered in part, are batches of their own; with the
    /// memory log also what is left of one when a lease was lost, since another pump delivers the rest.
    pub repeats_batches: bool,
}

impl SinkPlan {
    /// Takes every kind and all records into the same batches, of the default size: what a sink says unless
    /// it has a reason to say something else, which it then writes before `..SinkPlan::new(body)`.
    pub fn new(body: Option<Body>) -> Self {
        Self {
            kinds: Kind::ALL.to_vec(),
            body,
            batch: BatchDefaults::default(),
            route: Template::constant_of(""),
            targets: Vec::new(),
            takes_additions: true,
            repeats_batches: false,
        }
    }
}

/// How records become bytes.
pub struct Body {
    /// Writes one record.
    pub encoder: Arc<dyn Encoder>,
    /// Follows each body in [`Slice::framed`](super::Slice::framed), such as a newline. Lanes whose terminators differ
    /// share no encoding: a sink that has no use for one has a newline, as most.
    pub terminator: &'static [u8],
}

impl Body {
    /// One JSON object a line: every field, or what Tyk Pump writes into files where the pipeline file says
    /// `format: tyk`.
    pub fn json_lines(format: Option<Format>) -> Self {
        let encoder: Arc<dyn Encoder> = match format.unwrap_or(Format::Full) {
            Format::Full => Arc::new(FullEncoder),
            Format::Tyk => Arc::new(TykRecordEncoder),
        };
        Self { encoder, terminator: b"\n" }
    }
}

/// Where a batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchDefaults {
    /// Records.
    pub max_records: usize,
    /// Bytes as encoded, or as on the wire where the sink reads fields only or encodes late.
    pub max_bytes: usize,
    /// From the first record on.
    pub max_age: Duration,
}

impl Default for BatchDefaults {
    fn default() -> Self {
        Self { max_records: 5_000, max_bytes: 4 << 20, max_age: Duration::from_secs(1) }
    }
}

/// What a sink gets besides its configuration.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// The sink's name in the pipeline file.
    pub name: Arc<str>,
    /// The format that the plan was made for.
    pub format: Option<Format>,
    /// How long an attempt may take: the deadline of each is so far away when it begins.
    pub timeout: Duration,
}

/// The erased twin of [`Sink`], which the engine holds.
#[async_trait]
pub trait DynSink: Send + Sync {
    /// See [`Sink::ENCODES_LATE`].
    fn encodes_late(&self) -> bool {
        false
    }
    /// See [`Sink::start`].
    fn start(&self) {}
    /// See [`Sink::deliver`].
    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError>;
    /// See [`Sink::probe`].
    async fn probe(&self) -> Result<(), SinkError>;
    /// See [`Sink::close`].
    async fn close(&self) -> Result<(), SinkError>;
}

#[async_trait]
impl<S: Sink> DynSink for S {
    fn encodes_late(&self) -> bool {
        S::ENCODES_LATE
    }
    fn start(&self) {
        Sink::start(self);
    }
    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError> {
        Sink::deliver(self, batch, deadline).await
    }
    async fn probe(&self) -> Result<(), SinkError> {
        Sink::probe(self).await
    }
    async fn close(&self) -> Result<(), SinkError> {
        Sink::close(self).await
    }
}
