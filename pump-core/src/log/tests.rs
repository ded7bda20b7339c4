//! What every log must do, shown on each of them against a list in memory.
//!
//! Where they differ: the log in memory settles a chunk when the last required lane has closed it, the disk
//! log when it is durable; the disk log gives lanes nothing before that, and nothing at all of a chunk
//! without records.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::disk::{DiskSettings, Opened};
use super::*;
use crate::accounting::{Accounting, LaneBooks, LaneId};
use crate::record::{Chunk, ChunkHead, Codec, Partition, Timestamp};
use crate::testing::SimulatedStorage;

mod changes;
mod list;
mod memory;
mod room;

const LANES: usize = 3;
const LOGS: [Which; 2] = [Which::Memory, Which::Disk];

/// The log that a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Memory,
    Disk,
}

/// A log, and what its sources are told.
struct Bench {
    which: Which,
    log: Arc<dyn Log>,
    accounting: Accounting,
    receivers: Vec<mpsc::UnboundedReceiver<(Partition, u64)>>,
}

impl Bench {
    /// An empty log of so many bytes, for two sources.
    async fn new(which: Which, max_size: usize, retain: Duration) -> Self {
        let accounting = Accounting::new(2);
        let (mut senders, mut receivers) = (HashMap::new(), Vec::new());
        for source in 0..2 {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.insert(Arc::from(format!("source-{source}")), sender);
            receivers.push(receiver);
        }
        let log: Arc<dyn Log> = match which {
            Which::Memory => Arc::new(MemoryLog::new(max_size, accounting.clone(), senders)),
            Which::Disk => {
                let usual = DiskSettings::new(max_size as u64);
                let settings = DiskSettings { segment_size: SEGMENT_SIZE, memory: 500, retain, ..usual };
                let opened = Opened::open(Arc::new(SimulatedStorage::new(0)), settings).await;
                Arc::new(opened.expect("nothing is wrong").into_log(accounting.clone(), senders))
            }
        };
        tokio::spawn(log.clone().run());
        Self { which, log, accounting, receivers }
    }

    /// Tells the log of lanes, and opens the books of those that are new.
    fn change_lanes(&self, changes: Vec<(usize, LaneInterest)>) {
        let change = |(index, interest)| LaneChange {
            id: LaneId::new(index),
            name: format!("lane-{index}").into(),
            interest,
        };
        let known = self.accounting.snapshot().lanes.len();
        changes.iter().filter(|(index, _)| *index >= known).for_each(|_| self.accounting.add_lane());
        self.log.change_lanes(changes.into_iter().map(change).collect());
    }

    /// Appends a chunk if there is room for it, soon.
    async fn append(&self, chunk: Chunk) -> bool {
        let patience = match self.which {
            Which::Memory => Duration::ZERO,
            Which::Disk => Duration::from_millis(100),
        };
        let room = tokio::time::timeout(patience, self.log.clone().reserve(chunk.size())).await;
        let Ok(mut room) = room else { return false };
        room.append(chunk);
        drop(room);
        self.work().await;
        true
    }

    /// Gives the log the time to do what it has to do.
    async fn work(&self) {
        if self.which == Which::Disk {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn settled(&mut self, source: usize) -> Option<(Partition, u64)> {
        self.receivers[source].try_recv().ok()
    }
}

const FUTURE: i64 = 10_000_000_000;
const SEGMENT_SIZE: u64 = 1_000;

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}

/// A chunk of empty objects, the first of which has that position. The time at which it came says its number,
/// and lies in the future, so that nothing is too old to be kept.
fn chunk(number: usize, source: usize, first: u64, records: usize, partition: &Partition) -> Chunk {
    let bytes = Bytes::from("{}".repeat(records));
    let head = ChunkHead {
        source: format!("source-{source}").into(),
        partition: partition.clone(),
        kind: Kind::Event,
        codec: Codec::Json,
        received: Timestamp { seconds: FUTURE + number as i64, nanos: 0 },
    };
    let entries = (0..records).map(|index| (first + index as u64, index * 2..index * 2 + 2));
    Chunk::parse(head, bytes, first..first + records as u64, entries).chunk
}

fn number_of(placed: &Placed) -> usize {
    (placed.chunk().head().received.seconds - FUTURE) as usize
}

fn interest([first, second]: [bool; 2], is_required: bool) -> LaneInterest {
    let names = [first.then_some("source-0"), second.then_some("source-1")];
    LaneInterest {
        sources: Some(names.into_iter().flatten().map(Arc::from).collect()),
        kinds: vec![Kind::Event],
        is_required,
    }
}
