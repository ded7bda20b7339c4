//! A delivery to a search cluster allocates per request, never per record: from a batch to a body with
//! ids and documents, and from a reply to answers. A binary of its own, because it counts every
//! allocation of its process, the server's too.
#![cfg(feature = "elasticsearch")]

use std::alloc::System;
use std::time::Duration;

use bytes::Bytes;
use pump_core::config::{HttpCompression, TlsConfig};
use pump_core::encode::Additions;
use pump_core::plugin::{Answers, Deadline, Format, Sink, SinkContext};
use pump_core::record::{Chunk, ChunkHead, Codec, Kind, Partition, Timestamp};
use pump_core::testing::batch;
use pump_sinks::elasticsearch::{ElasticsearchConfig, ElasticsearchSink, Op};
use pump_testing::{HttpReaction, HttpServer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn config(url: &str, compression: HttpCompression) -> ElasticsearchConfig {
    ElasticsearchConfig {
        endpoints: vec![url.parse().expect("an address")],
        index: "records".to_owned(),
        op: Op::Create,
        data_stream: false,
        install_template: false,
        extended: false,
        auth: None,
        tls: TlsConfig::default(),
        compression,
    }
}

/// Allocations of one delivery of so many records that are all taken, the connection being there.
fn allocations(count: usize, compression: HttpCompression) -> usize {
    let reply = format!("{{\"items\":[{}]}}", vec!["{\"create\":{\"status\":201}}"; count].join(","));
    let server = HttpServer::start(move |request| match request.method.as_str() {
        "GET" => HttpReaction::reply(200, r#"{"version":{"number":"9.1.0"}}"#),
        _ => HttpReaction::reply(200, reply.as_bytes()),
    });
    let records: Vec<String> = (0..count).map(|number| format!("{{\"n\":{number}}}")).collect();
    let batch = batch(&records.iter().map(String::as_str).collect::<Vec<_>>(), "records");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let context = SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) };
        let sink = ElasticsearchSink::open(config(&server.url(), compression), context).await;
        let sink = sink.expect("it opens");
        let deadline = Deadline::after(Duration::from_secs(60));
        sink.deliver(&batch, deadline).await.expect("it is delivered");
        let region = Region::new(ALLOCATOR);
        let answers = sink.deliver(&batch, deadline).await.expect("it is delivered");
        let change = region.change();
        assert_eq!(answers, Answers::delivered(count));
        change.allocations + change.reallocations
    })
}

/// Allocations for the documents of a real gateway's records, the buffer being there.
fn allocations_of_documents(format: Format, data_stream: bool) -> usize {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/real/transactions.msgpack.lp");
    let bytes = Bytes::from(std::fs::read(path).expect("the fixture is there"));
    let (mut at, mut entries) = (0, Vec::new());
    while let Some((length, _)) = bytes[at..].split_first_chunk() {
        let start = at + length.len();
        at = start + u32::from_be_bytes(*length) as usize;
        entries.push((entries.len() as u64, start..at));
    }
    let head = ChunkHead {
        source: "test".into(),
        partition: Partition::new("test"),
        kind: Kind::Transaction,
        codec: Codec::Msgpack,
        received: Timestamp::now(),
    };
    let chunk = Chunk::parse(head, bytes, 0..entries.len() as u64, entries).chunk;
    assert_eq!(chunk.len(), 2_000);
    let config = ElasticsearchConfig {
        extended: format == Format::Tyk,
        data_stream,
        ..config("http://h", HttpCompression::None)
    };
    let plan = ElasticsearchSink::plan(&config, Some(format)).expect("it is sound");
    let encoder = plan.body.expect("it has bodies").encoder;
    let (mut out, none) = (Vec::with_capacity(32 << 20), Additions::default());
    let region = Region::new(ALLOCATOR);
    for record in chunk.records() {
        encoder.encode(record, &record.view(), &none, &mut out);
    }
    let change = region.change();
    assert!(out.len() > 1 << 20, "documents were written");
    change.allocations + change.reallocations
}

/// One test, as all of them count with the same allocator.
#[test]
fn a_delivery_allocates_per_request_and_a_document_nothing() {
    documents_cost_nothing();
    twenty_times_the_records_are_no_more_than_an_allocation_for_a_hundred_of_them();
}

fn documents_cost_nothing() {
    for (format, data_stream) in
        [(Format::Tyk, false), (Format::Tyk, true), (Format::Full, false), (Format::Full, true)]
    {
        assert_eq!(allocations_of_documents(format, data_stream), 0, "{format:?} {data_stream}");
    }
}

fn twenty_times_the_records_are_no_more_than_an_allocation_for_a_hundred_of_them() {
    for compression in [HttpCompression::None, HttpCompression::Gzip] {
        let (few, many) = (allocations(200, compression), allocations(4_000, compression));
        println!("{few} allocations for 200 records, {many} for 4,000 ({compression:?})");
        assert!(many.saturating_sub(few) <= 38, "{few} for 200 records, {many} for 4,000 ({compression:?})");
    }
}
