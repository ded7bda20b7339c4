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

fn interest([first, second]: [bool; 2], is_required: bool) -> LaneInterest {
    let names = [first.then_some("source-0"), second.then_some("source-1")];
    LaneInterest {
        sources: Some(names.into_iter().flatten().map(Arc::from).collect()),
        kinds: vec![Kind::Event],
        is_required,
    }
}

/// One chunk as the model knows it.
struct Known {
    source: usize,
    end: u64,
    positions_end: u64,
    records: u64,
    /// Required lanes that have yet to close it.
    owed: BTreeSet<usize>,
    /// Lanes that have yet to read it.
    unread: BTreeSet<usize>,
    /// Lanes that gave it up after they had read it.
    given_up: BTreeSet<usize>,
    is_in_log: bool,
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

#[derive(Default)]
struct Model {
    chunks: Vec<Known>,
    lanes: Vec<KnownLane>,
    settled: [u64; 2],
}

impl Model {
    fn append(&mut self, source: usize, records: usize, end: u64, positions_end: u64) {
        let (mut owed, mut unread) = (BTreeSet::new(), BTreeSet::new());
        for (index, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.takes[source]) {
            unread.insert(index);
            lane.accepted += records as u64;
            if lane.is_required {
                owed.insert(index);
            }
        }
        let records = records as u64;
        self.chunks.push(Known {
            source,
            end,
            positions_end,
            records,
            owed,
            unread,
            given_up: BTreeSet::new(),
            is_in_log: true,
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
            chunk.is_in_log &= !chunk.owed.is_empty() || unread(chunk, &self.lanes);
        }
        for source in 0..2 {
            // What a lane takes that came after it was settled is owed to that lane alone.
            let unsettled =
                self.chunks.iter_mut().filter(|chunk| chunk.source == source && !chunk.is_settled);
            for chunk in unsettled.take_while(|chunk| chunk.owed.is_empty()) {
                chunk.is_settled = true;
                self.settled[source] = chunk.positions_end;
            }
        }
    }
}

proptest! {
    /// Whatever lanes come, go and change, and in whatever order they read and close: a source is told
    /// of a position once no required lane owes anything below it, and then at once; each lane is given
    /// what it takes, once and in order; what it does not get is counted.
    #[test]
    fn lanes_that_change_lose_nothing_and_settle_nothing_too_early(actions in prop::collection::vec(action(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let accounting = books(0, 2);
            let (mut senders, mut receivers) = (HashMap::new(), Vec::new());
            for source in 0..2 {
                let (sender, receiver) = mpsc::unbounded_channel();
                senders.insert(Arc::from(format!("source-{source}")), sender);
                receivers.push(receiver);
            }
            let log = Arc::new(MemoryLog::new(1 << 30, accounting.clone(), senders));
            let partitions = [Partition::new("0"), Partition::new("1")];
            let (mut positions, mut heard, mut place) = ([0u64; 2], [0u64; 2], 0);
            let mut model = Model::default();
            for action in actions {
                match action {
                    Action::Append { source, records } => {
                        let chunk = chunk(source, positions[source], records, &partitions[source]);
                        let dyn_log: Arc<dyn Log> = log.clone();
                        dyn_log.reserve(chunk.size()).await.append(chunk);
                        positions[source] += records as u64;
                        place += records.max(1) as u64;
                        model.append(source, records, place, positions[source]);
                    }
                    Action::Read { lane } if lane < model.lanes.len() => {
                        let id = LaneId::new(lane);
                        let expected = (model.lanes[lane].read..model.chunks.len())
                            .find(|number| model.chunks[*number].unread.contains(&lane));
                        assert_eq!(log.has_unread(id), expected.is_some());
                        // What it looked at and passed over it does not look at again.
                        model.lanes[lane].read = expected.map_or(model.chunks.len(), |number| number + 1);
                        let Some(number) = expected else { continue };
                        let placed = log.next(id).await;
                        assert_eq!(placed.end(), model.chunks[number].end);
                        model.chunks[number].unread.remove(&lane);
                        model.lanes[lane].unclosed.push_back(number);
                    }
                    Action::Close { lane, chunks } if lane < model.lanes.len() => {
                        for _ in 0..chunks {
                            let Some(number) = model.lanes[lane].unclosed.pop_front() else { break };
                            log.advance(LaneId::new(lane), model.chunks[number].end);
                            model.chunks[number].owed.remove(&lane);
                        }
                    }
                    Action::Change { changes } => {
                        let (mut told, mut changed) = (Vec::new(), BTreeSet::new());
                        for (lane, takes, is_required) in changes {
                            let lane = lane.min(model.lanes.len());
                            if !changed.insert(lane) {
                                continue;
                            }
                            if lane == model.lanes.len() {
                                model.lanes.push(KnownLane::default());
                                accounting.add_lane();
                            }
                            told.push(super::change(lane, interest(takes, is_required)));
                            model.change(lane, takes, is_required);
                        }
                        log.change_lanes(told);
                        for lane in changed {
                            log.resume(LaneId::new(lane));
                        }
                    }
                    Action::Read { .. } | Action::Close { .. } => {}
                }
                model.look();
                for source in 0..2 {
                    while let Ok((partition, position)) = receivers[source].try_recv() {
                        assert_eq!(&partition, &partitions[source]);
                        assert!(position >= heard[source], "a settlement is cumulative");
                        heard[source] = position;
                    }
                }
                assert_eq!(heard, model.settled);
                let books = accounting.snapshot();
                for (lane, books) in model.lanes.iter().zip(&books.lanes) {
                    assert!(books.is_balanced());
                    assert_eq!((books.accepted, books.left_behind), (lane.accepted, lane.left_behind));
                }
            }
            // In the end everything can be closed, and nothing is left in the log.
            for lane in 0..model.lanes.len() {
                let id = LaneId::new(lane);
                while log.has_unread(id) {
                    let placed = log.next(id).await;
                    log.advance(id, placed.end());
                }
                log.advance(id, place);
            }
            assert_eq!(log.size(), 0);
        });
    }
}

/// A lane that is changed twice obeys twice. In between it is given nothing: it would prepare for the first
/// what the second takes.
#[tokio::test]
async fn a_lane_is_given_nothing_until_it_has_obeyed_every_change() {
    let accounting = books(1, 1);
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new(1 << 20, accounting, HashMap::new()));
    let lane = LaneId::new(0);
    log.change_lanes(vec![super::change(lane.index(), interest([true, false], true))]);
    log.change_lanes(vec![super::change(lane.index(), interest([true, false], true))]);
    log.change_lanes(vec![super::change(lane.index(), interest([true, true], true))]);
    log.clone().reserve(100).await.append(chunk(0, 0, 1, &Partition::new("0")));
    assert!(!log.has_unread(lane));
    log.resume(lane);
    assert!(!log.has_unread(lane), "one change is still to be obeyed");
    log.resume(lane);
    assert!(log.has_unread(lane));
}
