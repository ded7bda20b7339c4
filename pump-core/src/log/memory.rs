//! The log in memory: bounded in bytes, gone with the process.
//!
//! A chunk's room is given back when every required lane has closed it and every best-effort lane
//! has read it; when a source waits for room, best-effort lanes that lag are left behind. Sources
//! are told what is settled at the moment the last required lane closes a chunk, and in order within
//! a partition.
//!
//! What a lane takes may change while the pump runs. What it has not read is counted anew at once. What
//! it has read and not closed, the log waits for only if the lane required it before and still does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::room::Room;
use super::settlement::{SettledSender, Settlements};
use super::{LaneChange, LaneInterest, Log, LogError, Placed, Reservation};
use crate::accounting::{Accounting, LaneId};
use crate::record::{Chunk, ChunkHead};

/// The log in memory.
pub struct MemoryLog {
    max_size: usize,
    accounting: Accounting,
    state: Mutex<State>,
    room: Room,
    appended: Notify,
    closed: Notify,
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
    settlements: Settlements,
}

struct Entry {
    placed: Placed,
    /// Required lanes that have not closed it.
    open: usize,
    /// Best-effort lanes that have not read it.
    unread: usize,
}

#[derive(Default)]
struct Lane {
    /// What it takes of entries from `read` on.
    interest: LaneInterest,
    /// What it took before, each of entries below a number, the oldest first.
    past: VecDeque<(u64, LaneInterest)>,
    /// Changes that it has not obeyed yet: until then it is given nothing.
    orders: usize,
    /// Numbers of entries.
    read: u64,
    closed: u64,
    /// The lowest place that it has not closed.
    cursor: u64,
}

impl Lane {
    /// Whether the log keeps that entry until this lane has closed it: the lane is required, and has had the
    /// entry ever since it read it. What it gave up at a change it does not get back.
    fn requires(&self, number: u64, head: &ChunkHead) -> bool {
        self.has_kept(number, head) && self.interest.requires(head)
    }

    fn has_kept(&self, number: u64, head: &ChunkHead) -> bool {
        self.past.iter().filter(|(end, _)| number < *end).all(|(_, interest)| interest.takes(head))
    }
}

impl MemoryLog {
    /// A log of so many bytes for these sources. Lanes come with [`Log::change_lanes`].
    pub(crate) fn new(
        max_size: usize,
        accounting: Accounting,
        sources: HashMap<Arc<str>, SettledSender>,
    ) -> Self {
        Self {
            max_size,
            accounting,
            state: Mutex::new(State {
                entries: BTreeMap::new(),
                end_entry: 0,
                next_place: 0,
                used: 0,
                is_wanted: false,
                lanes: Vec::new(),
                settlements: Settlements::new(sources),
            }),
            room: Room::default(),
            appended: Notify::new(),
            closed: Notify::new(),
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
        self.room.wait(|| self.try_reserve(bytes), || self.state().is_wanted = false).await;
        Reservation::new(self, bytes)
    }

    async fn next(&self, lane: LaneId) -> Placed {
        loop {
            let mut appended = std::pin::pin!(self.appended.notified());
            appended.as_mut().enable();
            let (next, is_released) = self.state().next(lane);
            if is_released {
                self.room.give();
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
            self.room.give();
        }
    }

    fn change_lanes(&self, changes: Vec<LaneChange>) {
        self.state().change_lanes(changes, &self.accounting);
        self.appended.notify_waiters();
        self.room.give();
    }

    fn resume(&self, lane: LaneId) {
        let mut state = self.state();
        let orders = &mut state.lanes[lane.index()].orders;
        *orders = orders.saturating_sub(1);
        drop(state);
        self.appended.notify_waiters();
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

    fn lane_span(&self, _batch: usize) -> usize {
        self.max_size / 2
    }

    async fn run(self: Arc<Self>) -> Result<(), LogError> {
        self.closed.notified().await;
        Ok(())
    }

    fn close(&self) {
        let mut state = self.state();
        state.settle_parts();
        state.settlements.end();
        self.closed.notify_one();
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
        self.room.give();
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
        let number = self.end_entry;
        self.end_entry += 1;
        self.settlements.begin(number, &placed);
        if open == 0 {
            self.settlements.close(number, &placed);
        }
        self.entries.insert(number, Entry { placed, open, unread });
        self.release(number);
    }

    /// Lanes take from now on what is said here. What that closes for good is settled and let go once
    /// all of it is counted, so that no chunk is without a taker between two lanes' changes.
    fn change_lanes(&mut self, changes: Vec<LaneChange>, accounting: &Accounting) {
        for LaneChange { id, interest, .. } in changes {
            if id.index() == self.lanes.len() {
                self.lanes.push(Lane::default());
            } else {
                self.lanes[id.index()].orders += 1;
            }
            let lane = &mut self.lanes[id.index()];
            for (number, entry) in self.entries.range_mut(lane.closed..lane.read) {
                let head = entry.placed.chunk().head();
                let will_keep = lane.has_kept(*number, head) && lane.interest.takes(head);
                match (lane.requires(*number, head), will_keep && interest.requires(head)) {
                    (true, false) => entry.open -= 1,
                    (false, true) => {
                        entry.open += 1;
                        self.settlements.reopen(*number, &entry.placed);
                    }
                    (true, true) | (false, false) => {}
                }
            }
            for (number, entry) in self.entries.range_mut(lane.read..) {
                let (head, records) = (entry.placed.chunk().head(), entry.placed.chunk().len());
                let (took, takes) = (lane.interest.takes(head), interest.takes(head));
                match (took, takes) {
                    (true, false) => accounting.lane_left_behind(id, records),
                    (false, true) => accounting.lane_accepted(id, records),
                    (true, true) | (false, false) => {}
                }
                if took {
                    *if lane.interest.is_required { &mut entry.open } else { &mut entry.unread } -= 1;
                }
                if takes {
                    *if interest.is_required { &mut entry.open } else { &mut entry.unread } += 1;
                }
                if entry.open > 0 {
                    self.settlements.reopen(*number, &entry.placed);
                }
            }
            let past = std::mem::replace(&mut lane.interest, interest);
            if lane.closed < lane.read {
                lane.past.push_back((lane.read, past));
            }
        }
        let closed: Vec<_> =
            self.entries.iter().filter(|(_, entry)| entry.open == 0).map(|(n, _)| *n).collect();
        for number in closed {
            self.settlements.close(number, &self.entries[&number].placed);
            self.release(number);
        }
    }

    /// Settles what is closed of chunks that are closed in part: while the pump runs that would be
    /// many small settlements, at its end it saves repeats.
    fn settle_parts(&self) {
        // Only each partition's first: what comes after it is no unbroken run.
        for number in self.settlements.firsts() {
            let Some(Entry { placed, .. }) = self.entries.get(&number) else { continue };
            let takers = self.lanes.iter().filter(|lane| lane.requires(number, placed.chunk().head()));
            let cursor = takers.map(|lane| lane.cursor).min().unwrap_or_default();
            if cursor > placed.first && cursor < placed.end() {
                let lowest_open = placed.chunk().record((cursor - placed.first) as usize);
                self.settlements.tell(placed, lowest_open.position());
            }
        }
    }

    /// The number of the next entry that the lane takes.
    fn unread(&mut self, lane: LaneId) -> Option<u64> {
        let lane = &mut self.lanes[lane.index()];
        if lane.orders > 0 {
            return None;
        }
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
        lane.cursor = cursor;
        let mut settled = Vec::new();
        for (number, entry) in self.entries.range_mut(lane.closed..lane.read) {
            if entry.placed.end() > cursor {
                break;
            }
            lane.closed = number + 1;
            if lane.requires(*number, entry.placed.chunk().head()) {
                entry.open -= 1;
                if entry.open == 0 {
                    settled.push((*number, entry.placed.clone()));
                }
            }
        }
        while lane.past.front().is_some_and(|(end, _)| *end <= lane.closed) {
            lane.past.pop_front();
        }
        let mut gives_room = false;
        for (number, placed) in settled {
            self.settlements.close(number, &placed);
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
