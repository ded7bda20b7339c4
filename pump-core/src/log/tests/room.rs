//! Sources that wait for room.

use super::*;

async fn log(which: Which) -> Arc<dyn Log> {
    Bench::new(which, 1_000, Duration::ZERO).await.log
}

#[tokio::test(start_paused = true)]
async fn a_large_request_for_room_is_not_starved_by_small_ones() {
    for which in LOGS {
        let log = log(which).await;
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
}

#[tokio::test(start_paused = true)]
async fn more_than_the_log_can_hold_waits_for_an_empty_log_and_no_longer() {
    for which in LOGS {
        let log = log(which).await;
        let held = log.clone().reserve(1).await;
        let huge = tokio::spawn(log.clone().reserve(5_000));
        tokio::task::yield_now().await;
        assert!(!huge.is_finished());
        drop(held);
        assert_eq!(huge.await.expect("no panic").held, 5_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_room_can_be_given_up_at_any_time() {
    for which in LOGS {
        let log = log(which).await;
        let held = log.clone().reserve(1_000).await;
        let waiting = tokio::spawn(log.clone().reserve(500));
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.is_err());
        drop(held);
        assert_eq!(log.clone().reserve(1_000).await.held, 1_000);
    }
}
