//! A real gateway's records through a real Redis into a real search server: every document equal, every
//! type as declared, and the questions that dashboards ask answered rightly.

use std::collections::BTreeMap;
use std::time::Duration;

use pump_core::encode::{Additions, Encoder, FullEncoder};
use pump_core::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Timestamp};
use pump_testing::{RedisServer, SearchServer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::PumpProcess;
use crate::real_gateway::{entries, push};

/// Records by their ids, each as `full` JSON, which golden files hold to Tyk Pump's.
pub(crate) type Records = BTreeMap<String, Value>;

pub(crate) fn records(codec: Codec, entries: &[Vec<u8>]) -> Records {
    let record = |entry: &Vec<u8>| {
        let (partition, kind) = (Partition::new("0"), Kind::Transaction);
        let head = ChunkHead { source: "s".into(), partition, kind, codec, received: Timestamp::now() };
        let chunk = Chunk::parse(head, entry.clone().into(), 0..1, [(0, 0..entry.len())]).chunk;
        let (record, mut text) = (chunk.record(0), Vec::new());
        FullEncoder.encode(record, &record.view(), &Additions::default(), &mut text);
        let id = record.id(&IdKey::default()).to_string();
        (id, serde_json::from_slice(&text).expect("it is JSON"))
    };
    entries.iter().map(record).collect()
}

/// The document that Tyk Pump makes of a record, with `extended_statistics`.
fn tyk_document(record: &Value) -> Value {
    const NAMES: [(&str, &str); 19] = [
        ("@timestamp", "timestamp"),
        ("alias", "alias"),
        ("api_id", "api_id"),
        ("api_key", "api_key"),
        ("api_name", "api_name"),
        ("api_version", "api_version"),
        ("content_length", "content_length"),
        ("http_method", "method"),
        ("ip_address", "ip_address"),
        ("oauth_id", "oauth_id"),
        ("org_id", "org_id"),
        ("raw_request", "raw_request"),
        ("raw_response", "raw_response"),
        ("request_time_ms", "request_time"),
        ("request_uri", "path"),
        ("request_uri_full", "raw_path"),
        ("response_code", "response_code"),
        ("tags", "tags"),
        ("user_agent", "user_agent"),
    ];
    let mut document: BTreeMap<_, _> =
        NAMES.iter().map(|(name, field)| (*name, record[*field].clone())).collect();
    let mcp = &record["mcp_stats"];
    if mcp["is_mcp"] == true {
        document.insert("mcp_method", mcp["jsonrpc_method"].clone());
        document.insert("mcp_primitive_type", mcp["primitive_type"].clone());
        document.insert("mcp_primitive_name", mcp["primitive_name"].clone());
    }
    json!(document)
}

/// Runs a drain from Redis into these sinks; nothing may be left, nothing among the dead letters.
fn drain(redis: &RedisServer, sinks: &str) {
    let folder = TempDir::new().expect("a folder");
    let pipeline = format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\nsinks:\n{sinks}dead_letters: {{ path: letters }}\n",
        redis.url()
    );
    let mut pump = PumpProcess::start(folder.path(), "only", &pipeline, &["--drain"]);
    let status = pump.wait(Duration::from_secs(120));
    let log = std::fs::read_to_string(folder.path().join("pump-only.log")).expect("text");
    assert!(status.success(), "{log}");
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    let letters = std::fs::read_dir(folder.path().join("letters")).into_iter().flatten();
    let letters: Vec<_> = letters
        .map(|entry| std::fs::read_to_string(entry.expect("it can be read").path()).expect("text"))
        .filter(|text| !text.is_empty())
        .collect();
    assert!(letters.is_empty(), "dead letters: {}", &letters[0][..letters[0].len().min(2_000)]);
}

fn sink(name: &str, search: &SearchServer, index: &str, keys: &str) -> String {
    format!(
        "  {name}:\n    type: elasticsearch\n    endpoints: [\"{}\"]\n    index: {index}\n    install_template: true\n    {keys}\n",
        search.url()
    )
}

/// All documents of an index by their ids.
fn documents(search: &SearchServer, index: &str) -> Records {
    let (status, _) = search.request("POST", &format!("/{index}/_refresh"), &Value::Null);
    assert_eq!(status, 200);
    let (_, reply) = search.request("POST", &format!("/{index}/_search"), &json!({ "size": 10_000 }));
    let hits = reply["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{reply}"));
    let document = |hit: &Value| (hit["_id"].as_str().expect("an id").to_owned(), hit["_source"].clone());
    let documents: Records = hits.iter().map(document).collect();
    assert_eq!(documents.len(), hits.len(), "an id stands twice");
    documents
}

fn aggregate(search: &SearchServer, query: &Value, aggregation: &Value) -> Vec<Value> {
    let body = json!({ "size": 0, "query": query, "aggs": { "a": aggregation } });
    let (status, reply) = search.request("POST", "/tyk_analytics-*/_search", &body);
    assert_eq!(status, 200, "{reply}");
    reply["aggregations"]["a"]["buckets"].as_array().expect("buckets").clone()
}

/// How often each value of a text field stands in the records.
fn counts<'r>(records: impl Iterator<Item = &'r Value>, field: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record[field].as_str().expect("a text").to_owned()).or_default() += 1;
    }
    counts
}

/// Buckets as a map; those with more documents come first.
fn as_counts(buckets: &[Value]) -> BTreeMap<String, u64> {
    let count = |bucket: &Value| bucket["doc_count"].as_u64().expect("a count");
    assert!(buckets.is_sorted_by_key(|bucket| std::cmp::Reverse(count(bucket))));
    buckets.iter().map(|bucket| (bucket["key"].as_str().expect("text").to_owned(), count(bucket))).collect()
}

/// Five questions, each with its answer from the records.
fn ask_what_dashboards_ask(search: &SearchServer, records: &Records) {
    let all = json!({ "match_all": {} });
    let terms = |field: &str| json!({ "terms": { "field": format!("{field}.keyword"), "size": 10_000 } });

    let histogram = json!({
        "date_histogram": { "field": "@timestamp", "fixed_interval": "1m", "min_doc_count": 1 },
        "aggs": { "codes": { "terms": { "field": "response_code", "size": 100 } } },
    });
    let mut expected: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for record in records.values() {
        // Of 2026-11-24T12:34:56.789Z the minute.
        let minute = &record["timestamp"].as_str().expect("a time")[..16];
        let code = record["response_code"].as_i64().expect("a number");
        *expected.entry((format!("{minute}:00.000Z"), code)).or_default() += 1;
    }
    let mut actual = BTreeMap::new();
    for minute in aggregate(search, &all, &histogram) {
        for code in minute["codes"]["buckets"].as_array().expect("buckets") {
            let time = minute["key_as_string"].as_str().expect("a time").to_owned();
            let key = (time, code["key"].as_i64().expect("a code"));
            actual.insert(key, code["doc_count"].as_u64().expect("a count"));
        }
    }
    assert_eq!(actual, expected);
    assert!(expected.len() > 3, "there is something to ask for");

    let paths = aggregate(search, &all, &terms("request_uri"));
    assert_eq!(as_counts(&paths), counts(records.values(), "path"));

    let mut average = terms("api_name");
    average["aggs"] = json!({ "average": { "avg": { "field": "request_time_ms" } } });
    for api in aggregate(search, &all, &average) {
        let name = api["key"].as_str().expect("a name");
        let times = records.values().filter(|record| record["api_name"] == name);
        let times: Vec<f64> =
            times.map(|record| record["request_time"].as_f64().expect("a number")).collect();
        let expected = times.iter().sum::<f64>() / times.len() as f64;
        let actual = api["average"]["value"].as_f64().expect("a number");
        assert!((actual - expected).abs() < 1e-6, "{name}: {actual} is not {expected}");
        assert_eq!(api["doc_count"], times.len());
    }

    let failed = json!({ "range": { "response_code": { "gte": 500 } } });
    let expected = counts(
        records.values().filter(|record| record["response_code"].as_i64().is_some_and(|code| code >= 500)),
        "api_id",
    );
    assert!(!expected.is_empty(), "something failed");
    assert_eq!(as_counts(&aggregate(search, &failed, &terms("api_id"))), expected);

    let keys = aggregate(search, &all, &terms("api_key"));
    assert_eq!(as_counts(&keys), counts(records.values(), "api_key"));
}

/// The declared types are those of the index, whatever came first.
fn hold_types(search: &SearchServer, index: &str, types: &[(&str, &str)]) {
    let (_, reply) = search.request("GET", &format!("/{index}/_mapping"), &Value::Null);
    let indices = reply.as_object().expect("an object");
    assert!(!indices.is_empty());
    for (name, mapping) in indices {
        for (field, expected) in types {
            let pointer = field.replace('.', "/properties/");
            let found = mapping.pointer(&format!("/mappings/properties/{pointer}/type"));
            assert_eq!(found, Some(&json!(expected)), "{field} of {name}");
        }
    }
}

/// Records as odd as they come.
pub(crate) fn fixtures() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tyk");
    let read = |number| std::fs::read(folder.join(format!("{number:03}.msgpack"))).expect("it is there");
    (1..=30).map(read).collect()
}

fn everything_arrives(search: &SearchServer) {
    let redis = RedisServer::start();
    let (msgpack, protobuf) = (entries("transactions.msgpack.lp"), entries("transactions.protobuf.lp"));
    let mut records = self::records(Codec::Msgpack, &msgpack);
    records.extend(self::records(Codec::Protobuf, &protobuf));
    // Twice: what is there already stays, and is counted as a duplicate.
    for _ in 0..2 {
        push(&redis, "analytics-tyk-system-analytics", &msgpack);
        push(&redis, "analytics-tyk-system-analytics_3_protobuf", &protobuf);
        push(&redis, "host-checker:tyk-uptime-analytics", &entries("uptime.msgpack.lp"));
        let keys = "format: tyk\n    extended: true\n    compression: gzip\n    kinds: [transaction]";
        let sinks = sink("tyk", search, "tyk_analytics-%Y.%m.%d", keys)
            + &sink("full", search, "everything-{kind}", "format: full");
        drain(&redis, &sinks);
    }
    let actual = documents(search, "tyk_analytics-*");
    assert_eq!(actual.len(), records.len());
    for (id, record) in &records {
        assert_eq!(actual.get(id), Some(&tyk_document(record)), "{id}");
    }
    hold_types(
        search,
        "tyk_analytics-*",
        &[("@timestamp", "date"), ("response_code", "long"), ("api_name", "text"), ("raw_request", "text")],
    );
    ask_what_dashboards_ask(search, &records);

    let full = documents(search, "everything-transaction");
    assert!(full.keys().eq(records.keys()));
    for (id, record) in &records {
        for name in ["method", "path", "timestamp", "request_time", "latency", "network", "raw_request"] {
            let value = full[id].get(name);
            assert!(
                value == Some(&record[name]) || (value.is_none() && record[name] == ""),
                "{name} of {id}"
            );
        }
    }
    hold_types(
        search,
        "everything-transaction",
        &[
            ("timestamp", "date"),
            ("ip_address", "ip"),
            ("geo.location", "geo_point"),
            ("api_id", "keyword"),
            ("latency.total", "long"),
        ],
    );
    let (_, by_network) = search.request(
        "POST",
        "/everything-transaction/_count",
        &json!({ "query": { "term": { "ip_address": "0.0.0.0/0" } } }),
    );
    let with_address = records.values().filter(|record| {
        record["ip_address"].as_str().is_some_and(|text| text.parse::<std::net::Ipv4Addr>().is_ok())
    });
    assert_eq!(by_network["count"], with_address.count());
    assert_eq!(documents(search, "everything-uptime").len(), 15);
}

/// Empty ones, huge ones, hostile ones.
fn odd_records_are_delivered(search: &SearchServer, has_streams: bool) {
    let redis = RedisServer::start();
    let expected = records(Codec::Msgpack, &fixtures());
    push(&redis, "analytics-tyk-system-analytics", &fixtures());
    let mut sinks = sink("full", search, "odd-full", "format: full")
        + &sink("tyk", search, "odd-tyk", "format: tyk\n    extended: true");
    if has_streams {
        sinks += &sink("stream", search, "odd-stream", "data_stream: true");
    }
    drain(&redis, &sinks);
    let indices: &[&str] =
        if has_streams { &["odd-full", "odd-tyk", "odd-stream"] } else { &["odd-full", "odd-tyk"] };
    for index in indices {
        assert!(documents(search, index).keys().eq(expected.keys()), "{index}");
    }
    if has_streams {
        // A repeat is found there too, as long as the stream has not rolled over.
        push(&redis, "analytics-tyk-system-analytics", &fixtures());
        drain(&redis, &sink("stream", search, "odd-stream", "data_stream: true"));
        assert_eq!(documents(search, "odd-stream").len(), expected.len());
        let (status, stream) = search.request("GET", "/_data_stream/odd-stream", &Value::Null);
        assert_eq!((status, &stream["data_streams"][0]["name"]), (200, &json!("odd-stream")));
        hold_types(search, "odd-stream", &[("@timestamp", "date"), ("ip_address", "ip")]);
    }
}

/// An index that may not be written: the lane waits, and goes on once it may.
fn a_block_costs_nothing(search: &SearchServer) {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let block = |is_blocked: bool| {
        let (status, reply) = search.request(
            "PUT",
            "/blocked/_settings",
            &json!({ "index": { "blocks": { "write": is_blocked } } }),
        );
        assert_eq!(status, 200, "{reply}");
    };
    let (status, _) = search.request("PUT", "/blocked", &Value::Null);
    assert_eq!(status, 200);
    block(true);
    let sound = entries("transactions.msgpack.lp");
    push(&redis, "analytics-tyk-system-analytics", &sound[..100]);
    let pipeline = format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\nsinks:\n{}",
        redis.url(),
        sink("blocked", search, "blocked", "retry: { initial: 50ms, max: 200ms }")
    );
    let mut pump = PumpProcess::start(folder.path(), "blocked", &pipeline, &[]);
    pump.wait_until(Duration::from_secs(30), "the block is told", |status| {
        status.to_string().contains("cluster_block_exception")
    });
    assert_eq!(pump.get("/readyz").0, 503);
    block(false);
    let expected = records(Codec::Msgpack, &sound[..100]).len();
    let limit = std::time::Instant::now() + Duration::from_secs(60);
    while documents(search, "blocked").len() < expected {
        assert!(std::time::Instant::now() < limit, "it does not go on: {}", pump.get("/status").1);
        std::thread::sleep(Duration::from_millis(100));
    }
    pump.stop();
}

/// Killed in the middle and started again: every record is there once, and what came again is counted.
fn a_crash_leaves_no_document_twice(search: &SearchServer) {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let sound = entries("transactions.msgpack.lp");
    let expected = records(Codec::Msgpack, &sound);
    push(&redis, "analytics-tyk-system-analytics", &sound);
    let pipeline = |rate: &str| {
        let keys = format!("batch: {{ max_records: 100 }}{rate}");
        format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: {}\n    lease: 2s\nsinks:\n{}",
            redis.url(),
            sink("crash", search, "crash", &keys)
        )
    };
    let counted =
        |status: &Value, outcome: &str| status["lanes"][0]["records"][outcome].as_u64().unwrap_or_default();
    let slow = pipeline("\n    rate_limit: 500/s");
    let mut pump = PumpProcess::start(folder.path(), "slow", &slow, &[]);
    pump.wait_until(Duration::from_secs(30), "some are delivered", |status| {
        counted(status, "delivered") > 200
    });
    pump.kill();
    let before = documents(search, "crash").len();
    assert!(before > 200 && before < expected.len(), "{before} before the crash");
    let mut pump = PumpProcess::start(folder.path(), "again", &pipeline(""), &[]);
    pump.wait_until(Duration::from_secs(30), "everything is answered", |status| {
        counted(status, "delivered") + counted(status, "duplicate") == sound.len() as u64
    });
    // What was there is a duplicate. A request that the crash left with the server may have added to it
    // after it was counted.
    assert!(counted(&pump.status(), "delivered") <= (expected.len() - before) as u64);
    assert!(documents(search, "crash").keys().eq(expected.keys()));
    pump.stop();
}

/// One test for all of it: the server takes longer to start than to answer.
#[test]
fn a_real_gateways_records_can_be_searched_in_opensearch() {
    let search = SearchServer::opensearch();
    everything_arrives(&search);
    odd_records_are_delivered(&search, true);
    a_block_costs_nothing(&search);
    a_crash_leaves_no_document_twice(&search);
}

#[test]
#[ignore = "a second server of the same kind: make chaos"]
fn a_real_gateways_records_can_be_searched_in_elasticsearch_7() {
    let search = SearchServer::elasticsearch();
    everything_arrives(&search);
    // This build of the server has no data streams.
    odd_records_are_delivered(&search, false);
    a_block_costs_nothing(&search);
    a_crash_leaves_no_document_twice(&search);
}
