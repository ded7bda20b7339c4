//! The log on disk: what is in it is safe, whatever becomes of the process, so that a dead sink stops neither the
//! sources nor the other sinks.
//!
//! ```text
//! sources ─► pending ─► writer: frames ─► segment ─► fdatasync ─► sources are told
//!                                           │                └──► lanes may read
//!                       cursors ◄── lanes ◄─┴─ tail in memory, or read from the disk
//! ```
//!
//! One writer, many readers; they share nothing but how far the log is durable. A lane reads what is durable and
//! nothing else, so no cursor is ever ahead of the disk. What every required lane has passed is removed, segment by
//! segment; cursors, and the positions that sources need not give again, are in one small file beside the segments.

mod books;
mod directory;
pub(crate) mod frame;
mod gaps;
mod held;
mod inspect;
mod open;
mod read_only;
mod replay;
mod saved;
mod segment;
mod state;
mod storage;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use directory::{Directory, is_in_memory};
pub use frame::FrameError;
pub use held::SavedPosition;
pub use inspect::{Aside, Damage, LaneReport, Records, Report, SegmentReport, inspect};
pub use open::{Gap, OpenError};
pub use read_only::{ReadOnly, ReadOnlyError};
pub use replay::{Kept, KeptSource, kept};
pub use saved::{Saved, SavedError};
pub use storage::Storage;

use super::room::{Room, until};
use super::settlement::SettledSender;
use super::{Cut, Cuts, LaneChange, Log, LogError, Placed, Places, Reservation};
use crate::accounting::{Accounting, LaneId};
use crate::bugs::{self, Bug};
use crate::record::Chunk;
use open::{Recovered, recover};
use segment::{FrameReader, file_name};
use state::{Bounds, Next, State};

/// How much of the log the open batches of one lane may span, in bytes, unless one of them is larger.
const LANE_SPAN: usize = 16 << 20;

/// How the bytes of a chunk are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As they came.
    None,
    /// With Zstandard.
    Zstd,
}

/// How a disk log behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSettings {
    /// Bytes that it may take on the disk; the last segment may go over it.
    pub max_size: u64,
    /// Where a segment ends, in bytes; a larger chunk has a segment of its own.
    pub segment_size: u64,
    /// How long what was appended waits for more before it is synced.
    pub commit_after: Duration,
    /// How many bytes do not wait.
    pub commit_bytes: usize,
    /// How long what every lane has passed is kept for replay.
    pub retain: Duration,
    /// How frames are written; every frame can be read, whatever this says.
    pub compression: Compression,
    /// Whether damaged segments are set aside; else a damaged log is not opened.
    pub accept_gap: bool,
    /// Bytes of chunks that may wait in memory to be durable, and as much again that lanes are about to read. Four
    /// times as much may be reserved.
    pub memory: usize,
}

impl DiskSettings {
    /// The usual ones for a log of so many bytes.
    pub fn new(max_size: u64) -> Self {
        Self {
            max_size,
            segment_size: (max_size / 32).clamp(1 << 20, 32 << 20),
            commit_after: Duration::from_millis(5),
            commit_bytes: 1 << 20,
            retain: Duration::ZERO,
            compression: Compression::None,
            accept_gap: false,
            memory: 8 << 20,
        }
    }
}

/// A log that was read and is sound, before anybody uses it.
pub struct Opened {
    storage: Arc<dyn Storage>,
    settings: DiskSettings,
    recovered: Recovered,
}

impl Opened {
    /// Reads the whole log, cuts off what a crash has torn, and refuses damage, or sets it aside if the settings
    /// say so.
    pub async fn open(storage: Arc<dyn Storage>, settings: DiskSettings) -> Result<Self, OpenError> {
        let recovered = recover(&storage, &settings).await?;
        Ok(Self { storage, settings, recovered })
    }

    /// What is lost, and was accepted at this start.
    pub fn gaps(&self) -> &[Gap] {
        &self.recovered.gaps
    }

    pub(crate) fn into_log(
        self,
        accounting: Accounting,
        sources: HashMap<Arc<str>, SettledSender>,
    ) -> DiskLog {
        let Self { storage, settings, recovered } = self;
        DiskLog {
            storage,
            settings,
            accounting,
            state: Mutex::new(State::new(recovered, settings.memory, sources)),
            readers: Mutex::default(),
            room: Room::default(),
            readable: Notify::new(),
            work: Notify::new(),
            closed: Notify::new(),
            cut: Notify::new(),
            damage: Mutex::default(),
        }
    }
}

/// The log on disk.
pub struct DiskLog {
    storage: Arc<dyn Storage>,
    settings: DiskSettings,
    accounting: Accounting,
    state: Mutex<State>,
    /// What each lane has read ahead.
    readers: Mutex<HashMap<LaneId, Arc<tokio::sync::Mutex<FrameReader>>>>,
    /// Given when something was removed, or became durable.
    room: Room,
    /// Lanes should look again.
    readable: Notify,
    /// The writer should look again.
    work: Notify,
    /// A lane has closed something.
    closed: Notify,
    /// Cuts became durable.
    cut: Notify,
    /// Why a lane could not read: the writer ends with it.
    damage: Mutex<Option<LogError>>,
}

impl DiskLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    fn bounds(&self) -> Bounds {
        Bounds { disk: self.settings.max_size, memory: self.settings.memory }
    }

    fn reader(&self, lane: LaneId) -> Arc<tokio::sync::Mutex<FrameReader>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.entry(lane).or_default().clone()
    }

    /// The next chunk of a lane, if there is one; `None` also when it should look again later.
    async fn try_next(&self, lane: LaneId) -> Option<Placed> {
        loop {
            let next = self.state().next(lane);
            match next {
                Next::Wait => {
                    self.reader(lane).lock().await.clear();
                    return None;
                }
                Next::Give(placed) => return Some(placed),
                Next::Load { at, end } => {
                    let name = file_name(at.segment);
                    let reader = self.reader(lane);
                    let mut reader = reader.lock().await;
                    let read = reader.read(&*self.storage, &name, at.offset, end).await;
                    let read = read.map(|frame| {
                        frame.and_then(|frame| {
                            frame.header.chunk(frame.content.clone()).map(|chunk| (frame, chunk))
                        })
                    });
                    let failure = match read {
                        Ok(Ok((frame, chunk))) => match self.state().loaded(lane, at, &frame, chunk) {
                            Some(placed) => return Some(placed),
                            None => continue,
                        },
                        Ok(Err(reason)) => LogError::Damaged { segment: name, offset: at.offset, reason },
                        Err(error) => error.into(),
                    };
                    // A segment that was removed meanwhile is not missing.
                    let next = self.state().next(lane);
                    match next {
                        Next::Load { at: now, .. } if now == at => {
                            *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                            self.work.notify_one();
                            return None;
                        }
                        Next::Give(placed) => return Some(placed),
                        Next::Load { .. } | Next::Wait => {}
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Log for DiskLog {
    async fn reserve(self: Arc<Self>, bytes: usize) -> Reservation {
        let try_reserve = || {
            let has_room = self.state().try_reserve(bytes, self.bounds());
            if !has_room {
                self.work.notify_one();
            }
            has_room
        };
        self.room.wait(try_reserve, || self.state().is_full = false).await;
        Reservation::new(self, bytes)
    }

    async fn next(&self, lane: LaneId) -> Placed {
        loop {
            let mut readable = std::pin::pin!(self.readable.notified());
            readable.as_mut().enable();
            if let Some(placed) = self.try_next(lane).await {
                self.accounting.lane_read(lane, placed.chunk().len() - placed.skip());
                return placed;
            }
            readable.await;
        }
    }

    fn has_unread(&self, lane: LaneId) -> bool {
        self.state().has_unread(lane)
    }

    fn advance(&self, lane: LaneId, cursor: u64) {
        let mut state = self.state();
        state.close_below(lane, cursor);
        let (is_drained, is_room_wanted) = (state.is_drained(), state.is_room_wanted());
        drop(state);
        if is_room_wanted {
            self.work.notify_one();
        }
        if is_drained {
            self.closed.notify_waiters();
        }
    }

    async fn store_cut(&self, lane: LaneId, cut: Cut) {
        let number = self.state().store_cut(lane, cut);
        self.work.notify_one();
        if bugs::is(Bug::CutNotDurable) {
            return;
        }
        until(&self.cut, || self.state().is_cut_durable(number)).await;
    }

    fn close_places(&self, lane: LaneId, places: &Places) {
        self.state().close_places(lane, places);
    }

    fn cuts(&self, lane: LaneId) -> Cuts {
        self.state().cuts(lane)
    }

    fn change_lanes(&self, changes: Vec<LaneChange>) {
        self.state().change_lanes(changes, &self.accounting);
        self.readable.notify_waiters();
        self.closed.notify_waiters();
    }

    fn resume(&self, lane: LaneId) {
        self.state().resume(lane);
        self.readable.notify_waiters();
    }

    fn wake(&self) {
        self.readable.notify_waiters();
    }

    fn size(&self) -> usize {
        self.state().used() as usize
    }

    fn max_size(&self) -> usize {
        self.settings.max_size as usize
    }

    fn lane_span(&self, batch: usize) -> usize {
        batch.max(LANE_SPAN).min(self.settings.max_size as usize / 2)
    }

    fn held(&self, source: &str, partition: &str) -> Option<u64> {
        self.state().held(source, partition)
    }

    fn finish(&self, source: &str, partition: &str) {
        self.state().finish(source, partition);
    }

    async fn drained(&self) {
        until(&self.closed, || self.state().is_drained()).await;
    }

    async fn run(self: Arc<Self>) -> Result<(), LogError> {
        writer::run(&self).await
    }

    fn close(&self) {
        self.state().is_closing = true;
        self.work.notify_one();
    }

    fn append_reserved(&self, chunk: Chunk, held: usize) -> usize {
        let size = chunk.size();
        let mut state = self.state();
        state.release(held.min(size));
        state.append(chunk);
        drop(state);
        self.work.notify_one();
        held.saturating_sub(size)
    }

    fn release(&self, held: usize) {
        self.state().release(held);
        self.room.give();
    }
}
