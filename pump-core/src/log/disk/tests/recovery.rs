//! What a process finds that another one left.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::time::timeout;

use super::settings;
use super::world::{BOTH, End, Known, Spec, World};
use crate::log::LogError;
use crate::log::disk::frame::HEADER_LEN;
use crate::log::disk::{DiskSettings, OpenError, Storage};
use crate::testing::{Call, Loss, SimulatedStorage};

const SOON: Duration = Duration::from_millis(50);

/// What reads back after a failed sync is not on the disk, and no sync will bring it there: it must be
/// written again before anybody is told that it is safe.
#[tokio::test(start_paused = true)]
async fn a_failed_sync_ends_the_log_and_what_it_left_is_made_durable_by_the_next_process() {
    for seed in 0..20 {
        let mut world = World::new(SimulatedStorage::new(seed), settings(), &[BOTH]).await;
        world.append((0, 0), 10).await;
        world.wait(SOON).await;
        assert_eq!(world.known.safe[&(0, 0)], 10);
        world.disk.fail(Call::Sync, 0, ErrorKind::Other);
        world.append((0, 0), 10).await;
        world.wait(SOON).await;
        let ended = timeout(SOON, &mut world.process.run).await.expect("it ends at once");
        let ended = ended.expect("no panic");
        assert!(matches!(ended, Err(LogError::Sync(_))), "{ended:?}");
        assert_eq!(world.known.safe[&(0, 0)], 10, "nothing is settled that may be lost");
        world.restart(End::Kill, &[BOTH]).await.expect("nothing is damaged");
        world.restart(End::Power(Loss::All), &[BOTH]).await.expect("nothing is damaged");
        world.finish(&[BOTH]).await;
        assert!(world.missing(&BOTH).is_empty());
    }
}

/// The state file says that a segment may go, and the process ends before it is gone.
#[tokio::test(start_paused = true)]
async fn a_segment_that_is_removed_only_by_the_next_process_is_in_no_books() {
    let best_effort = Spec { name: "best-effort", is_required: false, ..BOTH };
    let settings = DiskSettings { max_size: 1_000, ..settings() };
    let mut world = World::new(SimulatedStorage::new(1), settings, &[BOTH, best_effort]).await;
    world.append((0, 0), 10).await;
    world.wait(SOON).await;
    world.read(0).await;
    world.close(0, 10);
    world.disk.fail(Call::Remove, 0, ErrorKind::Other);
    world.append((0, 0), 10).await;
    world.wait(SOON).await;
    assert!(world.process.run.is_finished(), "it had to remove a segment, for there was no room");
    world.restart(End::Kill, &[BOTH, best_effort]).await.expect("nothing is damaged");
    let books = world.process.accounting.snapshot().lanes;
    assert_eq!((books[0].accepted, books[1].accepted), (0, 0));
    world.finish(&[BOTH, best_effort]).await;
}

/// One segment is all that the disk has room for: once it is passed, its room is taken for the next one.
#[tokio::test(start_paused = true)]
async fn a_full_disk_goes_on_as_soon_as_what_is_there_is_passed() {
    let disk = SimulatedStorage::new(1);
    disk.set_capacity(2_500);
    let mut world = World::new(disk, settings(), &[BOTH]).await;
    for _ in 0..4 {
        world.append((0, 0), 10).await;
        world.wait(SOON).await;
    }
    let safe = world.known.safe[&(0, 0)];
    assert!(safe < 40, "the disk is full");
    while world.read(0).await {}
    world.close(0, usize::MAX);
    world.wait(Duration::from_secs(1)).await;
    assert!(world.known.safe[&(0, 0)] > safe, "there is room again");
    assert!(!world.process.run.is_finished());
    world.finish(&[BOTH]).await;
    assert!(world.missing(&BOTH).is_empty());
}

/// A frame of a newer pump is not damage: nothing is cut off, and nothing is set aside.
#[tokio::test(start_paused = true)]
async fn a_frame_of_a_sort_that_is_not_known_is_left_alone() {
    let mut world = World::new(SimulatedStorage::new(1), settings(), &[BOTH]).await;
    world.append((0, 0), 10).await;
    world.wait(SOON).await;
    let disk = world.disk.kill();
    let (name, _) = disk.files().into_iter().find(|(name, _)| name.ends_with(".log")).expect("a segment");
    let mut header = disk.read(&name, 0, HEADER_LEN).await.expect("it is there").to_vec();
    header[5] |= 0x80;
    let crc = crc32c::crc32c(&header[..HEADER_LEN - 4]);
    header[HEADER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    disk.write(&name, 0, vec![header.into()]).await.expect("it is written");
    disk.sync(&name).await.expect("it is synced");
    let files = disk.files();
    for accept_gap in [false, true] {
        let settings = DiskSettings { accept_gap, ..settings() };
        let opened = World::open(disk.clone(), settings, &[BOTH], Known::default()).await;
        assert!(matches!(opened, Err(OpenError::Newer(_))));
        assert_eq!(disk.files(), files);
    }
}
