//! The log in memory: bounded in bytes, gone with the process.
//!
//! A chunk's room is given back when every required lane has closed it and every best-effort lane
//! has read it; when a source waits for room, best-effort lanes that lag are left behind. Sources
//! are told what is settled at the moment the last required lane closes a chunk: within a partition
//! that is in order, because all chunks of a partition have the same takers and a lane's cursor only
//! moves forward.

use std::collections::{BTreeMap, HashMap};
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
    /// What some lane still needs, by number; an entry goes the moment nobody does, whatever is before it.
    entries: BTreeMap<u64, Entry>,
    /// The number of the next entry.
    end_entry: u64,
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
                entries: BTreeMap::new(),
                end_entry: 0,
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
        self.state().unread(lane).is_some()
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
        if open == 0 {
            self.settle(&placed);
        }
        let number = self.end_entry;
        self.end_entry += 1;
        self.entries.insert(number, Entry { placed, open, unread });
        self.release(number);
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
        for Entry { placed, open, .. } in self.entries.values() {
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

    /// The number of the next entry that the lane takes.
    fn unread(&mut self, lane: LaneId) -> Option<u64> {
        let lane = &mut self.lanes[lane.index()];
        let mut entries = self.entries.range(lane.read..);
        let next = entries.find(|(_, entry)| lane.interest.takes(entry.placed.chunk().head()));
        // What was passed over is not looked at again.
        lane.read = next.map_or(self.end_entry, |(number, _)| *number);
        next.map(|(number, _)| *number)
    }

    /// The next chunk of a lane, and whether reading it gave room back.
    fn next(&mut self, id: LaneId) -> (Option<Placed>, bool) {
        let Some(number) = self.unread(id) else { return (None, false) };
        let lane = &mut self.lanes[id.index()];
        lane.read = number + 1;
        let entry = self.entries.get_mut(&number).expect("it was found just now");
        let placed = entry.placed.clone();
        if !lane.interest.is_required {
            entry.unread -= 1;
        }
        (Some(placed), self.release(number))
    }

    /// Whether that gave room back, or would if best-effort lanes were left behind for it.
    fn close_below(&mut self, id: LaneId, cursor: u64) -> bool {
        let lane = &mut self.lanes[id.index()];
        if !lane.interest.is_required {
            return false;
        }
        lane.cursor = cursor;
        let mut settled = Vec::new();
        for (number, entry) in self.entries.range_mut(lane.closed..lane.read) {
            if entry.placed.end() > cursor {
                break;
            }
            lane.closed = number + 1;
            if lane.interest.takes(entry.placed.chunk().head()) {
                entry.open -= 1;
                if entry.open == 0 {
                    settled.push((*number, entry.placed.clone()));
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

    /// Lets an entry go that nobody needs, and gives its room back; whether it did.
    fn release(&mut self, number: u64) -> bool {
        let is_done = self.entries.get(&number).is_some_and(|entry| entry.open == 0 && entry.unread == 0);
        if is_done && let Some(entry) = self.entries.remove(&number) {
            self.used -= entry.placed.chunk().size();
        }
        is_done
    }

    /// Gives up what only best-effort lanes have yet to read.
    fn leave_behind(&mut self, accounting: &Accounting) {
        self.entries.retain(|number, entry| {
            if entry.open > 0 || entry.unread == 0 {
                return true;
            }
            for (index, lane) in self.lanes.iter().enumerate() {
                if lane.read <= *number
                    && !lane.interest.is_required
                    && lane.interest.takes(entry.placed.chunk().head())
                {
                    accounting.lane_left_behind(LaneId::new(index), entry.placed.chunk().len());
                }
            }
            self.used -= entry.placed.chunk().size();
            false
        });
    }
}
