//! What becomes of records, without and with a daemon.

mod behaviour;
mod daemons;
mod faults;
mod fold;
mod golden;
mod plan;

use pump_core::config::{StatsdPrefix, StatsdTags as Tags};
use pump_core::edit::Edits;
use pump_core::record::{Codec, Kind};
use pump_core::testing::batch_of_fields;

use super::*;

fn config(address: &str) -> StatsdConfig {
    StatsdConfig {
        address: address.parse().expect("an address"),
        prefix: "gateway".parse().expect("a prefix"),
        naming: Naming::Safe,
        tags: Tags::None,
        fields: vec![TimeField::RequestTime],
        by: None,
        separated_method: false,
        max_series: 10_000,
        max_datagram: ByteSize(1_432),
    }
}

fn by(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// A transaction as a gateway writes it, with a few of its fields.
fn transaction(api: &str, method: &str, path: &str, code: u16, times: [i64; 4]) -> Vec<u8> {
    let mut out = vec![0x86];
    for (name, text) in [("APIID", api), ("Method", method), ("Path", path)] {
        push_text(name, &mut out);
        push_text(text, &mut out);
    }
    push_text("ResponseCode", &mut out);
    push_int(i64::from(code), &mut out);
    push_text("RequestTime", &mut out);
    push_int(times[0], &mut out);
    push_text("Latency", &mut out);
    out.push(0x83);
    for (name, time) in ["Total", "Upstream", "Gateway"].into_iter().zip(&times[1..]) {
        push_text(name, &mut out);
        push_int(*time, &mut out);
    }
    out
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(0xd9);
    out.push(u8::try_from(text.len()).expect("it is short"));
    out.extend_from_slice(text.as_bytes());
}

fn push_int(number: i64, out: &mut Vec<u8>) {
    out.push(0xd3);
    out.extend_from_slice(&number.to_be_bytes());
}

fn transactions(records: &[Vec<u8>], edits: Edits) -> Batch {
    batch_of_fields(Kind::Transaction, Codec::Msgpack, records, edits)
}

async fn open(config: StatsdConfig) -> StatsdSink {
    StatsdSink::plan(&config, None).expect("the settings are right");
    StatsdSink::open(
        config,
        SinkContext { name: "test".into(), format: None, timeout: std::time::Duration::from_secs(60) },
    )
    .await
    .expect("it opens")
}

/// The lines that a batch becomes.
async fn lines(config: &StatsdConfig, batch: &Batch) -> Vec<String> {
    let names = Names::new(config).expect("the settings are right");
    let mut known = KnownSeries::new(config.max_series as usize);
    let mut window = Window::new(&names, &config.fields, 1_432);
    let (mut slices, mut scratch) = (batch.slices(), Scratch::default());
    while let Some(slice) = slices.next().await.expect("it is in memory") {
        for entry in slice.entries() {
            window.add(&entry.view(&mut scratch), &mut known, Instant::now());
        }
    }
    let datagrams = window.datagrams();
    String::from_utf8_lossy(datagrams.stream()).lines().map(str::to_owned).collect()
}
