//! A real gateway's records through a real Redis to real StatsD daemons, by the real binary.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pump_core::record::Codec;
use pump_testing::{EtsyStatsd, RedisServer, StatsdExporter};
use tempfile::TempDir;

use crate::process::PumpProcess;
use crate::real_gateway::{entries, push};
use crate::search::records;

const KEY: &str = "analytics-tyk-system-analytics";

/// Records by API, method and code, as they stand in names.
fn counts(sent: &[Vec<u8>], times: u64) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for record in
        sent.iter().flat_map(|entry| records(Codec::Msgpack, std::slice::from_ref(entry)).into_values())
    {
        let part = |name: &str| match &record[name] {
            serde_json::Value::String(text) => match text.as_str() {
                "" => "none".to_owned(),
                // No method of HTTP.
                "PURGE" => "other".to_owned(),
                text => text.to_owned(),
            },
            other => other.to_string(),
        };
        let series = ["api_id", "method", "response_code"].map(part).join(".");
        *counts.entry(series).or_default() += times;
    }
    counts
}

/// The same as Prometheus names them.
fn in_prometheus(counts: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| (name.replace(['.', '-'], "_"), *count)).collect()
}

fn sink(name: &str, address: &str) -> String {
    format!(
        "  {name}:\n    type: statsd\n    address: {address}\n    prefix: {name}\n    batch: {{ max_age: 1s }}\n"
    )
}

fn pipeline(redis: &RedisServer, sinks: &str) -> String {
    format!("sources:\n  gateway:\n    type: redis_list\n    url: {}\nsinks:\n{sinks}", redis.url())
}

/// Series of a sink and their counts.
fn of<'a>(found: &'a BTreeMap<String, f64>, prefix: &'a str) -> impl Iterator<Item = (String, u64)> + 'a {
    found.iter().filter_map(move |(name, count)| Some((name.strip_prefix(prefix)?.to_owned(), *count as u64)))
}

/// Waits until a daemon has counted what was sent, to the record.
fn counts_are(expected: &BTreeMap<String, u64>, what: &str, found: impl Fn() -> BTreeMap<String, u64>) {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let found = found();
        if found == *expected {
            return;
        }
        assert!(Instant::now() < limit, "{what}: {found:#?}\nand not {expected:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_hundred_thousand_records_are_counted_to_the_record_by_every_daemon_on_every_way() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let (etsy, exporter) = (EtsyStatsd::start(), StatsdExporter::start());
    let sent: Vec<_> = entries("transactions.msgpack.lp")
        .into_iter()
        .filter(|entry| entry.len() < 10_000)
        .take(1_000)
        .collect();
    assert_eq!(sent.len(), 1_000);
    for _ in 0..100 {
        push(&redis, KEY, &sent);
    }
    let sinks = sink("tcp", &format!("tcp://{}", etsy.address()))
        + &sink("udp", &format!("udp://{}", etsy.address()))
        + &sink("exporter", &exporter.address().to_string())
        + &sink("unix", &format!("unix://{}", exporter.socket().display()));
    let mut pump = PumpProcess::start(folder.path(), "statsd", &pipeline(&redis, &sinks), &["--drain"]);
    let status = pump.wait(Duration::from_secs(120));
    let log = std::fs::read_to_string(folder.path().join("pump-statsd.log")).expect("text");
    assert!(status.success(), "{log}");
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");

    let dots = counts(&sent, 100);
    let lines = in_prometheus(&dots);
    assert_eq!(dots.values().sum::<u64>(), 100_000);
    assert!(dots.len() > 5, "there is something to tell apart: {dots:?}");
    for prefix in ["tcp", "udp"] {
        let prefix = format!("{prefix}.transaction.count.");
        counts_are(&dots, &prefix, || of(&etsy.counters(), &prefix).collect());
    }
    for prefix in ["exporter", "unix"] {
        let counter = format!("{prefix}_transaction_count_");
        counts_are(&lines, &counter, || of(&exporter.samples(), &counter).collect());
        let times = format!("{prefix}_transaction_request_time_");
        counts_are(&lines, &times, || {
            let samples = exporter.samples();
            let counted = of(&samples, &times);
            counted
                .filter_map(|(name, count)| Some((name.strip_suffix("_count")?.to_owned(), count)))
                .collect()
        });
    }
}

#[test]
fn a_daemon_that_was_down_gets_everything_when_it_is_back() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let (mut etsy, mut exporter) = (EtsyStatsd::start(), StatsdExporter::start());
    let socket = exporter.socket();
    etsy.kill();
    exporter.kill();
    std::fs::remove_file(&socket).expect("it was there");
    let sent: Vec<_> = entries("transactions.msgpack.lp").into_iter().take(1_000).collect();
    push(&redis, KEY, &sent);
    let retry = "    retry: { initial: 50ms, max: 500ms }\n";
    let sinks = sink("tcp", &format!("tcp://{}", etsy.address()))
        + retry
        + &sink("udp", &format!("udp://{}", etsy.address()))
        + retry
        + &sink("unix", &format!("unix://{}", socket.display()));
    let mut pump = PumpProcess::start(folder.path(), "down", &pipeline(&redis, &sinks), &[]);
    pump.wait_until(Duration::from_secs(30), "every sink says why it waits", |status| {
        let error = |lane: usize| status["lanes"][lane]["last_error"].as_str().unwrap_or_default().to_owned();
        error(0).contains("nobody listens")
            && error(1).contains("nobody listens")
            && error(2).contains("there is no socket")
    });
    assert_eq!(pump.get("/readyz").0, 503);
    etsy.start_again();
    exporter.start_again();
    pump.wait_until(Duration::from_secs(60), "everything is delivered", |status| {
        (0..3).all(|lane| status["lanes"][lane]["records"]["delivered"] == 1_000)
    });
    // UDP may have begun before it was told that nobody listens; nothing of that was counted.
    for prefix in ["tcp", "udp"] {
        let prefix = format!("{prefix}.transaction.count.");
        counts_are(&counts(&sent, 1), &prefix, || of(&etsy.counters(), &prefix).collect());
    }
    let prefix = "unix_transaction_count_";
    counts_are(&in_prometheus(&counts(&sent, 1)), prefix, || of(&exporter.samples(), prefix).collect());
    pump.stop();
}

/// `/metrics` as sums over all labels, by name.
fn metrics(pump: &PumpProcess) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in pump.get("/metrics").1.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        let name = name.split('{').next().expect("a name").to_owned();
        *sums.entry(name).or_default() += value.parse::<f64>().expect("a number");
    }
    sums
}

/// Sums over all labels of what a daemon has, by name.
fn sums(found: &BTreeMap<String, f64>, name: &str) -> f64 {
    found.iter().filter(|(own, _)| own.starts_with(&format!("{name}."))).map(|(_, count)| count).sum()
}

#[test]
fn the_pumps_own_metrics_are_at_the_daemon_what_they_are_at_the_endpoint() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let mut etsy = EtsyStatsd::start();
    let pipeline = format!(
        "{}telemetry: {{ statsd: {{ address: {}, prefix: own }} }}\n",
        pipeline(&redis, "  files: { type: file, path: records.ndjson }\n"),
        etsy.address()
    );
    let sent: Vec<_> = entries("transactions.msgpack.lp").into_iter().take(1_000).collect();
    push(&redis, KEY, &sent);
    let mut pump = PumpProcess::start(folder.path(), "own", &pipeline, &[]);
    pump.wait_until(Duration::from_secs(30), "everything is delivered", |status| {
        status["lanes"][0]["records"]["delivered"] == 1_000
    });
    let limit = Instant::now() + Duration::from_secs(30);
    while sums(&etsy.counters(), "own.sink_records_total") < 1_000.0 {
        assert!(Instant::now() < limit, "nothing was sent in three turns: {:?}", etsy.counters());
        std::thread::sleep(Duration::from_millis(200));
    }
    // More, which the last turn tells of, when the pump is stopped.
    push(&redis, KEY, &sent[..500]);
    pump.wait_until(Duration::from_secs(30), "everything is delivered", |status| {
        status["lanes"][0]["records"]["delivered"] == 1_500
    });
    let metrics = metrics(&pump);
    pump.stop();
    std::thread::sleep(Duration::from_millis(200));
    let flush = etsy.stop();
    let counters: BTreeMap<String, f64> = serde_json::from_value(flush["counters"].clone()).expect("numbers");
    for name in
        ["source_records_total", "sink_records_total", "sink_bytes_total", "source_expired_records_total"]
    {
        assert_eq!(sums(&counters, &format!("own.{name}")), metrics[&format!("pump_{name}")], "{name}");
    }
    assert_eq!(counters["own.sink_records_total.files.delivered"], 1_500.0);
    assert_eq!(counters["statsd.bad_lines_seen"], 0.0);
    let gauges: BTreeMap<String, f64> = serde_json::from_value(flush["gauges"].clone()).expect("numbers");
    assert_eq!(gauges["own.config_last_reload_success"], 1.0);
    assert!(
        gauges.contains_key("own.lane_lag_records.files") && gauges.contains_key("own.log_bytes"),
        "{gauges:?}"
    );
    for name in ["sink_delivery_duration", "end_to_end_duration"] {
        let count = flush["timer_data"][format!("own.{name}.files")]["count"].as_f64();
        assert_eq!(count, metrics.get(&format!("pump_{name}_seconds_count")).copied(), "{name}");
    }
}

#[test]
fn a_daemon_for_the_pumps_own_metrics_that_is_dead_disturbs_nobody() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let sent: Vec<_> = entries("transactions.msgpack.lp").into_iter().take(1_000).collect();
    // Nobody listens; a host that nobody knows; a daemon that takes a connection and reads nothing.
    let hangs = EtsyStatsd::start();
    hangs.pause();
    for (name, address) in [
        ("dead", pump_testing::free_address().to_string()),
        ("unknown", "tcp://nowhere.invalid:8125".to_owned()),
        ("hanging", format!("tcp://{}", hangs.address())),
    ] {
        push(&redis, KEY, &sent);
        let pipeline = format!(
            "{}telemetry: {{ statsd: {{ address: \"{address}\" }} }}\n",
            pipeline(&redis, "  files: { type: file, path: records.ndjson }\n")
        );
        let mut pump = PumpProcess::start(folder.path(), name, &pipeline, &["--drain"]);
        assert!(pump.wait(Duration::from_secs(30)).success(), "{name}");
        let log = std::fs::read_to_string(folder.path().join(format!("pump-{name}.log"))).expect("text");
        assert_eq!(log.matches("the pump's own metrics are not sent").count(), 1, "{name}: {log}");
    }
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    hangs.resume();
}
