//! Power loss at every moment: a run of which every write and sync is recorded, and the log opened on the
//! disk as it was after each of them, with what was not synced lost, kept, or kept in part and in any
//! order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings;
use super::world::{BOTH, End, Key, Known, ONE, World, keys};
use crate::log::disk::DiskSettings;
use crate::testing::{Loss, SimulatedStorage};

/// What was known after so many changes of the disk: of each partition, everything below a position.
struct Moment {
    steps: usize,
    safe: BTreeMap<Key, u64>,
    appended: BTreeMap<Key, u64>,
    /// By the lane that takes all of it.
    closed: BTreeMap<Key, u64>,
}

#[tokio::test(start_paused = true)]
async fn whenever_the_power_goes_nothing_that_was_safe_is_lost() {
    let lanes = [BOTH, ONE];
    let disk = SimulatedStorage::new(7);
    // Calls take their time, so that one group is written while another one is synced.
    disk.set_max_delay(Duration::from_millis(4));
    disk.record();
    let settings = DiskSettings { commit_bytes: 1_500, ..settings() };
    let mut world = World::new(disk.clone(), settings, &lanes).await;
    let mut moments = Vec::new();
    for round in 0..60u64 {
        for (number, key) in keys().enumerate() {
            world.append(key, (round as usize * 7 + number * 3) % 12).await;
        }
        // In some rounds one group is under way while the next one is appended.
        world.wait(Duration::from_millis([0, 3, 8, 700][round as usize % 4])).await;
        let is_behind = (20..40).contains(&round);
        for lane in 0..lanes.len() {
            while !is_behind && world.read(lane).await {}
            world.close(lane, 35);
        }
        let (safe, appended) = (world.known.safe.clone(), world.known.appended.clone());
        let closed = keys().map(|key| (key, world.known.closed_of(BOTH.name, key))).collect();
        moments.push(Moment { steps: disk.steps(), safe, appended, closed });
    }
    world.process.log.close();
    (&mut world.process.run).await.expect("no panic").expect("nothing failed");

    let history = disk.history();
    assert!(history.len() > 150, "{} changes", history.len());
    let mut replay = history.replay();
    loop {
        let steps = replay.steps();
        let losses = [Loss::All, Loss::Nothing, Loss::Some, Loss::Some, Loss::Some, Loss::Some];
        for (number, loss) in losses.into_iter().enumerate() {
            let found = replay.disk(loss, (steps * losses.len() + number) as u64);
            check(found, settings, &moments, steps).await;
        }
        // The next process is killed too, and then the power goes.
        check(replay.killed(steps as u64), settings, &moments, steps).await;
        if !replay.advance() {
            break;
        }
    }
}

/// Opens the log twice, since opening it changes it; reads all that is in it, and goes on.
async fn check(disk: SimulatedStorage, settings: DiskSettings, moments: &[Moment], steps: usize) {
    let lanes = [BOTH, ONE];
    let before = moments.iter().rev().find(|moment| moment.steps <= steps);
    let after =
        moments.iter().find(|moment| moment.steps > steps).or(moments.last()).expect("there are some");
    let known = Known { appended: after.appended.clone(), ..Known::default() };
    let mut world = World::open(disk, settings, &lanes, known).await.expect("nothing is damaged");
    world.restart(End::Power(Loss::All), &lanes).await.expect("what was opened can be opened again");
    for lane in 0..lanes.len() {
        while world.read(lane).await {}
    }
    for key in keys() {
        let safe = before.and_then(|before| before.safe.get(&key)).copied().unwrap_or_default();
        let held = world.process.held(key);
        assert!(held >= safe, "after {steps} changes {safe} were safe of {key:?}, and {held} are there");
        let given = world.process.lanes[0].given_of(key);
        let first = given.first().copied().unwrap_or(held);
        assert_eq!(given, (first..held).collect::<Vec<_>>(), "{key:?} has no hole after {steps} changes");
        let closed = after.closed[&key];
        assert!(first <= closed, "{key:?} begins at {first} after {steps} changes, and {closed} are closed");
    }
    (0..lanes.len()).for_each(|lane| world.close(lane, usize::MAX));
    world.wait(Duration::from_secs(5)).await;
    assert!(world.append((1, 0), 5).await);
    world.wait(Duration::from_millis(20)).await;
    assert!(world.read(0).await && world.read(1).await, "it goes on after {steps} changes");
}
