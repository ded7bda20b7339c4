//! What is safe of each partition: an unbroken run of its chunks, in order.
//!
//! While lanes stay as they are, a partition's chunks are closed in order. When lanes come, go or
//! change what they take, a later chunk may be closed before an earlier one; a settlement is cumulative,
//! so it waits for the earlier one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Placed;
use crate::record::{ChunkHead, Partition};

/// Where a source hears what is settled.
pub(crate) type SettledSender = mpsc::UnboundedSender<(Partition, u64)>;

/// The chunks that sources do not yet know to be safe.
pub(super) struct Settlements {
    sources: HashMap<Arc<str>, SettledSender>,
    partitions: HashMap<Partition, VecDeque<Unsettled>>,
}

struct Unsettled {
    /// The entry's number in the log.
    number: u64,
    /// The position after its last.
    end: u64,
    is_closed: bool,
}

impl Settlements {
    pub(super) fn new(sources: HashMap<Arc<str>, SettledSender>) -> Self {
        Self { sources, partitions: HashMap::new() }
    }

    /// A chunk is in the log. Numbers ascend.
    pub(super) fn begin(&mut self, number: u64, placed: &Placed) {
        let (partition, end) = (placed.chunk().head().partition.clone(), placed.chunk().positions().end);
        let unsettled = Unsettled { number, end, is_closed: false };
        self.partitions.entry(partition).or_default().push_back(unsettled);
    }

    /// Every required lane has closed it: tells the source, unless an earlier one of its partition is
    /// open. What was settled already stays so.
    pub(super) fn close(&mut self, number: u64, placed: &Placed) {
        let partition = &placed.chunk().head().partition;
        let Some(queue) = self.partitions.get_mut(partition) else { return };
        if let Some(unsettled) = find(queue, number) {
            unsettled.is_closed = true;
        }
        let mut safe = None;
        while queue.front().is_some_and(|first| first.is_closed) {
            safe = queue.pop_front().map(|first| first.end);
        }
        if queue.is_empty() {
            self.partitions.remove(partition);
        }
        if let Some(end) = safe {
            self.tell(placed, end);
        }
    }

    /// A required lane takes it that did not before.
    pub(super) fn reopen(&mut self, number: u64, placed: &Placed) {
        let queue = self.partitions.get_mut(&placed.chunk().head().partition);
        if let Some(unsettled) = queue.and_then(|queue| find(queue, number)) {
            unsettled.is_closed = false;
        }
    }

    /// The number of each partition's first chunk that is not settled, ascending.
    pub(super) fn firsts(&self) -> Vec<u64> {
        let firsts = self.partitions.values().filter_map(|queue| queue.front());
        let mut numbers: Vec<_> = firsts.map(|first| first.number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Tells the chunk's source that everything below the position is safe.
    pub(super) fn tell(&self, placed: &Placed, position: u64) {
        tell(&self.sources, placed.chunk().head(), position);
    }

    /// Nothing more will be settled.
    pub(super) fn end(&mut self) {
        self.sources.clear();
    }
}

/// Tells a chunk's source that everything below the position is safe, unless its partition was lost.
pub(super) fn tell(sources: &HashMap<Arc<str>, SettledSender>, head: &ChunkHead, position: u64) {
    if let Some(sender) = sources.get(&head.source)
        && !head.partition.is_revoked()
    {
        // A source that no longer listens has ended; what it held comes again next time.
        let _ = sender.send((head.partition.clone(), position));
    }
}

fn find(queue: &mut VecDeque<Unsettled>, number: u64) -> Option<&mut Unsettled> {
    let index = queue.binary_search_by_key(&number, |unsettled| unsettled.number).ok()?;
    queue.get_mut(index)
}
