//! What a crash left behind, and what only looks like it.

use std::fs::File;

use proptest::prelude::*;
use rustix::fs::{FlockOperation, flock};

use super::super::frame::{Found, found, frame};
use super::*;

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
async fn what_has_nothing_whole_in_it_is_set_aside_and_replaces_nothing() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    fs::write(folder.path().join("records.ndjson.torn"), "an older one").expect("written");
    fs::write(folder.path().join("records.ndjson.part"), "{\"torn").expect("written");
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":1}"], &config.path).await;
    sink.close().await.expect("it closes");
    let files = files(folder.path());
    assert_eq!(files.len(), 3, "{files:?}");
    assert_eq!(files[1], ("records.ndjson.2.torn".into(), "{\"torn".into()));
    assert_eq!(files[2], ("records.ndjson.torn".into(), "an older one".into()));
}

#[tokio::test]
async fn csv_without_a_whole_row_is_set_aside_and_names_alone_are_removed() {
    let header = String::from_utf8_lossy(crate::encoding::CSV_HEADER);
    for (left, is_kept) in [("", false), ("\"a row that is\n", true)] {
        let folder = TempDir::new().expect("a folder");
        let config = FileConfig { encoding: Encoding::Csv, ..config(&folder, "records.csv") };
        let text = format!("{header}{left}");
        fs::write(folder.path().join("records.csv.part"), &text).expect("written");
        let sink = open(&config).await;
        deliver(&sink, &["{\"n\":1}"], &config.path).await;
        sink.close().await.expect("it closes");
        let torn = folder.path().join("records.csv.torn");
        assert_eq!(torn.exists(), is_kept);
        assert!(!is_kept || read(&torn) == text);
        assert_eq!(files(folder.path()).len(), if is_kept { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_sink_reads_what_another_of_the_same_name_left_as_that_one_wrote_it() {
    let header = String::from_utf8_lossy(crate::encoding::CSV_HEADER);
    // By the rule of csv the quote in the first line would never be closed, and by that of ndjson the
    // torn row would be one.
    let json = "{\"a\":\"\\\"\"}\n{\"b\":1}\n";
    let rows = format!("{header}1,2\n");
    for (encoding, text, expected) in
        [(Encoding::Csv, json.to_owned(), json), (Encoding::Ndjson, format!("{rows}3,\"torn\n"), &rows)]
    {
        let folder = TempDir::new().expect("a folder");
        let config = FileConfig { encoding, ..config(&folder, "records") };
        fs::write(folder.path().join("records.part"), text).expect("written");
        let sink = open(&config).await;
        deliver(&sink, &["{\"n\":1}"], &config.path).await;
        // The first look may still hold the file.
        sink.files.recover().expect("it is finished");
        let files = files(folder.path());
        assert_eq!(files.len(), 2, "{files:?}");
        assert_eq!(files[0].1, expected);
    }
}

#[tokio::test]
async fn a_file_that_stays_does_not_keep_its_name_from_being_written() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    let part = folder.path().join("records.ndjson.part");
    fs::write(&part, [0x1f, 0x8b, 8, 0, b'\n', 1]).expect("written");
    let sink = open(&config).await;
    let delivered =
        tokio::time::timeout(Duration::from_secs(10), deliver(&sink, &["{\"n\":1}"], &config.path));
    delivered.await.expect("it ends");
    assert_eq!(fs::read(&part).expect("it is there").len(), 6);
    assert_eq!(read(&folder.path().join("records.ndjson.2.part")), "{\"n\":1}\n");
}

/// A file under which another is mounted: it can be written, but not renamed.
struct Pinned(PathBuf);

impl Pinned {
    fn new(path: PathBuf, text: &str) -> Self {
        fs::write(&path, text).expect("written");
        let status = std::process::Command::new("mount").arg("--bind").args([&path, &path]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "this test mounts a file over itself, which needs root: run it as root"
        );
        Self(path)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_finished_does_not_keep_its_name_from_being_written() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "records.ndjson");
    let pinned = Pinned::new(folder.path().join("records.ndjson.part"), "{\"n\":1}\n");
    let sink = open(&config).await;
    deliver(&sink, &["{\"n\":2}"], &config.path).await;
    sink.files.recover().expect_err("it cannot be renamed");
    drop(pinned);
    sink.close().await.expect("now it can");
    let mut texts: Vec<_> = files(folder.path()).into_iter().map(|(_, text)| text).collect();
    texts.sort();
    assert_eq!(texts, ["{\"n\":1}\n", "{\"n\":2}\n"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_finished_keeps_no_other_waiting_and_is_tried_again() {
    let folder = TempDir::new().expect("a folder");
    let mut config = config(&folder, "{api_id}.ndjson");
    config.rotate.max_age = ConfigDuration::secs(1);
    let part = |name: &str| folder.path().join(format!("{name}.ndjson.part"));
    // Links to themselves cannot be opened. In whatever order the folder is read, some come first.
    for name in ["a", "m", "z"] {
        std::os::unix::fs::symlink(part(name), part(name)).expect("linked");
    }
    for name in ["b", "c", "n", "y"] {
        fs::write(part(name), "{\"n\":1}\n").expect("written");
    }
    let _sink = open(&config).await;
    let gone = async |names: &[&str]| {
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while names.iter().any(|name| part(name).exists()) {
            assert!(std::time::Instant::now() < limit, "they are never finished");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    gone(&["b", "c", "n", "y"]).await;
    for name in ["a", "m", "z"] {
        fs::remove_file(part(name)).expect("removed");
        fs::write(part(name), "{\"n\":1}\n").expect("written");
    }
    gone(&["a", "m", "z"]).await;
}

#[tokio::test]
async fn a_file_without_its_final_name_gets_it_at_the_next_look() {
    let folder = TempDir::new().expect("a folder");
    let config = config(&folder, "%Y/a.ndjson");
    // Not started: nobody looks but this test.
    let sink = FileSink::open(
        config,
        SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) },
    )
    .await
    .expect("it opens");
    let (year, away) = (folder.path().join("2026"), folder.path().join("away"));
    deliver(&sink, &["{\"n\":1}"], &year.join("a.ndjson").display().to_string()).await;
    fs::rename(&year, &away).expect("moved");
    sink.files.finish_all().expect_err("the folder is away");
    fs::rename(&away, &year).expect("moved back");
    sink.files.recover().expect("it is finished");
    let files = files(&year);
    assert!(files.len() == 1 && files[0].0.ends_with("Z-1.ndjson"), "{files:?}");
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
        let names = if encoding == Encoding::Csv { crate::encoding::CSV_HEADER } else { b"" };
        let mut bytes = names.to_vec();
        let mut ends = Vec::new();
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
        let expected = match ends.iter().rfind(|end| **end <= cut) {
            Some(end) => Found::Whole(*end as u64),
            None if cut == 0 || cut == names.len() => Found::Nothing,
            None => Found::Torn,
        };
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("torn");
        fs::write(&path, &bytes[..cut]).expect("written");
        let file = File::open(&path).expect("opened");
        prop_assert_eq!(found(&file, compression).expect("it can be read"), expected);
    }
}
