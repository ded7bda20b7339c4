//! What lanes read, from where: the tail in memory, or a segment at an offset.

use super::super::open::Position;
use super::super::segment::Frame;
use super::super::tail::Cached;
use super::{Lane, Next, State};
use crate::accounting::LaneId;
use crate::log::Placed;
use crate::record::Chunk;

impl State {
    pub(super) fn unread(&self, lane: &Lane) -> u64 {
        self.heads.taken(&lane.interest, &self.written.less(&lane.passed))
    }

    pub(in crate::log::disk) fn has_unread(&self, id: LaneId) -> bool {
        let lane = &self.lanes[id.index()];
        // What it does not take will never wake it, so it must not wait for that.
        lane.orders == 0 && self.heads.taken(&lane.interest, &self.appended.less(&lane.passed)) > 0
    }

    /// The place from which on somebody will read.
    pub(super) fn needed_from(&self) -> u64 {
        let reads = |lane: &Lane| if self.unread(lane) > 0 { lane.place } else { self.durable };
        self.lanes.iter().map(reads).min().unwrap_or(self.durable)
    }

    /// What a lane reads next.
    pub(in crate::log::disk) fn next(&mut self, id: LaneId) -> Next {
        loop {
            let lane = &self.lanes[id.index()];
            if lane.orders > 0 {
                return Next::Wait;
            }
            if self.unread(lane) == 0 {
                let (durable, written) = (self.durable, self.written.clone());
                let at = self.segments.back().map_or(Position { segment: durable, offset: 0 }, |last| {
                    Position { segment: last.first, offset: last.bytes }
                });
                let lane = &mut self.lanes[id.index()];
                (lane.place, lane.at, lane.passed) = (durable, at, written);
                return Next::Wait;
            }
            if let Some(cached) = self.tail.at(lane.place) {
                let (placed, head, after) = (cached.placed.clone(), cached.head, cached.after);
                if let Some(placed) = self.pass(id, placed, head, after) {
                    return Next::Give(placed);
                }
                continue;
            }
            let index = self.segments.partition_point(|segment| segment.first < lane.at.segment);
            let Some(segment) = self.segments.get(index) else { return Next::Wait };
            if segment.first != lane.at.segment {
                self.jump(id, index);
                continue;
            }
            if lane.at.offset >= segment.bytes {
                if index + 1 == self.segments.len() {
                    return Next::Wait;
                }
                self.jump(id, index + 1);
                continue;
            }
            let before_next = self.segments.get(index + 1).map(|next| &next.before);
            if lane.at.offset == 0
                && let Some(before_next) = before_next
                && self.heads.taken(&lane.interest, &before_next.less(&segment.before)) == 0
            {
                self.jump(id, index + 1);
                continue;
            }
            return Next::Load { at: lane.at, end: segment.bytes };
        }
    }

    /// A lane goes on at the beginning of a segment.
    pub(super) fn jump(&mut self, id: LaneId, index: usize) {
        let (first, before) = (self.segments[index].first, self.segments[index].before.clone());
        let lane = &mut self.lanes[id.index()];
        lane.at = Position { segment: first, offset: 0 };
        lane.place = lane.place.max(first);
        // A cursor inside the segment has passed more of it than its beginning.
        if lane.place == first {
            lane.passed = before;
        }
    }

    /// A frame was read for a lane at a position. `None`: it goes on from where it is now.
    pub(in crate::log::disk) fn loaded(
        &mut self,
        id: LaneId,
        at: Position,
        frame: &Frame,
        chunk: Chunk,
    ) -> Option<Placed> {
        let lane = &self.lanes[id.index()];
        if lane.at != at || lane.orders > 0 {
            return None;
        }
        let after = Position { segment: at.segment, offset: at.offset + frame.header.frame_len() };
        let head = self.heads.number(&chunk.head().source, frame.header.kind);
        let placed = Placed::new(frame.header.first, chunk);
        let given = self.pass(id, placed.clone(), head, after);
        self.tail.insert(Cached { placed, head, after });
        self.tail.shrink(self.needed_from());
        given
    }

    /// A lane passes a chunk; it is given it if it takes it.
    pub(super) fn pass(
        &mut self,
        id: LaneId,
        placed: Placed,
        head: usize,
        after: Position,
    ) -> Option<Placed> {
        let takes = self.heads.takes(&self.lanes[id.index()].interest, head);
        let lane = &mut self.lanes[id.index()];
        let from = lane.place.max(placed.first);
        lane.passed.add(head, placed.end().saturating_sub(from));
        (lane.place, lane.at) = (placed.end(), after);
        let skip = (from - placed.first) as usize;
        let placed = placed.skipping(skip);
        self.tail.shrink(self.needed_from());
        takes.then(|| {
            let lane = &mut self.lanes[id.index()];
            lane.given = placed.end();
            placed
        })
    }
}
