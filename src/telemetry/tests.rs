use super::*;

fn sender(tags: StatsdTags) -> Sender {
    Sender::new(StatsdTelemetry {
        address: "udp://127.0.0.1:9".parse().expect("an address"),
        prefix: "pump".parse().expect("a prefix"),
        tags,
    })
}

fn family(
    name: &'static str,
    kind: FigureKind,
    labels: &[(&'static str, &str)],
    value: FigureValue,
) -> Family {
    let labels = labels.iter().map(|(name, value)| (*name, Arc::from(*value))).collect();
    Family { name, kind, help: "", figures: vec![Figure { labels, value }] }
}

fn lines(sender: &Sender, families: &[Family]) -> Vec<String> {
    let (datagrams, _) = sender.datagrams(families);
    String::from_utf8_lossy(datagrams.stream()).lines().map(str::to_owned).collect()
}

fn records(count: u64) -> Family {
    let labels = [("sink", "my.sink"), ("outcome", "delivered")];
    family("pump_sink_records_total", FigureKind::Counter, &labels, count.into())
}

fn durations(seconds: &[f64]) -> Family {
    let mut histogram = Histogram::default();
    seconds.iter().for_each(|seconds| histogram.observe(*seconds));
    let value = FigureValue::Histogram(Box::new(histogram));
    family("pump_sink_delivery_duration_seconds", FigureKind::Histogram, &[("sink", "a")], value)
}

#[test]
fn labels_stand_in_names_or_in_tags() {
    let lag = family("pump_source_lag_seconds", FigureKind::Gauge, &[("source", "s")], (-0.5).into());
    let bytes = family("pump_log_bytes", FigureKind::Gauge, &[], 12.into());
    let families = [records(7), lag, bytes, durations(&[0.0001, 0.004, 0.004, 1_000.0])];
    let expected = [
        "pump.sink_records_total.my_sink.delivered:7|c",
        "pump.source_lag_seconds.s:0|g",
        "pump.source_lag_seconds.s:-0.5|g",
        "pump.log_bytes:12|g",
        "pump.sink_delivery_duration.a:0.5|ms:3.75|ms:3.75|ms:600000|ms",
    ];
    assert_eq!(lines(&sender(StatsdTags::None), &families), expected);
    let expected = [
        "pump.sink_records_total:7|c|#sink:my.sink,outcome:delivered",
        "pump.source_lag_seconds:0|g|#source:s",
        "pump.source_lag_seconds:-0.5|g|#source:s",
        "pump.log_bytes:12|g",
        "pump.sink_delivery_duration:0.5:3.75:3.75:600000|ms|#sink:a",
    ];
    assert_eq!(lines(&sender(StatsdTags::Dogstatsd), &families), expected);
}

#[tokio::test]
async fn what_did_not_get_through_comes_with_what_comes_later() {
    let daemon = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let mut sender = sender(StatsdTags::None);
    // Nobody listens at the first address.
    sender.send(&[records(5), durations(&[0.2])], TIMEOUT).await;
    assert!(sender.is_in_trouble);
    sender.daemon =
        Daemon::new(daemon.local_addr().expect("it is bound").to_string().parse().expect("it is one"));
    sender.send(&[records(7), durations(&[0.2, 0.2])], TIMEOUT).await;
    assert!(!sender.is_in_trouble);
    sender.send(&[records(10), durations(&[0.2, 0.2])], TIMEOUT).await;
    let mut buffer = [0; 2_000];
    let mut received = Vec::new();
    for _ in 0..2 {
        let count = daemon.recv(&mut buffer).await.expect("it is there");
        received.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    let name = "pump.sink_records_total.my_sink.delivered";
    let both = format!("{name}:7|c\npump.sink_delivery_duration.a:175|ms:175|ms");
    assert_eq!(received, [both, format!("{name}:3|c")]);
}
