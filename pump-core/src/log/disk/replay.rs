//! What the log has kept as a source: it goes through an engine again, to sinks that somebody has chosen.
//!
//! One such source stands for one source of the pipeline file and bears its name. Its chunks are those of the log,
//! with the partitions and positions that they had, so their records have the ids that they had. The log is only
//! read: its cursors are those of its own pump.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use super::segment::{Frame, FrameReader, first_place, next_sound};
use super::{Records, Storage};
use crate::plugin::{DynSource, Port, SourceError};
use crate::record::{Kind, Parsed, Partition, Timestamp};

/// What there is to send again.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// When the oldest record of all was received.
    pub oldest: Option<Timestamp>,
    /// Records that were received at the time that was asked for, or later.
    pub records: Records,
}

/// Counts what was received since then.
pub async fn kept(storage: &dyn Storage, from: Timestamp) -> io::Result<Kept> {
    let (mut frames, mut kept) = (Frames::of(storage).await?, Kept::default());
    while let Some(frame) = frames.next(storage).await? {
        let received = frame.header.received;
        kept.oldest = Some(kept.oldest.map_or(received, |oldest| oldest.min(received)));
        if received >= from {
            kept.records.add(&frame, u64::from(frame.header.records));
        }
    }
    Ok(kept)
}

/// Gives what one source has given since a time. For [`Mode::Drain`](crate::plugin::Mode::Drain).
pub struct KeptSource {
    storage: Arc<dyn Storage>,
    from: Timestamp,
    kinds: Vec<Kind>,
}

impl KeptSource {
    /// Records of these kinds that were received then or later. The others nobody would take.
    pub fn new(storage: Arc<dyn Storage>, from: Timestamp, kinds: Vec<Kind>) -> Self {
        Self { storage, from, kinds }
    }

    fn is_meant(&self, frame: &Frame, source: &str) -> bool {
        frame.header.received >= self.from
            && self.kinds.contains(&frame.header.kind)
            && frame.header.names(&frame.content).is_ok_and(|(own, _)| own == source)
    }
}

#[async_trait]
impl DynSource for KeptSource {
    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(self: Box<Self>, mut port: Port) -> Result<(), SourceError> {
        let failed = |error: io::Error| SourceError::caused("the log cannot be read", error);
        let (source, mut stopping) = (port.name().clone(), Box::pin(port.stopping()));
        let mut frames = Frames::of(&*self.storage).await.map_err(failed)?;
        // Each chunk has a partition handle of its own.
        let mut pending: VecDeque<(Partition, u64)> = VecDeque::new();
        while let Some(frame) = frames.next(&*self.storage).await.map_err(failed)? {
            if !self.is_meant(&frame, &source) {
                continue;
            }
            // A frame that was read is sound, down to its records.
            let Ok(chunk) = frame.header.chunk(frame.content) else { continue };
            let mut permit = tokio::select! {
                biased;
                () = &mut stopping => break,
                permit = port.reserve(chunk.size()) => permit,
            };
            pending.push_back((chunk.head().partition.clone(), chunk.positions().end));
            permit.append(Parsed { chunk, undecodable: Vec::new() }).await;
            while let Some(settled) = port.try_settled() {
                settle(&mut pending, settled);
            }
        }
        while !pending.is_empty() {
            let Some(settled) = port.settled().await else { break };
            settle(&mut pending, settled);
        }
        Ok(())
    }
}

/// A chunk is done with once its last position is: mostly the first, but lanes that take different kinds have paces of
/// their own.
fn settle(pending: &mut VecDeque<(Partition, u64)>, (partition, position): (Partition, u64)) {
    let index = pending.iter().position(|(own, end)| *own == partition && *end <= position);
    index.and_then(|index| pending.remove(index));
}

/// Goes through everything that can be read, oldest first.
struct Frames {
    segments: VecDeque<(String, u64)>,
    reader: FrameReader,
    offset: u64,
    /// What lies below was given.
    next: u64,
}

impl Frames {
    async fn of(storage: &dyn Storage) -> io::Result<Self> {
        let files = storage.list().await?;
        let segments = files.into_iter().filter(|(name, _)| first_place(name).is_some()).collect();
        Ok(Self { segments, reader: FrameReader::default(), offset: 0, next: 0 })
    }

    async fn next(&mut self, storage: &dyn Storage) -> io::Result<Option<Frame>> {
        while let Some((name, len)) = self.segments.front() {
            let found = next_sound(storage, &mut self.reader, name, self.offset, *len, self.next).await?;
            if let Some((at, frame)) = found {
                (self.offset, self.next) = (at + frame.header.frame_len(), frame.header.end());
                return Ok(Some(frame));
            }
            self.segments.pop_front();
            self.offset = 0;
        }
        Ok(None)
    }
}
