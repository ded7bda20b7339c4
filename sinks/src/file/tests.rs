//! The `file` sink on a real file system, read back as a user would.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pump_core::config::{ByteSize, ConfigDuration};
use pump_core::plugin::{Deadline, Sink, SinkContext};
use pump_core::testing::batch;
use tempfile::TempDir;

use super::*;

mod bad_disk;
mod behaviour;
mod left_behind;

const HOUR: Duration = Duration::from_secs(3_600);

fn config(folder: &TempDir, name: &str) -> FileConfig {
    FileConfig {
        path: folder.path().join(name).display().to_string(),
        encoding: Encoding::Ndjson,
        compression: Compression::None,
        rotate: Rotation::default(),
    }
}

async fn open(config: &FileConfig) -> FileSink {
    let sink = FileSink::open(
        config.clone(),
        SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) },
    )
    .await
    .expect("it opens");
    sink.start();
    sink
}

async fn deliver(sink: &FileSink, bodies: &[&str], route: &str) {
    let batch = batch(bodies, route);
    let answers = sink.deliver(&batch, Deadline::after(HOUR)).await.expect("it is delivered");
    assert_eq!(answers, Answers::delivered(bodies.len()));
}

/// Names and contents of a folder's files, in order.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), read(&path)))
        .collect();
    files.sort();
    files
}

/// The text of a file, whatever it is compressed with.
fn read(path: &Path) -> String {
    let bytes = fs::read(path).expect("it can be read");
    let mut text = String::new();
    let name = path.to_string_lossy();
    if name.contains(".gz") {
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("it is gzip");
    } else if name.contains(".zst") {
        zstd::stream::read::Decoder::new(&bytes[..])
            .and_then(|mut decoder| decoder.read_to_string(&mut text))
            .expect("it is zstd");
    } else {
        text = String::from_utf8(bytes).expect("it is text");
    }
    text
}

#[tokio::test]
async fn a_delivery_is_in_the_open_file_and_gets_its_name_at_the_end() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":1}", "{\"n\":2}"], &config.path).await;
    deliver(&sink, &["{\"n\":3}"], &config.path).await;
    let lines = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";
    assert_eq!(files(folder.path()), [("records.ndjson.part".into(), lines.into())]);
    sink.close().await.expect("it closes");
    let files = files(folder.path());
    assert_eq!(files.len(), 1);
    assert!(files[0].0.starts_with("records-2") && files[0].0.ends_with("Z-1.ndjson"), "{}", files[0].0);
    assert_eq!(files[0].1, lines);
}

#[tokio::test]
async fn compressed_files_can_be_read_whole() {
    for (compression, ending) in [(Compression::Gzip, "ndjson.gz"), (Compression::Zstd, "ndjson.zst")] {
        let folder = TempDir::new().expect("a folder");
        let config = FileConfig { compression, ..config(&folder, "records.ndjson") };
        let sink = open(&config).await;
        for number in 0..5 {
            deliver(&sink, &[&format!("{{\"n\":{number}}}")], &config.path).await;
        }
        sink.close().await.expect("it closes");
        let files = files(folder.path());
        assert!(files[0].0.ends_with(ending), "{}", files[0].0);
        assert_eq!(files[0].1, "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
    }
}

#[tokio::test]
async fn a_file_is_rotated_by_its_size() {
    let folder = TempDir::new().expect("a folder");
    let mut config = config(&folder, "records.ndjson");
    config.rotate.max_size = ByteSize(20);
    let sink = open(&config).await;
    for _ in 0..6 {
        deliver(&sink, &["{\"n\":1}"], &config.path).await;
    }
    // A delivery is answered before its file is renamed.
    sink.close().await.expect("it closes");
    let files = files(folder.path());
    assert_eq!(files.len(), 2);
    let is_whole = |(name, text): &(String, String)| !name.ends_with(".part") && text.lines().count() == 3;
    assert!(files.iter().all(is_whole), "{files:?}");
}

#[tokio::test]
async fn a_file_is_rotated_by_its_age_although_nothing_is_written() {
    let folder = TempDir::new().expect("a folder");
    let mut config = config(&folder, "records.ndjson");
    config.rotate.max_age = ConfigDuration::millis(300);
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":1}"], &config.path).await;
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    while files(folder.path())[0].0.ends_with(".part") {
        assert!(std::time::Instant::now() < limit, "it is never rotated");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn routes_have_files_of_their_own_in_folders_that_are_made() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "%Y/{api_id}.ndjson");
    let sink = open(&config).await;
    for route in ["2026/a.ndjson", "2026/b.ndjson", "2027/a.ndjson"] {
        let path = folder.path().join(route).display().to_string();
        deliver(&sink, &["{\"n\":1}"], &path).await;
    }
    sink.close().await.expect("it closes");
    assert_eq!(files(&folder.path().join("2026")).len(), 2);
    assert_eq!(files(&folder.path().join("2027")).len(), 1);
}

#[tokio::test]
async fn a_second_writer_takes_the_next_number_and_nobody_overwrites() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    let (first, second) = (open(&config).await, open(&config).await);
    deliver(&first, &["{\"n\":1}"], &config.path).await;
    deliver(&second, &["{\"n\":2}"], &config.path).await;
    let names: Vec<_> = files(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["records.ndjson.2.part", "records.ndjson.part"]);
    first.close().await.expect("it closes");
    second.close().await.expect("it closes");
    let files = files(folder.path());
    assert_eq!(files.len(), 2);
    assert_ne!(files[0].1, files[1].1);
}

#[tokio::test]
async fn a_dropped_delivery_leaves_nothing_behind() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":1}"], &config.path).await;
    for _ in 0..50 {
        let batch = batch(&["{\"dropped\":1}"], &config.path);
        let mut delivery = Box::pin(sink.deliver(&batch, Deadline::after(HOUR)));
        // Polled once: the writing thread runs, and nobody waits for it.
        let poll = futures_poll(delivery.as_mut());
        drop(delivery);
        assert!(poll.is_pending());
    }
    deliver(&sink, &["{\"n\":2}"], &config.path).await;
    sink.close().await.expect("it closes");
    assert_eq!(files(folder.path())[0].1, "{\"n\":1}\n{\"n\":2}\n");
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn files_that_are_closed_to_make_room_while_others_wait_for_them_get_their_names_too() {
    let folder = TempDir::new().expect("a folder");
    let _disk = SmallDisk::mount(folder.path(), 16 << 20);
    let config = config(&folder, "{api_id}.ndjson");
    let files = Files::new(&config, Template::parse(&config.path).expect("a template"));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Looks at all files again and again, and so holds them for moments.
        let looking = scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                files.rotate_by_age().expect("nothing is due");
            }
        });
        let writing: Vec<_> = (0..4_usize)
            .map(|thread| {
                let files = &files;
                let folder = folder.path();
                scope.spawn(move || {
                    for turn in 0..1_000 {
                        let route = folder.join(format!("{}.ndjson", (turn * (thread + 1)) % 67));
                        let (mut waiter, mut answer) = Waiter::new();
                        let line = Bytes::from(format!("{{\"n\":{}}}\n", thread * 1_000 + turn));
                        let route = route.display().to_string();
                        files.append(&route, vec![line], &mut waiter).expect("it is written");
                        answer.try_recv().expect("it is answered").expect("it is written");
                    }
                })
            })
            .collect();
        writing.into_iter().for_each(|thread| thread.join().expect("it ends"));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        looking.join().expect("it ends");
    });
    files.finish_all().expect("finished");
    let files = self::files(folder.path());
    assert!(files.iter().all(|(name, _)| name.ends_with(".ndjson")), "a file has no final name");
    assert_eq!(files.iter().map(|(_, text)| text.lines().count()).sum::<usize>(), 4_000);
}

#[tokio::test]
async fn csv_has_a_line_of_names_in_each_file() {
    let folder = TempDir::new().expect("a folder");
    let mut config = FileConfig { encoding: Encoding::Csv, ..config(&folder, "records.csv") };
    config.rotate.max_size = ByteSize(1);
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":1}"], &config.path).await;
    deliver(&sink, &["{\"n\":2}"], &config.path).await;
    sink.close().await.expect("it closes");
    let header = String::from_utf8_lossy(crate::encoding::CSV_HEADER);
    let files = files(folder.path());
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|(_, text)| text.starts_with(&*header)), "{files:?}");
}

/// Counts what is left of a small file system, mounted for one test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, bytes: u64) -> Self {
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(path)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "this test mounts a small file system, which needs root: run it as root"
        );
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
