//! The memory log against a list in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::accounting::{Accounting, LaneId};
use crate::record::{Chunk, ChunkHead, Codec, Partition, Timestamp};

mod changes;

const LANES: usize = 3;

fn chunk(source: usize, first: u64, records: usize, partition: &Partition) -> Chunk {
    let bytes = Bytes::from("{}".repeat(records));
    let head = ChunkHead {
        source: format!("source-{source}").into(),
        partition: partition.clone(),
        kind: Kind::Event,
        codec: Codec::Json,
        received: Timestamp::EPOCH,
    };
    let entries = (0..records).map(|index| (first + index as u64, index * 2..index * 2 + 2));
    Chunk::parse(head, bytes, first..first + records as u64, entries).chunk
}

/// What lanes there are: the first takes both sources, the second one, the third is best effort.
fn interests() -> Vec<LaneInterest> {
    let lane = |sources: &[&str], is_required| LaneInterest {
        sources: Some(sources.iter().map(|name| Arc::from(*name)).collect()),
        kinds: vec![Kind::Event],
        is_required,
    };
    vec![lane(&["source-0", "source-1"], true), lane(&["source-1"], true), lane(&["source-0"], false)]
}

fn numbered(interests: Vec<LaneInterest>) -> Vec<LaneChange> {
    let numbered = interests.into_iter().enumerate();
    numbered.map(|(index, interest)| change(index, interest)).collect()
}

fn change(index: usize, interest: LaneInterest) -> LaneChange {
    LaneChange { id: LaneId::new(index), name: format!("lane-{index}").into(), interest }
}

fn books(lanes: usize, sources: usize) -> Accounting {
    let accounting = Accounting::new(sources);
    (0..lanes).for_each(|_| accounting.add_lane());
    accounting
}

#[derive(Debug, Clone)]
enum Action {
    Append { source: usize, records: usize },
    Read { lane: usize },
    Close { lane: usize, chunks: usize },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0..2usize, 0..20usize).prop_map(|(source, records)| Action::Append { source, records }),
        (0..LANES).prop_map(|lane| Action::Read { lane }),
        (0..LANES, 1..5usize).prop_map(|(lane, chunks)| Action::Close { lane, chunks }),
    ]
}

/// One chunk as the model knows it.
struct Known {
    source: usize,
    end: u64,
    positions_end: u64,
    records: usize,
    /// Required lanes that have yet to close it.
    open: Vec<usize>,
}

proptest! {
    /// Each lane reads each chunk that it takes once and in order (a best-effort lane may miss some,
    /// which are counted); a source hears of a chunk at the moment its last required lane has closed
    /// it; nothing that a required lane has not closed is ever let go.
    #[test]
    fn the_log_behaves_like_a_list(actions in prop::collection::vec(action(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let accounting = books(LANES, 2);
            let (mut senders, mut receivers) = (HashMap::new(), Vec::new());
            for source in 0..2 {
                let (sender, receiver) = mpsc::unbounded_channel();
                senders.insert(Arc::from(format!("source-{source}")), sender);
                receivers.push(receiver);
            }
            let log = Arc::new(MemoryLog::new(3_000, accounting.clone(), senders));
            log.change_lanes(numbered(interests()));
            let partitions = [Partition::new("0"), Partition::new("1")];
            let takers = [vec![0], vec![0, 1]];
            let mut known: Vec<Known> = Vec::new();
            let mut unread: Vec<VecDeque<usize>> = vec![VecDeque::new(); LANES];
            let mut unclosed: Vec<VecDeque<usize>> = vec![VecDeque::new(); LANES];
            let mut positions = [0u64; 2];
            let mut place = 0;
            let mut missed = 0;
            for action in actions {
                match action {
                    Action::Append { source, records } => {
                        let chunk = chunk(source, positions[source], records, &partitions[source]);
                        let dyn_log: Arc<dyn Log> = log.clone();
                        let room = tokio::time::timeout(std::time::Duration::ZERO, dyn_log.reserve(chunk.size()));
                        let Ok(mut room) = room.await else { continue };
                        room.append(chunk);
                        positions[source] += records as u64;
                        place += records.max(1) as u64;
                        let number = known.len();
                        known.push(Known { source, end: place, positions_end: positions[source], records, open: takers[source].clone() });
                        for lane in &takers[source] {
                            unread[*lane].push_back(number);
                        }
                        if source == 0 {
                            unread[2].push_back(number);
                        }
                    }
                    Action::Read { lane } => {
                        if !log.has_unread(LaneId::new(lane)) {
                            assert!(lane == 2 || unread[lane].is_empty());
                            continue;
                        }
                        let placed = log.next(LaneId::new(lane)).await;
                        loop {
                            let number = unread[lane].pop_front().expect("the log gave what was not appended");
                            if known[number].end == placed.end() {
                                unclosed[lane].push_back(number);
                                break;
                            }
                            assert_eq!(lane, 2, "a required lane misses nothing");
                            assert!(known[number].open.is_empty(), "missed although a required lane needs it");
                            missed += known[number].records;
                        }
                    }
                    Action::Close { lane, chunks } => {
                        let mut expected = Vec::new();
                        for _ in 0..chunks {
                            let Some(number) = unclosed[lane].pop_front() else { break };
                            log.advance(LaneId::new(lane), known[number].end);
                            known[number].open.retain(|own| *own != lane);
                            if lane != 2 && known[number].open.is_empty() {
                                expected.push((known[number].source, known[number].positions_end));
                            }
                        }
                        for (source, end) in expected {
                            let (partition, position) = receivers[source].try_recv().expect("it is settled");
                            assert_eq!(position, end);
                            assert_eq!(&partition, &partitions[source]);
                        }
                    }
                }
                assert!(receivers.iter_mut().all(|receiver| receiver.try_recv().is_err()), "settled too early");
                assert!(log.size() <= 3_000 + 200);
                let books = accounting.snapshot();
                assert!(books.lanes.iter().all(crate::accounting::LaneBooks::is_balanced));
            }
            while log.has_unread(LaneId::new(2)) {
                let placed = log.next(LaneId::new(2)).await;
                while known[unread[2].pop_front().expect("appended")].end != placed.end() {}
            }
            let left_behind = accounting.snapshot().lanes[2].left_behind;
            assert!(left_behind >= missed as u64);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_request_for_room_is_not_starved_by_small_ones() {
    let accounting = books(0, 1);
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new(1_000, accounting, HashMap::new()));
    let held = log.clone().reserve(900).await;
    let large = tokio::spawn(log.clone().reserve(1_000));
    tokio::task::yield_now().await;
    let small = tokio::spawn(log.clone().reserve(10));
    tokio::task::yield_now().await;
    assert!(!small.is_finished(), "the small one waits behind the large one");
    drop(held);
    drop(large.await.expect("no panic"));
    drop(small.await.expect("no panic"));
    assert_eq!(log.size(), 0);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_log_can_hold_waits_for_an_empty_log_and_no_longer() {
    let accounting = books(0, 1);
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new(1_000, accounting, HashMap::new()));
    let held = log.clone().reserve(1).await;
    let huge = tokio::spawn(log.clone().reserve(5_000));
    tokio::task::yield_now().await;
    assert!(!huge.is_finished());
    drop(held);
    assert_eq!(huge.await.expect("no panic").held, 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_room_can_be_given_up_at_any_time() {
    let accounting = books(0, 1);
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new(1_000, accounting, HashMap::new()));
    let held = log.clone().reserve(1_000).await;
    let waiting = tokio::spawn(log.clone().reserve(500));
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.is_err());
    drop(held);
    assert_eq!(log.clone().reserve(1_000).await.held, 1_000);
}

/// A chunk that one source's lane has not closed keeps nothing of another source in memory.
#[tokio::test(start_paused = true)]
async fn a_chunk_is_let_go_although_one_before_it_is_still_needed() {
    let accounting = books(2, 2);
    let lane = |source: &str| LaneInterest {
        sources: Some(vec![source.into()]),
        kinds: vec![Kind::Event],
        is_required: true,
    };
    let lanes = vec![lane("source-0"), lane("source-1")];
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new(3_000, accounting, HashMap::new()));
    log.change_lanes(numbered(lanes));
    let partitions = [Partition::new("0"), Partition::new("1")];
    log.clone().reserve(100).await.append(chunk(0, 0, 1, &partitions[0]));
    let (held, other) = (log.size(), LaneId::new(1));
    for number in 0..1_000 {
        log.clone().reserve(100).await.append(chunk(1, number, 1, &partitions[1]));
        let placed = log.next(other).await;
        let chunk = Arc::downgrade(&placed.shared);
        log.advance(other, placed.end());
        drop(placed);
        assert_eq!(chunk.strong_count(), 0, "it is closed, and still in memory");
        assert_eq!(log.size(), held);
    }
    assert!(log.has_unread(LaneId::new(0)), "what is not closed is still there");
}
