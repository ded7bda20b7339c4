//! The directory on a real disk: what it promises, and that the simulated disk promises the same.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::world::{BOTH, body, parsed};
use crate::accounting::{Accounting, LaneId};
use crate::log::disk::{Directory, DiskSettings, Opened, Storage, is_in_memory};
use crate::log::{LaneChange, Log};
use crate::record::{Partition, Timestamp};
use crate::testing::SimulatedStorage;

/// A file system in memory of so many bytes, mounted for one test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &TempDir, bytes: usize) -> Self {
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "this test mounts a small file system, which needs root: run it as root"
        );
        Self(folder.path().to_owned())
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let written = fs::write(self.0.join("filler"), vec![1; 64 << 20]);
        assert_eq!(written.expect_err("it is smaller").kind(), ErrorKind::StorageFull);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[derive(Debug, Clone)]
enum Action {
    Create { name: usize, len: u64 },
    Write { name: usize, offset: u64, parts: Vec<usize> },
    Sync { name: usize },
    Read { name: usize, offset: u64, len: usize },
    Truncate { name: usize, len: u64 },
    Replace { name: usize, len: usize },
    Rename { from: usize, to: usize },
    Remove { name: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let name = || 0..3usize;
    let parts = prop::collection::vec(0..1_000usize, 0..4);
    prop_oneof![
        3 => (name(), 1..5_000u64).prop_map(|(name, len)| Action::Create { name, len }),
        5 => (name(), 0..5_000u64, parts).prop_map(|(name, offset, parts)| Action::Write { name, offset, parts }),
        1 => name().prop_map(|name| Action::Sync { name }),
        3 => (name(), 0..6_000u64, 0..6_000usize).prop_map(|(name, offset, len)| Action::Read { name, offset, len }),
        1 => (name(), 0..5_000u64).prop_map(|(name, len)| Action::Truncate { name, len }),
        1 => (name(), 0..2_000usize).prop_map(|(name, len)| Action::Replace { name, len }),
        1 => (name(), name()).prop_map(|(from, to)| Action::Rename { from, to }),
        1 => name().prop_map(|name| Action::Remove { name }),
    ]
}

/// What a storage answers, as far as another one must answer the same.
async fn answer(storage: &dyn Storage, number: usize, action: &Action) -> Result<Bytes, ErrorKind> {
    let name = |index: &usize| format!("file-{index}");
    let bytes = |len: usize| Bytes::from(vec![number as u8 + 1; len]);
    let nothing = |result: io::Result<()>| result.map(|()| Bytes::new());
    let answer = match action {
        Action::Create { name: file, len } => nothing(storage.create(&name(file), *len).await),
        Action::Write { name: file, offset, parts } => {
            let parts = parts.iter().map(|len| bytes(*len)).collect();
            nothing(storage.write(&name(file), *offset, parts).await)
        }
        Action::Sync { name: file } => nothing(storage.sync(&name(file)).await),
        Action::Read { name: file, offset, len } => storage.read(&name(file), *offset, *len).await,
        Action::Truncate { name: file, len } => nothing(storage.truncate(&name(file), *len).await),
        Action::Replace { name: file, len } => nothing(storage.replace(&name(file), bytes(*len)).await),
        Action::Rename { from, to } => {
            // The name must be free, and whose duty that is, is the caller's.
            let is_taken =
                storage.list().await.is_ok_and(|files| files.iter().any(|(own, _)| *own == name(to)));
            if is_taken { Ok(Bytes::new()) } else { nothing(storage.rename(&name(from), &name(to)).await) }
        }
        Action::Remove { name: file } => nothing(storage.remove(&name(file)).await),
    };
    answer.map_err(|error| error.kind())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_simulated_disk_answers_as_the_real_one_does(actions in prop::collection::vec(action(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let folder = TempDir::new().expect("a folder");
            let real = Directory::lock(folder.path()).expect("nobody else has it");
            let simulated = SimulatedStorage::new(0);
            for (number, action) in actions.iter().enumerate() {
                let answers = (answer(&real, number, action).await, answer(&simulated, number, action).await);
                assert_eq!(answers.0, answers.1, "{action:?}");
                assert_eq!(real.list().await.expect("it can be read"), simulated.files());
            }
            // The same is there for the next process.
            drop(real);
            let real = Directory::lock(folder.path()).expect("nobody has it any more");
            for (name, len) in simulated.files() {
                let len = len as usize;
                let contents = (real.read(&name, 0, len).await, simulated.read(&name, 0, len).await);
                assert_eq!(contents.0.expect("it is there"), contents.1.expect("it is there"));
            }
        });
    }
}

#[test]
fn one_process_at_a_time_has_a_directory() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a/log");
    let first = Directory::lock(&path).expect("it is made");
    let second = Directory::lock(&path).err().expect("somebody has it");
    assert_eq!(second.kind(), ErrorKind::ResourceBusy);
    assert!(second.to_string().contains("another pump"), "{second}");
    drop(first);
    Directory::lock(&path).expect("nobody has it any more");
}

#[tokio::test]
async fn nobody_else_may_read_what_is_in_a_directory() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("log");
    let directory = Directory::lock(&path).expect("it is made");
    directory.create("a", 100).await.expect("there is room");
    directory.replace("b", Bytes::from_static(b"b")).await.expect("there is room");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in fs::read_dir(&path).expect("it is there") {
        let file = file.expect("it is there");
        assert_eq!(mode(&file.path()), 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn what_was_not_yet_whole_when_a_process_ended_is_removed_by_the_next_one() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("state.tmp"), "half").expect("written");
    fs::DirBuilder::new().mode(0o700).create(folder.path().join("folder.tmp")).expect("made");
    let directory = Directory::lock(folder.path()).expect("nobody has it");
    assert_eq!(directory.list().await.expect("it can be read"), []);
    assert!(!folder.path().join("state.tmp").exists());
    assert!(folder.path().join("folder.tmp").exists(), "what is not ours is left alone");
}

#[tokio::test]
async fn a_full_disk_refuses_what_needs_room_and_keeps_what_was_there() {
    let folder = TempDir::new().expect("a folder");
    let disk = SmallDisk::mount(&folder, 2 << 20);
    let directory = Directory::lock(folder.path()).expect("nobody has it");
    directory.create("segment", 256 << 10).await.expect("there is room");
    directory.replace("state", Bytes::from_static(b"old")).await.expect("there is room");
    disk.fill();
    let is_full =
        |result: io::Result<()>| assert_eq!(result.expect_err("no room").kind(), ErrorKind::StorageFull);
    is_full(directory.create("another", 256 << 10).await);
    is_full(directory.replace("state", vec![1; 64 << 10].into()).await);
    directory.write("segment", 0, vec![vec![7; 256 << 10].into()]).await.expect("its room is kept");
    directory.sync("segment").await.expect("its room is kept");
    assert_eq!(directory.read("state", 0, 10).await.expect("it is there"), "old");
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .expect("it is there")
        .map(|file| file.expect("it is there").file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["filler", "lock", "segment", "state"],
        "what failed leaves nothing, not even in the way"
    );
}

#[test]
fn a_directory_in_memory_is_known_before_it_is_made() {
    let folder = TempDir::new().expect("a folder");
    let _disk = SmallDisk::mount(&folder, 1 << 20);
    assert!(is_in_memory(folder.path()).expect("it is there"));
    assert!(is_in_memory(&folder.path().join("not/there/yet")).expect("what is above it is there"));
    assert!(!is_in_memory(Path::new("/proc/not-there")).expect("what is above it is there"));
}

/// More than a disk has room for goes through a log on it: sources wait, nothing is lost, and in the end it
/// is empty.
#[tokio::test]
async fn a_log_on_a_disk_that_is_too_small_goes_on_at_the_pace_of_its_lanes() {
    const CHUNKS: u64 = 400;
    const RECORDS: usize = 300;
    let folder = TempDir::new().expect("a folder");
    let _disk = SmallDisk::mount(&folder, 4 << 20);
    let open = async || {
        let storage = Arc::new(Directory::lock(folder.path()).expect("nobody has it"));
        let usual = DiskSettings::new(1 << 30);
        let settings = DiskSettings { segment_size: 256 << 10, memory: 256 << 10, ..usual };
        Opened::open(storage, settings).await.expect("nothing is damaged")
    };
    let accounting = Accounting::new(1);
    accounting.add_lane();
    let (sender, mut settled) = mpsc::unbounded_channel();
    let senders = HashMap::from([(Arc::from("source-0"), sender)]);
    let log: Arc<dyn Log> = Arc::new(open().await.into_log(accounting, senders));
    let id = LaneId::new(0);
    log.change_lanes(vec![LaneChange { id, name: BOTH.name.into(), interest: BOTH.interest() }]);
    let running = tokio::spawn(log.clone().run());
    let source = log.clone();
    let appending = tokio::spawn(async move {
        let partition = Partition::new("partition-0");
        for number in 0..CHUNKS {
            let parsed = parsed((0, 0), number * RECORDS as u64, RECORDS, &partition, Timestamp::now());
            source.clone().reserve(parsed.chunk.size()).await.append(parsed.chunk);
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!appending.is_finished(), "the disk is too small for all of it");
    let reading = async {
        for number in 0..CHUNKS {
            let placed = log.next(id).await;
            let first = placed.chunk().record(0);
            assert_eq!(first.body(), body((0, 0), number * RECORDS as u64));
            log.advance(id, placed.end());
        }
        log.drained().await;
    };
    timeout(Duration::from_secs(30), reading).await.expect("nothing is stuck");
    appending.await.expect("no panic");
    log.close();
    running.await.expect("no panic").expect("nothing failed");
    drop(log);
    let mut last = 0;
    while let Some((_, position)) = settled.recv().await {
        last = position;
    }
    assert_eq!(last, CHUNKS * RECORDS as u64);
    open().await;
}
