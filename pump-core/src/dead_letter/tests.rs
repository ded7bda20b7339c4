//! The directory of dead letters, read back; and burials that do not fit.

mod lines;
mod replay;
mod walks;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

fn letter(number: usize) -> DeadLetter {
    DeadLetter {
        sink: Some("search".into()),
        reason: "odd".into(),
        detail: "refused".into(),
        id: None,
        source: "gateway".into(),
        partition: "0".into(),
        position: number as u64,
        kind: Kind::Transaction,
        codec: Codec::Msgpack,
        received: Timestamp::EPOCH,
        body: vec![b'x'; 300].into(),
    }
}

/// The positions of the letters in a folder, in order.
fn positions(folder: &TempDir) -> Vec<u64> {
    let mut positions = Vec::new();
    for entry in fs::read_dir(folder.path()).expect("it is there") {
        let path = entry.expect("it can be read").path();
        assert_eq!(fs::metadata(&path).expect("known").permissions().mode() & 0o777, 0o600);
        for line in fs::read_to_string(&path).expect("text").lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("a letter is JSON");
            assert_eq!((&line["v"], &line["received"]), (&1.into(), &"1970-01-01T00:00:00Z".into()));
            positions.push(line["position"].as_u64().expect("a number"));
        }
    }
    positions.sort_unstable();
    positions
}

#[tokio::test]
async fn letters_are_kept_one_a_line_and_survive_the_store() {
    let folder = TempDir::new().expect("a folder");
    for turn in 0..2 {
        let store = DirectoryStore::new(folder.path(), 1 << 20);
        store.append(&[letter(2 * turn), letter(2 * turn + 1)]).await.expect("kept");
    }
    assert_eq!(positions(&folder), [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_full_store_says_what_to_do_and_keeps_what_it_has() {
    let folder = TempDir::new().expect("a folder");
    let store = DirectoryStore::new(folder.path(), 1_000);
    store.append(&[letter(0)]).await.expect("kept");
    let error = store.append(&[letter(1)]).await.expect_err("full");
    assert!(error.to_string().contains("raise dead_letters.max_size"), "{error}");
    assert_eq!(positions(&folder), [0]);
}

#[tokio::test]
async fn a_burial_larger_than_what_is_left_goes_in_as_far_as_it_fits_and_waits_for_the_rest() {
    let folder = TempDir::new().expect("a folder");
    let store = Arc::new(DirectoryStore::new(folder.path(), 4_000));
    let statistics = Arc::new(Statistics::default());
    let (news, _queue) = crate::news::channel();
    let burial = Burial::new(store, statistics.clone(), news);
    let letters: Vec<_> = (0..20).map(letter).collect();
    let mut waiting = Box::pin(burial.bury(None, letters));
    let ended = timeout(Duration::from_millis(500), &mut waiting).await;
    assert!(ended.is_err(), "not all of it fits");
    let kept = positions(&folder);
    assert!(kept.len() >= 5 && kept.len() < 20, "{kept:?}");
    assert!(statistics.dead_letters().trouble.is_some_and(|trouble| trouble.contains("are full")));
    // As a reload does to a sink that is taken out.
    drop(waiting);
    assert_eq!(statistics.dead_letters().trouble, None);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_says_where_and_why() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("file"), "no folder").expect("written");
    let store = DirectoryStore::new(folder.path().join("file"), 1 << 20);
    let reason = store.append(&[letter(0)]).await.expect_err("no folder").with_causes();
    assert!(reason.contains("cannot be written") && reason.contains("/file"), "{reason}");
}
