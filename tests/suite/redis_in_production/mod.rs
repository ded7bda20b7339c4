//! Redis as people run it: every kind of installation drained by the real binary, with nothing lost.

mod cluster;
mod permissions;
mod pumps;
mod sentinel;
mod tls;

use std::path::Path;
use std::time::Duration;

use pump_core::config::load_text;
use pump_testing::{Program, RedisOptions, RedisServer};
use tempfile::TempDir;

use crate::gateway::{push, push_over, repeats};
use crate::process::PumpProcess;

/// The document.
const PAGE: &str = include_str!("../../../docs/sources/redis_list.md");
/// A record as small as those of most gateways, in bytes.
const SMALL: usize = 1_100;
/// More than the memory log can hold of them: what a crash may repeat.
const LOG_RECORDS: u64 = (32 << 20) / SMALL as u64;

/// A Redis into ndjson files in `out`, with a short lease. `redis` is the keys that say where it is, one
/// a line.
fn pipeline(redis: &str) -> String {
    let redis: String = redis.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "sources:\n  gateway:\n    type: redis_list\n    lease: 2s\n{redis}\
         sinks:\n  files:\n    type: file\n    path: out/records.ndjson\n    kinds: [transaction]\n\
         shutdown_timeout: 10s\n"
    )
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

/// A pump that drains what there is and ends.
fn drain(folder: &Path, redis: &str) {
    let mut pump = PumpProcess::start(folder, "drain", &pipeline(redis), &["--drain"]);
    let status = pump.wait(Duration::from_secs(60));
    let log = || std::fs::read_to_string(folder.join("pump-drain.log")).unwrap_or_default();
    assert!(status.success(), "the drain ended with {status}: {}", log());
}

/// Waits until that many records are delivered and none wait.
fn wait_for(pump: &PumpProcess, records: u64) {
    pump.wait_until(Duration::from_secs(60), "all delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() >= Some(records)
            && status["sources"][0]["records"]["backlog"] == 0
    });
}

/// What the running pump says is wrong with its source.
fn wait_for_trouble(pump: &PumpProcess, words: &[&str]) {
    let mut last = String::new();
    for _ in 0..1_500 {
        let (code, reasons) = pump.get("/readyz");
        if code == 503 && words.iter().all(|word| reasons.contains(word)) {
            return;
        }
        last = reasons;
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no trouble with {words:?}: {last}");
}

/// Each snippet on the page says where a Redis is, and stands in a pipeline as it is there.
#[test]
fn the_snippets_of_the_page_are_right() {
    let section = PAGE.split("## Where Redis is").nth(1).expect("the page has the section");
    let snippets: Vec<_> =
        section.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).collect();
    assert!(snippets.len() >= 5, "there are only {}", snippets.len());
    let registry = pump::builtin();
    let secret = |_: &str| Some("hunter2".to_owned());
    for (snippet, _) in snippets {
        let keys: String = snippet.lines().map(|line| format!("{}\n", &line[4..])).collect();
        // The files of secrets are not there.
        let text = pipeline(&keys.replace("${file:/run/secrets/", "${").replace("redis}", "REDIS}"));
        let loaded = load_text("snippet", &text, &secret, registry.catalog());
        let pipeline = loaded.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let source = &pipeline.sources[0];
        let plan = registry.plan_source(&source.type_name).expect("it was loaded")(&source.plugin);
        assert!(plan.is_ok(), "{:?}\n{text}", plan.err());
    }
}

#[test]
fn a_unix_socket_is_drained() {
    let redis = RedisServer::with(RedisOptions { has_socket: true, ..RedisOptions::default() });
    let folder = folder();
    push(&redis.url(), 0, 5_000, SMALL);
    drain(folder.path(), &format!("url: unix://{}", redis.socket().display()));
    assert_eq!(repeats(&folder.path().join("out"), 5_000), 0);
    assert_eq!(redis.keys(), Vec::<String>::new());
}

#[test]
fn valkey_is_drained() {
    let redis = RedisServer::with(RedisOptions { program: Program::Valkey, ..RedisOptions::default() });
    let folder = folder();
    push(&redis.url(), 0, 20_000, SMALL);
    let pump = PumpProcess::start(folder.path(), "valkey", &pipeline(&format!("url: {}", redis.url())), &[]);
    wait_for(&pump, 20_000);
    assert_eq!(repeats(&folder.path().join("out"), 20_000), 0);
    assert_eq!(redis.keys(), Vec::<String>::new());
}

#[test]
fn a_database_and_a_password_may_stand_beside_the_address() {
    let redis = RedisServer::with(RedisOptions { password: "hunter2", ..RedisOptions::default() });
    let folder = folder();
    let mut connection = redis.connection();
    redis::cmd("SELECT").arg(3).exec(&mut connection).expect("there are sixteen");
    push_over(&mut connection, 0, 2_000, SMALL);
    drain(folder.path(), &format!("nodes: [\"{}\"]\npassword: hunter2\ndatabase: 3", redis.address()));
    assert_eq!(repeats(&folder.path().join("out"), 2_000), 0);
}

#[test]
fn a_redis_that_loads_its_data_is_waited_for() {
    let (mut redis, folder) = (RedisServer::durable(), folder());
    push(&redis.url(), 0, 20_000, SMALL);
    let pump = PumpProcess::start(folder.path(), "only", &pipeline(&format!("url: {}", redis.url())), &[]);
    pump.wait_until(Duration::from_secs(30), "some delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() > Some(0)
    });
    // It says LOADING for some seconds.
    redis.restart_slowly(100);
    wait_for(&pump, 20_000);
    assert!(repeats(&folder.path().join("out"), 20_000) <= LOG_RECORDS);
}
