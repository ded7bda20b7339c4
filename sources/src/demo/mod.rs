//! The `demo` source: made-up traffic of a gateway, so that pump can be tried with nothing else.

mod config;
#[cfg(test)]
mod tests;
mod traffic;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::plugin::{Mode, PlanError, Port, Source, SourceContext, SourceError, SourcePlan};
use pump_core::record::{Chunk, ChunkHead, Codec, Kind, Partition, RecordId, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

pub use config::DemoConfig;
pub use traffic::Traffic;

/// How often records are handed over.
const TICK: Duration = Duration::from_millis(50);
/// How many at once at the most.
const MAX_AT_ONCE: u64 = 1_000;
/// No made-up record is larger than this, in bytes.
const MAX_RECORD: usize = 2_048;

/// Makes up traffic.
pub struct DemoSource {
    config: DemoConfig,
}

#[async_trait]
impl Source for DemoSource {
    const NAME: &'static str = "demo";
    type Config = DemoConfig;

    fn plan(_: &DemoConfig) -> Result<SourcePlan, PlanError> {
        Ok(SourcePlan { kinds: vec![Kind::Transaction], ..SourcePlan::default() })
    }

    async fn open(config: DemoConfig, _: SourceContext) -> Result<Self, SourceError> {
        Ok(Self { config })
    }

    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(self, mut port: Port) -> Result<(), SourceError> {
        let mut generator = Generator::new(&self.config, port.name().clone());
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut stopping = Box::pin(port.stopping());
        let (mut is_stopping, mut settled) = (false, 0);
        loop {
            let is_done = is_stopping || generator.is_done();
            if generator.is_done() && settled == generator.position && port.mode() == Mode::Drain {
                return Ok(());
            }
            tokio::select! {
                safe = port.settled() => match safe {
                    Some((_, position)) => settled = position,
                    None => return Ok(()),
                },
                () = &mut stopping, if !is_stopping => is_stopping = true,
                _ = tick.tick(), if !is_done => {
                    let (room, positions, entries) = generator.next();
                    let mut permit = tokio::select! {
                        permit = port.reserve(room.len()) => permit,
                        () = &mut stopping => { is_stopping = true; continue }
                    };
                    let head = generator.head();
                    permit.append(Chunk::parse(head, room, positions, entries)).await;
                }
            }
        }
    }
}

/// What has been made, and what comes next.
struct Generator {
    traffic: Traffic,
    source: std::sync::Arc<str>,
    partition: Partition,
    position: u64,
    total: Option<u64>,
    per_tick: f64,
    /// The part of a record that the last tick did not make.
    owed: f64,
}

type Made = (Bytes, std::ops::Range<u64>, Vec<(u64, std::ops::Range<usize>)>);

impl Generator {
    fn new(config: &DemoConfig, source: std::sync::Arc<str>) -> Self {
        Self {
            traffic: Traffic::new(config.seed, config.records),
            source,
            // Positions begin anew with each run.
            partition: Partition::new(RecordId::uuid_v7().to_string()),
            position: 0,
            total: config.records,
            per_tick: f64::from(config.rate.get().get()) * TICK.as_secs_f64(),
            owed: 0.0,
        }
    }

    fn is_done(&self) -> bool {
        self.total == Some(self.position)
    }

    fn head(&self) -> ChunkHead {
        ChunkHead {
            source: self.source.clone(),
            partition: self.partition.clone(),
            kind: Kind::Transaction,
            codec: Codec::Msgpack,
            received: Timestamp::now(),
        }
    }

    fn next(&mut self) -> Made {
        self.owed += self.per_tick;
        let left = self.total.map_or(u64::MAX, |total| total - self.position);
        let count = (self.owed as u64).min(MAX_AT_ONCE).min(left);
        self.owed -= count as f64;
        let mut bytes = Vec::with_capacity(count as usize * MAX_RECORD);
        let first = self.position;
        let mut entries = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let start = bytes.len();
            self.traffic.write(Timestamp::now(), "", &mut bytes);
            entries.push((self.position, start..bytes.len()));
            self.position += 1;
        }
        (bytes.into(), first..self.position, entries)
    }
}
