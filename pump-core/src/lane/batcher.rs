//! Cuts a lane's records into batches: by count, bytes and age, per route.
//!
//! What is held in open batches has two bounds together: how much of the log they span, so that the
//! log can move on, and how many bytes of bodies they keep in memory. When either is passed, the
//! oldest open batch is cut early. A record whose route is new while there are many open ones goes
//! to the route of strays, so that a client who invents values cannot make a batch for each.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::cuts::Repeats;
use crate::log::Placed;
use crate::plugin::{BatchDefaults, Encoded, Part};

/// How many routes may be open at once.
pub(crate) const MAX_ROUTES: usize = 64;

/// Where batches end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) batch: BatchDefaults,
    /// Bytes of the log that all open batches may span.
    pub(crate) max_span: usize,
    /// Bytes of bodies that all open batches may hold.
    pub(crate) max_held: usize,
}

/// A cut batch, before it is given its lane's settings.
#[derive(Debug, Clone)]
pub(crate) struct CutBatch {
    pub(crate) route: Arc<str>,
    pub(crate) parts: Vec<Part>,
    pub(crate) len: usize,
    pub(crate) size: usize,
    /// Whether the log knows which records are in it: it repeats a batch of an earlier process.
    pub(crate) is_stored: bool,
}

/// The open batches of a lane.
#[derive(Debug)]
pub(crate) struct Batcher {
    limits: Limits,
    /// Oldest first.
    open: VecDeque<Open>,
    ready: VecDeque<CutBatch>,
    repeats: Repeats,
    held: usize,
    /// Bytes of chunks read so far: the ruler that spans are measured with.
    read: usize,
}

#[derive(Debug)]
struct Open {
    cut: CutBatch,
    since: Instant,
    /// What `read` was before its first chunk.
    from: usize,
}

/// One record to be batched.
pub(crate) struct Item<'a> {
    pub(crate) placed: &'a Placed,
    pub(crate) encoded: Option<&'a Arc<Encoded>>,
    pub(crate) index: u32,
    /// Bytes that count against the batch.
    pub(crate) size: usize,
}

impl CutBatch {
    pub(crate) fn new(route: Arc<str>) -> Self {
        Self { route, parts: Vec::new(), len: 0, size: 0, is_stored: false }
    }

    /// Adds a record behind all others.
    pub(crate) fn push(&mut self, item: &Item<'_>) {
        self.len += 1;
        self.size += item.size;
        match self.parts.last_mut() {
            Some(part) if part.placed.first == item.placed.first => part.push(item.index),
            _ => {
                let (placed, encoded) = (item.placed.clone(), item.encoded.cloned());
                let mut part = Part { placed, encoded, runs: Vec::new() };
                part.push(item.index);
                self.parts.push(part);
            }
        }
    }
}

impl Batcher {
    pub(crate) fn new(limits: Limits) -> Self {
        let repeats = Repeats::default();
        Self { limits, open: VecDeque::new(), ready: VecDeque::new(), repeats, held: 0, read: 0 }
    }

    /// Records that belong to those batches go into them, from now on.
    pub(crate) fn repeat(&mut self, repeats: Repeats) {
        self.repeats = repeats;
    }

    /// Whether batches of an earlier process are not complete yet.
    pub(crate) fn is_repeating(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// Nothing comes any more that could complete them.
    pub(crate) fn end_repeats(&mut self) {
        self.repeats.give_up_all(&mut self.ready);
    }

    /// A chunk's records follow.
    pub(crate) fn begin_chunk(&mut self, size: usize) {
        self.read += size;
    }

    /// Whether a record of this route has to go to the route of strays.
    pub(crate) fn is_crowded(&self, route: &str) -> bool {
        self.open.len() >= MAX_ROUTES && self.find(route).is_none()
    }

    /// Adds a record to its route's open batch; cuts what is full.
    pub(crate) fn push(&mut self, now: Instant, route: &str, item: Item<'_>) {
        if self.is_repeating() && self.repeats.take(&item, self.read, &mut self.ready) {
            return;
        }
        let mut position = self.find(route);
        if let Some(index) = position {
            let cut = &self.open[index].cut;
            if cut.size + item.size > self.limits.batch.max_bytes {
                self.cut(index);
                position = None;
            }
        }
        let index = position.unwrap_or_else(|| {
            let cut = CutBatch::new(route.into());
            let from = self.read - item.placed.chunk().size();
            self.open.push_back(Open { cut, since: now, from });
            self.open.len() - 1
        });
        self.held += item.size;
        let cut = &mut self.open[index].cut;
        cut.push(&item);
        let is_full = cut.len >= self.limits.batch.max_records || cut.size >= self.limits.batch.max_bytes;
        if is_full {
            self.cut(index);
        }
        while self.held > self.limits.max_held && !self.open.is_empty() {
            self.cut(0);
        }
    }

    /// Cuts what spans too much of the log. Called after each chunk.
    pub(crate) fn end_chunk(&mut self, placed: &Placed) {
        self.repeats.end_chunk(placed, self.read, &self.limits, &mut self.ready);
        while self.open.front().is_some_and(|open| self.read - open.from > self.limits.max_span) {
            self.cut(0);
        }
    }

    /// Cuts what is old enough.
    pub(crate) fn cut_due(&mut self, now: Instant) {
        while self.due_at().is_some_and(|due| due <= now) {
            self.cut(0);
        }
    }

    /// Cuts everything.
    pub(crate) fn cut_all(&mut self) {
        self.end_repeats();
        while !self.open.is_empty() {
            self.cut(0);
        }
    }

    /// When the oldest open batch has to be cut.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.open.front().map(|open| open.since + self.limits.batch.max_age)
    }

    /// The next cut batch.
    pub(crate) fn pop(&mut self) -> Option<CutBatch> {
        self.ready.pop_front()
    }

    /// Whether a cut batch waits.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether there is an open batch.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty() || self.is_repeating()
    }

    fn find(&self, route: &str) -> Option<usize> {
        // From the back: the route of the record before is the likeliest.
        self.open.iter().rposition(|open| &*open.cut.route == route)
    }

    fn cut(&mut self, index: usize) {
        if let Some(open) = self.open.remove(index) {
            self.held -= open.cut.size;
            self.ready.push_back(open.cut);
        }
    }
}
