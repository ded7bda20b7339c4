//! Batches of an earlier process that are formed again, record by record, as the lane reads them once more.
//!
//! A cut that was stored may be at its destination, whole. Its records are kept apart from all others until the last
//! of them was read; then exactly that batch is ready. A cut of which a record is missing (closed, filtered, lost)
//! cannot be formed again: what was gathered of it goes out as a batch of its own, and the rest the usual way.
//! So it is with a cut that was made under another configuration, or that would take more room than a
//! lane has: then records may be twice at the destination, and none is missing.

use std::collections::VecDeque;
use std::ops::Range;

use super::batcher::{CutBatch, Item, Limits};
use crate::log::{Cuts, Placed};

/// The cuts of an earlier process that are not complete yet.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    cuts: Vec<Repeat>,
    /// Bytes of bodies that they hold together.
    held: usize,
}

#[derive(Debug)]
struct Repeat {
    batch: CutBatch,
    /// What is still to be read of it.
    rest: VecDeque<Range<u64>>,
    /// What had been read of the log, in bytes, before its first chunk.
    from: usize,
}

impl Repeats {
    /// The cuts that can be repeated under that configuration.
    pub(crate) fn new(cuts: Cuts, configuration: u64) -> Self {
        let Cuts { cuts, closed } = cuts;
        let can_be_repeated = cuts.into_iter().filter(|cut| {
            cut.configuration == configuration && !cut.places.is_empty() && !cut.places.overlaps(&closed)
        });
        let repeats = can_be_repeated.map(|cut| Repeat {
            batch: CutBatch::new((&*cut.route).into()),
            rest: cut.places.runs().iter().cloned().collect(),
            from: 0,
        });
        Self { cuts: repeats.collect(), held: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cuts.is_empty()
    }

    /// Takes a record that belongs to a cut, `read` bytes into the log; `false` if it belongs to none. A batch that is
    /// complete is ready. Called in the order of places.
    pub(crate) fn take(&mut self, item: &Item<'_>, read: usize, ready: &mut VecDeque<CutBatch>) -> bool {
        let place = item.placed.first + u64::from(item.index);
        let Some(index) = self.cuts.iter().position(|cut| cut.next() == Some(place)) else { return false };
        let cut = &mut self.cuts[index];
        if cut.batch.len == 0 {
            cut.from = read - item.placed.chunk().size();
        }
        cut.batch.push(item);
        cut.pass();
        self.held += item.size;
        if cut.rest.is_empty() {
            let Repeat { batch, .. } = self.cuts.remove(index);
            self.held -= batch.size;
            ready.push_back(CutBatch { is_stored: true, ..batch });
        }
        true
    }

    /// A chunk was read, and the log is `read` bytes long up to there: what was not in it and should have been
    /// is missing, and what takes too much room ends.
    pub(crate) fn end_chunk(
        &mut self,
        placed: &Placed,
        read: usize,
        limits: &Limits,
        ready: &mut VecDeque<CutBatch>,
    ) {
        while let Some(index) = self.cuts.iter().position(|cut| cut.next() < Some(placed.end())) {
            self.give_up(index, ready);
        }
        while let Some((index, from)) = self.oldest()
            && (read - from > limits.max_span || self.held > limits.max_held && self.begun() > 1)
        {
            self.give_up(index, ready);
        }
    }

    /// Nothing is left to be read that could complete a cut.
    pub(crate) fn give_up_all(&mut self, ready: &mut VecDeque<CutBatch>) {
        while !self.cuts.is_empty() {
            self.give_up(0, ready);
        }
    }

    fn give_up(&mut self, index: usize, ready: &mut VecDeque<CutBatch>) {
        let Repeat { batch, .. } = self.cuts.remove(index);
        self.held -= batch.size;
        if batch.len > 0 {
            ready.push_back(batch);
        }
    }

    fn begun(&self) -> usize {
        self.cuts.iter().filter(|cut| cut.batch.len > 0).count()
    }

    /// The one that was begun first, and when that was.
    fn oldest(&self) -> Option<(usize, usize)> {
        let begun = self.cuts.iter().enumerate().filter(|(_, cut)| cut.batch.len > 0);
        begun.map(|(index, cut)| (index, cut.from)).min_by_key(|(_, from)| *from)
    }
}

impl Repeat {
    fn next(&self) -> Option<u64> {
        self.rest.front().map(|run| run.start)
    }

    fn pass(&mut self) {
        if let Some(run) = self.rest.front_mut() {
            run.start += 1;
            if run.is_empty() {
                self.rest.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests;
