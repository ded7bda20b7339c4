//! What encoding costs with several lanes: with the same format, which is written once for all, and with formats of their own.
//!
//! ```sh
//! cargo bench --bench shared_encodings           # some minutes; two million records each
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::dead_letter::DirectoryStore;
use pump_core::edit::Edits;
use pump_core::encode::{Additions, Encoder, FullEncoder};
use pump_core::engine::{Blueprint, LaneBlueprint, LogBlueprint, Pump, SourceBlueprint};
use pump_core::filter::Filter;
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Body, Deadline, DynSink, DynSource, Mode, Port, SinkError, SourceError,
};
use pump_core::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Record, Timestamp, View};
use pump_core::template::Template;
use pump_core::{LaneSettings, Randomness, RetrySettings};
use pump_sources::demo::Traffic;

/// Chunks of about 2 MiB, as the `redis_list` source hands them over.
const PER_CHUNK: usize = 2_000;

/// Gives the same records again and again.
struct Repeating {
    chunks: usize,
    records: Bytes,
    ends: Vec<usize>,
}

impl Repeating {
    fn new(chunks: usize) -> Self {
        let mut traffic = Traffic::new(1, None);
        let (mut records, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..PER_CHUNK {
            traffic.write(Timestamp::now(), "", &mut records);
            ends.push(records.len());
        }
        Self { chunks, records: records.into(), ends }
    }
}

#[async_trait]
impl DynSource for Repeating {
    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(self: Box<Self>, mut port: Port) -> Result<(), SourceError> {
        let partition = Partition::new("only");
        for number in 0..self.chunks {
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
            let entries = (first..).zip(starts.zip(&self.ends).map(|(start, end)| start..*end));
            let positions = first..first + PER_CHUNK as u64;
            permit.append(Chunk::parse(head, self.records.clone(), positions, entries)).await;
        }
        let total = (self.chunks * PER_CHUNK) as u64;
        while port.settled().await.is_some_and(|(_, position)| position < total) {}
        Ok(())
    }
}

/// Takes everything, after some time on the way.
struct Null {
    distance: Duration,
}

#[async_trait]
impl DynSink for Null {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        tokio::time::sleep(self.distance).await;
        Ok(Answers::delivered(batch.len()))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Writes every field, and counts how often.
struct Counting(Arc<AtomicU64>);

impl Encoder for Counting {
    fn key(&self) -> &str {
        FullEncoder.key()
    }

    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        FullEncoder.encode(record, view, additions, out);
    }
}

fn lane(number: usize, is_shared: bool, distance: Duration, encoded: &Arc<AtomicU64>) -> LaneBlueprint {
    let name = format!("lane-{number}");
    // A field of its own makes a format of its own, of the same size.
    let field = if is_shared { "lane" } else { &name };
    LaneBlueprint {
        name: name.as_str().into(),
        sink: Arc::new(Null { distance }),
        sources: None,
        kinds: vec![Kind::Transaction],
        is_required: true,
        filter: Filter::default(),
        edits: Edits::default(),
        additions: Additions::new([("lane", field)]),
        body: Some(Body { encoder: Arc::new(Counting(encoded.clone())), terminator: b"\n" }),
        route: Template::constant_of(""),
        repeats_batches: false,
        settings: LaneSettings {
            batch: BatchDefaults::default(),
            max_in_flight: 2,
            is_adaptive: false,
            rate_limit: None,
            timeout: Duration::from_secs(30),
            retry: RetrySettings::default(),
        },
    }
}

/// Lanes, all of one format or each of its own. The last one lags behind if its sink is far away.
async fn measure(records: usize, lanes: usize, is_shared: bool, distance: Duration) {
    let chunks = records / PER_CHUNK;
    let encoded = Arc::new(AtomicU64::new(0));
    let distance = |number| if number + 1 == lanes { distance } else { Duration::ZERO };
    let pump = Pump::new(Blueprint {
        sources: vec![SourceBlueprint { name: "a".into(), source: Box::new(Repeating::new(chunks)) }],
        lanes: (0..lanes).map(|number| lane(number, is_shared, distance(number), &encoded)).collect(),
        log: LogBlueprint::Memory { max_size: 32 << 20 },
        dead_letters: Arc::new(DirectoryStore::new(std::env::temp_dir().join("pump-no-letters"), 1 << 20)),
        id_key: Arc::new(IdKey::default()),
        mode: Mode::Drain,
        shutdown_timeout: Duration::from_secs(5),
        randomness: Randomness::default(),
    });
    let before = cpu();
    pump.run(std::future::pending()).await.expect("nothing fails");
    let millions = (chunks * PER_CHUNK) as f64 / 1e6;
    println!(
        "{lanes} lanes, {:<14} {:5.2} CPU s per million records, {:4.2} encodings a record",
        if is_shared { "one format:" } else { "as many:" },
        (cpu() - before) / millions,
        encoded.load(Ordering::Relaxed) as f64 / 1e6 / millions,
    );
}

/// User and system time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let times = stat.rsplit_once(')').expect("its form is known").1.split_ascii_whitespace();
    times.skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let records = arguments.next().map_or(2_000_000, |count| count.parse().expect("a number of records"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for lanes in [1, 2, 4] {
        for is_shared in [true, false] {
            runtime.block_on(measure(records, lanes, is_shared, Duration::ZERO));
        }
    }
    println!("of which the last lags behind:");
    runtime.block_on(measure(records.min(200_000), 2, true, Duration::from_millis(500)));
    runtime.block_on(measure(records.min(200_000), 4, true, Duration::from_millis(500)));
}
