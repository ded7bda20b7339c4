//! A real gateway's records through a real Redis into files: every record once, every field equal.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pump_core::encode::{Additions, CSV_HEADER, CsvEncoder, Encoder, FullEncoder};
use pump_core::record::{Chunk, ChunkHead, Codec, Kind, Partition, Timestamp};
use pump_testing::{RedisOptions, RedisServer};
use tempfile::TempDir;

use crate::process::PumpProcess;

/// Entries of a file in which each is preceded by its length, u32 big endian.
pub(crate) fn entries(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/real").join(name);
    let bytes = std::fs::read(path).expect("the fixture is there");
    let (mut rest, mut entries) = (&bytes[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let (entry, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry.to_vec());
        rest = after;
    }
    entries
}

/// What each record is in an encoding, counted. The encodings themselves are held to golden files and to
/// other people's decoders in `pump-core`.
fn encoded(encoder: &dyn Encoder, kind: Kind, codec: Codec, entries: &[Vec<u8>]) -> BTreeMap<Vec<u8>, u32> {
    let mut lines = BTreeMap::new();
    for entry in entries {
        let partition = Partition::new("0");
        let head = ChunkHead { source: "s".into(), partition, kind, codec, received: Timestamp::EPOCH };
        let chunk = Chunk::parse(head, entry.clone().into(), 0..1, [(0, 0..entry.len())]).chunk;
        let mut line = Vec::new();
        let record = chunk.record(0);
        encoder.encode(record, &record.view(), &Additions::default(), &mut line);
        // A cell of csv may hold a newline: rows are compared by the lines they give.
        for line in line.split(|byte| *byte == b'\n') {
            *lines.entry(line.to_vec()).or_default() += 1;
        }
    }
    lines
}

pub(crate) fn push(redis: &RedisServer, key: &str, entries: &[Vec<u8>]) {
    let mut connection = redis.connection();
    for entries in entries.chunks(100) {
        redis::cmd("RPUSH").arg(key).arg(entries).exec(&mut connection).expect("redis takes them");
    }
}

/// The lines of a folder's files whose names begin so, counted.
fn lines(folder: &Path, prefix: &str) -> BTreeMap<Vec<u8>, u32> {
    let mut lines = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            assert!(!name.ends_with(".part"), "{name} is not whole");
            let bytes = std::fs::read(&path).expect("it can be read");
            let whole = bytes.strip_suffix(b"\n").expect("it ends with a whole line");
            for line in whole.split(|byte| *byte == b'\n') {
                *lines.entry(line.to_vec()).or_default() += 1;
            }
        }
    }
    lines
}

#[test]
fn every_record_of_a_real_gateway_arrives_once_with_every_field() {
    let redis = RedisServer::with(RedisOptions { password: "hunter2", ..RedisOptions::default() });
    let folder = TempDir::new().expect("a folder");
    let (msgpack, protobuf) = (entries("transactions.msgpack.lp"), entries("transactions.protobuf.lp"));
    let uptime = entries("uptime.msgpack.lp");
    assert_eq!((msgpack.len(), protobuf.len(), uptime.len()), (2_000, 77, 15));
    push(&redis, "analytics-tyk-system-analytics", &msgpack[..700]);
    push(&redis, "analytics-tyk-system-analytics_7", &msgpack[700..]);
    push(&redis, "analytics-tyk-system-analytics_3_protobuf", &protobuf);
    push(&redis, "host-checker:tyk-uptime-analytics", &uptime);
    // The password stands beside the address, as it would with a secret from a file.
    let url = redis.url().replace(":hunter2@", "");
    let pipeline = format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {url}\n    password: hunter2\n\
         sinks:\n  json:\n    type: file\n    path: out/{{kind}}.ndjson\n  \
         table:\n    type: file\n    path: out/table.csv\n    encoding: csv\n"
    );
    let mut pump = PumpProcess::start(folder.path(), "only", &pipeline, &["--drain"]);
    assert!(pump.wait(Duration::from_secs(60)).success());
    let out = folder.path().join("out");

    let mut json = encoded(&FullEncoder, Kind::Transaction, Codec::Msgpack, &msgpack);
    json.extend(encoded(&FullEncoder, Kind::Transaction, Codec::Protobuf, &protobuf));
    assert!(lines(&out, "transaction") == json, "the transactions in JSON are not those of the gateway");
    let expected = encoded(&FullEncoder, Kind::Uptime, Codec::Msgpack, &uptime);
    assert_eq!(lines(&out, "uptime"), expected);
    let mut csv = encoded(&CsvEncoder, Kind::Transaction, Codec::Msgpack, &msgpack);
    csv.extend(encoded(&CsvEncoder, Kind::Transaction, Codec::Protobuf, &protobuf));
    csv.insert(CSV_HEADER.trim_ascii_end().to_vec(), 1);
    assert!(lines(&out, "table") == csv, "the rows are not those of the gateway");
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    let log = std::fs::read_to_string(folder.path().join("pump-only.log")).expect("text");
    assert!(!log.contains("hunter2"), "the password is in the log: {log}");
}

#[test]
fn what_no_sink_takes_stays_in_redis() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    push(&redis, "analytics-tyk-system-analytics", &entries("transactions.msgpack.lp")[..10]);
    push(&redis, "host-checker:tyk-uptime-analytics", &entries("uptime.msgpack.lp"));
    let pipeline = format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\n\
         sinks:\n  table:\n    type: file\n    path: out/table.csv\n    encoding: csv\n",
        redis.url()
    );
    let mut pump = PumpProcess::start(folder.path(), "only", &pipeline, &["--drain"]);
    assert!(pump.wait(Duration::from_secs(60)).success());
    assert_eq!(redis.keys(), ["host-checker:tyk-uptime-analytics"]);
}

#[test]
fn what_cannot_be_decoded_is_among_the_dead_letters_in_a_directory_or_in_redis() {
    let sound = entries("transactions.msgpack.lp");
    for in_redis in [false, true] {
        let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
        push(&redis, "analytics-tyk-system-analytics", &sound[..50]);
        push(&redis, "analytics-tyk-system-analytics", &[b"rubbish".to_vec(), sound[50][..100].to_vec()]);
        push(&redis, "analytics-tyk-system-analytics", &sound[50..100]);
        let store = match in_redis {
            false => "{ path: letters }".to_owned(),
            true => format!("{{ type: redis_list, url: \"{}\", key: letters }}", redis.url()),
        };
        let pipeline = format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: {}\n\
             sinks:\n  json:\n    type: file\n    path: out/a.ndjson\n  \
             news:\n    type: file\n    path: out/news.ndjson\n    sources: [pump]\n    required: false\n\
             dead_letters: {store}\n",
            redis.url()
        );
        let mut pump = PumpProcess::start(folder.path(), "only", &pipeline, &["--drain"]);
        assert!(pump.wait(Duration::from_secs(60)).success());
        assert_eq!(lines(&folder.path().join("out"), "a").values().sum::<u32>(), 100);
        let news = lines(&folder.path().join("out"), "news");
        let is_told = |line: &Vec<u8>| String::from_utf8_lossy(line).contains("\"event\":\"dead_letters\"");
        assert!(news.keys().any(is_told), "the pump's own news do not tell of them");
        let letters: Vec<Vec<u8>> = match in_redis {
            false => lines(&folder.path().join("letters"), "dead-letters").into_keys().collect(),
            true => {
                let mut connection = redis.connection();
                redis::cmd("LRANGE")
                    .arg("letters")
                    .arg(0)
                    .arg(-1)
                    .query(&mut connection)
                    .expect("redis answers")
            }
        };
        assert_eq!(letters.len(), 2);
        let letters: Vec<serde_json::Value> =
            letters.iter().map(|line| serde_json::from_slice(line).expect("a letter is JSON")).collect();
        for letter in &letters {
            assert_eq!((&letter["v"], &letter["source"]), (&1.into(), &"gateway".into()));
            assert!(letter["position"] == 50 || letter["position"] == 51, "{letter}");
        }
        // The bytes as they came, in base64.
        assert!(letters.iter().any(|letter| letter["body"] == "cnViYmlzaA=="), "{letters:?}");
        if !in_redis {
            use std::os::unix::fs::PermissionsExt;
            for entry in std::fs::read_dir(folder.path().join("letters")).expect("it is there") {
                let mode = entry.expect("it can be read").metadata().expect("known").permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
    }
}

#[test]
fn a_redis_that_may_evict_any_key_is_refused_unless_told_otherwise() {
    let options = RedisOptions { max_memory: 64 << 20, eviction: "allkeys-lru", ..RedisOptions::default() };
    let (redis, folder) = (RedisServer::with(options), TempDir::new().expect("a folder"));
    let pipeline = |eviction: &str| {
        format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: {}\n{eviction}\
             sinks:\n  json:\n    type: file\n    path: out/a.ndjson\n",
            redis.url()
        )
    };
    let mut pump = PumpProcess::start(folder.path(), "refused", &pipeline(""), &["--drain"]);
    assert_eq!(pump.wait(Duration::from_secs(20)).code(), Some(1));
    let log = std::fs::read_to_string(folder.path().join("pump-refused.log")).expect("text");
    assert!(log.contains("eviction: accept"), "{log}");
    let mut pump =
        PumpProcess::start(folder.path(), "accepted", &pipeline("    eviction: accept\n"), &["--drain"]);
    assert!(pump.wait(Duration::from_secs(20)).success());
}

/// Runs a drain and returns what the pump logged.
fn log_of_a_drain(redis: &RedisServer, url: &str, keys: &str) -> String {
    let folder = TempDir::new().expect("a folder");
    let pipeline = format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {url}\n{keys}\
         sinks:\n  json:\n    type: file\n    path: out/a.ndjson\n"
    );
    let mut pump = PumpProcess::start(folder.path(), "only", &pipeline, &["--drain"]);
    assert!(pump.wait(Duration::from_secs(30)).success());
    assert!(redis.keys().iter().all(|key| !key.contains("analytics")), "it was drained");
    std::fs::read_to_string(folder.path().join("pump-only.log")).expect("text")
}

#[test]
fn the_operator_is_told_of_a_short_ttl_and_of_tyk_pump() {
    let redis = RedisServer::start();
    let sound = entries("transactions.msgpack.lp");
    push(&redis, "analytics-tyk-system-analytics", &sound[..5]);
    assert!(!log_of_a_drain(&redis, &redis.url(), "").contains("WARN"), "there is nothing to warn of");
    push(&redis, "analytics-tyk-system-analytics", &sound[..5]);
    let mut connection = redis.connection();
    redis::cmd("EXPIRE").arg("analytics-tyk-system-analytics").arg(60).exec(&mut connection).expect("set");
    redis::cmd("SET").arg("version-check-pump").arg("1.17").exec(&mut connection).expect("set");
    let log = log_of_a_drain(&redis, &redis.url(), "");
    assert!(log.contains("storage_expiration_time"), "{log}");
    assert!(log.contains("Tyk Pump has used this redis"), "{log}");
}

#[test]
fn the_operator_is_told_when_redis_is_nearly_full() {
    let redis = RedisServer::with(RedisOptions { max_memory: 16 << 20, ..RedisOptions::default() });
    let (mut connection, filler) = (redis.connection(), vec![b'x'; 64 << 10]);
    let used = |connection: &mut redis::Connection| {
        let info: String = redis::cmd("INFO").arg("memory").query(connection).expect("redis answers");
        let line =
            info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok());
        line.expect("it says so")
    };
    for number in 0.. {
        if used(&mut connection) > 14 << 20 {
            break;
        }
        redis::cmd("SET").arg(number).arg(&filler).exec(&mut connection).expect("there is room");
    }
    push(&redis, "analytics-tyk-system-analytics", &entries("transactions.msgpack.lp")[..5]);
    let log = log_of_a_drain(&redis, &redis.url(), "");
    assert!(log.contains("redis is nearly full"), "{log}");
}

#[test]
fn the_database_in_the_address_and_another_prefix_are_heard() {
    let redis = RedisServer::start();
    let url = redis.url().replace("/0", "/3");
    let client = redis::Client::open(url.as_str()).expect("an address");
    let mut connection = client.get_connection().expect("redis answers");
    let sound = entries("transactions.msgpack.lp");
    redis::cmd("RPUSH")
        .arg("eu-tyk-system-analytics_4")
        .arg(&sound[..9])
        .exec(&mut connection)
        .expect("taken");
    log_of_a_drain(&redis, &url, "    key_prefix: eu-\n");
    let left: u64 = redis::cmd("DBSIZE").query(&mut connection).expect("redis answers");
    assert_eq!(left, 0);
}
