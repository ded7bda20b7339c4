//! The log in memory: bounded in bytes, gone with the process.
//!
//! A chunk's room is given back when every required lane has closed it and every best-effort lane
//! has read it; when a source waits for room, best-effort lanes that lag are left behind. Sources
//! are told what is settled at the moment the last required lane closes a chunk: within a partition
//! that is in order, because all chunks of a partition have the same takers and a lane's cursor only
//! moves forward.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};

use super::{LaneInterest, Log, Placed, Reservation};
use crate::accounting::{Accounting, LaneId};
use crate::record::{Chunk, Partition};

/// Where a source hears what is settled.
pub(crate) type SettledSender = mpsc::UnboundedSender<(Partition, u64)>;

/// The log in memory.
pub struct MemoryLog {
    max_size: usize,
    accounting: Accounting,
    state: Mutex<State>,
    /// Sources wait here one after the other, so that a large request is not starved by small ones.
    turnstile: tokio::sync::Mutex<()>,
    room: Notify,
    appended: Notify,
}

struct State {
    entries: VecDeque<Entry>,
    /// The number of the first of `entries`, counting all that were ever appended.
    first_entry: u64,
    next_place: u64,
    /// Bytes of all entries' chunks and of all reservations.
    used: usize,
    /// Whether a source waits for room: then best-effort lanes are left behind for it.
    is_wanted: bool,
    lanes: Vec<Lane>,
    sources: HashMap<Arc<str>, SettledSender>,
}

struct Entry {
    placed: Placed,
    /// Required lanes that have not closed it.
    open: usize,
    /// Best-effort lanes that have not read it.
    unread: usize,
    /// Its room was given back: no lane reads it any more.
    is_released: bool,
}

struct Lane {
    interest: LaneInterest,
    /// Numbers of entries.
    read: u64,
    closed: u64,
    /// The lowest place that it has not closed.
    cursor: u64,
}

impl MemoryLog {
    /// A log of so many bytes, for these lanes and these sources. Both are known from the start.
    pub(crate) fn new(
        max_size: usize,
        accounting: Accounting,
        lanes: Vec<LaneInterest>,
        sources: HashMap<Arc<str>, SettledSender>,
    ) -> Self {
        let lanes =
            lanes.into_iter().map(|interest| Lane { interest, read: 0, closed: 0, cursor: 0 }).collect();
        Self {
            max_size,
            accounting,
            state: Mutex::new(State {
                entries: VecDeque::new(),
                first_entry: 0,
                next_place: 0,
                used: 0,
                is_wanted: false,
                lanes,
                sources,
            }),
            turnstile: tokio::sync::Mutex::new(()),
            room: Notify::new(),
            appended: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// Takes room if there is some, at the expense of lagging best-effort lanes if need be.
    fn try_reserve(&self, bytes: usize) -> bool {
        let mut state = self.state();
        state.is_wanted = true;
        if !self.has_room(&state, bytes) {
            state.leave_behind(&self.accounting);
        }
        let has_room = self.has_room(&state, bytes);
        if has_room {
            state.used += bytes;
        }
        has_room
    }

    fn has_room(&self, state: &State, bytes: usize) -> bool {
        state.used + bytes <= self.max_size || state.used == 0
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn reserve(self: Arc<Self>, bytes: usize) -> Reservation {
        let turn = self.turnstile.lock().await;
        /// A source that stops waiting wants no more room.
        struct Wanted<'a>(&'a MemoryLog);
        impl Drop for Wanted<'_> {
            fn drop(&mut self) {
                self.0.state().is_wanted = false;
            }
        }
        let wanted = Wanted(&self);
        loop {
            let room = self.room.notified();
            if self.try_reserve(bytes) {
                break;
            }
            room.await;
        }
        drop(wanted);
        drop(turn);
        Reservation::new(self, bytes)
    }

    async fn next(&self, lane: LaneId) -> Placed {
        loop {
            let mut appended = std::pin::pin!(self.appended.notified());
            appended.as_mut().enable();
            let (next, is_released) = self.state().next(lane);
            if is_released {
                self.room.notify_one();
            }
            if let Some(placed) = next {
                self.accounting.lane_read(lane, placed.chunk().len());
                return placed;
            }
            appended.await;
        }
    }

    fn has_unread(&self, lane: LaneId) -> bool {
        let mut state = self.state();
        state.skip(lane);
        state.lanes[lane.index()].read < state.end_entry()
    }

    fn advance(&self, lane: LaneId, cursor: u64) {
        if self.state().close_below(lane, cursor) {
            self.room.notify_one();
        }
    }

    fn wake(&self) {
        self.appended.notify_waiters();
    }

    fn size(&self) -> usize {
        self.state().used
    }

    fn max_size(&self) -> usize {
        self.max_size
    }

    fn close(&self) {
        let mut state = self.state();
        state.settle_parts();
        state.sources.clear();
    }

    fn append_reserved(&self, chunk: Chunk, held: usize) -> usize {
        let size = chunk.size();
        let mut state = self.state();
        state.used = state.used + size - held.min(size);
        state.append(chunk, &self.accounting);
        drop(state);
        self.appended.notify_waiters();
        held.saturating_sub(size)
    }

    fn release(&self, held: usize) {
        self.state().used -= held;
        self.room.notify_one();
    }
}

impl State {
    fn end_entry(&self) -> u64 {
        self.first_entry + self.entries.len() as u64
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let offset = number.checked_sub(self.first_entry)?;
        self.entries.get_mut(offset as usize)
    }

    fn append(&mut self, chunk: Chunk, accounting: &Accounting) {
        let records = chunk.len();
        let placed = Placed::new(self.next_place, chunk);
        self.next_place = placed.end();
        let (mut open, mut unread) = (0, 0);
        for (index, lane) in self.lanes.iter().enumerate() {
            if lane.interest.takes(placed.chunk().head()) {
                accounting.lane_accepted(LaneId::new(index), records);
                if lane.interest.is_required { open += 1 } else { unread += 1 }
            }
        }
        let entry = Entry { placed, open, unread, is_released: false };
        if open == 0 {
            self.settle(&entry.placed);
        }
        self.entries.push_back(entry);
        self.release(self.end_entry() - 1);
    }

    fn settle(&self, placed: &Placed) {
        self.settle_below(placed, placed.chunk().positions().end);
    }

    fn settle_below(&self, placed: &Placed, position: u64) {
        let head = placed.chunk().head();
        if let Some(sender) = self.sources.get(&head.source)
            && !head.partition.is_revoked()
        {
            // A source that no longer listens has ended; what it held comes again next time.
            let _ = sender.send((head.partition.clone(), position));
        }
    }

    /// Settles what is closed of chunks that are closed in part: while the pump runs that would be
    /// many small settlements, at its end it saves repeats.
    fn settle_parts(&self) {
        let mut partitions = Vec::new();
        for Entry { placed, open, .. } in &self.entries {
            let partition = &placed.chunk().head().partition;
            if *open == 0 || partitions.contains(&partition) {
                continue;
            }
            // Only the partition's first: what comes after it is no unbroken run.
            partitions.push(partition);
            let takers = self
                .lanes
                .iter()
                .filter(|lane| lane.interest.is_required && lane.interest.takes(placed.chunk().head()));
            let cursor = takers.map(|lane| lane.cursor).min().unwrap_or_default();
            if cursor > placed.first && cursor < placed.end() {
                let lowest_open = placed.chunk().record((cursor - placed.first) as usize);
                self.settle_below(placed, lowest_open.position());
            }
        }
    }

    /// Moves the lane's reading place over what it does not take and what was left behind.
    fn skip(&mut self, lane: LaneId) {
        let first = self.first_entry;
        let lane = &mut self.lanes[lane.index()];
        lane.read = lane.read.max(first);
        while let Some(entry) = self.entries.get((lane.read - first) as usize)
            && (entry.is_released || !lane.interest.takes(entry.placed.chunk().head()))
        {
            lane.read += 1;
        }
    }

    /// The next chunk of a lane, and whether reading it gave room back.
    fn next(&mut self, id: LaneId) -> (Option<Placed>, bool) {
        self.skip(id);
        let lane = &mut self.lanes[id.index()];
        let number = lane.read;
        let Some(entry) = self.entries.get_mut((number - self.first_entry) as usize) else {
            return (None, false);
        };
        lane.read += 1;
        let placed = entry.placed.clone();
        if !lane.interest.is_required {
            entry.unread -= 1;
        }
        (Some(placed), self.release(number))
    }

    /// Whether that gave room back, or would if best-effort lanes were left behind for it.
    fn close_below(&mut self, id: LaneId, cursor: u64) -> bool {
        let first = self.first_entry;
        let lane = &mut self.lanes[id.index()];
        if !lane.interest.is_required {
            return false;
        }
        lane.closed = lane.closed.max(first);
        lane.cursor = cursor;
        let mut settled = Vec::new();
        while let Some(entry) = self.entries.get_mut((lane.closed - first) as usize)
            && entry.placed.end() <= cursor
            && lane.closed < lane.read
        {
            lane.closed += 1;
            if lane.interest.takes(entry.placed.chunk().head()) {
                entry.open -= 1;
                if entry.open == 0 {
                    settled.push((lane.closed - 1, entry.placed.clone()));
                }
            }
        }
        let mut gives_room = false;
        for (number, placed) in settled {
            self.settle(&placed);
            gives_room |= self.release(number) || self.is_wanted;
        }
        gives_room
    }

    /// Gives back the room of an entry that nobody needs; whether it did.
    fn release(&mut self, entry: u64) -> bool {
        let Some(entry) = self.entry(entry) else { return false };
        let is_done = entry.open == 0 && entry.unread == 0 && !entry.is_released;
        if is_done {
            entry.is_released = true;
            let size = entry.placed.chunk().size();
            self.used -= size;
        }
        while self.entries.front().is_some_and(|entry| entry.is_released) {
            self.entries.pop_front();
            self.first_entry += 1;
        }
        is_done
    }

    /// Gives up what only best-effort lanes have yet to read.
    fn leave_behind(&mut self, accounting: &Accounting) {
        for number in self.first_entry..self.end_entry() {
            let Some(offset) = number.checked_sub(self.first_entry) else { continue };
            let Some(entry) = self.entries.get_mut(offset as usize) else { continue };
            if entry.open > 0 || entry.unread == 0 {
                continue;
            }
            for (index, lane) in self.lanes.iter().enumerate() {
                if lane.read <= number
                    && !lane.interest.is_required
                    && lane.interest.takes(entry.placed.chunk().head())
                {
                    accounting.lane_left_behind(LaneId::new(index), entry.placed.chunk().len());
                }
            }
            entry.unread = 0;
            self.release(number);
        }
    }
}
