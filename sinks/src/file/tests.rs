//! The `file` sink on a real file system, read back as a user would.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use pump_core::config::{ByteSize, ConfigDuration};
use pump_core::plugin::{Deadline, Sink, SinkContext, SinkErrorKind};
use pump_core::testing::batch;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::frame::{frame, whole_length};
use super::*;

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
    FileSink::open(config.clone(), SinkContext { name: "test".into() }).await.expect("it opens")
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
async fn what_a_crash_left_behind_is_cut_to_its_last_whole_line_and_finished() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    fs::write(folder.path().join("records.ndjson.part"), "{\"n\":1}\n{\"n\":2}\n{\"torn").expect("written");
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":3}"], &config.path).await;
    sink.close().await.expect("it closes");
    let mut texts: Vec<_> = files(folder.path()).into_iter().map(|(_, text)| text).collect();
    texts.sort();
    assert_eq!(texts, ["{\"n\":1}\n{\"n\":2}\n", "{\"n\":3}\n"]);
}

#[tokio::test]
async fn what_a_crash_left_in_folders_nobody_writes_to_any_more_is_finished_too() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "%Y/%m/{api_id}.ndjson");
    let old = folder.path().join("2020/01");
    fs::create_dir_all(&old).expect("made");
    fs::write(old.join("a.ndjson.part"), "{\"n\":1}\n{\"torn").expect("written");
    let _sink = open(&config).await;
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    while files(&old)[0].0.ends_with(".part") {
        assert!(std::time::Instant::now() < limit, "it is never finished");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(files(&old)[0].1, "{\"n\":1}\n");
}

#[tokio::test]
async fn what_others_left_in_the_folder_stays_as_it_is() {
    let folder = TempDir::new().expect("a folder");
    let foreign = [
        ("movie.iso.part", "no newline"),
        ("table.csv.part", "a,b\n1,"),
        ("a.ndjson.gz.part", "\x1f\u{8b}x"),
    ];
    for (name, text) in foreign {
        fs::write(folder.path().join(name), text).expect("written");
    }
    // Ours by its name, but compressed: another sink of the same name wrote it.
    fs::write(folder.path().join("b.ndjson.part"), [0x1f, 0x8b, 8, 0, b'\n', 1]).expect("written");
    fs::write(folder.path().join("c.ndjson.part"), "{\"n\":1}\n{").expect("written");
    let config = config(&folder, "{api_id}.ndjson");
    let _sink = open(&config).await;
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    while folder.path().join("c.ndjson.part").exists() {
        assert!(std::time::Instant::now() < limit, "ours is never finished");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (name, text) in foreign {
        assert_eq!(fs::read(folder.path().join(name)).expect("it is there"), text.as_bytes(), "{name}");
    }
    assert_eq!(fs::read(folder.path().join("b.ndjson.part")).expect("it is there").len(), 6);
}

#[tokio::test]
async fn a_file_that_another_process_writes_is_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    let part = folder.path().join("records.ndjson.part");
    fs::write(&part, "half a li").expect("written");
    let held = File::open(&part).expect("opened");
    flock(&held, FlockOperation::LockExclusive).expect("locked");
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":3}"], &config.path).await;
    sink.close().await.expect("it closes");
    assert_eq!(read(&part), "half a li");
    assert_eq!(files(folder.path()).len(), 2);
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

#[tokio::test]
async fn a_folder_that_cannot_be_written_makes_the_sink_unavailable() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("file"), "not a folder").expect("written");
    let config = config(&folder, "file/records.ndjson");
    let sink = open(&config).await;
    let error = sink.probe().await.expect_err("no folder there");
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
    let batch = batch(&["{\"n\":1}"], &config.path);
    let error = sink.deliver(&batch, Deadline::after(HOUR)).await.expect_err("no folder there");
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
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

#[tokio::test]
async fn a_full_disk_tears_nothing_and_goes_on_once_there_is_room() {
    let folder = TempDir::new().expect("a folder");
    let _disk = SmallDisk::mount(folder.path(), 64 << 10);
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![0; 40 << 10]).expect("written");
    let config = config(&folder, "records.ndjson");
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":1}"], &config.path).await;
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(30 << 10));
    for _ in 0..3 {
        let batch = batch(&[&large, &large], &config.path);
        let error = sink.deliver(&batch, Deadline::after(HOUR)).await.expect_err("the disk is full");
        assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    }
    assert_eq!(read(&folder.path().join("records.ndjson.part")), "{\"n\":1}\n");
    fs::remove_file(&ballast).expect("removed");
    deliver(&sink, &[&large], &config.path).await;
    assert_eq!(read(&folder.path().join("records.ndjson.part")), format!("{{\"n\":1}}\n{large}\n"));
}

proptest! {
    /// Wherever a file of whole frames is torn, what is kept is the whole frames before the tear.
    #[test]
    fn a_torn_file_keeps_its_whole_frames(
        frames in prop::collection::vec("[a-z\"]{0,40}", 1..6),
        tear in any::<prop::sample::Index>(),
        shape in 0..4usize,
    ) {
        let (compression, encoding) = [
            (Compression::None, Encoding::Ndjson),
            (Compression::None, Encoding::Csv),
            (Compression::Gzip, Encoding::Ndjson),
            (Compression::Zstd, Encoding::Ndjson),
        ][shape];
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for text in frames {
            // In csv, a quoted cell with a newline in it.
            let line = match encoding {
                Encoding::Csv => format!("\"{}\n\",1\n", text.replace('"', "\"\"")),
                Encoding::Ndjson => format!("{text}\n"),
            };
            frame(vec![Bytes::from(line)], compression).expect("in memory").iter().for_each(|piece| bytes.extend_from_slice(piece));
            ends.push(bytes.len());
        }
        let cut = tear.index(bytes.len() + 1);
        let expected = *ends.iter().rfind(|end| **end <= cut).expect("0 is there");
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("torn");
        fs::write(&path, &bytes[..cut]).expect("written");
        let file = File::open(&path).expect("opened");
        prop_assert_eq!(whole_length(&file, compression, encoding).expect("it can be read"), expected as u64);
    }
}
