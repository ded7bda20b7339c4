//! Disks that are full, fail, hang or refuse.

use std::io::BufReader;
use std::sync::mpsc;

use pump_core::plugin::SinkErrorKind;

use super::super::frame::{found_in, frame};
use super::*;

#[tokio::test]
async fn every_other_file_gets_its_name_when_one_cannot() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "{api_id}.ndjson");
    let sink = open(&config).await;
    for number in 0..10 {
        let path = folder.path().join(format!("{number}.ndjson")).display().to_string();
        deliver(&sink, &["{\"n\":1}"], &path).await;
    }
    for number in 0..3 {
        fs::remove_file(folder.path().join(format!("{number}.ndjson.part"))).expect("removed");
    }
    sink.close().await.expect_err("three are gone");
    let files = files(folder.path());
    assert_eq!(files.len(), 7);
    assert!(files.iter().all(|(name, _)| !name.ends_with(".part")), "{files:?}");
}

#[tokio::test]
async fn a_delivery_does_not_fail_for_a_file_that_is_finished_to_make_room() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "{api_id}.ndjson");
    let sink = open(&config).await;
    for number in 0..=64 {
        let path = folder.path().join(format!("{number}.ndjson"));
        deliver(&sink, &["{\"n\":1}"], &path.display().to_string()).await;
        let _ = fs::remove_file(path.with_extension("ndjson.part"));
    }
}

/// As if the disk did not answer to whoever writes to this route, until what it returns is dropped.
fn hang(files: &Arc<Files>, route: &str) -> mpsc::Sender<()> {
    let (files, route) = (files.clone(), route.to_owned());
    let ((hanging, until), (ready, is_ready)) = (mpsc::channel::<()>(), mpsc::channel());
    std::thread::spawn(move || {
        let route = files.route(&route);
        let _held = route.lock().expect("nobody panicked");
        ready.send(()).expect("the test waits");
        let _ = until.recv();
    });
    is_ready.recv().expect("it hangs");
    hanging
}

/// As many threads as a sink takes at most hang with its disk, and no more: the process has others left.
#[test]
fn a_disk_that_hangs_takes_a_few_threads_only_and_a_late_write_leaves_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_WRITING + 2)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let folder = TempDir::new().expect("a folder");
        let config = config(&folder, "records.ndjson");
        let sink = FileSink::open(
            config.clone(),
            SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) },
        )
        .await
        .expect("it opens");
        let hanging = hang(&sink.files, &config.path);
        for _ in 0..3 * MAX_WRITING {
            let batch = batch(&["{\"dropped\":1}"], &config.path);
            let mut delivery = Box::pin(sink.deliver(&batch, Deadline::after(HOUR)));
            assert!(futures_poll(delivery.as_mut()).is_pending());
        }
        let other = tokio::time::timeout(Duration::from_secs(10), spawn_blocking(|| ()));
        other.await.expect("a thread is left for others").expect("it runs");
        drop(hanging);
        let all = sink.writers.acquire_many(MAX_WRITING as u32).await.expect("all threads come back");
        assert_eq!(files(folder.path()), [], "nobody waited for what they were to write");
        drop(all);
        deliver(&sink, &["{\"n\":1}"], &config.path).await;
        assert_eq!(files(folder.path())[0].1, "{\"n\":1}\n");
    });
}

#[tokio::test]
async fn a_probe_fails_at_once_while_the_one_before_still_hangs() {
    let folder = TempDir::new().expect("a folder");
    let sink = open(&config(&folder, "records.ndjson")).await;
    let hanging = sink.prober.clone().try_acquire_owned().expect("nobody probes");
    let error = sink.probe().await.expect_err("the disk does not answer");
    assert!(error.to_string().contains("the last probe still waits"), "{error}");
    drop(hanging);
    sink.probe().await.expect("it answers again");
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

/// A disk that gives out so many bytes and then fails.
struct BadDisk<'a>(&'a [u8]);

impl Read for BadDisk<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(rustix::io::Errno::IO.into()),
            count => Ok(count),
        }
    }
}

#[test]
fn a_disk_that_cannot_be_read_tears_no_frame() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut bytes = Vec::new();
        for text in ["{\"n\":1}\n", "{\"n\":2}\n"] {
            let frame = frame(vec![Bytes::from(text)], compression).expect("in memory");
            bytes.extend(frame.iter().flatten());
        }
        for readable in 0..=bytes.len() {
            let mut reader = BufReader::new(BadDisk(&bytes[..readable]));
            let found = found_in(&mut reader, bytes.len() as u64, compression);
            let error = found.expect_err("nothing is known of what could not be read");
            assert_eq!(error.raw_os_error(), Some(5), "{readable} bytes of {compression:?}: {error}");
        }
    }
}
