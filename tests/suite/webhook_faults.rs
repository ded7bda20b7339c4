//! Records of a gateway to a receiver of webhooks by the real binary, with what goes wrong on the way: none missing,
//! and what comes again is known by its id.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::Duration;

use pump_testing::{Fault, FaultyProxy, RedisServer, WebhookReceiver};
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::push;
use crate::process::PumpProcess;
use crate::redis_list::assert_balanced;

const SMALL: usize = 600;
const MINUTE: Duration = Duration::from_secs(60);

/// Redis to the place `records` of a receiver at this address.
fn pipeline(redis: &RedisServer, url: &str, keys: &str) -> String {
    format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\n    lease: 2s\n\
         sinks:\n  hook:\n    type: webhook\n    url: {url}/records\n    allow_plain_http: true\n    compression: gzip\n    \
         auth: {{ bearer: {} }}\n    signature: {{ secret: {} }}\n    retry: {{ initial: 50ms, max: 500ms }}\n    {keys}\n\
         shutdown_timeout: 5s\n",
        redis.url(),
        WebhookReceiver::TOKEN,
        WebhookReceiver::SECRET,
    )
}

/// In arrays, or a request for each record.
const ARRAYS: &str = "record: '{\"id\":\"{id}\",\"record\":\"{record}\"}'";
const SINGLES: &str =
    "encoding: single\n    body: '{\"id\":\"{id}\",\"record\":\"{record}\"}'\n    max_in_flight: 4";

fn ids(entries: &[Value]) -> BTreeSet<&str> {
    entries.iter().map(|entry| entry["id"].as_str().expect("an id")).collect()
}

/// Every record is stored once, and what came again is among them under its id.
fn hold(receiver: &WebhookReceiver, count: u64) -> usize {
    let (stored, repeats) = (receiver.stored("records"), receiver.repeats("records"));
    let numbers: BTreeSet<u64> = stored
        .iter()
        .map(|entry| {
            let label = entry["record"]["alias"].as_str().and_then(|alias| alias.strip_prefix('n'));
            let number = label.and_then(|label| label.split('-').next()?.parse().ok());
            number.unwrap_or_else(|| panic!("{entry} has no number"))
        })
        .collect();
    assert!(numbers.iter().copied().eq(0..count), "{} of {count} are there", numbers.len());
    let ids = ids(&stored);
    assert_eq!((stored.len() as u64, ids.len() as u64), (count, count), "each is there once");
    for repeat in &repeats {
        let (id, record) = (repeat["id"].as_str().expect("an id"), &repeat["record"]);
        assert!(ids.contains(id));
        let first = stored.iter().find(|entry| entry["id"] == id).expect("it is there");
        assert_eq!(&first["record"], record, "what comes again is what it was");
    }
    repeats.len()
}

fn start(folder: &Path, name: &str, pipeline: &str) -> PumpProcess {
    PumpProcess::start(folder, name, pipeline, &[])
}

fn delivered(status: &Value) -> u64 {
    status["lanes"][0]["records"]["delivered"].as_u64().unwrap_or_default()
}

#[test]
fn a_receiver_that_is_killed_and_started_again_misses_nothing_and_knows_what_it_has() {
    const COUNT: u64 = 20_000;
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    // One in seven answers never comes: what was stored then comes again.
    let mut receiver = WebhookReceiver::losing(7);
    receiver.make("records");
    push(&redis.url(), 0, COUNT, SMALL);
    let url = format!("http://{}", receiver.address());
    let keys = format!("{ARRAYS}\n    batch: {{ max_records: 250 }}\n    rate_limit: 8000/s");
    let mut pump = start(folder.path(), "first", &pipeline(&redis, &url, &keys));
    for turn in 1..4 {
        pump.wait_until(MINUTE, "some more are delivered", |status| delivered(status) >= turn * 3_000);
        receiver.stop();
        thread::sleep(Duration::from_millis(500));
        receiver.start_again();
    }
    // The pump is killed, too: what its log held comes again from Redis.
    pump.kill();
    let mut pump = start(folder.path(), "second", &pipeline(&redis, &url, &keys));
    let limit = std::time::Instant::now() + MINUTE;
    while receiver.stored("records").len() < COUNT as usize {
        assert!(std::time::Instant::now() < limit, "it does not end: {}", pump.get("/status").1);
        thread::sleep(Duration::from_millis(200));
    }
    pump.wait_until(MINUTE, "nothing is left", |status| {
        status["lanes"][0]["records"]["pending"] == 0 && status["sources"][0]["records"]["backlog"] == 0
    });
    assert_balanced(&pump.status());
    pump.stop();
    let repeats = hold(&receiver, COUNT);
    assert!(repeats > 0, "answers were lost");
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

fn whatever_fails(keys: &str, count: u64) {
    let (redis, folder, receiver) =
        (RedisServer::start(), TempDir::new().expect("a folder"), WebhookReceiver::start());
    receiver.make("records");
    let proxy = FaultyProxy::start(receiver.address());
    let keys = format!("{keys}\n    timeout: 1s");
    let mut pump = start(folder.path(), "faults", &pipeline(&redis, &proxy.url(), &keys));
    let faults = [
        Fault::Down,
        Fault::Reset,
        Fault::Silent,
        Fault::Slow(Duration::from_millis(1_500)),
        Fault::Truncated,
        Fault::Refused(503, 1),
        Fault::Refused(429, 0),
        Fault::Refused(307, 0),
        Fault::Refused(401, 0),
    ];
    let turns = faults.len() as u64 + 1;
    for (turn, fault) in (0..).zip(faults) {
        proxy.set(Some(fault));
        push(&redis.url(), turn * count / turns, (turn + 1) * count / turns, SMALL);
        let limit = std::time::Instant::now() + MINUTE;
        while fault != Fault::Down && proxy.met() < 2 {
            assert!(std::time::Instant::now() < limit, "{fault:?} is not met: {}", pump.get("/status").1);
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(300));
        proxy.set(None);
    }
    push(&redis.url(), (turns - 1) * count / turns, count, SMALL);
    pump.wait_until(MINUTE * 2, "everything is delivered", |status| {
        let records = &status["lanes"][0]["records"];
        records["delivered"] == count && records["pending"] == 0
    });
    assert_eq!(pump.status()["lanes"][0]["records"]["dead_lettered"], 0);
    assert_balanced(&pump.status());
    pump.stop();
    hold(&receiver, count);
}

#[test]
fn whatever_fails_on_the_way_of_arrays_every_record_is_there_once() {
    whatever_fails(ARRAYS, 5_000);
}

#[test]
fn whatever_fails_on_the_way_of_single_records_every_record_is_there_once() {
    whatever_fails(SINGLES, 1_000);
}

/// With the log on disk a batch comes again as it was, under its key: a receiver may go by that alone.
#[test]
fn with_the_log_on_disk_a_crash_repeats_whole_requests() {
    const COUNT: u64 = 4_000;
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let (keys, bodies) = (std::sync::Arc::<std::sync::Mutex<Vec<(String, Vec<u8>)>>>::default(), "");
    let seen = keys.clone();
    let server = pump_testing::HttpServer::start(move |request| {
        if request.method != "HEAD" {
            let key = request.header("idempotency-key").expect("it has one").to_owned();
            seen.lock().expect("nothing panics with it").push((key, request.body.clone()));
            thread::sleep(Duration::from_millis(20));
        }
        pump_testing::HttpReaction::reply(200, bodies)
    });
    push(&redis.url(), 0, COUNT, SMALL);
    let text = pipeline(&redis, &server.url(), "batch: { max_records: 100 }")
        + "log: { type: disk, path: log, ephemeral: true }\n";
    let count = || keys.lock().expect("nothing panics with it").len() as u64;
    for turn in 1..4 {
        let mut pump = start(folder.path(), &format!("run-{turn}"), &text);
        let limit = std::time::Instant::now() + MINUTE;
        while count() < turn * 10 {
            assert!(std::time::Instant::now() < limit, "it does not begin: {}", pump.get("/status").1);
            thread::sleep(Duration::from_millis(1));
        }
        pump.kill();
    }
    let mut pump = start(folder.path(), "last", &text);
    pump.wait_until(MINUTE, "nothing is left", |status| {
        status["lanes"][0]["records"]["pending"] == 0 && status["sources"][0]["records"]["backlog"] == 0
    });
    pump.stop();
    let requests = keys.lock().expect("nothing panics with it").clone();
    let mut by_key = std::collections::BTreeMap::new();
    for (key, body) in requests {
        assert_eq!(by_key.entry(key).or_insert_with(|| body.clone()), &body, "one key, one body");
    }
    let mut records = 0;
    let mut bodies: Vec<Vec<u8>> = by_key.into_values().collect();
    for body in &mut bodies {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).expect("gzip");
        records += serde_json::from_str::<Vec<Value>>(&text).expect("an array").len() as u64;
    }
    assert_eq!(records, COUNT, "by the keys alone each record is there once");
}
