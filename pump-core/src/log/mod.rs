//! The log: the ordered run of chunks between sources and sinks.
//!
//! A chunk that is appended gets places, one per record. Each lane reads at its own pace and closes
//! what it has an outcome for; a chunk is settled when every required lane that takes it has closed
//! it. Nobody pushes: a full log makes sources wait for room, and an empty one makes lanes wait for
//! chunks.

mod cut;
pub mod disk;
mod memory;
mod room;
mod settlement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

pub use cut::{Cut, Cuts, Places, PlacesError};
pub use memory::MemoryLog;

use crate::accounting::LaneId;
use crate::lane::Encodings;
use crate::record::{Chunk, ChunkHead, Kind};

/// A chunk and its first place in the log; the record at index `i` has place `first + i`.
#[derive(Debug, Clone)]
pub struct Placed {
    pub(crate) first: u64,
    /// How many of its first records the lane has closed in an earlier process.
    skip: usize,
    shared: Arc<Shared>,
}

/// What all lanes share of a chunk.
#[derive(Debug)]
struct Shared {
    chunk: Chunk,
    encodings: Encodings,
}

impl Placed {
    pub(crate) fn new(first: u64, chunk: Chunk) -> Self {
        Self { first, skip: 0, shared: Arc::new(Shared { chunk, encodings: Encodings::default() }) }
    }

    /// The same chunk, for a lane that has closed so many of its first records.
    pub(crate) fn skipping(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// How many of its first records the lane has closed already.
    pub(crate) fn skip(&self) -> usize {
        self.skip
    }

    pub(crate) fn chunk(&self) -> &Chunk {
        &self.shared.chunk
    }

    pub(crate) fn encodings(&self) -> &Encodings {
        &self.shared.encodings
    }

    /// The place after the chunk's last. A chunk without records takes one place too, so that
    /// passing it can be seen.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.chunk().len().max(1) as u64
    }
}

/// What a lane takes from the log.
///
/// Nothing, by default.
#[derive(Debug, Clone, Default)]
pub struct LaneInterest {
    /// Names of sources; `None`: all but the pump's own news.
    pub(crate) sources: Option<Vec<Arc<str>>>,
    pub(crate) kinds: Vec<Kind>,
    /// Whether the log keeps a chunk, and does not settle it, until this lane has closed it.
    pub(crate) is_required: bool,
}

impl LaneInterest {
    /// Whether the log waits for the lane with chunks of this head.
    pub(crate) fn requires(&self, head: &ChunkHead) -> bool {
        self.is_required && self.takes(head)
    }

    /// Whether the lane takes chunks of this head.
    pub(crate) fn takes(&self, head: &ChunkHead) -> bool {
        self.kinds.contains(&head.kind)
            && match &self.sources {
                Some(names) => names.contains(&head.source),
                None => &*head.source != crate::news::SOURCE,
            }
    }
}

/// What a lane takes from now on.
#[derive(Debug, Clone)]
pub struct LaneChange {
    pub(crate) id: LaneId,
    /// The sink's name: a log that outlives the process knows its lanes by it.
    pub(crate) name: Arc<str>,
    pub(crate) interest: LaneInterest,
}

/// Why a log cannot go on. What was not settled comes again.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nobody knows what is durable, so nothing more may be called safe.
    #[error("the disk log could not be synced")]
    Sync(#[source] std::io::Error),
    /// The disk says no.
    #[error("the disk log could not be written or read")]
    Io(#[from] std::io::Error),
    /// What was sound at the start is not any more.
    #[error(
        "the disk log is damaged at byte {offset} of {segment}: {reason}; `pump log verify` shows what is lost"
    )]
    Damaged {
        /// The segment's file.
        segment: String,
        /// In bytes.
        offset: u64,
        /// What is wrong.
        reason: disk::FrameError,
    },
    /// No frame can hold it.
    #[error("a chunk has a name or a size that the disk log cannot hold")]
    TooLarge,
}

/// What lies between sources and lanes. Calls are made per chunk or per batch, never per record.
#[async_trait]
pub trait Log: Send + Sync {
    /// Waits until `bytes` more have room; then they are held until used or dropped. First come,
    /// first served. More than the log can ever hold waits for an empty log.
    async fn reserve(self: Arc<Self>, bytes: usize) -> Reservation;

    /// The next chunk that the lane takes. Safe to drop while it waits.
    async fn next(&self, lane: LaneId) -> Placed;

    /// Whether [`Self::next`] would return at once.
    fn has_unread(&self, lane: LaneId) -> bool;

    /// The lane has closed every place below `cursor` that it takes.
    fn advance(&self, lane: LaneId, cursor: u64);

    /// Remembers which records go into a batch; returns when that is durable. Never, if the log cannot go on.
    /// A log that does not outlive the process has nothing to remember.
    async fn store_cut(&self, _lane: LaneId, _cut: Cut) {}

    /// Those places have an outcome, although the cursor may be below. Called before [`Self::advance`], by lanes
    /// that store cuts.
    fn close_places(&self, _lane: LaneId, _places: &Places) {}

    /// What an earlier process has left of a lane's batches: what of it is closed, and what was cut and is not.
    fn cuts(&self, _lane: LaneId) -> Cuts {
        Cuts::default()
    }

    /// These lanes take something else from now on, all at the same moment: what they have not read is
    /// left behind if they take it no longer, and accepted if they take it now. The next [`LaneId`] is a
    /// new lane, which begins at the oldest record. The others are given nothing until a [`Self::resume`] for
    /// each change, because what has been handed to them is not yet prepared for what they become.
    fn change_lanes(&self, changes: Vec<LaneChange>);

    /// The lane has become what one [`Self::change_lanes`] said.
    fn resume(&self, lane: LaneId);

    /// Makes waiting lanes look again.
    fn wake(&self);

    /// What it holds now, in bytes.
    fn size(&self) -> usize;

    /// How many bytes it may hold.
    fn max_size(&self) -> usize;

    /// How much of it the open batches of one lane may span, and so keep in memory, in bytes; `batch` is how large
    /// one of them may become.
    fn lane_span(&self, batch: usize) -> usize;

    /// Everything below that position of a partition is in the log, or was: it need not come again.
    fn held(&self, _source: &str, _partition: &str) -> Option<u64> {
        None
    }

    /// The source is done with a partition of that name.
    fn finish(&self, _source: &str, _partition: &str) {}

    /// Resolves when every required lane has an outcome for everything in the log. Of a log whose settlements
    /// say the same, at once.
    async fn drained(&self) {}

    /// Does what the log has to do beside its callers, until it is closed or cannot go on.
    async fn run(self: Arc<Self>) -> Result<(), LogError>;

    /// Nothing more will be appended: ends every source's run of settlements once the last is told.
    fn close(&self);

    /// Used by [`Reservation`] alone.
    #[doc(hidden)]
    fn append_reserved(&self, chunk: Chunk, held: usize) -> usize;

    /// Used by [`Reservation`] alone.
    #[doc(hidden)]
    fn release(&self, held: usize);
}

/// Room in the log that is held for a source.
pub struct Reservation {
    log: Arc<dyn Log>,
    held: usize,
}

impl Reservation {
    pub(crate) fn new(log: Arc<dyn Log>, held: usize) -> Self {
        Self { log, held }
    }

    /// See [`Log::held`].
    pub(crate) fn already(&self, source: &str, partition: &str) -> Option<u64> {
        self.log.held(source, partition)
    }

    /// Appends a chunk within the room that is held, and over it where it has to be.
    pub(crate) fn append(&mut self, chunk: Chunk) {
        self.held = self.log.append_reserved(chunk, self.held);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.log.release(self.held);
    }
}
