//! Walks through a directory while pumps and other commands are at work in it.

use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};

use super::*;
use crate::dead_letter::directory_walk::DirectoryWalk;

async fn store_of(folder: &TempDir, numbers: std::ops::Range<usize>) -> DirectoryStore {
    let store = DirectoryStore::new(folder.path(), 1 << 20);
    store.append(&numbers.map(letter).collect::<Vec<_>>()).await.expect("kept");
    store
}

/// Takes out every letter that is met at a position of which `is_meant` is true.
async fn remove(walk: &mut dyn Walk, is_meant: impl Fn(u64) -> bool) -> usize {
    let mut removed = 0;
    while let Some(portion) = walk.next().await.expect("read") {
        let is_meant =
            |line: &Bytes| DeadLetter::from_line(line).is_ok_and(|(letter, _)| is_meant(letter.position));
        let numbers: Vec<_> =
            (0..portion.lines.len()).filter(|number| is_meant(&portion.lines[*number])).collect();
        removed += walk.remove(&numbers).await.expect("removed");
    }
    removed
}

fn only_file(folder: &TempDir) -> PathBuf {
    let files = super::super::directory::files(folder.path()).expect("listed");
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("there is one")
}

#[tokio::test]
async fn a_walk_meets_what_was_there_when_it_began() {
    let folder = TempDir::new().expect("a folder");
    let store = store_of(&folder, 0..3).await;
    let mut walk = store.walk().await.expect("begun");
    store.append(&[letter(3)]).await.expect("kept");
    for _ in 0..2 {
        let portion = walk.next().await.expect("read").expect("there is one");
        assert_eq!((portion.lines.len(), portion.first), (3, 1));
        assert!(walk.next().await.expect("read").is_none());
        walk.rewind();
    }
}

#[tokio::test]
async fn a_store_that_was_never_written_is_empty() {
    let folder = TempDir::new().expect("a folder");
    let store = DirectoryStore::new(folder.path().join("never"), 1 << 20);
    assert_eq!(store.fullness().await.expect("asked"), Fullness { size: 0, max_size: 1 << 20 });
    assert!(store.walk().await.expect("begun").next().await.expect("read").is_none());
}

#[tokio::test]
async fn letters_that_are_taken_out_are_gone_and_the_others_stay() {
    let folder = TempDir::new().expect("a folder");
    let store = store_of(&folder, 0..10).await;
    let mut walk = store.walk().await.expect("begun");
    store.append(&[letter(10)]).await.expect("kept");
    assert_eq!(remove(&mut *walk, |position| position % 2 == 0).await, 5);
    // Number 10 was appended after the walk began.
    assert_eq!(positions(&folder), [1, 3, 5, 7, 9, 10]);
    let size = store.fullness().await.expect("asked").size;
    assert_eq!(size, fs::metadata(only_file(&folder)).expect("there").len());
}

#[tokio::test]
async fn a_large_file_is_read_in_portions_of_whole_lines_also_while_it_shrinks() {
    let folder = TempDir::new().expect("a folder");
    store_of(&folder, 0..50).await;
    let length = fs::metadata(only_file(&folder)).expect("there").len();
    for portion in [1, 100, 700, 2_000, length - 1, length] {
        let mut walk = DirectoryWalk::in_portions(folder.path(), portion).expect("begun");
        let mut met = 0;
        while let Some(portion) = walk.next().await.expect("read") {
            assert_eq!(portion.first, met + 1);
            assert!(portion.lines.iter().all(|line| DeadLetter::from_line(line).is_ok()));
            met += portion.lines.len() as u64;
        }
        assert_eq!(met, 50);
    }
    for (portion, is_meant) in [(2_000, 2), (700, 3), (100, 1)] {
        let left = positions(&folder);
        let mut walk = DirectoryWalk::in_portions(folder.path(), portion).expect("begun");
        remove(&mut walk, |position| position % is_meant == 0).await;
        let stays: Vec<u64> = left.into_iter().filter(|position| position % is_meant > 0).collect();
        assert_eq!(positions(&folder), stays);
    }
}

#[tokio::test]
async fn a_pump_goes_on_in_another_file_once_its_own_was_replaced() {
    let folder = TempDir::new().expect("a folder");
    let store = store_of(&folder, 0..2).await;
    assert_eq!(remove(&mut *store.walk().await.expect("begun"), |position| position == 0).await, 1);
    store.append(&[letter(2), letter(3)]).await.expect("kept");
    assert_eq!(positions(&folder), [1, 2, 3]);
    assert_eq!(remove(&mut *store.walk().await.expect("begun"), |_| true).await, 3);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0, "nothing is left behind");
    store.append(&[letter(4)]).await.expect("kept");
    assert_eq!(positions(&folder), [4]);
}

#[tokio::test]
async fn a_pump_does_not_wait_for_whoever_holds_its_file() {
    let folder = TempDir::new().expect("a folder");
    let store = store_of(&folder, 0..1).await;
    let file = File::open(only_file(&folder)).expect("opened");
    flock(&file, FlockOperation::LockExclusive).expect("locked");
    let letters = [letter(1)];
    let append = store.append(&letters);
    timeout(Duration::from_secs(5), append).await.expect("it does not wait").expect("kept");
    assert_eq!(positions(&folder), [0, 1]);
}

#[tokio::test]
async fn two_walks_may_take_letters_out_at_once() {
    let folder = TempDir::new().expect("a folder");
    let store = store_of(&folder, 0..6).await;
    let (mut first, mut second) = (store.walk().await.expect("begun"), store.walk().await.expect("begun"));
    let seen = first.next().await.expect("read").expect("there is one").lines.len();
    assert_eq!(remove(&mut *second, |position| position < 3).await, 3);
    let all: Vec<_> = (0..seen).collect();
    assert_eq!(first.remove(&all).await.expect("removed"), 3, "the others had gone");
    assert_eq!(positions(&folder), [0_u64; 0]);
}

#[tokio::test]
async fn torn_and_foreign_lines_stay_where_they_are() {
    let folder = TempDir::new().expect("a folder");
    let store = store_of(&folder, 0..2).await;
    let file = only_file(&folder);
    let whole = fs::read(&file).expect("read");
    let foreign = [b"\xff\xfe not ours\n\n", &whole[..], b"{\"v\":1,\"at\":\"19"].concat();
    fs::write(&file, foreign).expect("written");
    let portion = store.walk().await.expect("begun").next().await.expect("read").expect("there is one");
    let unreadable = |line: &&Bytes| DeadLetter::from_line(line).is_err();
    assert_eq!((portion.lines.len(), portion.lines.iter().filter(unreadable).count()), (5, 3));
    assert_eq!(remove(&mut *store.walk().await.expect("begun"), |_| true).await, 2);
    assert_eq!(fs::read(&file).expect("read"), b"\xff\xfe not ours\n\n{\"v\":1,\"at\":\"19");
}

#[tokio::test]
async fn what_a_crash_left_beside_a_file_does_not_count_and_goes() {
    let folder = TempDir::new().expect("a folder");
    let store = store_of(&folder, 0..2).await;
    fs::write(only_file(&folder).with_extension("rest"), "x".repeat(1 << 20)).expect("written");
    assert!(store.fullness().await.expect("asked").size < 2_000);
    assert_eq!(remove(&mut *store.walk().await.expect("begun"), |position| position == 0).await, 1);
    assert_eq!(positions(&folder), [1]);
}

#[tokio::test]
async fn a_burial_that_waits_for_room_goes_on_once_letters_were_taken_out() {
    let folder = TempDir::new().expect("a folder");
    let store = DirectoryStore::new(folder.path(), 4_000);
    let statistics = Arc::new(Statistics::default());
    let (news, _queue) = crate::news::channel();
    let burial = Burial::new(Arc::new(store.clone()), statistics.clone(), news);
    let waiting = tokio::spawn(async move { burial.bury(None, (0..8).map(letter).collect()).await });
    while statistics.dead_letters().trouble.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    remove(&mut *store.walk().await.expect("begun"), |_| true).await;
    timeout(Duration::from_secs(10), waiting).await.expect("by itself").expect("kept");
    assert_eq!(statistics.dead_letters().trouble, None);
    assert_eq!(positions(&folder).last(), Some(&7));
}
