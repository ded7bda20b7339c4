//! Which positions of which partitions the log has, so that a source that repeats does not repeat into the
//! sinks: after a crash, after a lease that was lost and came back, after a failover of the buffer.
//!
//! A partition that its source has finished may still come again by a failover, so the last of those are kept for
//! a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How many partitions are remembered that their sources have finished.
const MAX_FINISHED: usize = 1_024;
/// How many are remembered in all. A source that never finishes any has this many; then the oldest goes.
const MAX_HELD: usize = 4_096;

/// One partition of which the log has something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPosition {
    /// The source's name in the pipeline file.
    pub source: Box<str>,
    /// The partition's name.
    pub partition: Box<str>,
    /// Everything below was appended.
    pub position: u64,
    /// Whether the source has said that it is done with it.
    pub is_finished: bool,
}

type Key = (Arc<str>, Arc<str>);

/// The positions of all partitions.
#[derive(Debug, Default)]
pub(crate) struct Held {
    partitions: HashMap<Key, Entry>,
    /// Finished ones, the oldest first.
    finished: VecDeque<Key>,
    /// Counts appends: the age of an entry.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    position: u64,
    is_finished: bool,
    touched: u64,
}

impl Held {
    /// From what was saved, oldest first.
    pub(crate) fn restore(saved: Vec<SavedPosition>) -> Self {
        let mut held = Self::default();
        for SavedPosition { source, partition, position, is_finished } in saved {
            held.appended(&source.as_ref().into(), &partition, position);
            if is_finished {
                held.finish(&source, &partition);
            }
        }
        held
    }

    /// The position below which the log has everything.
    pub(crate) fn get(&self, source: &str, partition: &str) -> Option<u64> {
        self.partitions.get(&(Arc::from(source), Arc::from(partition))).map(|entry| entry.position)
    }

    /// The log has everything below that position.
    pub(crate) fn appended(&mut self, source: &Arc<str>, partition: &str, position: u64) {
        self.clock += 1;
        let key = (source.clone(), Arc::from(partition));
        if self.partitions.len() >= MAX_HELD && !self.partitions.contains_key(&key) {
            self.forget_oldest();
        }
        let entry =
            self.partitions.entry(key).or_insert(Entry { position: 0, is_finished: false, touched: 0 });
        entry.position = entry.position.max(position);
        entry.touched = self.clock;
    }

    /// The source is done with it.
    pub(crate) fn finish(&mut self, source: &str, partition: &str) {
        let key = (Arc::from(source), Arc::from(partition));
        if let Some(entry) = self.partitions.get_mut(&key).filter(|entry| !entry.is_finished) {
            entry.is_finished = true;
            self.finished.push_back(key);
        }
        if self.finished.len() > MAX_FINISHED
            && let Some(oldest) = self.finished.pop_front()
        {
            self.partitions.remove(&oldest);
        }
    }

    /// All of them, oldest first.
    pub(crate) fn save(&self) -> Vec<SavedPosition> {
        let mut all: Vec<_> = self.partitions.iter().collect();
        all.sort_by_key(|(_, entry)| entry.touched);
        let saved = all.into_iter().map(|((source, partition), entry)| SavedPosition {
            source: source.as_ref().into(),
            partition: partition.as_ref().into(),
            position: entry.position,
            is_finished: entry.is_finished,
        });
        saved.collect()
    }

    fn forget_oldest(&mut self) {
        let oldest =
            self.partitions.iter().min_by_key(|(_, entry)| entry.touched).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.finished.retain(|own| *own != key);
            self.partitions.remove(&key);
        }
    }
}
