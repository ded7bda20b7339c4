//! A source that hands over what it is given.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use crate::plugin::{DynSource, Mode, Port, SourceError};
use crate::record::{Chunk, ChunkHead, Codec, Kind, Partition, Timestamp};

/// A source of a list of chunks, each a list of bodies, all of one partition.
pub struct ListSource {
    kind: Kind,
    codec: Codec,
    partition: Partition,
    chunks: Vec<Vec<Vec<u8>>>,
    settlements: Settlements,
    revoke_after: Option<usize>,
}

/// What a [`ListSource`] was told to be settled. A handle.
#[derive(Debug, Clone, Default)]
pub struct Settlements(Arc<Mutex<Vec<u64>>>);

impl Settlements {
    /// The positions in the order in which they came.
    pub fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The last one, or 0.
    pub fn last(&self) -> u64 {
        self.all().last().copied().unwrap_or_default()
    }
}

impl ListSource {
    /// Hands over these chunks of events, JSON objects, one after the other.
    pub fn new(chunks: Vec<Vec<String>>) -> Self {
        let bytes = |chunk: Vec<String>| chunk.into_iter().map(String::into_bytes).collect();
        Self::of(Kind::Event, Codec::Json, chunks.into_iter().map(bytes).collect())
    }

    /// Hands over these chunks of records one after the other.
    pub fn of(kind: Kind, codec: Codec, chunks: Vec<Vec<Vec<u8>>>) -> Self {
        let partition = Partition::new("only");
        Self { kind, codec, partition, chunks, settlements: Settlements::default(), revoke_after: None }
    }

    /// The same records in a partition of another name.
    #[must_use]
    pub fn in_partition(self, name: &str) -> Self {
        Self { partition: Partition::new(name), ..self }
    }

    /// `count` events, `per_chunk` in a chunk; the body of event 7 is `{"n":7}`.
    pub fn counting(count: usize, per_chunk: usize) -> Self {
        let bodies: Vec<_> = (0..count).map(|n| format!("{{\"n\":{n}}}")).collect();
        Self::new(bodies.chunks(per_chunk).map(<[String]>::to_vec).collect())
    }

    /// Loses its partition after it handed over so many chunks, and ends.
    #[must_use]
    pub fn revoked_after(mut self, chunks: usize) -> Self {
        self.revoke_after = Some(chunks);
        self
    }

    /// Where to see what was settled.
    pub fn settlements(&self) -> Settlements {
        self.settlements.clone()
    }
}

#[async_trait]
impl DynSource for ListSource {
    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(self: Box<Self>, mut port: Port) -> Result<(), SourceError> {
        let partition = self.partition.clone();
        let total: u64 = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let mut position = 0;
        let (mut stopping, mut is_stopping) = (Box::pin(port.stopping()), false);
        for (number, bodies) in self.chunks.iter().enumerate() {
            if self.revoke_after == Some(number) {
                port.revoke(&partition);
                return Ok(());
            }
            let bytes = Bytes::from(bodies.concat());
            let mut permit = tokio::select! {
                permit = port.reserve(bytes.len()) => permit,
                () = &mut stopping => { is_stopping = true; break }
            };
            let head = ChunkHead {
                source: port.name().clone(),
                partition: partition.clone(),
                kind: self.kind,
                codec: self.codec,
                received: Timestamp::now(),
            };
            let first = position;
            let mut start = 0;
            let entries: Vec<_> = bodies
                .iter()
                .map(|body| {
                    let entry = (position, start..start + body.len());
                    (position, start) = (position + 1, start + body.len());
                    entry
                })
                .collect();
            permit.append(Chunk::parse(head, bytes, first..position, entries)).await;
        }
        loop {
            let is_drained = port.mode() == Mode::Drain && self.settlements.last() == total;
            if is_drained && !is_stopping {
                return Ok(());
            }
            match port.settled().await {
                None => return Ok(()),
                Some((_, position)) => self
                    .settlements
                    .0
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(position),
            }
        }
    }
}
