//! How many records of which head (source and kind) there are, were passed, or went.
//!
//! Counts only grow: what a lane has yet to read is what was written less what it has passed, per head. So
//! nothing has to be looked at on the disk to know how many records wait for a lane, whatever it takes.

use std::sync::Arc;

use crate::log::LaneInterest;
use crate::record::{ChunkHead, Codec, Kind, Partition, Timestamp};

/// Sources and kinds that the log has met, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Heads(Vec<ChunkHead>);

impl Heads {
    /// The number of a head.
    pub(crate) fn number(&mut self, source: &str, kind: Kind) -> usize {
        if let Some(number) = self.0.iter().position(|own| own.kind == kind && &*own.source == source) {
            return number;
        }
        self.0.push(ChunkHead {
            source: Arc::from(source),
            partition: Partition::new(""),
            kind,
            codec: Codec::Json,
            received: Timestamp::EPOCH,
        });
        self.0.len() - 1
    }

    /// How many of those counts a lane takes.
    pub(crate) fn taken(&self, interest: &LaneInterest, counts: &Counts) -> u64 {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, head)| interest.takes(head))
            .map(|(number, _)| counts.get(number))
            .sum()
    }

    pub(crate) fn takes(&self, interest: &LaneInterest, number: usize) -> bool {
        self.0.get(number).is_some_and(|head| interest.takes(head))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Kind)> {
        self.0.iter().map(|head| (&head.source, head.kind))
    }
}

/// Records per head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts(Vec<u64>);

impl Counts {
    pub(crate) fn get(&self, head: usize) -> u64 {
        self.0.get(head).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, head: usize, records: u64) {
        if self.0.len() <= head {
            self.0.resize(head + 1, 0);
        }
        self.0[head] += records;
    }

    /// What is in these and not in the others.
    pub(crate) fn less(&self, others: &Self) -> Self {
        Self(self.0.iter().enumerate().map(|(head, count)| count.saturating_sub(others.get(head))).collect())
    }
}
