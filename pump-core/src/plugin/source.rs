//! A source: where records come from.
//!
//! A source owns its loop, so that leases, seals and open requests go on while the log is full. Its
//! [`Port`] is its only way to the engine: room first, then records; what is safe comes back.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::{PlanError, SourceError};
use crate::accounting::SourceAccount;
use crate::dead_letter::{Burial, DeadLetter};
use crate::log::{Log, Reservation};
use crate::news::News;
use crate::randomness::Randomness;
use crate::record::{Kind, Parsed, Partition};

/// Where records come from.
#[async_trait]
pub trait Source: Send + Sized + 'static {
    /// The `type` in the pipeline file.
    const NAME: &'static str;
    /// The plugin's own keys, strict.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// Checks the configuration and says what the engine needs to know. Pure: called by `check` too.
    fn plan(config: &Self::Config) -> Result<SourcePlan, PlanError>;

    /// What it takes records out of, as far as the configuration names it. Whatever else is put there
    /// would be read as records, so the pump keeps nothing of its own there.
    fn buffers(_config: &Self::Config) -> Vec<Buffer> {
        Vec::new()
    }

    /// Builds clients and contacts nobody. Called once.
    async fn open(config: Self::Config, context: SourceContext) -> Result<Self, SourceError>;

    /// Whether the buffer can be reached and read.
    async fn probe(&self) -> Result<(), SourceError>;

    /// Runs until [`Port::stopping`], or until what there was at the start is settled in
    /// [`Mode::Drain`]; after that goes on settling until [`Port::settled`] says `None`. An error
    /// ends the process.
    async fn run(self, port: Port) -> Result<(), SourceError>;
}

/// What the engine needs to know of a source.
#[derive(Debug, Clone, Default)]
pub struct SourcePlan {
    /// What it can give.
    pub kinds: Vec<Kind>,
    /// Network addresses (`host:port`) that it will contact.
    pub targets: Vec<String>,
    /// What `check` should tell the operator, though nothing is wrong.
    pub notes: Vec<String>,
}

/// A place that a source empties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Which server, as [`RedisUrl::server`](crate::config::RedisUrl::server) has it.
    pub server: String,
    /// The name there, such as the key of a list.
    pub name: String,
}

/// What a source gets besides its configuration.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// The source's name in the pipeline file.
    pub name: Arc<str>,
    /// What required sinks take. Everything else stays in the buffer: what nobody takes would be
    /// settled without having been delivered anywhere.
    pub kinds: Vec<Kind>,
}

/// Whether a source ever ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Goes on until the pump stops.
    Follow,
    /// Ends once what the buffer held at the start is settled.
    Drain,
}

/// A source's way to the engine. Every method is safe to drop while it waits.
pub struct Port {
    name: Arc<str>,
    mode: Mode,
    log: Arc<dyn Log>,
    burial: Arc<Burial>,
    account: SourceAccount,
    news: News,
    settled: mpsc::UnboundedReceiver<(Partition, u64)>,
    stopping: watch::Receiver<bool>,
    randomness: Randomness,
}

pub(crate) struct PortParts {
    pub(crate) name: Arc<str>,
    pub(crate) mode: Mode,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) burial: Arc<Burial>,
    pub(crate) account: SourceAccount,
    pub(crate) news: News,
    pub(crate) settled: mpsc::UnboundedReceiver<(Partition, u64)>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) randomness: Randomness,
}

impl Port {
    pub(crate) fn new(parts: PortParts) -> Self {
        let PortParts { name, mode, log, burial, account, news, settled, stopping, randomness } = parts;
        Self { name, mode, log, burial, account, news, settled, stopping, randomness }
    }

    /// The source's name in the pipeline file, which its chunks carry.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the source ends by itself.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Waits for room in the log: this is the backpressure. Ask for what the next read may bring.
    pub fn reserve(&self, bytes: usize) -> impl Future<Output = Permit> + Send + 'static {
        let (log, burial, account) = (self.log.clone(), self.burial.clone(), self.account.clone());
        async move { Permit { reservation: log.reserve(bytes).await, burial, account } }
    }

    /// The next thing that is safe: all positions of the partition below the given one. Cumulative
    /// and in order per partition. `None`: no more will come, the pump has stopped delivering.
    pub async fn settled(&mut self) -> Option<(Partition, u64)> {
        self.settled.recv().await
    }

    /// What [`Self::settled`] would give without waiting.
    pub fn try_settled(&mut self) -> Option<(Partition, u64)> {
        self.settled.try_recv().ok()
    }

    /// The lease or assignment of this partition was lost: what is not yet delivered of it will be
    /// delivered by somebody else.
    pub fn revoke(&self, partition: &Partition) {
        partition.revoke();
        self.log.finish(&self.name, partition.name());
        self.log.wake();
    }

    /// A partition of that name is done with: all of it is settled, and the buffer has let it go. A log that
    /// remembers positions may forget this one's.
    pub fn finish(&self, partition: &str) {
        self.log.finish(&self.name, partition);
    }

    /// Resolves when the source must read no more. From then on it only settles.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopping = self.stopping.clone();
        async move {
            // An error means that the engine is gone, which is a stop too.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// How this source stands, for `/status` and `/metrics`.
    pub fn account(&self) -> &SourceAccount {
        &self.account
    }

    /// Where its random numbers come from.
    pub fn randomness(&self) -> &Randomness {
        &self.randomness
    }

    /// Where the pump's own news go.
    pub fn news(&self) -> &News {
        &self.news
    }
}

/// Room in the log, held until it is used or dropped.
pub struct Permit {
    reservation: Reservation,
    burial: Arc<Burial>,
    account: SourceAccount,
}

impl Permit {
    /// Hands over a chunk, and what could not be decoded beside it. What the log has already of its partition
    /// is left out: it is safe. May be called several times
    /// within the room that was reserved; what goes over it is taken all the same, since the records
    /// are already here. Returns once the undecodable ones are safe as dead letters, so that the
    /// chunk never settles their positions before that.
    pub async fn append(&mut self, parsed: Parsed) {
        let head = parsed.chunk.head();
        let (parsed, already_held) = match self.reservation.already(&head.source, head.partition.name()) {
            Some(position) => parsed.starting_at(position),
            None => (parsed, 0),
        };
        let Parsed { chunk, undecodable } = parsed;
        if !undecodable.is_empty() {
            let letters: Vec<_> =
                undecodable.iter().map(|entry| DeadLetter::undecodable(chunk.head(), entry)).collect();
            self.burial.bury(None, letters).await;
        }
        self.account.took(chunk.head().kind, chunk.len(), undecodable.len(), already_held);
        self.reservation.append(chunk);
    }
}

/// The erased twin of [`Source`], which the engine holds.
#[async_trait]
pub trait DynSource: Send {
    /// See [`Source::probe`].
    async fn probe(&self) -> Result<(), SourceError>;
    /// See [`Source::run`].
    async fn run(self: Box<Self>, port: Port) -> Result<(), SourceError>;
}

#[async_trait]
impl<S: Source + Sync> DynSource for S {
    async fn probe(&self) -> Result<(), SourceError> {
        Source::probe(self).await
    }
    async fn run(self: Box<Self>, port: Port) -> Result<(), SourceError> {
        Source::run(*self, port).await
    }
}
