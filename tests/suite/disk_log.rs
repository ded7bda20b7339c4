//! The log on disk as people meet it: the pipeline file, the command that looks at it, damage, replay.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::PumpProcess;

const RECORDS: usize = 20_000;

/// Made-up records through a log on disk into one file; `more` is further keys of the log, `sinks` further sinks.
fn pipeline(more: &str, sinks: &str) -> String {
    format!(
        "sources: {{ gateway: {{ type: demo, records: {RECORDS}, rate: 100000/s }} }}\n\
         log: {{ type: disk, path: log{more} }}\n\
         sinks:\n  first: {{ type: file, path: first/a.ndjson, sources: [gateway] }}\n{sinks}"
    )
}

fn pump(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pump"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder in which such a pipeline has run to its end.
fn after_a_run(more: &str, sinks: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let admin = "admin: { listen: \"127.0.0.1:0\" }\n";
    fs::write(folder.path().join("p.yaml"), pipeline(more, sinks) + admin).expect("written");
    let output = pump(folder.path(), &["run", "-c", "p.yaml", "--drain"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

/// Every line of the files in a folder.
fn lines(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let content = fs::read_to_string(entry.expect("it can be read").path()).expect("text");
        lines.extend(content.lines().map(str::to_owned));
    }
    lines
}

fn inspect(folder: &Path) -> Value {
    let output = pump(folder, &["log", "inspect", "--json", "log"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// Turns a byte of the only segment over.
fn flip(folder: &Path, offset: u64) -> String {
    let files = fs::read_dir(folder.join("log")).expect("it is there");
    let names = files.map(|entry| entry.expect("it can be read").file_name().into_string().expect("text"));
    let name = names.filter(|name| name.ends_with(".log")).min().expect("a segment");
    let segment = fs::OpenOptions::new().read(true).write(true).open(folder.join("log").join(&name));
    let segment = segment.expect("it can be opened");
    let mut byte = [0];
    segment.read_exact_at(&mut byte, offset).expect("it is long enough");
    segment.write_all_at(&[byte[0] ^ 1], offset).expect("written");
    name
}

/// A file system in memory; it goes with this.
struct MemoryDisk(PathBuf);

impl MemoryDisk {
    fn mount(path: PathBuf) -> Self {
        fs::create_dir(&path).expect("made");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m", "tmpfs"]).arg(&path).status();
        assert!(mounted.expect("there is mount").success(), "mounting takes root");
        Self(path)
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_log_in_memory_that_says_disk_is_refused_unless_it_may_be_lost() {
    let folder = TempDir::new().expect("a folder");
    let _disk = MemoryDisk::mount(folder.path().join("memory"));
    let file = |more: &str| {
        let text = pipeline(more, "").replace("path: log", "path: memory/log");
        fs::write(folder.path().join("p.yaml"), text + "admin: { listen: \"127.0.0.1:0\" }\n")
            .expect("written");
    };
    file("");
    for arguments in [&["check", "-c", "p.yaml"][..], &["run", "-c", "p.yaml", "--drain"]] {
        let output = pump(folder.path(), arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("log.path") && error.contains("ephemeral: true"), "{error}");
    }
    file(", ephemeral: true");
    for arguments in [&["check", "-c", "p.yaml"][..], &["run", "-c", "p.yaml", "--drain"]] {
        let output = pump(folder.path(), arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(lines(&folder.path().join("first")).len(), RECORDS);
}

#[test]
fn check_says_what_a_dead_sink_does_and_touches_nothing() {
    let folder = TempDir::new().expect("a folder");
    let second = "  second: { type: file, path: second/a.ndjson }\n";
    let note = |text: &str| {
        fs::write(folder.path().join("p.yaml"), text).expect("written");
        let output = pump(folder.path(), &["check", "-c", "p.yaml"]);
        String::from_utf8(output.stdout).expect("text")
    };
    let on_disk = note(&pipeline("", second));
    assert!(on_disk.contains("log on disk: records wait there") && on_disk.contains("1GiB"), "{on_disk}");
    let in_memory = note(&pipeline("", second).replace("type: disk, path: log", "type: memory"));
    assert!(in_memory.contains("stops everything once the log is full (32MiB)"), "{in_memory}");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
}

#[test]
fn a_drain_ends_soon_and_every_sink_is_at_the_end() {
    let timed_run = || {
        let begin = Instant::now();
        (after_a_run("", ""), begin.elapsed())
    };
    // The file sink alone wakes its lane each ten seconds, which must not be what ends it; a busy machine may make
    // one run as long as that, but not three.
    let runs = [timed_run(), timed_run(), timed_run()];
    let Some((folder, _)) = runs.iter().find(|(_, took)| *took < Duration::from_secs(9)) else {
        panic!("{:?}", runs.map(|(_, took)| took));
    };
    assert_eq!(lines(&folder.path().join("first")).len(), RECORDS);
    let report = inspect(folder.path());
    assert_eq!(report["lanes"][0]["cursor"], report["end"], "{report}");
    assert!(pump(folder.path(), &["log", "verify", "log"]).status.success());
}

#[test]
fn what_every_sink_has_passed_gives_its_room_back_while_the_pump_runs() {
    let folder = TempDir::new().expect("a folder");
    let mut running = PumpProcess::start(folder.path(), "one", &pipeline("", ""), &[]);
    running.wait_until(Duration::from_secs(30), "delivered and removed", |status| {
        let segments = fs::read_dir(folder.path().join("log")).into_iter().flatten().filter(|entry| {
            entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".log"))
        });
        status["lanes"][0]["records"]["delivered"] == RECORDS && segments.count() == 0
    });
    running.stop();
}

#[test]
fn what_is_in_a_log_is_told_and_nothing_is_changed_by_looking() {
    let folder = after_a_run(
        ", retain: 1h",
        "  late: { type: file, path: /proc/none/a, required: false, sources: [gateway] }\n",
    );
    let state = fs::read(folder.path().join("log/state")).expect("it is there");
    let report = inspect(folder.path());
    let lanes = report["lanes"].as_array().expect("a list");
    let lane = |name: &str| lanes.iter().find(|lane| lane["name"] == name).expect("it is there");
    assert_eq!(lane("first")["cursor"], report["end"]);
    assert_eq!(lane("late")["ahead"]["gateway"]["transaction"], RECORDS);
    let held = report["held"].as_array().expect("a list");
    assert!(held.iter().any(|held| held["source"] == "gateway" && held["position"] == RECORDS), "{report}");
    let said = text(&pump(folder.path(), &["log", "inspect", "log"]).stdout);
    assert!(said.contains("late: at place 0") && said.contains(&format!("{RECORDS} transaction")), "{said}");
    assert_eq!(fs::read(folder.path().join("log/state")).expect("it is there"), state);
    let nothing = pump(folder.path(), &["log", "inspect", "first"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("no disk log"), "{}", text(&nothing.stderr));
}

#[test]
fn damage_is_named_and_a_start_goes_on_without_it_only_when_told_to() {
    let news = "  news: { type: file, path: news/a.ndjson, sources: [pump] }\n";
    let folder = after_a_run(", retain: 1h", news);
    let segment = flip(folder.path(), 3_000_000);
    let verified = pump(folder.path(), &["log", "verify", "log"]);
    let (said, advice) = (text(&verified.stdout), text(&verified.stderr));
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("damaged: {segment}: at byte ")) && said.contains("are lost"), "{said}");
    assert!(advice.contains("--accept-gap"), "{advice}");

    let refused = pump(folder.path(), &["run", "-c", "p.yaml", "--drain"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--accept-gap"), "{}", text(&refused.stderr));
    let replay = ["run", "-c", "p.yaml", "--from", "1h", "--sinks", "first"];
    assert_eq!(pump(folder.path(), &replay).status.code(), Some(1));

    let accepted = pump(folder.path(), &["run", "-c", "p.yaml", "--drain", "--accept-gap"]);
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    let events = lines(&folder.path().join("news"));
    let gap = events.iter().find(|line| line.contains("log_gap")).expect("it was told");
    assert!(gap.contains(&segment), "{gap}");
    let report = inspect(folder.path());
    assert_eq!(report["gaps"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(report["set_aside"].as_array().map(Vec::len), Some(1), "{report}");
    assert!(pump(folder.path(), &["log", "verify", "log"]).status.success());
}

#[test]
fn a_log_that_a_pump_has_open_is_left_alone_and_says_who_has_it() {
    let folder = TempDir::new().expect("a folder");
    let mut running = PumpProcess::start(folder.path(), "one", &pipeline(", retain: 1h", ""), &[]);
    running.wait_until(Duration::from_secs(30), "delivered", |status| {
        status["log"]["type"] == "disk" && status["lanes"][0]["records"]["delivered"] == RECORDS
    });
    for command in ["inspect", "verify"] {
        let output = pump(folder.path(), &["log", command, "log"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("(pump) has it open"), "{error}");
    }
    fs::write(folder.path().join("p.yaml"), pipeline("", "") + "admin: { listen: \"127.0.0.1:0\" }\n")
        .expect("written");
    for more in [&["--drain"][..], &["--from", "1h", "--sinks", "first"]] {
        let second = pump(folder.path(), &[&["run", "-c", "p.yaml"], more].concat());
        assert_eq!(second.status.code(), Some(1));
        assert!(text(&second.stderr).contains("has it open"), "{}", text(&second.stderr));
    }
    running.stop();
    assert_eq!(inspect(folder.path())["segments"].as_array().map(Vec::len), Some(1), "it is retained");
    assert!(pump(folder.path(), &["log", "verify", "log"]).status.success());
}

#[test]
fn what_the_log_has_kept_goes_again_to_the_sinks_that_are_named_and_to_no_others() {
    let second = "  second: { type: file, path: second/a.ndjson, required: false, sources: [gateway] }\n";
    let folder = after_a_run(", retain: 1h", second);
    let state = fs::read(folder.path().join("log/state")).expect("it is there");
    fs::remove_dir_all(folder.path().join("second")).expect("removed");
    let replay = pump(folder.path(), &["run", "-c", "p.yaml", "--from", "2h", "--sinks", "second"]);
    assert!(replay.status.success(), "{}", text(&replay.stderr));
    let said = text(&replay.stdout);
    assert!(said.contains(&format!("second: {RECORDS} delivered")), "{said}");
    // What is asked for begins before what is kept.
    assert!(text(&replay.stderr).contains("nothing is kept that was received before"));
    let (first, again) = (lines(&folder.path().join("first")), lines(&folder.path().join("second")));
    assert_eq!((first.len(), again.len()), (RECORDS, RECORDS));
    assert_eq!(first.into_iter().collect::<BTreeSet<_>>(), again.into_iter().collect());
    assert_eq!(fs::read(folder.path().join("log/state")).expect("it is there"), state);

    let nothing = pump(folder.path(), &["run", "-c", "p.yaml", "--from", "0s", "--sinks", "second"]);
    assert!(nothing.status.success() && text(&nothing.stdout).contains("nothing was sent"));
}

#[test]
fn a_replay_that_makes_no_sense_is_refused_with_what_to_do() {
    let folder = TempDir::new().expect("a folder");
    let refused = |text: &str, arguments: &[&str], expected: &str| {
        fs::write(folder.path().join("p.yaml"), text).expect("written");
        let output = pump(folder.path(), &[&["run", "-c", "p.yaml"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    let disk = pipeline("", "");
    refused(&disk, &["--from", "1h"], "--sinks");
    refused(&disk, &["--sinks", "first"], "--from");
    refused(&disk, &["--from", "1h", "--sinks", "frist"], "did you mean `first`?");
    refused(&disk, &["--from", "yesterday", "--sinks", "first"], "2h");
    refused(&disk, &["--from", "1h", "--sinks", "first", "--drain"], "--drain");
    let memory = disk.replace("type: disk, path: log", "type: memory");
    refused(&memory, &["--from", "1h", "--sinks", "first"], "in memory");
}
