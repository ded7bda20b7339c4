//! Lanes: what they have passed, what may go for it, and how they come and change.

use std::sync::Arc;

use super::super::open::{Position, Segment, Start};
use super::{Lane, State};
use crate::accounting::{Accounting, LaneId};
use crate::log::{Cut, Cuts, LaneChange, LaneInterest, Places};

impl State {
    /// Everything that the lane was given below the cursor has an outcome.
    pub(in crate::log::disk) fn close_below(&mut self, id: LaneId, cursor: u64) {
        let lane = &mut self.lanes[id.index()];
        lane.closed = lane.closed.max(cursor);
    }

    /// A batch of a lane is about to be delivered. Returns the number to ask for.
    pub(in crate::log::disk) fn store_cut(&mut self, id: LaneId, cut: Cut) -> u64 {
        self.lanes[id.index()].cuts.store(cut);
        self.stored_cuts += 1;
        self.stored_cuts
    }

    pub(in crate::log::disk) fn is_cut_durable(&self, number: u64) -> bool {
        self.durable_cuts >= number
    }

    /// Whether a lane waits for a cut to be durable.
    pub(in crate::log::disk) fn is_cut_wanted(&self) -> bool {
        self.durable_cuts < self.stored_cuts
    }

    pub(in crate::log::disk) fn close_places(&mut self, id: LaneId, places: &Places) {
        self.lanes[id.index()].cuts.close(places);
    }

    pub(in crate::log::disk) fn cuts(&self, id: LaneId) -> Cuts {
        self.lanes[id.index()].cuts.clone()
    }

    /// The lowest place that a lane still needs.
    pub(super) fn cursor(&self, lane: &Lane) -> u64 {
        if lane.closed < lane.given {
            lane.closed
        } else if self.unread(lane) == 0 {
            self.durable
        } else {
            lane.place
        }
    }

    /// The place below which no required lane needs anything.
    pub(super) fn passed_by_required(&self) -> u64 {
        let required = self.lanes.iter().filter(|lane| lane.interest.is_required);
        required.map(|lane| self.cursor(lane)).min().unwrap_or(self.durable)
    }

    pub(super) fn passed_by_all(&self) -> u64 {
        self.lanes.iter().map(|lane| self.cursor(lane)).min().unwrap_or(self.durable)
    }

    /// Whether every required lane has an outcome for everything.
    pub(in crate::log::disk) fn is_drained(&self) -> bool {
        self.pending_bytes == 0 && self.passed_by_required() >= self.durable
    }

    /// Whether the segment that grows has nothing that anybody needs, and may end before it is full.
    pub(in crate::log::disk) fn is_growing_for_nobody(&self) -> bool {
        let Some(last) = self.segments.back().filter(|last| self.growing == Some(last.first)) else {
            return false;
        };
        let needed = if self.is_room_wanted() { self.passed_by_required() } else { self.passed_by_all() };
        self.pending.is_empty() && last.bytes > 0 && last.end <= needed
    }

    /// Takes the oldest segments out that nobody needs; who was still to read them is left behind.
    pub(in crate::log::disk) fn take_removable(
        &mut self,
        is_kept: impl Fn(&Segment) -> bool,
        may_give_up: bool,
        accounting: &Accounting,
    ) -> Vec<Segment> {
        let (required, all) = (self.passed_by_required(), self.passed_by_all());
        let mut removable = Vec::new();
        while let Some(first) = self.segments.front() {
            let is_needed = first.end > required || self.growing == Some(first.first);
            let is_wanted = self.is_room_wanted() && may_give_up && removable.is_empty();
            if is_needed || !is_wanted && (first.end > all || is_kept(first)) {
                break;
            }
            let Some(segment) = self.segments.pop_front() else { break };
            self.doomed_bytes += segment.bytes;
            self.leave_behind(&segment, accounting);
            removable.push(segment);
        }
        removable
    }

    pub(super) fn leave_behind(&mut self, gone: &Segment, accounting: &Accounting) {
        let (first, before) = match self.segments.front() {
            Some(next) => (next.first, next.before.clone()),
            None => (self.durable, self.written.clone()),
        };
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.place < gone.end) {
            let lost = self.heads.taken(&lane.interest, &before.less(&lane.passed));
            accounting.lane_left_behind(LaneId::new(index), lost as usize);
            lane.place = first;
            lane.at = Position { segment: first, offset: 0 };
            lane.passed = before.clone();
        }
    }

    pub(in crate::log::disk) fn change_lanes(&mut self, changes: Vec<LaneChange>, accounting: &Accounting) {
        for LaneChange { id, name, interest } in changes {
            match self.lanes.get_mut(id.index()) {
                Some(lane) => {
                    lane.orders += 1;
                    // What its sink becomes begins with batches of its own.
                    lane.cuts.cuts.clear();
                    let before = std::mem::replace(&mut lane.interest, interest);
                    let lane = &self.lanes[id.index()];
                    let unread = self.written.less(&lane.passed);
                    for (number, _) in self.heads.iter().enumerate() {
                        let records = unread.get(number) as usize;
                        let (took, takes) =
                            (self.heads.takes(&before, number), self.heads.takes(&lane.interest, number));
                        match (took, takes) {
                            (true, false) => accounting.lane_left_behind(id, records),
                            (false, true) => accounting.lane_accepted(id, records),
                            (true, true) | (false, false) => {}
                        }
                    }
                }
                None => {
                    let lane = self.new_lane(name, interest);
                    accounting.lane_accepted(id, self.unread(&lane) as usize);
                    self.lanes.push(lane);
                }
            }
        }
        // Who has not come by now is not in the pipeline any more.
        self.starts.clear();
        self.left_cuts.clear();
    }

    /// A lane goes on where one of its name ended in an earlier process. A new one begins at the oldest record
    /// that another lane still needs: what is only kept for replay is no news.
    pub(super) fn new_lane(&mut self, name: Arc<str>, interest: LaneInterest) -> Lane {
        let start = self.starts.remove(&*name).unwrap_or_else(|| {
            let oldest = self.segments.iter().find(|segment| segment.end > self.passed);
            let (place, passed) = match oldest {
                Some(oldest) => (oldest.first, oldest.before.clone()),
                None => (self.durable, self.written.clone()),
            };
            Start { place, at: Position { segment: place, offset: 0 }, passed }
        });
        let Start { place, at, passed } = start;
        let cuts = self.left_cuts.remove(&*name).unwrap_or_default();
        Lane { name, interest, orders: 0, place, at, passed, given: place, closed: place, cuts }
    }

    pub(in crate::log::disk) fn resume(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.index()];
        lane.orders = lane.orders.saturating_sub(1);
    }
}
