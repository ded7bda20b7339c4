//! What tests put in the place of the world: a source that hands over what it is given, a sink that does as
//! it is told, a store of dead letters in memory that can be made to fail, and a disk that loses power.
//! [`fuzz`] is what the fuzzer runs; [`behaviour`] is what every sink is held to, and [`drain`] runs a source.

pub mod behaviour;
mod drain;
pub mod fuzz;
mod sink;
mod source;
mod storage;
mod store;

pub use drain::drain;
pub use sink::{Reaction, ScriptedSink};
pub use source::{ListSource, Settlements};
pub use storage::{Call, History, Loss, Replay, SimulatedStorage};
pub use store::MemoryStore;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::edit::Edits;
use crate::encode::{Additions, Encoder};
use crate::engine::{Blueprint, LaneBlueprint, LogBlueprint, SourceBlueprint};
use crate::filter::Filter;
use crate::lane::{Batcher, CutBatch, LaneSettings, Limits, Preparation, RetrySettings};
use crate::log::Placed;
use crate::plugin::{Batch, BatchDefaults, Body, DynSource, Mode};
use crate::randomness::Randomness;
use crate::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Record, Timestamp, View};
use crate::template::Template;

/// Records in a chunk of a batch.
const PER_CHUNK: usize = 100;

/// Writes the body as it came.
#[derive(Debug, Clone, Copy)]
pub struct WireEncoder;

impl Encoder for WireEncoder {
    fn key(&self) -> &str {
        "wire"
    }

    fn encode(&self, record: Record<'_>, _: &View<'_>, _: &Additions, out: &mut Vec<u8>) {
        out.extend_from_slice(record.body());
    }
}

/// A batch of these bodies (JSON objects, as events), each with a newline after it.
pub fn batch(bodies: &[&str], route: &str) -> Batch {
    prepared((Kind::Event, Codec::Json), bodies, (Some(wire()), Edits::default()), route, |preparation| {
        preparation
    })
}

/// A batch for a sink that reads fields only, in chunks of a hundred.
pub fn batch_of_fields(kind: Kind, codec: Codec, bodies: &[impl AsRef<[u8]>], edits: Edits) -> Batch {
    prepared((kind, codec), bodies, (None, edits), "", |preparation| preparation)
}

/// The same for a sink that encodes late.
pub fn late_batch(bodies: &[&str], route: &str) -> Batch {
    prepared(
        (Kind::Event, Codec::Json),
        bodies,
        (Some(wire()), Edits::default()),
        route,
        Preparation::encoding_late,
    )
}

/// A batch of these transactions (msgpack) for a sink that encodes late, in chunks of a hundred.
pub fn late_transactions(bodies: &[Vec<u8>], route: &str) -> Batch {
    prepared(
        (Kind::Transaction, Codec::Msgpack),
        bodies,
        (Some(wire()), Edits::default()),
        route,
        Preparation::encoding_late,
    )
}

fn wire() -> Body {
    Body { encoder: Arc::new(WireEncoder), terminator: b"\n" }
}

fn prepared(
    (kind, codec): (Kind, Codec),
    bodies: &[impl AsRef<[u8]>],
    (body, edits): (Option<Body>, Edits),
    route: &str,
    how: impl FnOnce(Preparation) -> Preparation,
) -> Batch {
    let (filter, edits) = (Filter::default(), Arc::new(edits));
    let template = Template::constant_of(route);
    let mut preparation = how(Preparation::new(filter, edits.clone(), Additions::default(), body, template));
    let limits = Limits {
        batch: BatchDefaults { max_records: usize::MAX, max_bytes: usize::MAX, max_age: Duration::MAX },
        max_span: usize::MAX,
        max_held: usize::MAX,
    };
    let mut batcher = Batcher::new(limits);
    let partition = Partition::new("test");
    for (turn, bodies) in bodies.chunks(PER_CHUNK).enumerate() {
        let first = (turn * PER_CHUNK) as u64;
        let (mut bytes, mut entries) = (Vec::new(), Vec::new());
        for (position, body) in (first..).zip(bodies) {
            let start = bytes.len();
            bytes.extend_from_slice(body.as_ref());
            entries.push((position, start..bytes.len()));
        }
        let (source, partition, received) = ("test".into(), partition.clone(), Timestamp::now());
        let head = ChunkHead { source, partition, kind, codec, received };
        let parsed = Chunk::parse(head, bytes.into(), first..first + bodies.len() as u64, entries);
        assert!(parsed.undecodable.is_empty(), "{:?}", parsed.undecodable);
        let placed = Placed::new(first, parsed.chunk);
        preparation.prepare(Instant::now(), &placed, None, &mut batcher, |_| {});
    }
    batcher.cut_all();
    let CutBatch { route, parts, len, size, .. } = batcher.pop().expect("there is at least one body");
    Batch { parts, len, size, route, edits, id_key: Arc::default(), late: preparation.late.clone() }
}

/// A blueprint of one or more sources and no lanes, with a small log.
pub fn blueprint(mode: Mode, sources: Vec<(&str, Box<dyn DynSource>)>) -> Blueprint {
    let sources = sources.into_iter().map(|(name, source)| SourceBlueprint { name: name.into(), source });
    Blueprint {
        sources: sources.collect(),
        lanes: Vec::new(),
        log: LogBlueprint::Memory { max_size: 1 << 20 },
        dead_letters: Arc::new(MemoryStore::default()),
        id_key: Arc::new(IdKey::default()),
        mode,
        shutdown_timeout: Duration::from_secs(5),
        randomness: Randomness::default(),
    }
}

/// A required lane that takes events and writes them as they came, in batches of ten.
pub fn lane(name: &str, sink: &ScriptedSink) -> LaneBlueprint {
    LaneBlueprint {
        name: name.into(),
        sink: Arc::new(sink.clone()),
        sources: None,
        kinds: vec![Kind::Event],
        is_required: true,
        filter: Filter::default(),
        edits: Edits::default(),
        additions: Additions::default(),
        body: Some(Body { encoder: Arc::new(WireEncoder), terminator: b"\n" }),
        route: Template::constant_of(""),
        repeats_batches: false,
        settings: LaneSettings {
            batch: BatchDefaults { max_records: 10, max_bytes: 64 << 10, max_age: Duration::from_secs(1) },
            max_in_flight: 2,
            is_adaptive: false,
            rate_limit: None,
            timeout: Duration::from_secs(10),
            retry: RetrySettings::default(),
        },
    }
}
