//! Chunks that are in memory although they are on the disk: the newest, and what a lane has just read. Lanes that
//! are about as far as each other share a chunk and what is encoded of it.

use std::collections::BTreeMap;

use super::open::Position;
use crate::log::Placed;

/// A chunk in memory.
pub(super) struct Cached {
    pub(super) placed: Placed,
    /// The number of its head.
    pub(super) head: usize,
    /// Where the next one is.
    pub(super) after: Position,
}

/// The chunks, by their first places. Bounded in bytes; the oldest go first.
pub(super) struct Tail {
    max_size: usize,
    size: usize,
    chunks: BTreeMap<u64, Cached>,
}

impl Tail {
    pub(super) fn new(max_size: usize) -> Self {
        Self { max_size, size: 0, chunks: BTreeMap::new() }
    }

    /// The chunk that a place lies in.
    pub(super) fn at(&self, place: u64) -> Option<&Cached> {
        let (_, cached) = self.chunks.range(..=place).next_back()?;
        (cached.placed.end() > place).then_some(cached)
    }

    pub(super) fn insert(&mut self, cached: Cached) {
        self.size += cached.placed.chunk().size();
        if let Some(before) = self.chunks.insert(cached.placed.first, cached) {
            self.size -= before.placed.chunk().size();
        }
    }

    /// Lets go of what lies below that place, and of the oldest of what is too much.
    pub(super) fn shrink(&mut self, needed_from: u64) {
        while let Some(first) = self.chunks.first_entry()
            && (first.get().placed.end() <= needed_from || self.size > self.max_size)
        {
            self.size -= first.remove().placed.chunk().size();
        }
    }
}
