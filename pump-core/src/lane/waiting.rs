//! Batches that wait for another try, and who may start next.
//!
//! A batch that failed as a whole keeps its slot while it waits: a sink that is down is not tried
//! with one batch after the other. Single records that are to come again wait aside without a slot,
//! up to a bound, unless only one delivery at a time is allowed: then the log's order is kept.

use std::sync::Arc;

use tokio::time::Instant;

use super::retry::History;
use crate::plugin::Batch;

/// How many batches may wait without a slot.
const MAX_ASIDE: usize = 16;

/// A batch that is to be tried at or after a moment.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) batch: Arc<Batch>,
    pub(crate) history: History,
    pub(crate) not_before: Instant,
    pub(crate) keeps_slot: bool,
    /// Whether the log knows which records are in it.
    pub(crate) is_stored: bool,
}

impl Pending {
    /// A batch that was never tried.
    pub(crate) fn new(batch: Batch, now: Instant) -> Self {
        Self {
            batch: Arc::new(batch),
            history: History::default(),
            not_before: now,
            keeps_slot: true,
            is_stored: false,
        }
    }
}

/// The waiting batches of a lane.
#[derive(Debug)]
pub(crate) struct Waiting {
    slots: usize,
    keeps_order: bool,
    /// In the order in which they failed; in the log's where only one delivery at a time is allowed.
    batches: Vec<Pending>,
}

impl Waiting {
    /// With one delivery at a time, now and always, the log's order is kept.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self { slots: max_in_flight, keeps_order: max_in_flight == 1, batches: Vec::new() }
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// There are so many slots from now on. What has one keeps it: with fewer than before, nothing starts until
    /// enough have ended.
    pub(crate) fn set_slots(&mut self, slots: usize) {
        self.slots = slots;
    }

    pub(crate) fn push(&mut self, pending: Pending) {
        let is_before = |other: &Pending| self.keeps_order && pending.batch.first() < other.batch.first();
        let index = self.batches.iter().position(is_before).unwrap_or(self.batches.len());
        self.batches.insert(index, pending);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether no slot is free for a batch that has none.
    pub(crate) fn is_full(&self, in_flight: usize) -> bool {
        in_flight + self.batches.iter().filter(|pending| pending.keeps_slot).count() >= self.slots
    }

    pub(crate) fn has_room_aside(&self) -> bool {
        !self.keeps_order && self.batches.iter().filter(|pending| !pending.keeps_slot).count() < MAX_ASIDE
    }

    /// The next batch that may start now.
    pub(crate) fn pop(&mut self, now: Instant, in_flight: usize) -> Option<Pending> {
        let is_due = |pending: &Pending| self.may_start(pending, in_flight) && pending.not_before <= now;
        let index = self.startable().iter().position(is_due)?;
        Some(self.batches.remove(index))
    }

    /// When the next one may start, if a slot allows it at all.
    pub(crate) fn next_at(&self, in_flight: usize) -> Option<Instant> {
        let may_start = self.startable().iter().filter(|pending| self.may_start(pending, in_flight));
        may_start.map(|pending| pending.not_before).min()
    }

    /// Those of which one may be next, as far as order goes.
    fn startable(&self) -> &[Pending] {
        let count = if self.keeps_order { self.batches.len().min(1) } else { self.batches.len() };
        &self.batches[..count]
    }

    fn may_start(&self, pending: &Pending, in_flight: usize) -> bool {
        if pending.keeps_slot { in_flight < self.slots } else { !self.is_full(in_flight) }
    }
}
