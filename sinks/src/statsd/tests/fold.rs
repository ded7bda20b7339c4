//! Records as lines, without a daemon.

use pump_core::edit::{FieldMode, RedactConfig};
use pump_core::record::{IdKey, Transaction, View};

use super::*;

#[tokio::test]
async fn records_of_one_series_are_one_count_and_their_times() {
    let records: Vec<_> = [7, 5, 7, -1].map(|time| transaction("a1", "GET", "/", 200, [time; 4])).to_vec();
    let batch = transactions(&records, Edits::default());
    let mut config = config("h:1");
    let expected = [
        "gateway.transaction.count.a1.GET.200:4|c",
        "gateway.transaction.request_time.a1.GET.200:0|ms:5|ms:7|ms:7|ms",
    ];
    assert_eq!(lines(&config, &batch).await, expected);
    (config.tags, config.prefix) = (Tags::Dogstatsd, StatsdPrefix::default());
    config.fields = vec![TimeField::LatencyUpstream];
    let tags = "api_id:a1,method:GET,response_code:200";
    let expected = [
        format!("transaction.count:4|c|#{tags}"),
        format!("transaction.latency_upstream:0:5:7:7|ms|#{tags}"),
    ];
    assert_eq!(lines(&config, &batch).await, expected);
    (config.by, config.fields) = (by(&[]), Vec::new());
    assert_eq!(lines(&config, &batch).await, ["transaction.count:4|c"]);
    config.tags = Tags::None;
    assert_eq!(lines(&config, &batch).await, ["transaction.count:4|c"]);
}

#[tokio::test]
async fn a_million_records_are_a_few_datagrams() {
    let names = Names::new(&config("h:1")).expect("the settings are right");
    let (mut known, fields) = (KnownSeries::new(10), [TimeField::RequestTime]);
    let mut window = Window::new(&names, &fields, 1_432);
    for number in 0..1_000_000_i64 {
        let mut record = Transaction::default();
        (record.response_code, record.request_time) = (200 + number % 4, number * number % 10_007);
        window.add(&View::Transaction(record), &mut known, Instant::now());
    }
    let datagrams = window.datagrams();
    assert!(datagrams.iter().len() <= 8, "{}", datagrams.iter().len());
    let text = String::from_utf8_lossy(datagrams.stream()).into_owned();
    for code in 200..204 {
        assert!(text.contains(&format!("gateway.transaction.count.none.none.{code}:250000|c")), "{text}");
    }
}

#[tokio::test]
async fn no_value_can_make_a_name_of_its_own() {
    let hostile = "/a.b:1|c\ngateway.transaction.count.forged:1|c|#x,y:z@é ";
    let record = transaction("", "BREW", hostile, 200, [1; 4]);
    let batch = transactions(&[record], Edits::default());
    let mut config =
        StatsdConfig { by: by(&["path", "method", "api_id"]), fields: Vec::new(), ..config("h:1") };
    let escaped = "_a_b_1_c_gateway_transaction_count_forged_1_c__x_y_z____";
    let expected = format!("gateway.transaction.count.{escaped}.other.none:1|c");
    assert_eq!(lines(&config, &batch).await, [expected]);
    config.tags = Tags::Dogstatsd;
    let escaped = "/a.b_1_c_gateway.transaction.count.forged_1_c__x_y_z____";
    let expected = format!("gateway.transaction.count:1|c|#path:{escaped},method:other,api_id:none");
    assert_eq!(lines(&config, &batch).await, [expected]);
    let long = transaction(&"n".repeat(200), "GET", "/", 200, [1; 4]);
    config.by = by(&["api_id"]);
    let expected = format!("gateway.transaction.count:1|c|#api_id:{}", "n".repeat(64));
    assert_eq!(lines(&config, &transactions(&[long], Edits::default())).await, [expected]);
}

#[tokio::test]
async fn what_goes_over_the_bound_is_one_series_more() {
    let records: Vec<_> =
        (0..5_000).map(|number| transaction("a1", "GET", &format!("/{number}"), 200, [3; 4])).collect();
    let batch = transactions(&records, Edits::default());
    let mut config =
        StatsdConfig { by: by(&["path", "method"]), max_series: 10, fields: Vec::new(), ..config("h:1") };
    let found = lines(&config, &batch).await;
    assert_eq!(found.len(), 11);
    assert_eq!(found[0], "gateway.transaction.count._0.GET:1|c");
    assert_eq!(found[10], "gateway.transaction.count.other.other:4990|c");
    (config.naming, config.fields) = (Naming::Tyk, vec![TimeField::RequestTime]);
    let found = lines(&config, &batch).await;
    assert!(
        found.iter().any(|line| line.starts_with("gateway.request_time.other.other:3|ms|@0.0")),
        "{found:?}"
    );
    config.tags = Tags::Dogstatsd;
    let found = lines(&config, &batch).await;
    assert!(found.iter().any(|line| line.ends_with("|#tyk-pump,path:other,method:other")), "{found:?}");
}

#[tokio::test]
async fn a_name_that_no_datagram_carries_is_other() {
    let long = |length: usize| transaction("a1", "GET", &"p".repeat(length), 200, [3; 4]);
    let batch = transactions(&[long(200), long(250), long(255)], Edits::default());
    let mut config = StatsdConfig { naming: Naming::Tyk, by: by(&["path"; 6]), ..config("h:1") };
    let found = lines(&config, &batch).await;
    assert!(found.iter().all(|line| line.len() <= 1_432), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1], "gateway.request_time.other.other.other.other.other.other:3|ms:3|ms");
    config.prefix = "p".repeat(129).parse().expect("it is one");
    assert_eq!(StatsdSink::plan(&config, None).err().map(|error| error.key), Some("prefix".into()));
}

#[tokio::test]
async fn the_bound_holds_for_all_windows_together() {
    // Nobody listens: what counts is what the sink would send.
    let sink = open(StatsdConfig { max_series: 3, ..config("udp://127.0.0.1:9") }).await;
    let batch = |from: u32| {
        let records: Vec<_> = (from..from + 3)
            .map(|number| transaction(&format!("a{number}"), "GET", "/", 200, [3; 4]))
            .collect();
        transactions(&records, Edits::default())
    };
    for number in 0..20 {
        let _ = sink.deliver(&batch(number), Deadline::after(Duration::from_secs(10))).await;
    }
    let mut known = sink.known.lock().expect("nobody holds it");
    assert!(known.admit(b"\0.a0.GET.200", Instant::now()), "the first ones are known");
    assert!(!known.admit(b"\0.a19.GET.200", Instant::now()), "there is no room for others");
}

#[tokio::test]
async fn what_is_omitted_or_redacted_is_in_no_name() {
    let records = [transaction("a1", "GET", "/", 200, [3, 4, 5, 6])];
    let redact =
        RedactConfig { fields: [("api_id".to_owned(), FieldMode::Mask)].into(), ..RedactConfig::default() };
    let omit = ["response_code".to_owned(), "latency".to_owned(), "method".to_owned()];
    let edits = Edits::new(&omit, &redact, &IdKey::default()).expect("they are right");
    let batch = transactions(&records, edits);
    let fields = vec![TimeField::RequestTime, TimeField::LatencyTotal];
    let config = StatsdConfig { fields, ..config("h:1") };
    let expected = [
        "gateway.transaction.count.___.none.none:1|c",
        "gateway.transaction.request_time.___.none.none:3|ms",
    ];
    assert_eq!(lines(&config, &batch).await, expected);
}

#[tokio::test]
async fn health_checks_are_counted_apart() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/tyk/u01.msgpack");
    let record = std::fs::read(path).expect("the fixture is there");
    let batch = batch_of_fields(Kind::Uptime, Codec::Msgpack, &[record], Edits::default());
    let fields = vec![TimeField::RequestTime, TimeField::LatencyTotal];
    let config = StatsdConfig { by: by(&["response_code", "method", "tcp_error"]), fields, ..config("h:1") };
    let found = lines(&config, &batch).await;
    assert_eq!(found[0], "gateway.uptime.count.200.none.false:1|c");
    assert!(found[1].starts_with("gateway.uptime.request_time.200.none.false:"), "{found:?}");
    assert_eq!(found.len(), 2);
}
