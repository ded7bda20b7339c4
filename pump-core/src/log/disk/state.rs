//! What the disk log knows without looking at the disk: segments, lanes, what is to be written. No I/O.

mod lanes;
mod reading;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::books::{Counts, Heads};
use super::frame::Header;
use super::held::Held;
use super::open::{Position, Recovered, Segment, Start};
use super::saved::Saved;
use super::tail::{Cached, Tail};
use crate::accounting::{Accounting, LaneId};
use crate::log::settlement::{SettledSender, tell};
use crate::log::{Cuts, LaneInterest, Placed};
use crate::record::{Chunk, Timestamp};

/// How many times what may wait in memory sources may reserve together.
const RESERVED: usize = 4;

pub(super) struct State {
    /// The oldest first.
    pub(super) segments: VecDeque<Segment>,
    /// The first place of the segment that is written to: it does not go.
    pub(super) growing: Option<u64>,
    heads: Heads,
    /// Everything that was ever durable.
    written: Counts,
    /// The same, and what is to become durable.
    appended: Counts,
    next_place: u64,
    /// All places below are on the disk, or went.
    pub(super) durable: u64,
    pub(super) pending: VecDeque<Pending>,
    /// Bytes of chunks that are in memory because they are not durable yet.
    pub(super) pending_bytes: usize,
    reserved: usize,
    /// Bytes of segments that nobody needs and that are not removed yet.
    pub(super) doomed_bytes: u64,
    /// A source waits for room that the log does not have.
    pub(super) is_full: bool,
    /// The disk has no room for another segment.
    pub(super) is_disk_full: bool,
    lanes: Vec<Lane>,
    /// Lanes of an earlier process that have not come yet.
    starts: BTreeMap<String, Start>,
    /// What they have left of their batches.
    left_cuts: BTreeMap<String, Cuts>,
    /// How many cuts were stored, and how many of them are durable.
    stored_cuts: u64,
    durable_cuts: u64,
    /// What was appended, durable or not: sources need not give it again while this process lives.
    held: Held,
    /// What is durable of that: it alone is remembered.
    held_durable: Held,
    tail: Tail,
    sources: HashMap<Arc<str>, SettledSender>,
    gaps: Vec<(u64, u64)>,
    held_from: u64,
    /// All lanes had passed everything below, when that was looked at last.
    passed: u64,
    pub(super) appended_at: Instant,
    pub(super) is_closing: bool,
}

/// A chunk that is not durable yet.
pub(super) struct Pending {
    pub(super) chunk: Chunk,
    pub(super) first: u64,
    /// Whether it goes to the disk: it has records, and somebody takes them.
    pub(super) is_written: bool,
    pub(super) since: Instant,
}

/// A frame that was written and synced.
pub(super) struct Written {
    pub(super) header: Header,
    pub(super) at: Position,
}

struct Lane {
    name: Arc<str>,
    interest: LaneInterest,
    /// Changes that it has not obeyed yet: until then it is given nothing.
    orders: usize,
    /// The next place that it has not read, and where that is.
    place: u64,
    at: Position,
    /// What it has read or passed over.
    passed: Counts,
    /// The place after all that it was given.
    given: u64,
    /// Everything that it was given below this place has an outcome.
    closed: u64,
    cuts: Cuts,
}

/// What a lane that wants its next chunk is told.
pub(super) enum Next {
    Wait,
    Give(Placed),
    /// It has to be read: from a segment, at an offset, before its end.
    Load {
        at: Position,
        end: u64,
    },
}

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) disk: u64,
    pub(super) memory: usize,
}

impl State {
    pub(super) fn new(
        recovered: Recovered,
        tail_size: usize,
        sources: HashMap<Arc<str>, SettledSender>,
    ) -> Self {
        let Recovered { saved, segments, heads, written, starts, held, next_place, .. } = recovered;
        Self {
            segments: segments.into(),
            growing: None,
            heads,
            appended: written.clone(),
            written,
            next_place,
            durable: next_place,
            pending: VecDeque::new(),
            pending_bytes: 0,
            reserved: 0,
            doomed_bytes: 0,
            is_full: false,
            is_disk_full: false,
            lanes: Vec::new(),
            starts,
            left_cuts: saved.cuts,
            stored_cuts: 0,
            durable_cuts: 0,
            held_durable: Held::restore(held.save()),
            held,
            tail: Tail::new(tail_size),
            sources,
            gaps: saved.gaps,
            held_from: saved.held_from,
            passed: saved.passed,
            appended_at: Instant::now(),
            is_closing: false,
        }
    }

    /// What it takes on the disk, and will.
    pub(super) fn used(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        segments + self.doomed_bytes + (self.pending_bytes + self.reserved) as u64
    }

    /// Takes room if there is some.
    pub(super) fn try_reserve(&mut self, bytes: usize, bounds: Bounds) -> bool {
        let used = self.used();
        self.is_full = used + bytes as u64 > bounds.disk && used > 0;
        // What is reserved is rarely used to its end: a source asks for the largest reply that may come.
        let is_memory_full = self.pending_bytes > bounds.memory
            || self.reserved > 0 && self.reserved + bytes > RESERVED * bounds.memory;
        let has_room = !is_memory_full && !self.is_full;
        if has_room {
            self.reserved += bytes;
        }
        has_room
    }

    /// What is only kept for replay goes now, and best-effort lanes are left behind.
    pub(super) fn is_room_wanted(&self) -> bool {
        self.is_full || self.is_disk_full
    }

    pub(super) fn release(&mut self, bytes: usize) {
        self.reserved -= bytes;
    }

    pub(super) fn held(&self, source: &str, partition: &str) -> Option<u64> {
        self.held.get(source, partition)
    }

    pub(super) fn finish(&mut self, source: &str, partition: &str) {
        self.held.finish(source, partition);
        self.held_durable.finish(source, partition);
    }

    pub(super) fn append(&mut self, chunk: Chunk) {
        let head = chunk.head();
        self.held.appended(&head.source, head.partition.name(), chunk.positions().end);
        let is_written = !chunk.is_empty() && self.lanes.iter().any(|lane| lane.interest.takes(head));
        let first = self.next_place;
        if is_written {
            self.next_place += chunk.len() as u64;
            self.appended.add(self.heads.number(&head.source, head.kind), chunk.len() as u64);
        }
        self.pending_bytes += chunk.size();
        self.appended_at = Instant::now();
        self.pending.push_back(Pending { chunk, first, is_written, since: self.appended_at });
    }

    /// Those chunks are safe: sources are told, lanes may read them.
    pub(super) fn commit(&mut self, group: Vec<Pending>, frames: Vec<Written>, accounting: &Accounting) {
        let mut frames = frames.into_iter();
        for Pending { chunk, first, is_written, .. } in group {
            self.pending_bytes -= chunk.size();
            let head = chunk.head();
            self.held_durable.appended(&head.source, head.partition.name(), chunk.positions().end);
            tell(&self.sources, head, chunk.positions().end);
            if !is_written {
                continue;
            }
            let Some(Written { header, at }) = frames.next() else { continue };
            let number = self.heads.number(&chunk.head().source, header.kind);
            if self.segments.back().is_none_or(|last| last.first != at.segment) {
                let before = self.written.clone();
                let (first, newest) = (at.segment, Timestamp::EPOCH);
                self.segments.push_back(Segment { first, end: first, bytes: 0, newest, before });
            }
            let segment = self.segments.back_mut().expect("it was pushed just now");
            segment.end = header.end();
            segment.bytes = at.offset + header.frame_len();
            segment.newest = segment.newest.max(header.received);
            let after = Position { segment: at.segment, offset: segment.bytes };
            self.written.add(number, u64::from(header.records));
            self.durable = header.end();
            for (index, lane) in self.lanes.iter().enumerate() {
                if self.heads.takes(&lane.interest, number) {
                    accounting.lane_accepted(LaneId::new(index), header.records as usize);
                }
            }
            let placed = Placed::new(first, chunk.detached());
            self.tail.insert(Cached { placed, head: number, after });
        }
        self.tail.shrink(self.needed_from());
    }

    /// Nothing more will be settled.
    pub(super) fn end_settlements(&mut self) {
        self.sources.clear();
    }

    /// What is to be remembered, and how many cuts are durable once it is.
    pub(super) fn remember(&mut self) -> (Saved, u64) {
        self.passed = self.passed_by_all();
        let cursors: Vec<u64> = self.lanes.iter().map(|lane| self.cursor(lane)).collect();
        self.lanes.iter_mut().zip(&cursors).for_each(|(lane, cursor)| lane.cuts.pass(*cursor));
        let lanes = self.lanes.iter().zip(cursors);
        let there: Vec<_> = lanes.filter(|(lane, _)| !lane.interest.kinds.is_empty()).collect();
        let with_cuts = there.iter().filter(|(lane, _)| !lane.cuts.is_empty());
        let saved = Saved {
            begin: self.segments.front().map_or(self.durable, |first| first.first),
            end: self.durable,
            passed: self.passed,
            held_from: self.held_from,
            cursors: there.iter().map(|(lane, cursor)| (lane.name.to_string(), *cursor)).collect(),
            cuts: with_cuts.map(|(lane, _)| (lane.name.to_string(), lane.cuts.clone())).collect(),
            held: self.held_durable.save(),
            gaps: self.gaps.clone(),
            ..Saved::default()
        };
        (saved, self.stored_cuts)
    }

    /// So many cuts are durable.
    pub(super) fn cuts_are_durable(&mut self, count: u64) {
        self.durable_cuts = count;
    }
}
