//! A gateway's records through a real Redis into a real S3 store, read back by another client: whatever is killed
//! or fails on the way, with credentials that may write and nothing else.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pump_core::record::Codec;
use pump_testing::{Fault, FaultyProxy, RedisServer, S3Server, WRITER, WRITER_SECRET};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::PumpProcess;
use crate::real_gateway::{entries, push};
use crate::redis_list::assert_balanced;

const BUCKET: &str = "archive";
/// What the documents say that credentials need.
const RIGHTS: [&str; 2] = ["s3:PutObject", "s3:AbortMultipartUpload"];
/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// A record of so many bytes, so that a few hundred make a part.
const LARGE: usize = 20_000;
/// Pushed between two kills: more than an object holds.
const PER_ROUND: u64 = 1_000;

struct Scene {
    redis: RedisServer,
    store: S3Server,
    folder: TempDir,
    /// The section of the pipeline file.
    log: &'static str,
}

impl Scene {
    fn new(log: &'static str) -> Self {
        let (redis, store) = (RedisServer::start(), S3Server::start());
        store.create_bucket(BUCKET, "tyk/", &RIGHTS);
        Self { redis, store, folder: TempDir::new().expect("a folder"), log }
    }

    /// From the gateway's lists to a store at this address.
    fn pipeline(&self, endpoint: &str, keys: &str) -> String {
        format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: {}\n    lease: 2s\n{}\
             sinks:\n  archive:\n    type: s3\n    bucket: {BUCKET}\n    prefix: tyk/%Y/%m/%d/\n    \
             endpoint: {endpoint}\n    path_style: true\n    access_key_id: {WRITER}\n    \
             secret_access_key: {WRITER_SECRET}\n    kinds: [transaction]\n    \
             retry: {{ initial: 50ms, max: 300ms }}\n    {keys}\ndead_letters: {{ path: letters }}\n",
            self.redis.url(),
            self.log
        )
    }

    fn start(&self, endpoint: &str, keys: &str) -> PumpProcess {
        PumpProcess::start(self.folder.path(), "only", &self.pipeline(endpoint, keys), &[])
    }

    fn drain(&self, endpoint: &str, keys: &str) {
        let pipeline = self.pipeline(endpoint, keys);
        let mut pump = PumpProcess::start(self.folder.path(), "drain", &pipeline, &["--drain"]);
        assert!(pump.wait(LIMIT).success(), "the drain failed: {}", self.said("drain"));
        assert_eq!(self.redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    }

    /// Runs `pump check --connect` in this environment; whether all is right, and what was said.
    fn check(&self, pipeline: &str, environment: &[(&str, &str)]) -> (bool, String) {
        let file = self.folder.path().join("check.yaml");
        std::fs::write(&file, pipeline).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_pump"))
            .args(["check", "--connect", "-c"])
            .arg(&file)
            .current_dir(self.folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), said.concat())
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("pump-{name}.log"))).unwrap_or_default()
    }

    fn push(&self, from: u64, to: u64) {
        crate::gateway::push(&self.redis.url(), from, to, LARGE);
    }

    /// All numbers below `count` are there; gives how many are there more than once.
    fn repeats(&self, count: u64) -> usize {
        let seen: BTreeMap<u64, u64> =
            serde_json::from_value(self.store.client(&["numbers", BUCKET])).expect("counts");
        let missing: Vec<_> = (0..count).filter(|number| !seen.contains_key(number)).take(10).collect();
        assert!(missing.is_empty(), "{} of {count} are there, without {missing:?}", seen.len());
        assert_eq!(seen.len() as u64, count, "there are records that nobody pushed");
        seen.values().filter(|times| **times > 1).count()
    }
}

#[test]
fn a_real_gateways_records_are_in_the_bucket_once_each_as_they_were() {
    let scene = Scene::new("");
    let sound = entries("transactions.msgpack.lp");
    push(&scene.redis, "analytics-tyk-system-analytics", &sound);
    // Credentials that may only write are enough for every command.
    let (is_right, said) = scene.check(&scene.pipeline(&scene.store.url(), ""), &[]);
    assert!(is_right, "{said}");
    assert!(said.contains("sink archive: a batch ends with 16MiB of records"), "{said}");

    scene.drain(&scene.store.url(), "");
    let found = scene.store.client(&["records", BUCKET]);
    let mut actual: Vec<_> =
        found.as_array().expect("a list").iter().map(|pair| pair[1].to_string()).collect();
    let expected = crate::search::records(Codec::Msgpack, &sound);
    // Equal records are one in what is expected, and each is written as often as the gateway did.
    assert_eq!(actual.len(), sound.len());
    actual.sort();
    actual.dedup();
    let mut expected: Vec<_> = expected.values().map(Value::to_string).collect();
    expected.sort();
    assert_eq!(actual, expected);
    for pair in found.as_array().expect("a list") {
        // Of `2026-11-24T12:34:56Z` the day.
        let day = pair[1]["timestamp"].as_str().expect("a time")[..10].replace('-', "/");
        let key = pair[0].as_str().expect("a key");
        assert!(key.starts_with(&format!("tyk/{day}/")) && key.ends_with(".ndjson.zst"), "{key} of {day}");
    }
    assert!(!scene.said("drain").contains(WRITER_SECRET));
}

#[test]
fn credentials_may_come_from_the_environment_and_are_missed_where_there_are_none() {
    let scene = Scene::new("");
    let whole = scene.pipeline(&scene.store.url(), "");
    let is_of_the_key = |line: &&str| line.contains("access_key");
    let lines: Vec<_> = whole.lines().filter(|line| !is_of_the_key(line)).collect();
    let pipeline = lines.join("\n") + "\n";
    let home = scene.folder.path().to_str().expect("text");
    // Nobody is asked over the network.
    let nowhere = [("HOME", home), ("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_PROFILE", "default")];
    let (is_right, said) = scene.check(&pipeline, &nowhere);
    assert!(!is_right && said.contains("there are no credentials: give `access_key_id`"), "{said}");
    let keys = [("AWS_ACCESS_KEY_ID", WRITER), ("AWS_SECRET_ACCESS_KEY", WRITER_SECRET)];
    let (is_right, said) = scene.check(&pipeline, &[&nowhere[..], &keys].concat());
    assert!(is_right, "{said}");
    let wrong = [("AWS_ACCESS_KEY_ID", WRITER), ("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")];
    let (is_right, said) = scene.check(&pipeline, &[&nowhere[..], &wrong].concat());
    assert!(
        !is_right && said.contains("the credentials are refused") && !said.contains("a-wrong-secret"),
        "{said}"
    );
}

/// Each column has the type and each row the values that the record has in JSON.
#[test]
fn columns_have_their_types_and_rows_what_the_gateway_recorded() {
    let scene = Scene::new("");
    // Odd ones, too: no time, no UTF-8, payloads of megabytes.
    let sound = [entries("transactions.msgpack.lp"), crate::search::fixtures()].concat();
    push(&scene.redis, "analytics-tyk-system-analytics", &sound);
    scene.drain(&scene.store.url(), "encoding: parquet");
    let objects = scene.store.client(&["columns", BUCKET]);
    let expected = crate::search::records(Codec::Msgpack, &sound);
    let mut rows = BTreeMap::new();
    let mut count = 0;
    for object in objects.as_array().expect("a list") {
        assert!(object["key"].as_str().is_some_and(|key| key.ends_with(".parquet")), "{}", object["key"]);
        assert_eq!(object["compressions"], serde_json::json!(["ZSTD"]));
        for (name, kind) in [
            ("id", "string"),
            ("path", "string"),
            ("response_code", "int64"),
            ("timestamp", "timestamp[us, tz=UTC]"),
            ("expireAt", "timestamp[us, tz=UTC]"),
            ("geo_latitude", "double"),
            ("track_path", "bool"),
            ("latency_total", "int64"),
            ("tags", "list<element: string not null>"),
            ("graphql_types", "string"),
        ] {
            assert_eq!(object["types"][name], kind, "{name}");
        }
        let groups = object["groups"].as_array().expect("a list").iter();
        let in_groups: u64 = groups.map(|rows| rows.as_u64().expect("a count")).sum();
        let own = object["rows"].as_array().expect("a list");
        assert_eq!(in_groups, own.len() as u64);
        count += own.len();
        rows.extend(own.iter().map(|row| (row["id"].as_str().expect("an id").to_owned(), row)));
    }
    assert_eq!(count, sound.len());
    assert!(rows.keys().eq(expected.keys()));
    for (id, record) in &expected {
        let row = rows[id];
        let same = [
            "method",
            "path",
            "raw_path",
            "response_code",
            "request_time",
            "content_length",
            "api_id",
            "tags",
        ];
        let more =
            ["api_key", "user_agent", "ip_address", "raw_request", "raw_response", "alias", "track_path"];
        for name in same.iter().chain(&more) {
            assert_eq!(row[name], record[name], "{name} of {id}");
        }
        for (column, pointer) in [
            ("latency_total", "/latency/total"),
            ("latency_upstream", "/latency/upstream"),
            ("network_bytes_in", "/network/bytes_in"),
            ("geo_country", "/geo/country/iso_code"),
            ("geo_latitude", "/geo/location/latitude"),
            ("mcp_jsonrpc_method", "/mcp_stats/jsonrpc_method"),
        ] {
            let value = record.pointer(pointer);
            assert!(value.is_some(), "{pointer} of {record}");
            let is_equal = match (row[column].as_f64(), value.and_then(Value::as_f64)) {
                (Some(own), Some(other)) => own == other,
                _ => Some(&row[column]) == value,
            };
            assert!(is_equal, "{column} of {id}: {} is not {value:?}", row[column]);
        }
        // To the microsecond; the time that stands for none, and one after the year 9999, is null.
        let time = record["timestamp"].as_str().filter(|time| !time.starts_with("0001-01-01T00:00:00Z"));
        match (time, row["timestamp"].as_str()) {
            (Some(expected), Some(found)) => assert_eq!(&found[..19], &expected[..19], "{id}"),
            (None, None) => {}
            other => panic!("{other:?} of {id}"),
        }
    }
}

#[test]
fn kills_in_the_middle_of_an_upload_lose_nothing() {
    let scene = Scene::new("");
    kill_in_the_middle_of_uploads(&scene);
}

#[test]
fn kills_in_the_middle_of_an_upload_leave_nothing_twice_with_a_log_on_disk() {
    // The folder of the test may be in memory.
    let scene = Scene::new("log: { type: disk, path: log, ephemeral: true, max_size: 256MiB }\n");
    let repeats = kill_in_the_middle_of_uploads(&scene);
    assert_eq!(repeats, 0, "there more than once");
}

/// How often is `PUMP_TEST_S3_KILLS` (3 without it). Gives how many records are there more than once.
fn kill_in_the_middle_of_uploads(scene: &Scene) -> usize {
    let kills: u64 = std::env::var("PUMP_TEST_S3_KILLS").map_or(3, |kills| kills.parse().expect("a number"));
    let keys = "compression: none\n    batch: { max_age: 1s }";
    let mut hits = 0;
    for kill in 0..kills {
        // What the kill before has left does not count.
        let left = scene.store.uploads(BUCKET);
        scene.push(kill * PER_ROUND, (kill + 1) * PER_ROUND);
        let mut pump = scene.start(&scene.store.url(), keys);
        let end = Instant::now() + LIMIT;
        while scene.store.uploads(BUCKET) <= left {
            assert!(Instant::now() < end, "no upload begins: {}", scene.said("only"));
        }
        // Sometimes before the first part is there, sometimes while the last is sent.
        std::thread::sleep(Duration::from_millis(20 * (kill % 5)));
        pump.kill();
        hits += u64::from(scene.store.uploads(BUCKET) > left);
    }
    assert!(hits > 0, "no kill was in the middle of an upload");
    scene.drain(&scene.store.url(), keys);
    scene.repeats(kills * PER_ROUND)
}

#[test]
fn whatever_fails_on_the_way_every_record_is_there_once() {
    let scene = Scene::new("");
    let proxy = FaultyProxy::start(scene.store.address());
    let keys = "compression: none\n    timeout: 2s\n    batch: { max_age: 300ms }";
    let mut pump = scene.start(&proxy.url(), keys);
    let faults = [
        Fault::Down,
        Fault::Reset,
        Fault::Truncated,
        Fault::Silent,
        Fault::Slow(Duration::from_millis(300)),
        Fault::Refused(503, 0),
    ];
    let mut count = 0;
    for fault in faults {
        proxy.set(Some(fault));
        scene.push(count, count + PER_ROUND);
        count += PER_ROUND;
        std::thread::sleep(Duration::from_secs(3));
        proxy.set(None);
    }
    pump.wait_until(LIMIT, "everything is delivered", |status| {
        let records = &status["lanes"][0]["records"];
        records["accepted"] == count && records["pending"] == 0
    });
    assert_balanced(&pump.status());
    // The log, and for each of two deliveries a part on its way, one that grows, and a slice.
    let peak = pump.memory_kib("VmHWM") >> 10;
    assert!(peak <= 40 + 32 + 2 * (8 + 8 + 2 * 8), "{peak} MiB at the most");
    pump.stop();
    assert_eq!(scene.repeats(count), 0);
}
