//! Lanes that stay as they are.

use super::*;

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
    /// The place after its last record, once a lane has seen it.
    end: Option<u64>,
    positions_end: u64,
    records: usize,
    /// Required lanes that have yet to close it.
    open: Vec<usize>,
}

/// The first lane takes both sources, the second one, the third is best effort.
fn interests() -> Vec<(usize, LaneInterest)> {
    vec![
        (0, interest([true, true], true)),
        (1, interest([false, true], true)),
        (2, interest([true, false], false)),
    ]
}

const TAKERS: [[usize; 2]; 2] = [[0, 2], [0, 1]];
const BEST_EFFORT: usize = 2;
const MAX_SIZE: usize = 4_000;

proptest! {
    /// Each lane reads each chunk that it takes once and in order (a best-effort lane may miss some,
    /// which are counted); a source hears of a chunk at the moment when it is safe; nothing that a required
    /// lane has not closed is ever let go.
    #[test]
    fn a_log_behaves_like_a_list(actions in prop::collection::vec(action(), 0..200)) {
        for which in LOGS {
            run(against_a_list(which, &actions));
        }
    }
}

async fn against_a_list(which: Which, actions: &[Action]) {
    let mut bench = Bench::new(which, MAX_SIZE, Duration::ZERO).await;
    bench.change_lanes(interests());
    let partitions = [Partition::new("0"), Partition::new("1")];
    let mut known: Vec<Known> = Vec::new();
    let mut unread: Vec<VecDeque<usize>> = vec![VecDeque::new(); LANES];
    let mut unclosed: Vec<VecDeque<usize>> = vec![VecDeque::new(); LANES];
    let mut positions = [0u64; 2];
    let mut missed = 0;
    for action in actions.iter().cloned() {
        let mut expected = Vec::new();
        match action {
            Action::Append { source, records } => {
                let number = known.len();
                let chunk = chunk(number, source, positions[source], records, &partitions[source]);
                if !bench.append(chunk).await {
                    continue;
                }
                positions[source] += records as u64;
                let is_read = which == Which::Memory || records > 0;
                let takers = TAKERS[source].into_iter().filter(|_| is_read);
                takers.clone().for_each(|lane| unread[lane].push_back(number));
                let open = takers.filter(|lane| *lane != BEST_EFFORT).collect();
                known.push(Known { source, end: None, positions_end: positions[source], records, open });
                if which == Which::Disk {
                    expected.push(number);
                }
            }
            Action::Read { lane } => {
                if !bench.log.has_unread(LaneId::new(lane)) {
                    assert!(lane == BEST_EFFORT || unread[lane].is_empty());
                    continue;
                }
                let placed = bench.log.next(LaneId::new(lane)).await;
                loop {
                    let number = unread[lane].pop_front().expect("the log gave what was not appended");
                    if number == number_of(&placed) {
                        assert_eq!(placed.chunk().len(), known[number].records);
                        assert_eq!(*known[number].end.get_or_insert(placed.end()), placed.end());
                        unclosed[lane].push_back(number);
                        break;
                    }
                    assert_eq!(lane, BEST_EFFORT, "a required lane misses nothing");
                    assert!(known[number].open.is_empty(), "missed although a required lane needs it");
                    missed += known[number].records;
                }
            }
            Action::Close { lane, chunks } => {
                for _ in 0..chunks {
                    let Some(number) = unclosed[lane].pop_front() else { break };
                    bench.log.advance(LaneId::new(lane), known[number].end.expect("it was read"));
                    known[number].open.retain(|own| *own != lane);
                    let is_last = lane != BEST_EFFORT && known[number].open.is_empty();
                    if which == Which::Memory && is_last {
                        expected.push(number);
                    }
                }
            }
        }
        for number in expected {
            let (partition, position) = bench.settled(known[number].source).expect("it is settled");
            assert_eq!(position, known[number].positions_end);
            assert_eq!(&partition, &partitions[known[number].source]);
        }
        assert!((0..2).all(|source| bench.settled(source).is_none()), "settled too early");
        let over = if which == Which::Disk { SEGMENT_SIZE as usize } else { 200 };
        assert!(bench.log.size() <= MAX_SIZE + over);
        assert!(bench.accounting.snapshot().lanes.iter().all(LaneBooks::is_balanced));
    }
    let best_effort = LaneId::new(BEST_EFFORT);
    while bench.log.has_unread(best_effort) {
        let placed = bench.log.next(best_effort).await;
        while unread[BEST_EFFORT].pop_front().expect("it was appended") != number_of(&placed) {}
    }
    assert!(bench.accounting.snapshot().lanes[BEST_EFFORT].left_behind >= missed as u64);
}
