//! A delivery to a receiver of webhooks allocates per request, never per record, also with JSON around each of
//! them. A binary of its own, because it counts every allocation of its process, the server's too.
#![cfg(feature = "webhook")]

use std::alloc::System;
use std::time::Duration;

use pump_core::config::{HttpCompression, Secret, TlsConfig};
use pump_core::plugin::{Answers, Deadline, Sink, SinkContext};
use pump_core::testing::batch;
use pump_sinks::webhook::{WebhookConfig, WebhookEncoding, WebhookSink};
use pump_testing::{HttpReaction, HttpServer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of one delivery of so many records, the connection being there.
fn allocations(count: usize, encoding: WebhookEncoding, record: Option<&str>) -> usize {
    let server = HttpServer::start(|_| HttpReaction::reply(200, ""));
    let config = WebhookConfig {
        url: Secret::new(server.url()),
        allow_plain_http: true,
        headers: [("x-key".to_owned(), Secret::new("key"))].into(),
        encoding,
        body: None,
        record: record.map(str::to_owned),
        signature: None,
        auth: None,
        tls: TlsConfig::default(),
        compression: HttpCompression::None,
    };
    let records: Vec<String> =
        (0..count).map(|number| format!("{{\"n\":{number},\"text\":\"t\"}}")).collect();
    let batch = batch(&records.iter().map(String::as_str).collect::<Vec<_>>(), "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let context = SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) };
        let sink = WebhookSink::open(config, context).await.expect("it opens");
        let deadline = Deadline::after(Duration::from_secs(60));
        sink.deliver(&batch, deadline).await.expect("it is delivered");
        let region = Region::new(ALLOCATOR);
        let answers = sink.deliver(&batch, deadline).await.expect("it is delivered");
        let change = region.change();
        assert_eq!(answers, Answers::delivered(count));
        change.allocations + change.reallocations
    })
}

/// One test, as all of them count with the same allocator.
#[test]
fn twenty_times_the_records_are_no_more_than_an_allocation_for_a_hundred_of_them() {
    let around = r#"{"id":"{id}","kind":"{kind}","n":"{n}","text":"<{text}> of {source}","data":"{record}"}"#;
    for (encoding, record) in [
        (WebhookEncoding::Json, None),
        (WebhookEncoding::Json, Some(around)),
        (WebhookEncoding::Ndjson, None),
        (WebhookEncoding::Ndjson, Some(around)),
    ] {
        let (few, many) = (allocations(200, encoding, record), allocations(4_000, encoding, record));
        println!("{few} allocations for 200 records, {many} for 4,000 ({encoding:?}, {record:?})");
        assert!(many.saturating_sub(few) <= 38, "{few} and {many} ({encoding:?}, {record:?})");
    }
}
