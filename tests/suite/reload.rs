//! A pump whose pipeline file changes while it runs: real processes, a real Redis, real files.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pump_testing::RedisServer;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::{numbers_in, push, repeats};
use crate::process::PumpProcess;
use crate::redis_list::assert_balanced;

/// A record in bytes.
const SIZE: usize = 1_100;
const PATIENCE: Duration = Duration::from_secs(60);

/// Redis into these sinks, each as name, folder and further keys.
fn pipeline(redis: &RedisServer, sinks: &[(&str, &str, &str)]) -> String {
    let mut text = format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\n    lease: 2s\nsinks:\n",
        redis.url()
    );
    for (name, folder, keys) in sinks {
        text.push_str(&format!(
            "  {name}: {{ type: file, path: {folder}/records.ndjson, kinds: [transaction], batch: {{ max_age: 200ms }}{keys} }}\n"
        ));
    }
    text
}

fn lane<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["lanes"].as_array()?.iter().find(|lane| lane["name"] == name)
}

fn count(status: &Value, name: &str, outcome: &str) -> u64 {
    lane(status, name).and_then(|lane| lane["records"][outcome].as_u64()).unwrap_or_default()
}

fn last_reload_metric(pump: &PumpProcess) -> String {
    let metrics = pump.get("/metrics").1;
    let line = metrics.lines().find(|line| line.starts_with("pump_config_last_reload_success "));
    line.expect("the metric is there").to_owned()
}

/// Pushes records until `is_over`, some ten thousand a second; `pushed` says how many.
fn push_while(redis: &RedisServer, pushed: &AtomicU64, is_over: impl Fn() -> bool) {
    while !is_over() {
        let from = pushed.load(Ordering::Relaxed);
        push(&redis.url(), from, from + 500, SIZE);
        pushed.store(from + 500, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn sinks_change_come_and_go_under_load_and_nothing_is_missing_anywhere() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    std::fs::write(folder.path().join("blocked"), "no folder").expect("written");
    let before = pipeline(
        &redis,
        &[("stays", "stays", ""), ("changes", "first", ""), ("tuned", "tuned", ""), ("goes", "goes", "")],
    );
    // The dead one is best effort: a required one would fill the log, which is another story.
    let after = pipeline(
        &redis,
        &[
            ("stays", "stays", ""),
            ("changes", "second", ", omit: [raw_request], max_in_flight: auto"),
            ("tuned", "tuned", ", max_in_flight: 1"),
            ("comes", "comes", ""),
            ("dead", "blocked", ", required: false"),
        ],
    );
    let mut pump = PumpProcess::start(folder.path(), "only", &before, &[]);
    let pushed = AtomicU64::new(0);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (mut longest, mut pushed_before) = (Duration::ZERO, 0);
    thread::scope(|scope| {
        scope.spawn(|| push_while(&redis, &pushed, || is_over.load(Ordering::Relaxed)));
        pump.wait_until(PATIENCE, "begun", |status| count(status, "stays", "delivered") > 2_000);
        // What comes from here on can reach the new sink.
        pump.rewrite(&after);
        let (mut delivered, mut last, end) = (0, Instant::now(), Instant::now() + Duration::from_secs(8));
        while Instant::now() < end {
            let status = pump.status();
            if pushed_before == 0 && lane(&status, "comes").is_some() {
                pushed_before = pushed.load(Ordering::Relaxed) + 500;
            }
            let now = count(&status, "stays", "delivered");
            if now > delivered {
                longest = longest.max(last.elapsed());
                (delivered, last) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let total = pushed.load(Ordering::Relaxed);
    pump.wait_until(PATIENCE, "delivered", |status| {
        count(status, "stays", "delivered") == total
            && count(status, "changes", "delivered") == total
            && count(status, "tuned", "delivered") == total
            && count(status, "comes", "pending") == 0
            && status["sources"][0]["records"]["backlog"] == 0
    });
    let status = pump.status();
    assert_balanced(&status);
    assert_eq!(status["last_reload"]["success"], true, "{status}");
    assert_eq!(lane(&status, "goes").expect("its books stay")["removed"], true);
    assert_eq!(count(&status, "goes", "pending"), 0);
    assert_eq!(lane(&status, "dead").expect("it is there")["state"], "unavailable");
    assert_eq!(last_reload_metric(&pump), "pump_config_last_reload_success 1");
    pump.stop();
    assert!(longest < Duration::from_secs(1), "nothing was delivered for {longest:?}");
    let path = |name: &str| folder.path().join(name);
    assert_eq!(repeats(&path("stays"), total), 0);
    assert_eq!(repeats(&path("tuned"), total), 0);
    let mut changed: BTreeMap<u64, u32> = numbers_in(&path("first"));
    let second = numbers_in(&path("second"));
    assert!(!changed.is_empty() && !second.is_empty());
    for (number, times) in second {
        *changed.entry(number).or_default() += times;
    }
    assert!((0..total).all(|number| changed.get(&number) == Some(&1)), "missing or repeated over the change");
    let new = numbers_in(&path("comes"));
    assert!(pushed_before > 0 && pushed_before < total, "{pushed_before} of {total}");
    assert!((pushed_before..total).all(|number| new.get(&number) == Some(&1)), "the new sink misses some");
    assert_eq!(new.len() as u64, count(&status, "comes", "delivered"));
    let goes = numbers_in(&path("goes"));
    assert_eq!(goes.len() as u64, count(&status, "goes", "delivered"));
}

#[test]
fn a_dead_sink_that_is_taken_out_lets_everything_go_on() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    std::fs::write(folder.path().join("blocked"), "no folder").expect("written");
    let small = "log: { max_size: 4MiB }\n";
    let before = pipeline(&redis, &[("sound", "sound", ""), ("dead", "blocked", "")]) + small;
    push(&redis.url(), 0, 20_000, SIZE);
    let mut pump = PumpProcess::start(folder.path(), "only", &before, &[]);
    pump.wait_until(PATIENCE, "dead", |status| {
        lane(status, "dead").is_some_and(|lane| lane["state"] == "unavailable")
            && count(status, "sound", "delivered") > 0
            && count(status, "sound", "pending") == 0
    });
    assert!(count(&pump.status(), "sound", "delivered") < 20_000, "the log is full");
    assert_eq!(pump.get("/readyz").0, 503);
    pump.rewrite(&(pipeline(&redis, &[("sound", "sound", "")]) + small));
    pump.signal(Signal::HUP);
    pump.wait_until(PATIENCE, "delivered", |status| {
        count(status, "sound", "delivered") == 20_000 && status["sources"][0]["records"]["backlog"] == 0
    });
    assert_balanced(&pump.status());
    let (status, ready) = (pump.status(), pump.get("/readyz"));
    assert_eq!(count(&status, "dead", "accepted"), count(&status, "dead", "left_behind"));
    assert_eq!(ready.0, 200, "{}", ready.1);
    pump.stop();
    assert_eq!(repeats(&folder.path().join("sound"), 20_000), 0);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

#[test]
fn a_bad_file_changes_nothing_and_what_needs_a_restart_is_named() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let news = "  news: { type: file, path: news/news.ndjson, sources: [pump], batch: { max_age: 200ms } }\n";
    let good = pipeline(&redis, &[("files", "out", "")]) + news;
    let mut pump = PumpProcess::start(folder.path(), "only", &good, &[]);
    pump.wait_until(PATIENCE, "ready", |status| status["lanes"][0]["state"] == "starting");
    let hash = pump.status()["config_hash"].clone();
    pump.rewrite(&good.replace("kinds:", "kindz:"));
    pump.wait_until(PATIENCE, "read", |status| status["last_reload"]["success"] == false);
    let error = pump.status()["last_reload"]["error"].as_str().expect("a text").to_owned();
    assert!(error.contains("kindz"), "{error}");
    assert_eq!(pump.status()["config_hash"], hash);
    assert_eq!(last_reload_metric(&pump), "pump_config_last_reload_success 0");
    // Nothing would take what the source reads.
    pump.rewrite(&good.replace("[transaction]", "[uptime]"));
    pump.wait_until(PATIENCE, "refused", |status| {
        status["last_reload"]["error"].as_str().is_some_and(|error| error.contains("no required sink"))
    });
    push(&redis.url(), 0, 1_000, SIZE);
    pump.wait_until(PATIENCE, "delivered", |status| count(status, "files", "delivered") == 1_000);
    pump.rewrite(&(good + "log: { max_size: 64MiB }\n"));
    pump.wait_until(PATIENCE, "named", |status| status["last_reload"]["needs_restart"][0] == "log");
    assert_eq!(last_reload_metric(&pump), "pump_config_last_reload_success 1");
    assert_eq!(pump.status()["log"]["max_bytes"], 32 << 20);
    pump.wait_until(PATIENCE, "in the news", |status| {
        count(status, "news", "accepted") == 4 && count(status, "news", "pending") == 0
    });
    pump.stop();
    let news = std::fs::read_dir(folder.path().join("news")).expect("the folder is there").next();
    let news =
        std::fs::read_to_string(news.expect("there is a file").expect("readable").path()).expect("text");
    let told: Vec<Value> = news.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<_> =
        told.iter().map(|event| (event["event"].as_str(), event["success"].as_bool())).collect();
    let reload = |is_good| (Some("reload"), Some(is_good));
    assert_eq!(events, [(Some("start"), None), reload(false), reload(false), reload(true)]);
    assert_eq!(repeats(&folder.path().join("out"), 1_000), 0);
}

/// A mounted ConfigMap: files are links through `..data`, which is replaced as a whole.
#[test]
fn a_folder_whose_links_are_swapped_is_seen() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let conf = folder.path().join("conf");
    for (version, out) in [("..v1", "first"), ("..v2", "second")] {
        std::fs::create_dir_all(conf.join(version)).expect("made");
        let sinks = format!(
            "sinks: {{ {out}: {{ type: file, path: {out}/records.ndjson, kinds: [transaction] }} }}\n"
        );
        std::fs::write(conf.join(version).join("sinks.yaml"), sinks).expect("written");
    }
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(from, conf.join(to)).expect("linked");
    link("..v1", "..data");
    link("..data/sinks.yaml", "sinks.yaml");
    let sources = format!("sources: {{ gateway: {{ type: redis_list, url: \"{}\" }} }}\n", redis.url());
    let mut pump = PumpProcess::start(folder.path(), "only", &sources, &["-c", "conf"]);
    pump.wait_until(PATIENCE, "ready", |status| lane(status, "first").is_some());
    link("..v2", "..next");
    std::fs::rename(conf.join("..next"), conf.join("..data")).expect("renamed");
    pump.wait_until(PATIENCE, "seen", |status| lane(status, "second").is_some());
    assert_eq!(lane(&pump.status(), "first").expect("its books stay")["removed"], true);
    push(&redis.url(), 0, 1_000, SIZE);
    pump.wait_until(PATIENCE, "delivered", |status| count(status, "second", "delivered") == 1_000);
    pump.stop();
    assert_eq!(repeats(&folder.path().join("second"), 1_000), 0);
}
