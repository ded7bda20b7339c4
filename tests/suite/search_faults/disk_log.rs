//! The disk log between a gateway and sinks that are away.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use pump_testing::{Fault, FaultyProxy};
use serde_json::Value;

use super::{LIMIT, SMALL, Scene, wait};
use crate::gateway::{push, repeats};
use crate::process::PumpProcess;
use crate::small_disk::SmallDisk;

/// A file sink beside the search server.
fn with_files(scene: &Scene, endpoints: &[&str]) -> String {
    let files = "sinks:\n  files: { type: file, path: out/records.ndjson, kinds: [transaction] }\n";
    scene.pipeline(endpoints).replacen("sinks:\n", files, 1)
}

fn delivered(status: &Value, sink: &str) -> u64 {
    let lanes = status["lanes"].as_array().into_iter().flatten();
    let lane = lanes.into_iter().find(|lane| lane["sink"] == sink || lane["name"] == sink);
    lane.and_then(|lane| lane["records"]["delivered"].as_u64()).unwrap_or_default()
}

fn out(scene: &Scene) -> PathBuf {
    scene.folder.path().join("out")
}

/// How long a file sink takes to get so many records, from the moment when the pump runs.
fn time_until_in_files(pump: &PumpProcess, scene: &Scene, count: u64) -> Duration {
    let begin = Instant::now();
    push(&scene.redis.url(), 0, count, SMALL);
    pump.wait_until(LIMIT, "the file has everything", |status| delivered(status, "files") == count);
    begin.elapsed()
}

/// With the memory log the file would have stopped after 32 MiB. How long the other is dead at least, in seconds, is
/// `PUMP_TEST_DEAD_SECONDS` (as long as that takes without it).
#[test]
fn a_dead_sink_stops_no_other_and_gets_everything_once_it_is_back() {
    const COUNT: u64 = 60_000;
    let alone = Scene::with_disk_log("alone");
    let text = with_files(&alone, &["http://127.0.0.1:1"]);
    let (sources, rest) = text.split_once("  search:").expect("it is there");
    let (_, after) = rest.split_once("dead_letters:").expect("it is there");
    let mut pump =
        PumpProcess::start(alone.folder.path(), "alone", &format!("{sources}dead_letters:{after}"), &[]);
    let without = time_until_in_files(&pump, &alone, COUNT);
    pump.stop();

    let scene = Scene::with_disk_log("dead-sink");
    let proxy = FaultyProxy::start(scene.search.address());
    proxy.set(Some(Fault::Down));
    let mut pump = PumpProcess::start(scene.folder.path(), "dead", &with_files(&scene, &[&proxy.url()]), &[]);
    let with = time_until_in_files(&pump, &scene, COUNT);
    println!("{COUNT} records into a file: {without:?} alone, {with:?} beside a dead sink");
    assert!(with < 5 * without + Duration::from_secs(5), "{with:?} beside a dead sink, {without:?} alone");
    wait("everything is safe in the log, and gone from Redis", || scene.redis.keys().is_empty());
    assert_eq!(delivered(&pump.status(), "search"), 0);
    let seconds = std::env::var("PUMP_TEST_DEAD_SECONDS").map_or(0, |text| text.parse().expect("a number"));
    thread::sleep(Duration::from_secs(seconds).saturating_sub(with));
    let state = scene.folder.path().join("log/state");
    wait("the file's cursor is stored", || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains(&format!("\"files\":{COUNT}")))
    });
    // What is in the log survives the process, and is all that there is.
    pump.kill();
    let mut pump = PumpProcess::start(scene.folder.path(), "dead", &with_files(&scene, &[&proxy.url()]), &[]);
    proxy.set(None);
    pump.wait_until(2 * LIMIT, "the search server has everything", |status| {
        status["lanes"]
            .as_array()
            .is_some_and(|lanes| lanes.iter().all(|lane| lane["records"]["pending"] == 0))
            && status["log"]["bytes"] == 0
    });
    pump.stop();
    assert_eq!(scene.count(), COUNT);
    assert_eq!(repeats(&out(&scene), COUNT), 0, "the file's cursor was stored long before the kill");
    assert_eq!(segments(&scene.folder.path().join("log")), Vec::<String>::new(), "the room is given back");
}

fn segments(log: &Path) -> Vec<String> {
    let names = std::fs::read_dir(log).expect("the log is there").map(|entry| entry.expect("it can be read"));
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".log")).collect()
}

/// The disk is smaller than the log may become, and somebody else writes to it.
#[test]
fn a_disk_that_fills_up_stops_intake_and_loses_nothing() {
    const COUNT: u64 = 9_000;
    const LARGE: usize = 8 << 10;
    let scene = Scene::with_disk_log("full-disk");
    let log = scene.folder.path().join("log");
    let _disk = SmallDisk::mount(&log, 50);
    let proxy = FaultyProxy::start(scene.search.address());
    proxy.set(Some(Fault::Down));
    let mut pump = scene.start(&[&proxy.url()]);
    push(&scene.redis.url(), 0, COUNT, LARGE);
    pump.wait_until(LIMIT, "the disk is nearly full", |status| {
        status["log"]["bytes"].as_u64() > Some(30 << 20)
    });
    let foreign = log.join("of-somebody-else");
    // As much as there is.
    let _ = std::fs::write(&foreign, vec![1; 50 << 20]);
    thread::sleep(Duration::from_secs(3));
    assert!(pump.is_running(), "a full disk ends nothing");
    let status = pump.status();
    assert!(status["sources"][0]["records"]["backlog"].as_u64() > Some(0), "{status}");
    proxy.set(None);
    pump.wait_until(2 * LIMIT, "everything is delivered", |status| {
        super::counted(status, "delivered") + super::counted(status, "duplicate") == COUNT
    });
    std::fs::remove_file(foreign).expect("it is there");
    pump.stop();
    assert_eq!(scene.redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    scene.assert_each_is_there_once(COUNT);
}
