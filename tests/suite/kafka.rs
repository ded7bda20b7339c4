//! Records of a gateway into Kafka by the real binary, while the broker stops and starts: none missing, and what is
//! there more than once has the same id each time.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::Duration;

use pump_testing::{KafkaOptions, KafkaServer, RedisServer};
use tempfile::TempDir;

use crate::gateway::push;
use crate::process::PumpProcess;
use crate::redis_list::assert_balanced;

const TOPIC: &str = "records";
const ROUNDS: u64 = 4;
const LIMIT: Duration = Duration::from_secs(300);

/// The key tells one record from another: a body is too much to look at so often.
fn pipeline(redis: &RedisServer, kafka: &KafkaServer) -> String {
    format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\n\
         sinks:\n  stream:\n    type: kafka\n    brokers: [\"{}\"]\n    topic: {TOPIC}\n    format: tyk\n    key: alias\n    \
         timeout: 4s\n    retry: {{ initial: 50ms, max: 500ms }}\n",
        redis.url(),
        kafka.address(),
    )
}

/// How many messages are there more than once, once each record below `count` is there under one id of its own.
fn repeats(lines: &str, count: u64) -> u64 {
    let (mut ids, mut repeats) = (BTreeMap::new(), 0);
    for line in lines.lines() {
        let (key, headers) = line.split_once(' ').expect("a key and headers");
        let number: u64 = key
            .strip_prefix('n')
            .and_then(|key| key.split('-').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{line}"));
        let id = headers.split(',').find_map(|header| header.strip_prefix("pump-id="));
        let id = id.unwrap_or_else(|| panic!("no id: {line}"));
        match ids.insert(number, id) {
            None => {}
            Some(before) if before == id => repeats += 1,
            Some(before) => panic!("record {number} is there as {before} and as {id}"),
        }
    }
    assert!(ids.keys().copied().eq(0..count), "{} of {count} are there", ids.len());
    assert_eq!(ids.values().collect::<BTreeSet<_>>().len() as u64, count, "each has an id of its own");
    repeats
}

#[test]
fn a_broker_that_stops_and_starts_misses_nothing_and_repeats_have_the_same_id() {
    let count: u64 =
        std::env::var("PUMP_TEST_KAFKA_RECORDS").map_or(200_000, |count| count.parse().expect("a number"));
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let mut kafka = KafkaServer::start(&KafkaOptions { makes_topics: true, ..KafkaOptions::default() });
    let mut pump = PumpProcess::start(folder.path(), "stream", &pipeline(&redis, &kafka), &[]);
    let delivered =
        |status: &serde_json::Value| status["lanes"][0]["records"]["delivered"].as_u64().unwrap_or_default();
    for round in 0..ROUNDS {
        let (first, next) = (round * count / ROUNDS, (round + 1) * count / ROUNDS);
        let before = delivered(&pump.status());
        thread::scope(|scope| {
            let url = redis.url();
            scope.spawn(move || push(&url, first, next, 0));
            pump.wait_until(LIMIT, "some are delivered", |status| delivered(status) > before);
            kafka.stop();
            // Attempts meet their end before there is a broker again.
            thread::sleep(Duration::from_secs(2));
            kafka.start_again();
        });
    }
    pump.wait_until(LIMIT, "everything is delivered", |status| {
        let records = &status["lanes"][0]["records"];
        delivered(status) == count && records["pending"] == 0
    });
    assert_balanced(&pump.status());
    pump.stop();
    let repeats = repeats(&kafka.read_keys(TOPIC), count);
    println!("{count} records, of which {repeats} are there again");
    assert!(repeats < count / 2, "{repeats} of {count} are there again");
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

/// Wire bytes cannot be edited: what is to be hidden is never shown instead.
#[test]
fn wire_bytes_with_omit_or_redact_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("wire.yaml");
    for (key, value) in
        [("omit", "[raw_request]"), ("redact", "{ fields: { api_key: remove } }"), ("add", "{ a: b }")]
    {
        let text = format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: redis://127.0.0.1:6379/0\n\
             sinks:\n  stream:\n    type: kafka\n    brokers: [\"127.0.0.1:9092\"]\n    topic: {TOPIC}\n    \
             encoding: wire\n    {key}: {value}\n"
        );
        std::fs::write(&file, text).expect("written");
        let mut check = Command::new(env!("CARGO_BIN_EXE_pump"));
        let output = check.args(["check", "-c"]).arg(&file).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("sinks.stream.{key}")), "{said}");
    }
}
