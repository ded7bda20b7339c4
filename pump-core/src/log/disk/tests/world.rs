//! A log on a simulated disk, its sources and its lanes, through any number of processes; and what must
//! hold at every moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::accounting::{Accounting, LaneBooks, LaneId};
use crate::log::disk::{DiskSettings, OpenError, Opened};
use crate::log::{LaneChange, LaneInterest, Log, LogError};
use crate::record::{Chunk, ChunkHead, Codec, Kind, Parsed, Partition, Timestamp};
use crate::testing::SimulatedStorage;

pub(super) const SOURCES: usize = 2;
pub(super) const PARTITIONS: usize = 2;

/// A source and one of its partitions.
pub(super) type Key = (usize, usize);

/// A lane as a pipeline file has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// Of which sources.
    pub(super) takes: [bool; SOURCES],
    pub(super) is_required: bool,
}

pub(super) const BOTH: Spec = Spec { name: "both", takes: [true, true], is_required: true };
pub(super) const ONE: Spec = Spec { name: "one", takes: [false, true], is_required: true };

/// How a process ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// It is told to stop.
    Stop,
    Kill,
    Power(crate::testing::Loss),
}

/// What is known of all processes together, by partition: everything below a position.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Was handed to the log.
    pub(super) appended: BTreeMap<Key, u64>,
    /// The source was told that it is safe, or a lane has seen it: it must never be lost.
    pub(super) safe: BTreeMap<Key, u64>,
    /// The place of each record that a lane has seen.
    pub(super) places: BTreeMap<(Key, u64), u64>,
    /// What each lane has closed, by its name.
    pub(super) closed: BTreeMap<&'static str, BTreeSet<(Key, u64)>>,
    /// The cursor of each lane that was stored when a process was told to stop.
    pub(super) cursors: BTreeMap<&'static str, u64>,
}

pub(super) struct World {
    pub(super) disk: SimulatedStorage,
    pub(super) settings: DiskSettings,
    pub(super) known: Known,
    pub(super) process: Process,
    /// When sources get what they append.
    pub(super) received: Timestamp,
}

/// One process that has the log open.
pub(super) struct Process {
    pub(super) log: Arc<dyn Log>,
    pub(super) accounting: Accounting,
    pub(super) run: JoinHandle<Result<(), LogError>>,
    pub(super) lanes: Vec<Lane>,
    receivers: Vec<mpsc::UnboundedReceiver<(Partition, u64)>>,
    partitions: BTreeMap<Key, Partition>,
    /// The position that the source reads next.
    pub(super) next: BTreeMap<Key, u64>,
    settled: BTreeMap<Key, u64>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.run.abort();
    }
}

pub(super) struct Lane {
    pub(super) spec: Spec,
    /// What it has read and not closed: records and their places.
    open: VecDeque<(Key, u64, u64)>,
    cursor: u64,
    /// The place after the last chunk that it was given.
    end: u64,
    given: BTreeSet<(Key, u64)>,
}

impl World {
    /// With an empty log.
    pub(super) async fn new(disk: SimulatedStorage, settings: DiskSettings, lanes: &[Spec]) -> Self {
        Self::open(disk, settings, lanes, Known::default()).await.expect("an empty log is sound")
    }

    /// With what is on the disk.
    pub(super) async fn open(
        disk: SimulatedStorage,
        settings: DiskSettings,
        lanes: &[Spec],
        known: Known,
    ) -> Result<Self, OpenError> {
        let process = Process::open(&disk, settings, lanes, &known).await?;
        let mut world = Self { disk, settings, known, process, received: Timestamp::EPOCH };
        world.check_held();
        Ok(world)
    }

    /// Appends the source's next records, if there is room; whether there was.
    pub(super) async fn append(&mut self, key: Key, records: usize) -> bool {
        let Process { log, partitions, next, .. } = &mut self.process;
        let first = next[&key];
        let parsed = parsed(key, first, records, &partitions[&key], self.received);
        let reserving = log.clone().reserve(parsed.chunk.size());
        let Ok(mut room) = timeout(Duration::from_millis(50), reserving).await else { return false };
        let head = parsed.chunk.head();
        let parsed = match room.already(&head.source, head.partition.name()) {
            Some(position) => parsed.starting_at(position).0,
            None => parsed,
        };
        room.append(parsed.chunk);
        let end = first + records as u64;
        next.insert(key, end);
        let appended = self.known.appended.entry(key).or_default();
        *appended = end.max(*appended);
        true
    }

    /// The source reads again from some position that it had.
    pub(super) fn repeat(&mut self, key: Key, back: u64) {
        let next = self.process.next.get_mut(&key).expect("every partition is there");
        *next = next.saturating_sub(back);
    }

    /// A lane reads its next chunk, if there is one; whether there was.
    pub(super) async fn read(&mut self, index: usize) -> bool {
        let Process { log, accounting, lanes, .. } = &mut self.process;
        let id = LaneId::new(index);
        if !log.has_unread(id) {
            return false;
        }
        // What is not durable yet may take its time, and a disk that fails ends the process.
        let Ok(placed) = timeout(Duration::from_millis(50), log.next(id)).await else { return false };
        let lane = &mut lanes[index];
        let chunk = placed.chunk();
        assert!(placed.skip() < chunk.len(), "there is something to do in what a lane is given");
        assert!(placed.first >= lane.end, "places ascend");
        let key = key_of(chunk.head());
        assert!(lane.spec.takes[key.0], "a lane is given what it takes");
        for (index, record) in chunk.records().enumerate().skip(placed.skip()) {
            let (position, place) = (record.position(), placed.first + index as u64);
            assert_eq!(record.body(), body(key, position), "it is what was appended");
            assert!(position < self.known.appended[&key], "it was appended");
            assert!(place >= lane.cursor, "it was not closed before the process was told to stop");
            assert!(lane.given.insert((key, position)), "it is given once");
            let known_place = *self.known.places.entry((key, position)).or_insert(place);
            assert_eq!(known_place, place, "a record keeps its place");
            let safe = self.known.safe.entry(key).or_default();
            *safe = (position + 1).max(*safe);
            lane.open.push_back((key, position, place));
        }
        lane.end = placed.end();
        assert!(accounting.snapshot().lanes[index].is_balanced());
        true
    }

    /// A lane closes the first of what it has read.
    pub(super) fn close(&mut self, index: usize, records: usize) {
        let Process { log, accounting, lanes, .. } = &mut self.process;
        let lane = &mut lanes[index];
        let count = records.min(lane.open.len());
        if count == 0 {
            return;
        }
        let closed = lane.open.drain(..count).map(|(key, position, _)| (key, position));
        self.known.closed.entry(lane.spec.name).or_default().extend(closed);
        lane.cursor = lane.open.front().map_or(lane.end, |(_, _, place)| *place);
        accounting.lane_closed(LaneId::new(index), crate::accounting::Outcome::Delivered, count);
        log.advance(LaneId::new(index), lane.cursor);
    }

    /// Lets time pass, hears what is settled, and looks at what must always hold.
    pub(super) async fn wait(&mut self, time: Duration) {
        self.wait_without_bounds(time).await;
        let Process { log, accounting, .. } = &self.process;
        assert!(accounting.snapshot().lanes.iter().all(LaneBooks::is_balanced));
        let DiskSettings { max_size, segment_size, .. } = self.settings;
        let chunk = 2_000;
        assert!(log.size() as u64 <= max_size + chunk, "{} of {max_size}", log.size());
        let on_disk: u64 = self.files().iter().map(|(_, len)| len).sum();
        assert!(on_disk <= max_size + segment_size + chunk, "{on_disk} on the disk");
    }

    /// The same, when chunks are larger than segments.
    pub(super) async fn wait_without_bounds(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
        self.hear();
    }

    fn hear(&mut self) {
        let Process { receivers, partitions, settled, .. } = &mut self.process;
        for (source, receiver) in receivers.iter_mut().enumerate() {
            while let Ok((partition, position)) = receiver.try_recv() {
                let found =
                    partitions.iter().find(|((own, _), known)| *own == source && **known == partition);
                let (key, _) = found.expect("a source is told of its own partitions");
                let before = settled.entry(*key).or_default();
                *before = position.max(*before);
                assert!(position <= self.known.appended[key], "what was not appended is not safe");
                let safe = self.known.safe.entry(*key).or_default();
                *safe = position.max(*safe);
            }
        }
    }

    /// Ends the process and opens the log again. Lanes that were there go on.
    pub(super) async fn restart(&mut self, end: End, lanes: &[Spec]) -> Result<(), OpenError> {
        match end {
            End::Stop => {
                self.process.log.close();
                let stopped = timeout(Duration::from_secs(60), &mut self.process.run).await;
                self.hear();
                let stopped = stopped.expect("it stops soon").expect("no panic");
                self.known.cursors.clear();
                if stopped.is_ok() {
                    let cursors = self.process.lanes.iter().map(|lane| (lane.spec.name, lane.cursor));
                    self.known.cursors.extend(cursors);
                }
                self.disk = self.disk.kill();
            }
            End::Kill => {
                self.hear();
                self.disk = self.disk.kill();
            }
            End::Power(loss) => {
                self.hear();
                self.disk = self.disk.crash(loss);
            }
        }
        if !matches!(end, End::Stop) {
            self.known.cursors.clear();
        }
        self.process = Process::open(&self.disk, self.settings, lanes, &self.known).await?;
        self.check_held();
        Ok(())
    }

    /// What was safe is there, and what is there was appended.
    fn check_held(&mut self) {
        for key in keys() {
            let held = self.process.held(key);
            let safe = self.known.safe.entry(key).or_default();
            assert!(held >= *safe, "{key:?}: what was safe up to {safe} is held up to {held}");
            let appended = self.known.appended.get(&key).copied().unwrap_or_default();
            assert!(held <= appended, "{key:?}: {held} is held of {appended}");
            // The source will not give it again.
            *safe = held;
        }
    }

    /// Everything goes well from now on: sources give everything again, lanes take everything. Nothing may
    /// be missing, and the log is empty in the end.
    pub(super) async fn finish(&mut self, lanes: &[Spec]) {
        self.disk.mend();
        self.disk.set_capacity(u64::MAX);
        // It may not have noticed yet that it cannot go on.
        self.wait(Duration::from_secs(1)).await;
        if self.process.run.is_finished() {
            self.restart(End::Kill, lanes).await.expect("nothing is damaged");
        }
        for key in keys() {
            self.process.next.insert(key, 0);
        }
        let mut rounds = 0;
        loop {
            assert!(!self.process.run.is_finished(), "nothing is wrong any more");
            let mut is_over = true;
            for key in keys() {
                let target = self.known.appended.get(&key).copied().unwrap_or_default();
                let left = target.saturating_sub(self.process.next[&key]).min(10);
                if left > 0 {
                    is_over = false;
                    self.append(key, left as usize).await;
                }
            }
            self.wait(Duration::from_millis(100)).await;
            for index in 0..self.process.lanes.len() {
                while self.read(index).await {
                    is_over = false;
                }
                self.close(index, usize::MAX);
            }
            if is_over {
                break;
            }
            rounds += 1;
            assert!(rounds < 1_000, "it comes to an end");
        }
        timeout(Duration::from_secs(1), self.process.log.drained()).await.expect("everything is closed");
        self.wait(Duration::from_secs(5)).await;
        assert!(!self.process.run.is_finished());
        assert_eq!(self.process.log.size(), 0);
        assert!(self.files().is_empty(), "the room is given back within 5 s: {:?}", self.files());
        for (key, appended) in &self.known.appended {
            let settled = self.process.settled.get(key).copied().unwrap_or_default();
            assert_eq!(settled, *appended, "{key:?} is settled");
        }
        let books = self.process.accounting.snapshot().lanes;
        assert!(books.iter().all(|books| books.pending() == 0), "{books:?}");
    }

    /// What is on the disk of records.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        let is_other = |name: &str| ["state", "spare"].contains(&name);
        self.disk.files().into_iter().filter(|(name, _)| !is_other(name)).collect()
    }

    /// What a lane has never closed of what it takes.
    pub(super) fn missing(&self, spec: &Spec) -> Vec<(Key, u64)> {
        let nothing = BTreeSet::new();
        let closed = self.known.closed.get(spec.name).unwrap_or(&nothing);
        let appended = self.known.appended.iter().filter(|((source, _), _)| spec.takes[*source]);
        let all = appended.flat_map(|(key, end)| (0..*end).map(|position| (*key, position)));
        all.filter(|record| !closed.contains(record)).collect()
    }
}

impl Known {
    /// How many records of a partition a lane has closed.
    pub(super) fn closed_of(&self, lane: &str, key: Key) -> u64 {
        let closed = self.closed.get(lane);
        closed.map_or(0, |closed| closed.range((key, 0)..=(key, u64::MAX)).count() as u64)
    }
}

impl Lane {
    /// The positions of a partition's records that it was given.
    pub(super) fn given_of(&self, key: Key) -> Vec<u64> {
        self.given.range((key, 0)..=(key, u64::MAX)).map(|(_, position)| *position).collect()
    }
}

impl Process {
    async fn open(
        disk: &SimulatedStorage,
        settings: DiskSettings,
        specs: &[Spec],
        known: &Known,
    ) -> Result<Self, OpenError> {
        let opened = Opened::open(Arc::new(disk.clone()), settings).await?;
        let accounting = Accounting::new(SOURCES);
        let (mut senders, mut receivers) = (HashMap::new(), Vec::new());
        for source in 0..SOURCES {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.insert(source_name(source), sender);
            receivers.push(receiver);
        }
        let log: Arc<dyn Log> = Arc::new(opened.into_log(accounting.clone(), senders));
        let mut lanes = Vec::new();
        let mut changes = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            accounting.add_lane();
            changes.push(LaneChange {
                id: LaneId::new(index),
                name: spec.name.into(),
                interest: spec.interest(),
            });
            let cursor = known.cursors.get(spec.name).copied().unwrap_or_default();
            lanes.push(Lane { spec: *spec, open: VecDeque::new(), cursor, end: 0, given: BTreeSet::new() });
        }
        log.change_lanes(changes);
        let partitions = keys().map(|key| (key, Partition::new(format!("partition-{}", key.1))));
        let run = tokio::spawn(log.clone().run());
        let mut process = Self {
            log,
            accounting,
            run,
            lanes,
            receivers,
            partitions: partitions.collect(),
            next: BTreeMap::new(),
            settled: BTreeMap::new(),
        };
        process.next = keys().map(|key| (key, process.held(key))).collect();
        Ok(process)
    }

    pub(super) fn held(&self, (source, partition): Key) -> u64 {
        let name = format!("partition-{partition}");
        self.log.held(&source_name(source), &name).unwrap_or_default()
    }
}

impl Spec {
    pub(super) fn interest(&self) -> LaneInterest {
        let sources = (0..SOURCES).filter(|source| self.takes[*source]).map(source_name);
        LaneInterest {
            sources: Some(sources.collect()),
            kinds: vec![Kind::Event],
            is_required: self.is_required,
        }
    }
}

pub(super) fn keys() -> impl Iterator<Item = Key> {
    (0..SOURCES * PARTITIONS).map(|number| (number / PARTITIONS, number % PARTITIONS))
}

fn source_name(source: usize) -> Arc<str> {
    format!("source-{source}").into()
}

fn key_of(head: &ChunkHead) -> Key {
    let number = |name: &str| name.rsplit('-').next().and_then(|digits| digits.parse().ok());
    (number(&head.source).expect("a number"), number(head.partition.name()).expect("a number"))
}

/// The record at that position.
pub(super) fn body((source, partition): Key, position: u64) -> Bytes {
    let len = (position * 37 + 11 * partition as u64) % 50;
    format!("{{\"s\":{source},\"p\":{partition},\"n\":{position},\"x\":\"{}\"}}", "x".repeat(len as usize))
        .into()
}

pub(super) fn parsed(
    key: Key,
    first: u64,
    records: usize,
    partition: &Partition,
    received: Timestamp,
) -> Parsed {
    let head = ChunkHead {
        source: source_name(key.0),
        partition: partition.clone(),
        kind: Kind::Event,
        codec: Codec::Json,
        received,
    };
    let end = first + records as u64;
    let (mut bytes, mut entries) = (Vec::new(), Vec::new());
    for position in first..end {
        let start = bytes.len();
        bytes.extend_from_slice(&body(key, position));
        entries.push((position, start..bytes.len()));
    }
    Chunk::parse(head, bytes.into(), first..end, entries)
}
