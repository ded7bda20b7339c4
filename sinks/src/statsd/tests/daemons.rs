//! What real daemons make of it, asked of them.

use pump_testing::{EtsyStatsd, StatsdExporter};

use super::*;

const RECORDS: u64 = 20_000;

/// Times with a long tail, not in order.
fn times() -> Vec<i64> {
    (0..RECORDS as i64)
        .map(|number| number * 7_919 % RECORDS as i64)
        .map(|number| 1 + number * number / 40_000)
        .collect()
}

fn batch() -> Batch {
    let records: Vec<_> =
        times().into_iter().map(|time| transaction("a1", "GET", "/", 200, [time; 4])).collect();
    transactions(&records, Edits::default())
}

async fn deliver(config: StatsdConfig, batch: &Batch) {
    let sink = open(config).await;
    sink.probe().await.expect("somebody listens");
    let answers =
        sink.deliver(batch, Deadline::after(Duration::from_secs(30))).await.expect("it is delivered");
    assert_eq!(answers, Answers::delivered(batch.len()));
}

/// Which part of the records took no longer.
fn rank(time: f64) -> f64 {
    times().into_iter().filter(|own| *own as f64 <= time).count() as f64 / RECORDS as f64
}

/// A quantile is that of the records to within a stratum, and what the daemon itself errs.
fn holds_quantile(quantile: f64, time: f64, error: f64, what: &str) {
    const STRATUM: f64 = 0.01;
    let rank = rank(time);
    assert!((rank - quantile).abs() <= STRATUM + error, "{what}: {time} is at {rank} and not at {quantile}");
}

/// Waits until a condition holds.
async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let limit = std::time::Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_etsy_daemon_counts_exactly_and_knows_the_quantiles() {
    for scheme in ["tcp", "udp"] {
        let mut daemon = EtsyStatsd::start();
        deliver(config(&format!("{scheme}://{}", daemon.address())), &batch()).await;
        let (counter, timer) =
            ("gateway.transaction.count.a1.GET.200", "gateway.transaction.request_time.a1.GET.200");
        wait_until("it has counted", || daemon.counters().contains_key(counter)).await;
        // The times are in the datagrams after the count.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let flush = daemon.stop();
        assert_eq!(flush["counters"][counter], RECORDS);
        assert_eq!(flush["counters"]["statsd.bad_lines_seen"], 0);
        let timer = &flush["timer_data"][timer];
        assert_eq!(timer["count"].as_f64(), Some(RECORDS as f64), "{timer}");
        for (quantile, key) in [(0.5, "upper_50"), (0.9, "upper_90"), (0.99, "upper_99")] {
            holds_quantile(quantile, timer[key].as_f64().expect("a time"), 0.0, key);
        }
        let mean = times().iter().sum::<i64>() as f64 / RECORDS as f64;
        let found = timer["mean"].as_f64().expect("a time");
        assert!((found / mean - 1.0).abs() < 0.02, "{found} is not {mean}");
    }
}

#[tokio::test]
async fn statsd_exporter_counts_exactly_and_knows_sums_and_quantiles() {
    let daemon = StatsdExporter::start();
    let unix = format!("unix://{}", daemon.socket().display());
    for (prefix, address, tags) in [
        ("udp", daemon.address().to_string(), Tags::None),
        ("unix", unix.clone(), Tags::None),
        ("tagged", unix, Tags::Dogstatsd),
    ] {
        let config = StatsdConfig { prefix: prefix.parse().expect("a prefix"), tags, ..config(&address) };
        deliver(config, &batch()).await;
        let (of_name, labels) = match tags {
            Tags::None => ("_a1_GET_200", ""),
            Tags::Dogstatsd => ("", "api_id=\"a1\",method=\"GET\",response_code=\"200\""),
        };
        let in_braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let counter = format!("{prefix}_transaction_count{of_name}{in_braces}");
        let timer = format!("{prefix}_transaction_request_time{of_name}");
        let count = format!("{timer}_count{in_braces}");
        wait_until("it has counted", || daemon.samples().get(&count) == Some(&(RECORDS as f64))).await;
        let samples = daemon.samples();
        assert_eq!(samples.get(&counter), Some(&(RECORDS as f64)), "{samples:?}");
        // It keeps seconds.
        let (sum, expected) =
            (samples[&format!("{timer}_sum{in_braces}")] * 1_000.0, times().iter().sum::<i64>() as f64);
        assert!((sum / expected - 1.0).abs() < 1e-4, "{sum} is not {expected}");
        // With the errors that it documents for its own.
        for (quantile, error) in [("0.5", 0.05), ("0.9", 0.01), ("0.99", 0.001)] {
            let comma = if labels.is_empty() { "" } else { "," };
            let name = format!("{timer}{{{labels}{comma}quantile=\"{quantile}\"}}");
            let time = samples.get(&name).unwrap_or_else(|| panic!("{name}: {samples:?}"));
            holds_quantile(quantile.parse().expect("a number"), time * 1_000.0, error, &name);
        }
    }
    let samples = daemon.samples();
    let errors = samples.iter().filter(|(name, count)| name.contains("_error") && **count > 0.0);
    assert_eq!(errors.collect::<Vec<_>>(), [], "no line was malformed");
}

/// A window of many series by UDP, into the buffer that Linux gives every socket.
#[tokio::test]
async fn the_pace_of_udp_loses_nothing_at_a_daemon_that_is_slow() {
    let records: Vec<_> = (0..2_000)
        .map(|number| transaction(&format!("api-{number}"), "GET", "/", 200, [number % 50, 1, 2, 3]))
        .collect();
    let batch = transactions(&records, Edits::default());
    let daemon = EtsyStatsd::start();
    let config = StatsdConfig { fields: TimeField::ALL.to_vec(), ..config(&daemon.address().to_string()) };
    deliver(config, &batch).await;
    let received =
        || daemon.counters().keys().filter(|name| name.starts_with("gateway.transaction.count.")).count();
    wait_until("every series was counted", || received() == 2_000).await;
    // Counts come first; of the times every line is counted, too.
    wait_until("no line is missing", || daemon.counters().get("statsd.metrics_received") == Some(&10_000.0))
        .await;
}
