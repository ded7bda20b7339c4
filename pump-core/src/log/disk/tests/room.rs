//! What stays on the disk, and for how long.

use std::time::Duration;

use super::settings;
use super::world::{BOTH, End, ONE, Spec, World};
use crate::log::disk::DiskSettings;
use crate::record::Timestamp;
use crate::testing::{Loss, SimulatedStorage};

const SOON: Duration = Duration::from_millis(50);
const BEST_EFFORT: Spec = Spec { name: "best-effort", is_required: false, ..BOTH };

async fn world(settings: DiskSettings, lanes: &[Spec]) -> World {
    World::new(SimulatedStorage::new(3), settings, lanes).await
}

/// Appends until there is no room.
async fn fill(world: &mut World) {
    let mut rounds = 0;
    while world.append((rounds % 2, 0), 10).await {
        world.wait(SOON).await;
        rounds += 1;
        assert!(rounds < 1_000, "there is a bound");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_log_stops_intake_and_drops_nothing_that_a_required_lane_needs() {
    let mut world = world(settings(), &[BOTH, BEST_EFFORT]).await;
    fill(&mut world).await;
    let full = world.known.appended.clone();
    world.wait(Duration::from_secs(60)).await;
    assert!(!world.append((0, 0), 10).await, "nothing goes while a required lane needs it");
    assert_eq!(world.process.accounting.snapshot().lanes[1].left_behind, 0);
    // The lane takes some, and there is room for as much, at the expense of who does not keep up.
    for _ in 0..10 {
        assert!(world.read(0).await);
    }
    world.close(0, usize::MAX);
    world.wait(Duration::from_secs(1)).await;
    assert!(world.append((0, 0), 10).await);
    assert!(world.known.appended[&(0, 0)] > full[&(0, 0)]);
    assert!(world.process.accounting.snapshot().lanes[1].left_behind > 0);
    world.finish(&[BOTH, BEST_EFFORT]).await;
    assert!(world.missing(&BOTH).is_empty());
    let books = world.process.accounting.snapshot().lanes;
    assert_eq!(
        world.missing(&BEST_EFFORT).len() as u64,
        books[1].left_behind,
        "what it did not get is counted"
    );
}

/// Its required sinks have all of it, but one is not read by anybody: what a lane does not take, it need
/// not pass.
#[tokio::test(start_paused = true)]
async fn a_lane_that_takes_nothing_of_what_is_there_holds_nothing_back() {
    let zero = Spec { name: "zero", takes: [true, false], is_required: true };
    for restart in [false, true] {
        let mut world = world(settings(), &[zero, ONE]).await;
        for round in 0..8 {
            world.append((0, round % 2), 10).await;
            world.wait(SOON).await;
        }
        while world.read(0).await {}
        world.close(0, usize::MAX);
        if restart {
            world.restart(End::Power(Loss::Some), &[zero, ONE]).await.expect("nothing is damaged");
            // Its cursor may be an older one.
            while world.read(0).await {}
            world.close(0, usize::MAX);
        }
        world.wait(Duration::from_secs(5)).await;
        assert_eq!(world.process.log.size(), 0);
        assert!(world.files().is_empty(), "{:?}", world.files());
    }
}

/// A lane is far behind; what it takes is in one segment, and what comes after that is for others.
#[tokio::test(start_paused = true)]
async fn what_only_others_take_goes_although_a_lane_is_behind() {
    let zero = Spec { name: "zero", takes: [true, false], is_required: true };
    let mut world = world(settings(), &[zero, ONE]).await;
    world.append((1, 0), 10).await;
    world.wait(SOON).await;
    for round in 0..200 {
        world.append((0, round % 2), 10).await;
        world.wait(SOON).await;
        while world.read(0).await {}
        world.close(0, usize::MAX);
        if !world.read(1).await {
            world.close(1, usize::MAX);
        }
    }
    world.finish(&[zero, ONE]).await;
}

#[tokio::test(start_paused = true)]
async fn what_every_lane_has_passed_is_kept_as_long_as_was_asked_unless_its_room_is_needed() {
    let settings = DiskSettings { retain: Duration::from_secs(3_600), ..settings() };
    let mut world = world(settings, &[BOTH]).await;
    world.received = Timestamp::now();
    for round in 0..6 {
        assert!(world.append((0, round % 2), 10).await);
        world.wait(SOON).await;
    }
    while world.read(0).await {}
    world.close(0, usize::MAX);
    world.wait(Duration::from_secs(30)).await;
    let kept = world.process.log.size();
    assert!(kept > 4_000, "{kept}");
    world.restart(End::Stop, &[BOTH]).await.expect("nothing is damaged");
    assert!(!world.read(0).await, "it was passed");
    let new = Spec { name: "new", ..BOTH };
    world.restart(End::Stop, &[BOTH, new]).await.expect("nothing is damaged");
    assert!(!world.read(1).await, "what is only kept for replay is no news for a new lane");
    assert_eq!(world.process.log.size(), kept);
    for round in 0..60 {
        assert!(world.append((1, round % 2), 10).await, "there is room for what is needed");
        world.wait(SOON).await;
        for lane in 0..2 {
            while world.read(lane).await {}
            world.close(lane, usize::MAX);
        }
    }
    assert!(world.missing(&BOTH).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_was_asked_goes() {
    let settings = DiskSettings { retain: Duration::from_secs(3_600), ..settings() };
    let mut world = world(settings, &[BOTH]).await;
    world.received = Timestamp { seconds: Timestamp::now().seconds - 3_700, nanos: 0 };
    world.append((0, 0), 10).await;
    world.wait(SOON).await;
    world.finish(&[BOTH]).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_repeats_does_not_repeat_into_the_lanes_though_the_log_is_long_empty() {
    let mut world = world(settings(), &[BOTH]).await;
    for round in 0..10 {
        world.append((0, round % 2), 10).await;
        world.wait(SOON).await;
    }
    world.finish(&[BOTH]).await;
    for end in [End::Stop, End::Kill, End::Power(Loss::All), End::Power(Loss::Some)] {
        world.restart(end, &[BOTH]).await.expect("nothing is damaged");
        world.repeat((0, 0), 50);
        // A part of it was there already, and a part was not.
        for _ in 0..6 {
            assert!(world.append((0, 0), 9).await);
        }
        world.wait(SOON).await;
        while world.read(0).await {}
        let given = world.process.lanes[0].given_of((0, 0));
        assert_eq!(given.len(), 4, "{end:?}: {given:?}");
        world.finish(&[BOTH]).await;
    }
    assert!(world.missing(&BOTH).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_no_lane_takes_is_settled_and_takes_no_room() {
    let mut world = world(settings(), &[ONE]).await;
    world.append((0, 0), 10).await;
    world.append((1, 0), 10).await;
    world.append((0, 0), 10).await;
    world.wait(SOON).await;
    assert_eq!(world.known.safe[&(0, 0)], 20);
    assert!(world.read(0).await && !world.read(0).await);
    world.close(0, 10);
    world.finish(&[ONE]).await;
    world.restart(End::Power(Loss::All), &[ONE]).await.expect("nothing is damaged");
}

/// A large chunk has a segment of its own.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_larger_than_a_segment_is_taken() {
    let mut world = world(DiskSettings { max_size: 40_000, ..settings() }, &[BOTH]).await;
    for records in [100, 3, 200, 1] {
        assert!(world.append((0, 0), records).await);
        world.wait_without_bounds(SOON).await;
    }
    world.restart(End::Power(Loss::All), &[BOTH]).await.expect("nothing is damaged");
    while world.read(0).await {}
    assert_eq!(world.process.lanes[0].given_of((0, 0)).len(), 304);
}
