//! Lanes that change what they take while the log is in use, against a list in memory.

use std::collections::{BTreeSet, VecDeque};

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Append { source: usize, records: usize },
    Read { lane: usize },
    Close { lane: usize, chunks: usize },
    Change { changes: Vec<(usize, [bool; 2], bool)> },
}

fn action() -> impl Strategy<Value = Action> {
    let change = (0..LANES + 2, any::<[bool; 2]>(), any::<bool>());
    prop_oneof![
        4 => (0..2usize, 0..20usize).prop_map(|(source, records)| Action::Append { source, records }),
        4 => (0..LANES + 2).prop_map(|lane| Action::Read { lane }),
        3 => (0..LANES + 2, 1..5usize).prop_map(|(lane, chunks)| Action::Close { lane, chunks }),
        1 => prop::collection::vec(change, 1..4).prop_map(|changes| Action::Change { changes }),
    ]
}

/// One chunk as the model knows it.
struct Known {
    source: usize,
    /// The place after its last record, once a lane has seen it.
    end: Option<u64>,
    positions_end: u64,
    records: u64,
    /// Required lanes that have yet to close it.
    owed: BTreeSet<usize>,
    /// Lanes that have yet to read it.
    unread: BTreeSet<usize>,
    /// Lanes that gave it up after they had read it.
    given_up: BTreeSet<usize>,
    is_in_log: bool,
    /// Whether it has places of its own on the disk: it has records, and somebody took it when it came.
    is_written: bool,
    is_settled: bool,
}

/// A lane as the model knows it.
#[derive(Default)]
struct KnownLane {
    takes: [bool; 2],
    is_required: bool,
    /// The number of the next chunk that it could read.
    read: usize,
    unclosed: VecDeque<usize>,
    accepted: u64,
    left_behind: u64,
}

struct Model {
    which: Which,
    chunks: Vec<Known>,
    lanes: Vec<KnownLane>,
    settled: [u64; 2],
}

impl Model {
    fn append(&mut self, source: usize, records: usize, positions_end: u64) {
        let (mut owed, mut unread) = (BTreeSet::new(), BTreeSet::new());
        let is_read = self.which == Which::Memory || records > 0;
        let lanes = self.lanes.iter_mut().enumerate();
        for (index, lane) in lanes.filter(|(_, lane)| is_read && lane.takes[source]) {
            unread.insert(index);
            lane.accepted += records as u64;
            if lane.is_required {
                owed.insert(index);
            }
        }
        let (records, is_written) = (records as u64, !unread.is_empty());
        self.chunks.push(Known {
            source,
            end: None,
            positions_end,
            records,
            owed,
            unread,
            given_up: BTreeSet::new(),
            is_in_log: self.which == Which::Memory || is_written,
            is_written,
            is_settled: false,
        });
    }

    fn change(&mut self, index: usize, takes: [bool; 2], is_required: bool) {
        let lane = &mut self.lanes[index];
        for (number, chunk) in self.chunks.iter_mut().enumerate().take(lane.read) {
            if !takes[chunk.source] {
                chunk.given_up.insert(index);
            }
            let has_it = lane.unclosed.contains(&number) && !chunk.given_up.contains(&index);
            if !(has_it && is_required) {
                chunk.owed.remove(&index);
            } else if chunk.is_in_log {
                chunk.owed.insert(index);
            }
        }
        for chunk in self.chunks.iter_mut().skip(lane.read).filter(|chunk| chunk.is_in_log) {
            let (took, takes) = (chunk.unread.remove(&index), takes[chunk.source]);
            chunk.owed.remove(&index);
            if takes {
                chunk.unread.insert(index);
                if is_required {
                    chunk.owed.insert(index);
                }
            }
            lane.accepted += if takes && !took { chunk.records } else { 0 };
            lane.left_behind += if took && !takes { chunk.records } else { 0 };
        }
        (lane.takes, lane.is_required) = (takes, is_required);
    }

    /// What goes, and what is settled: never beyond the first chunk that somebody owes.
    fn look(&mut self) {
        let unread =
            |chunk: &Known, lanes: &[KnownLane]| chunk.unread.iter().any(|lane| !lanes[*lane].is_required);
        for chunk in &mut self.chunks {
            let is_needed = !chunk.owed.is_empty() || unread(chunk, &self.lanes);
            // What is on the disk stays there for a while, for who comes later.
            chunk.is_in_log &= is_needed || self.which == Which::Disk && chunk.is_written;
        }
        for source in 0..2 {
            // What a lane takes that came after it was settled is owed to that lane alone.
            let unsettled =
                self.chunks.iter_mut().filter(|chunk| chunk.source == source && !chunk.is_settled);
            let is_durable = self.which == Which::Disk;
            for chunk in unsettled.take_while(|chunk| is_durable || chunk.owed.is_empty()) {
                chunk.is_settled = true;
                self.settled[source] = chunk.positions_end;
            }
        }
    }
}

proptest! {
    /// Whatever lanes come, go and change, and in whatever order they read and close: a source is told
    /// of a position once it is safe, and then at once; each lane is given what it takes, once and in order;
    /// what it does not get is counted.
    #[test]
    fn lanes_that_change_lose_nothing_and_settle_nothing_too_early(actions in prop::collection::vec(action(), 0..200)) {
        for which in LOGS {
            run(against_a_model(which, &actions));
        }
    }
}

async fn against_a_model(which: Which, actions: &[Action]) {
    let mut bench = Bench::new(which, 1 << 30, Duration::from_secs(3_600)).await;
    let partitions = [Partition::new("0"), Partition::new("1")];
    let (mut positions, mut heard) = ([0u64; 2], [0u64; 2]);
    let mut model = Model { which, chunks: Vec::new(), lanes: Vec::new(), settled: [0; 2] };
    // A new lane begins at what another one still needs: on the disk, one lane needs everything.
    let base = usize::from(which == Which::Disk);
    if base > 0 {
        model.lanes.push(KnownLane { takes: [true, true], is_required: true, ..KnownLane::default() });
        bench.change_lanes(vec![(0, interest([true, true], true))]);
    }
    for action in actions.iter().cloned() {
        match action {
            Action::Append { source, records } => {
                let number = model.chunks.len();
                let chunk = chunk(number, source, positions[source], records, &partitions[source]);
                assert!(bench.append(chunk).await);
                positions[source] += records as u64;
                model.append(source, records, positions[source]);
            }
            Action::Read { lane } if lane + base < model.lanes.len() => {
                let lane = lane + base;
                let id = LaneId::new(lane);
                let expected = (model.lanes[lane].read..model.chunks.len())
                    .find(|number| model.chunks[*number].unread.contains(&lane));
                assert_eq!(bench.log.has_unread(id), expected.is_some());
                let Some(number) = expected else {
                    // What it looked at and passed over it does not look at again.
                    if which == Which::Memory {
                        model.lanes[lane].read = model.chunks.len();
                    }
                    continue;
                };
                model.lanes[lane].read = number + 1;
                let placed = bench.log.next(id).await;
                let chunk = &mut model.chunks[number];
                assert_eq!(number_of(&placed), number);
                assert_eq!(*chunk.end.get_or_insert(placed.end()), placed.end());
                chunk.unread.remove(&lane);
                model.lanes[lane].unclosed.push_back(number);
            }
            Action::Close { lane, chunks } if lane + base < model.lanes.len() => {
                let lane = lane + base;
                for _ in 0..chunks {
                    let Some(number) = model.lanes[lane].unclosed.pop_front() else { break };
                    bench.log.advance(LaneId::new(lane), model.chunks[number].end.expect("it was read"));
                    model.chunks[number].owed.remove(&lane);
                }
            }
            Action::Change { changes } => {
                let (mut told, mut changed) = (Vec::new(), BTreeSet::new());
                for (lane, takes, is_required) in changes {
                    let lane = (lane + base).min(model.lanes.len());
                    if !changed.insert(lane) {
                        continue;
                    }
                    if lane == model.lanes.len() {
                        model.lanes.push(KnownLane::default());
                    }
                    told.push((lane, interest(takes, is_required)));
                    model.change(lane, takes, is_required);
                }
                bench.change_lanes(told);
                for lane in changed {
                    bench.log.resume(LaneId::new(lane));
                }
            }
            Action::Read { .. } | Action::Close { .. } => {}
        }
        model.look();
        for source in 0..2 {
            while let Some((partition, position)) = bench.settled(source) {
                assert_eq!(&partition, &partitions[source]);
                assert!(position >= heard[source], "a settlement is cumulative");
                heard[source] = position;
            }
        }
        assert_eq!(heard, model.settled);
        let books = bench.accounting.snapshot();
        for (lane, books) in model.lanes.iter().zip(&books.lanes) {
            assert!(books.is_balanced());
            assert_eq!((books.accepted, books.left_behind), (lane.accepted, lane.left_behind));
        }
    }
    // In the end everything can be closed, and nothing is left in memory.
    for lane in 0..model.lanes.len() {
        let id = LaneId::new(lane);
        while bench.log.has_unread(id) {
            let placed = bench.log.next(id).await;
            bench.log.advance(id, placed.end());
        }
        bench.log.advance(id, u64::MAX);
    }
    if which == Which::Memory {
        assert_eq!(bench.log.size(), 0);
    }
}

/// A lane that is changed twice obeys twice. In between it is given nothing: it would prepare for the first
/// what the second takes.
#[tokio::test(start_paused = true)]
async fn a_lane_is_given_nothing_until_it_has_obeyed_every_change() {
    for which in LOGS {
        let bench = Bench::new(which, 1 << 20, Duration::ZERO).await;
        let lane = LaneId::new(0);
        bench.change_lanes(vec![(0, interest([true, false], true))]);
        bench.change_lanes(vec![(0, interest([true, false], true))]);
        bench.change_lanes(vec![(0, interest([true, true], true))]);
        assert!(bench.append(chunk(0, 0, 0, 1, &Partition::new("0"))).await);
        assert!(!bench.log.has_unread(lane));
        bench.log.resume(lane);
        assert!(!bench.log.has_unread(lane), "one change is still to be obeyed");
        bench.log.resume(lane);
        assert!(bench.log.has_unread(lane));
    }
}
