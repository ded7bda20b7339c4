//! Which places of a lane are closed, and how far the lane's cursor may move.

use std::collections::VecDeque;

use crate::bugs::{self, Bug};
use crate::log::Placed;
use crate::record::{ChunkHead, Timestamp};

/// The places that a lane has read and not yet passed.
///
/// The cursor moves only over an unbroken run of closed places: a gap is a batch still in flight, and
/// a restart must meet it again.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    chunks: VecDeque<Tracked>,
    /// The place after everything that was read.
    end: u64,
}

#[derive(Debug)]
struct Tracked {
    first: u64,
    received: Timestamp,
    /// One bit per record, set while it has no outcome.
    open: Box<[u64]>,
    open_count: usize,
    /// Held for as long as one of its records is open, which then is in some batch, too.
    placed: Option<Placed>,
}

/// The records of a chunk that are to be prepared once more.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) placed: Placed,
    bits: Box<[u64]>,
}

impl Open {
    /// Whether the record at that index is one of them.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.bits[index / 64] & (1 << (index % 64)) != 0
    }
}

impl Tracker {
    /// The lane has read a chunk.
    pub(crate) fn read(&mut self, placed: &Placed) {
        let records = placed.chunk().len();
        let mut open = vec![u64::MAX; records.div_ceil(64)].into_boxed_slice();
        if let Some(last) = open.last_mut()
            && !records.is_multiple_of(64)
        {
            *last = (1 << (records % 64)) - 1;
        }
        for index in 0..placed.skip() {
            open[index / 64] &= !(1 << (index % 64));
        }
        let open_count = records - placed.skip();
        self.chunks.push_back(Tracked {
            first: placed.first,
            received: placed.chunk().head().received,
            open,
            open_count,
            placed: (open_count > 0).then(|| placed.clone()),
        });
        self.end = placed.end();
    }

    /// The open records of the chunk that was read last, if some are open and some were closed before.
    pub(crate) fn rest_of_last(&self) -> Option<Open> {
        let last = self.chunks.back()?;
        let placed = last.placed.clone().filter(|placed| last.open_count < placed.chunk().len())?;
        Some(Open { placed, bits: last.open.clone() })
    }

    /// The place has an outcome. Returns whether it had none before: a place is closed once.
    pub(crate) fn close(&mut self, place: u64) -> bool {
        let after = self.chunks.partition_point(|chunk| chunk.first <= place);
        let Some(chunk) = after.checked_sub(1).and_then(|index| self.chunks.get_mut(index)) else {
            return false;
        };
        let offset = (place - chunk.first) as usize;
        let Some(word) = chunk.open.get_mut(offset / 64) else { return false };
        let bit = 1 << (offset % 64);
        let was_open = *word & bit != 0;
        *word &= !bit;
        chunk.open_count -= usize::from(was_open);
        if chunk.open_count == 0 {
            chunk.placed = None;
        }
        was_open
    }

    /// Closes whatever is open of chunks that are not `kept`; says how many records that were.
    pub(crate) fn close_unless(&mut self, mut kept: impl FnMut(&ChunkHead) -> bool) -> usize {
        let mut count = 0;
        for chunk in &mut self.chunks {
            if let Some(placed) = &chunk.placed
                && !kept(placed.chunk().head())
            {
                count += std::mem::take(&mut chunk.open_count);
                chunk.open.fill(0);
                chunk.placed = None;
            }
        }
        count
    }

    /// Everything that is open, in the order of the log.
    pub(crate) fn open_chunks(&self) -> impl Iterator<Item = Open> {
        self.chunks.iter().filter_map(|chunk| {
            let placed = chunk.placed.clone()?;
            Some(Open { placed, bits: chunk.open.clone() })
        })
    }

    /// The lowest place without an outcome; everything below is closed.
    pub(crate) fn cursor(&mut self) -> u64 {
        while self.chunks.front().is_some_and(|chunk| chunk.open_count == 0) {
            self.chunks.pop_front();
        }
        if bugs::is(Bug::CursorOverGap)
            && let Some(closed) = self.chunks.iter().rposition(|chunk| chunk.open_count == 0)
        {
            return self.chunks.get(closed + 1).map_or(self.end, |chunk| chunk.first);
        }
        match self.chunks.front() {
            None => self.end,
            Some(chunk) => {
                let word = chunk.open.iter().position(|word| *word != 0).unwrap_or_default();
                chunk.first + word as u64 * 64 + u64::from(chunk.open[word].trailing_zeros())
            }
        }
    }

    /// When the source got the oldest chunk that has places without an outcome.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.chunks.front().map(|chunk| chunk.received)
    }

    /// Records without an outcome.
    pub(crate) fn open(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.open_count).sum()
    }
}
