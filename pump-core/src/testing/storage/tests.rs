//! The disk keeps what it promises and no more.

use std::collections::BTreeSet;

use super::*;

async fn disk(seed: u64) -> SimulatedStorage {
    let disk = SimulatedStorage::new(seed);
    disk.create("a", 4_096).await.expect("there is room");
    disk
}

async fn write(disk: &SimulatedStorage, offset: u64, byte: u8, len: usize) -> io::Result<()> {
    disk.write("a", offset, vec![vec![byte; len].into()]).await
}

async fn content(disk: &SimulatedStorage) -> Bytes {
    disk.read("a", 0, usize::MAX).await.expect("it is there")
}

fn is_all(content: &[u8], byte: u8) -> bool {
    content.iter().all(|own| *own == byte)
}

#[tokio::test]
async fn what_was_written_reads_back_and_what_was_synced_outlives_a_power_loss() {
    let disk = disk(1).await;
    write(&disk, 0, 1, 100).await.expect("no fault");
    disk.sync("a").await.expect("no fault");
    write(&disk, 100, 2, 100).await.expect("no fault");
    assert!(is_all(&content(&disk).await[100..200], 2));
    for (loss, second) in [(Loss::Nothing, 2), (Loss::All, 0)] {
        let found = content(&disk.crash(loss)).await;
        assert_eq!(found.len(), 4_096);
        assert!(is_all(&found[..100], 1) && is_all(&found[100..200], second) && is_all(&found[200..], 0));
    }
}

#[tokio::test]
async fn a_power_loss_takes_any_part_of_what_was_not_synced_and_nothing_else() {
    let disk = disk(2).await;
    write(&disk, 0, 9, 700).await.expect("no fault");
    disk.sync("a").await.expect("no fault");
    for number in 0..4 {
        write(&disk, 700 + 700 * number, number as u8 + 1, 700).await.expect("no fault");
    }
    let mut seen = BTreeSet::new();
    let (mut torn, mut reordered) = (0, 0);
    for _ in 0..2_000 {
        let found = content(&disk.crash(Loss::Some)).await;
        assert!(is_all(&found[..700], 9) && is_all(&found[3_500..], 0));
        let own = |number: usize| &found[700 + 700 * number..1_400 + 700 * number];
        for number in 0..4 {
            assert!(own(number).iter().all(|byte| [0, number as u8 + 1].contains(byte)));
        }
        let whole: Vec<bool> = (0..4).map(|number| is_all(own(number), number as u8 + 1)).collect();
        reordered += usize::from(!whole[0] && whole[3]);
        torn += usize::from((0..4).any(|number| !whole[number] && !is_all(own(number), 0)));
        seen.insert(whole);
    }
    assert_eq!(seen.len(), 16, "every subset of the writes is found sometimes");
    assert!(torn > 100 && reordered > 100, "{torn} torn, {reordered} reordered");
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_what_it_wrote_and_did_not_sync() {
    let disk = disk(3).await;
    write(&disk, 0, 1, 100).await.expect("no fault");
    let next = disk.kill();
    assert!(is_all(&content(&next).await[..100], 1));
    assert!(is_all(&content(&next.crash(Loss::All)).await, 0), "nobody has synced it");
    next.sync("a").await.expect("no fault");
    assert!(is_all(&content(&next.crash(Loss::All)).await[..100], 1));
}

#[tokio::test]
async fn what_a_failed_sync_threw_away_is_not_saved_by_the_next_one_that_goes_well() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = disk(seed).await;
        write(&disk, 0, 1, 100).await.expect("no fault");
        disk.fail(Call::Sync, 0, ErrorKind::Other);
        disk.sync("a").await.expect_err("it was told to fail");
        disk.sync("a").await.expect("this one goes well");
        assert!(is_all(&content(&disk).await[..100], 1), "it still reads back");
        lost += usize::from(!is_all(&content(&disk.crash(Loss::Nothing)).await[..100], 1));
    }
    assert!((10..=90).contains(&lost), "{lost}");
}

#[tokio::test]
async fn a_full_disk_refuses_what_needs_room_and_takes_what_has_it() {
    let disk = disk(4).await;
    disk.set_capacity(5_000);
    write(&disk, 0, 1, 4_096).await.expect("the file has this room already");
    let full =
        |result: io::Result<()>| assert_eq!(result.expect_err("no room").kind(), ErrorKind::StorageFull);
    full(disk.create("b", 905).await);
    full(write(&disk, 4_000, 1, 1_001).await);
    full(disk.replace("b", vec![0; 905].into()).await);
    disk.replace("b", vec![0; 904].into()).await.expect("there is room");
    full(disk.replace("b", vec![0; 10].into()).await);
    disk.remove("b").await.expect("no fault");
    assert_eq!(disk.size(), 4_096);
}

#[tokio::test]
async fn names_are_durable_at_once_and_calls_refuse_what_makes_no_sense() {
    let disk = disk(5).await;
    let error = |result: io::Result<()>| result.expect_err("it makes no sense").kind();
    assert_eq!(error(disk.create("a", 1).await), ErrorKind::AlreadyExists);
    assert_eq!(error(disk.write("b", 0, vec![]).await), ErrorKind::NotFound);
    assert_eq!(error(disk.rename("b", "c").await), ErrorKind::NotFound);
    disk.replace("b", Bytes::from_static(b"old")).await.expect("no fault");
    disk.replace("b", Bytes::from_static(b"new")).await.expect("no fault");
    assert_eq!(error(disk.rename("a", "b").await), ErrorKind::AlreadyExists);
    write(&disk, 0, 1, 100).await.expect("no fault");
    disk.rename("a", "c").await.expect("no fault");
    disk.truncate("c", 50).await.expect("no fault");
    disk.remove("not there").await.expect("that is no error");
    let found = disk.crash(Loss::All);
    assert_eq!(found.files(), [("b".to_owned(), 3), ("c".to_owned(), 50)]);
    assert_eq!(found.read("b", 0, 10).await.expect("it is there"), "new");
    assert!(disk.vanish("b") && !disk.vanish("b"));
    assert_eq!(disk.read("b", 0, 1).await.expect_err("it is gone").kind(), ErrorKind::NotFound);
    assert!(disk.flip_bit("c", 49, 3) && !disk.flip_bit("c", 50, 3));
    assert_eq!(disk.read("c", 49, 10).await.expect("it is there"), &[1 ^ 8][..]);
}

#[tokio::test]
async fn faults_come_when_they_are_due_and_once() {
    let disk = disk(6).await;
    disk.fail(Call::Read, 2, ErrorKind::Other);
    disk.fail(Call::Write, 0, ErrorKind::StorageFull);
    let mut results = Vec::new();
    for _ in 0..4 {
        results.push(disk.read("a", 0, 1).await.is_ok());
    }
    assert_eq!(results, [true, true, false, true]);
    assert_eq!(write(&disk, 0, 1, 1).await.expect_err("it was told to").kind(), ErrorKind::StorageFull);
    disk.fail(Call::Read, 0, ErrorKind::Other);
    disk.mend();
    disk.read("a", 0, 1).await.expect("it was mended");
}

#[tokio::test]
async fn a_history_gives_the_disk_as_it_was_after_each_of_its_steps() {
    let disk = disk(7).await;
    disk.record();
    write(&disk, 0, 1, 100).await.expect("no fault");
    disk.sync("a").await.expect("no fault");
    disk.create("b", 1_000).await.expect("no fault");
    disk.fail(Call::Sync, 0, ErrorKind::Other);
    disk.sync("b").await.expect_err("it was told to");
    disk.remove("a").await.expect("no fault");
    assert_eq!(disk.steps(), 5);
    let history = disk.history();
    let mut replay = history.replay();
    let mut durable = Vec::new();
    let mut lengths = BTreeSet::new();
    loop {
        let found = replay.disk(Loss::All, 0);
        let first = found.read("a", 0, 1).await.ok().map(|first| first[0]);
        durable.push((first, found.files().len()));
        if replay.steps() == 2 {
            lengths.extend((0..100).map(|seed| replay.disk(Loss::Some, seed).files().get(1).map(|b| b.1)));
            assert!(is_all(&content(&replay.killed(0)).await[..100], 1));
        }
        if !replay.advance() {
            break;
        }
    }
    assert_eq!(durable, [(Some(0), 1), (Some(0), 1), (Some(1), 1), (Some(1), 2), (Some(1), 2), (None, 1)]);
    assert!(
        lengths.len() > 10 && lengths.contains(&None),
        "a file that is being made may be short or missing"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_does_the_same() {
    async fn run(seed: u64) -> (Bytes, tokio::time::Instant) {
        let disk = disk(seed).await;
        disk.set_max_delay(Duration::from_millis(10));
        for number in 0..20 {
            write(&disk, number * 50, 1, 100).await.expect("no fault");
        }
        (content(&disk.crash(Loss::Some)).await, tokio::time::Instant::now())
    }
    let begin = tokio::time::Instant::now();
    let (first, end) = run(8).await;
    let took = end - begin;
    assert!(took > Duration::from_millis(20) && took < Duration::from_millis(200), "{took:?}");
    let (second, last) = run(8).await;
    assert_eq!((first.clone(), took), (second, last - end));
    assert_ne!((first, took), {
        let (third, at) = run(9).await;
        (third, at - last)
    });
}
