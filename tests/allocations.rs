//! The hot path allocates per chunk and per batch, never per record: from the door, where bodies are
//! walked, through the log and a lane into a file that is safe on disk. The client of Redis comes before
//! that, and has its own costs per reply.

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::config::{Catalog, load_text};
use pump_core::dead_letter::DirectoryStore;
use pump_core::edit::Edits;
use pump_core::encode::Additions;
use pump_core::engine::{Blueprint, LaneBlueprint, LogBlueprint, Pump, SourceBlueprint};
use pump_core::filter::Filter;
use pump_core::plugin::{DynSource, Mode, Port, Sink, SinkContext, SourceError};
use pump_core::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Timestamp};
use pump_core::{LaneSettings, Randomness, RetrySettings};
use pump_sinks::file::{FileConfig, FileSink};
use pump_sources::demo::Traffic;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Chunks of about 2 MiB, as the `redis_list` source hands them over.
const CHUNKS: usize = 200;
const PER_CHUNK: usize = 2_000;

/// Hands over the same records again and again.
struct Repeating {
    done: tokio::sync::oneshot::Sender<()>,
    records: Bytes,
    ends: Vec<usize>,
}

impl Repeating {
    fn new(done: tokio::sync::oneshot::Sender<()>) -> Self {
        let mut traffic = Traffic::new(1, None);
        let (mut records, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..PER_CHUNK {
            traffic.write(Timestamp::now(), "", &mut records);
            ends.push(records.len());
        }
        Self { done, records: records.into(), ends }
    }
}

#[async_trait]
impl DynSource for Repeating {
    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(self: Box<Self>, mut port: Port) -> Result<(), SourceError> {
        let partition = Partition::new("only");
        for number in 0..CHUNKS {
            let mut permit = port.reserve(self.records.len()).await;
            let head = ChunkHead {
                source: port.name().clone(),
                partition: partition.clone(),
                kind: Kind::Transaction,
                codec: Codec::Msgpack,
                received: Timestamp::now(),
            };
            let first = (number * PER_CHUNK) as u64;
            let starts = std::iter::once(0).chain(self.ends.iter().copied());
            let ranges = starts.zip(&self.ends).map(|(start, end)| start..*end);
            let entries = (first..).zip(ranges);
            let positions = first..first + PER_CHUNK as u64;
            permit.append(Chunk::parse(head, self.records.clone(), positions, entries)).await;
        }
        while port.settled().await.is_some_and(|(_, position)| position < (CHUNKS * PER_CHUNK) as u64) {}
        let _ = self.done.send(());
        while port.settled().await.is_some() {}
        Ok(())
    }
}

/// A pump into a file of this folder, as the command would make it.
async fn pump(folder: &TempDir, done: tokio::sync::oneshot::Sender<()>) -> Pump {
    let path = folder.path().display();
    let pipeline = format!(
        "sources: {{ a: {{ type: demo }} }}\nsinks: {{ files: {{ type: file, path: \"{path}/a.ndjson\" }} }}\n"
    );
    let catalog = Catalog::new().source::<pump_sources::demo::DemoConfig>("demo").sink::<FileConfig>("file");
    let pipeline = load_text("test", &pipeline, &|_| None, &catalog).expect("it is right");
    let sink: FileConfig = pipeline.sinks[0].plugin.read().expect("it is right");
    let plan = FileSink::plan(&sink, None).expect("it is right");
    let sink = FileSink::open(
        sink,
        SinkContext { name: "files".into(), format: None, timeout: Duration::from_secs(30) },
    )
    .await
    .expect("it opens");
    Pump::new(Blueprint {
        sources: vec![SourceBlueprint { name: "a".into(), source: Box::new(Repeating::new(done)) }],
        lanes: vec![LaneBlueprint {
            name: "files".into(),
            sink: Arc::new(sink),
            sources: None,
            kinds: vec![Kind::Transaction],
            is_required: true,
            filter: Filter::default(),
            edits: Edits::default(),
            additions: Additions::default(),
            body: plan.body,
            route: plan.route,
            repeats_batches: plan.repeats_batches,
            settings: LaneSettings {
                batch: plan.batch,
                max_in_flight: 2,
                is_adaptive: false,
                rate_limit: None,
                timeout: Duration::from_secs(30),
                retry: RetrySettings::default(),
            },
        }],
        log: LogBlueprint::Memory { max_size: 32 << 20 },
        dead_letters: Arc::new(DirectoryStore::new(folder.path().join("letters"), 1 << 20)),
        id_key: Arc::new(IdKey::default()),
        mode: Mode::Follow,
        shutdown_timeout: Duration::from_secs(5),
        randomness: Randomness::default(),
    })
}

#[test]
fn at_most_one_allocation_for_a_hundred_records_from_the_door_to_the_file() {
    let folder = TempDir::new().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let records = CHUNKS * PER_CHUNK;
    let region = runtime.block_on(async {
        let (done, is_done) = tokio::sync::oneshot::channel();
        let pump = pump(&folder, done).await;
        let monitor = pump.monitor();
        let region = Region::new(ALLOCATOR);
        pump.run(async { is_done.await.expect("it says so") }).await.expect("nothing fails");
        assert_eq!(monitor.books().lanes[0].delivered, records as u64);
        region.change()
    });
    let count = region.allocations + region.reallocations;
    let per_record = count as f64 / records as f64;
    println!("{count} allocations for {records} records: {per_record:.4} a record");
    assert!(per_record <= 0.01, "{count} allocations for {records} records: {per_record:.4} a record");
}
