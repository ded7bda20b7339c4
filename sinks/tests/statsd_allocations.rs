//! A window allocates per series and per datagram's worth of lines, never per record. A binary of its own, because it
//! counts every allocation of its process.
#![cfg(feature = "statsd")]

use std::alloc::System;
use std::net::UdpSocket;
use std::time::Duration;

use pump_core::config::{ByteSize, StatsdPrefix, StatsdTags as Tags};
use pump_core::edit::Edits;
use pump_core::plugin::{Answers, Deadline, Sink, SinkContext};
use pump_core::record::{Codec, Kind};
use pump_core::testing::batch_of_fields;
use pump_sinks::statsd::{Naming, StatsdConfig, StatsdSink, TimeField};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of one delivery of a real gateway's records, so many times over.
fn allocations(times: usize, naming: Naming, tags: Tags) -> usize {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/real/transactions.msgpack.lp");
    let bytes = std::fs::read(path).expect("the fixture is there");
    let (mut rest, mut entries) = (&bytes[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let (entry, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry);
        rest = after;
    }
    let records = entries.repeat(times);
    let batch = batch_of_fields(Kind::Transaction, Codec::Msgpack, &records, Edits::default());
    // It is read by nobody: what does not fit is dropped by the kernel.
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = daemon.local_addr().expect("it is bound").to_string();
    let config = StatsdConfig {
        address: address.parse().expect("an address"),
        prefix: StatsdPrefix::default(),
        naming,
        tags,
        fields: vec![TimeField::RequestTime, TimeField::LatencyUpstream],
        by: Some(["api_id", "response_code"].map(str::to_owned).to_vec()),
        separated_method: false,
        max_series: 10_000,
        max_datagram: ByteSize(1_432),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let context =
            SinkContext { name: "test".into(), format: None, timeout: std::time::Duration::from_secs(60) };
        let sink = StatsdSink::open(config, context).await.expect("it opens");
        let deadline = Deadline::after(Duration::from_secs(60));
        sink.deliver(&batch, deadline).await.expect("it is sent");
        let region = Region::new(ALLOCATOR);
        let answers = sink.deliver(&batch, deadline).await.expect("it is sent");
        let change = region.change();
        assert_eq!(answers, Answers::delivered(records.len()));
        change.allocations + change.reallocations
    })
}

#[test]
fn ten_times_the_records_cost_a_few_allocations_more() {
    for (naming, tags) in [
        (Naming::Safe, Tags::None),
        (Naming::Safe, Tags::Dogstatsd),
        (Naming::Tyk, Tags::None),
        (Naming::Tyk, Tags::Dogstatsd),
    ] {
        let (few, many) = (allocations(1, naming, tags), allocations(10, naming, tags));
        println!("{few} allocations for 2,000 records, {many} for 20,000 ({naming:?}, {tags:?})");
        assert!(
            many.saturating_sub(few) <= 20,
            "{few} for 2,000 records, {many} for 20,000 ({naming:?}, {tags:?})"
        );
    }
}
