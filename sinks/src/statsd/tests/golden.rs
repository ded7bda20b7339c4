//! Tyk Pump's names and tags, held to what its own code wrote.

use std::fs;
use std::path::PathBuf;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tyk").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tyk(
    tags: Tags,
    prefix: &str,
    fields: &[TimeField],
    tags_by: Option<&[&str]>,
    separated_method: bool,
) -> StatsdConfig {
    StatsdConfig {
        prefix: prefix.parse().expect("a prefix"),
        naming: Naming::Tyk,
        tags,
        fields: fields.to_vec(),
        by: tags_by.and_then(by),
        separated_method,
        ..config("h:1")
    }
}

/// The lines of a window of one record.
async fn lines(record: Vec<u8>, config: &StatsdConfig) -> Vec<u8> {
    let batch = transactions(&[record], Edits::default());
    let names = Names::new(config).expect("the settings are right");
    let (mut window, mut known) = (Window::new(&names, &config.fields, 1_432), KnownSeries::new(100));
    let mut slices = batch.slices();
    while let Some(slice) = slices.next().await.expect("it is in memory") {
        for entry in slice.entries() {
            window.add(&entry.view(&mut Scratch::default()), &mut known, Instant::now());
        }
    }
    window.datagrams().stream().to_vec()
}

/// The parts of a golden file, which a line `--name` stands before, but for the first. Tyk Pump's client tells of
/// itself now and then; that is no part of what it says of records.
fn parts(text: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"--") {
            parts.push(Vec::new());
        } else if !String::from_utf8_lossy(line).contains(".datadog.dogstatsd.client.") {
            parts.last_mut().expect("there is one").extend_from_slice(line);
        }
    }
    parts
}

#[tokio::test]
async fn every_golden_record_gives_the_lines_of_tyk_pumps_statsd() {
    let first = tyk(
        Tags::None,
        "",
        &[
            TimeField::RequestTime,
            TimeField::LatencyTotal,
            TimeField::LatencyUpstream,
            TimeField::LatencyGateway,
        ],
        Some(&["path", "response_code", "api_key", "api_version", "api_name", "api_id"]),
        false,
    );
    let second = tyk(
        Tags::None,
        "",
        &[TimeField::RequestTime],
        Some(&["path", "method", "response_code", "org_id", "oauth_id", "time_stamp", "ip_address"]),
        true,
    );
    for number in 1..=30 {
        let record = fixture(&format!("{number:03}.msgpack"));
        let golden = parts(&fixture(&format!("{number:03}.statsd")));
        for (config, expected) in [&first, &second].into_iter().zip(&golden) {
            let actual = lines(record.clone(), config).await;
            assert!(actual == *expected, "{number:03}:\n{}\n{}", show(&actual), show(expected));
        }
        assert_eq!(golden.len(), 2);
    }
}

#[tokio::test]
async fn every_golden_record_gives_the_lines_of_tyk_pumps_dogstatsd() {
    let tags = [
        "method",
        "response_code",
        "api_version",
        "api_name",
        "api_id",
        "org_id",
        "tracked",
        "path",
        "oauth_id",
    ];
    let first = tyk(Tags::Dogstatsd, "pump", &[TimeField::RequestTime], None, false);
    let second = tyk(Tags::Dogstatsd, "default", &[TimeField::RequestTime], Some(&tags), false);
    for number in 1..=30 {
        let record = fixture(&format!("{number:03}.msgpack"));
        let text =
            String::from_utf8(fixture(&format!("{number:03}.dogstatsd"))).map_err(|error| error.into_bytes());
        // Tyk Pump sends a double there; ours is right to the last digit, and the same double to whoever reads it.
        let text =
            text.map(|text| text.replace(":-9223372036854776000|", ":-9223372036854775808|").into_bytes());
        let golden = parts(&text.unwrap_or_else(|bytes| bytes));
        for (config, expected) in [&first, &second].into_iter().zip(&golden) {
            let actual = lines(record.clone(), config).await;
            assert!(actual == *expected, "{number:03}:\n{}\n{}", show(&actual), show(expected));
        }
        assert_eq!(golden.len(), 2);
    }
}

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
