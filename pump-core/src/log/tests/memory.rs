//! What only the log in memory promises.

use super::*;

/// A chunk that one source's lane has not closed keeps nothing of another source in memory.
#[tokio::test(start_paused = true)]
async fn a_chunk_is_let_go_although_one_before_it_is_still_needed() {
    let bench = Bench::new(Which::Memory, 3_000, Duration::ZERO).await;
    bench.change_lanes(vec![(0, interest([true, false], true)), (1, interest([false, true], true))]);
    let partitions = [Partition::new("0"), Partition::new("1")];
    assert!(bench.append(chunk(0, 0, 0, 1, &partitions[0])).await);
    let (held, other) = (bench.log.size(), LaneId::new(1));
    for number in 0..1_000 {
        assert!(bench.append(chunk(1, 1, number, 1, &partitions[1])).await);
        let placed = bench.log.next(other).await;
        let chunk = Arc::downgrade(&placed.shared);
        bench.log.advance(other, placed.end());
        drop(placed);
        assert_eq!(chunk.strong_count(), 0, "it is closed, and still in memory");
        assert_eq!(bench.log.size(), held);
    }
    assert!(bench.log.has_unread(LaneId::new(0)), "what is not closed is still there");
}
