//! Letters as a source: what a sink refused goes through the engine again.
//!
//! One such source stands for one source of the pipeline file and bears its name, so that records keep
//! their origin, and with it their ids. Each letter is a chunk of its own, in a partition handle of its
//! own, at its old position: what the engine settles is one letter. A letter leaves the store only after
//! that, portion by portion; the engine closes a record that was refused again only once its new letter
//! is safe. So a crash at any moment loses nothing and repeats records with the ids that they had.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::archive::Walk;
use super::{DeadLetter, StoreError};
use crate::plugin::{DynSource, Port, SourceError};
use crate::record::{Chunk, IdKey, Kind, Parsed, Timestamp};

/// Says which letters are meant.
pub type Selection = Box<dyn Fn(&DeadLetter, Timestamp) -> bool + Send + Sync>;

/// Gives the letters of one source to the engine. For [`Mode::Drain`](crate::plugin::Mode::Drain).
pub struct ReplaySource {
    walk: Box<dyn Walk>,
    selection: Selection,
    kinds: Vec<Kind>,
    id_key: Arc<IdKey>,
    counts: Arc<Mutex<ReplayCounts>>,
}

/// What became of the selected letters so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Given to the engine.
    pub sent: u64,
    /// Settled, and so gone from the store.
    pub removed: u64,
    /// Cannot be decoded, and stay.
    pub undecodable: u64,
    /// Of a kind that nobody takes, and stay.
    pub unwanted: u64,
}

impl ReplaySource {
    /// Letters of a walk that `selection` means; those of other kinds than `kinds` would be settled
    /// without having been delivered anywhere, so they stay. `id_key` is the engine's.
    pub fn new(walk: Box<dyn Walk>, selection: Selection, kinds: Vec<Kind>, id_key: Arc<IdKey>) -> Self {
        Self { walk, selection, kinds, id_key, counts: Arc::default() }
    }

    /// Where to see how it goes.
    pub fn counts(&self) -> Arc<Mutex<ReplayCounts>> {
        self.counts.clone()
    }

    /// The chunk of a line; `None` when the letter is not meant, or stays.
    fn open(&self, line: &[u8], source: &Arc<str>) -> Result<Option<Chunk>, SourceError> {
        // Whoever sent us has reported the lines that are no letters.
        let Ok((letter, at)) = DeadLetter::from_line(line) else { return Ok(None) };
        if letter.source != *source || !(self.selection)(&letter, at) {
            return Ok(None);
        }
        if !self.kinds.contains(&letter.kind) {
            self.count(|counts| counts.unwanted += 1);
            return Ok(None);
        }
        let chunk = chunk(&letter, &self.id_key)?;
        if chunk.is_none() {
            self.count(|counts| counts.undecodable += 1);
        }
        Ok(chunk)
    }

    fn count(&self, change: impl FnOnce(&mut ReplayCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Gives one portion to the engine and waits until it is settled. Returns whether to go on.
    async fn replay(&mut self, lines: &[bytes::Bytes], port: &mut Port) -> Result<bool, SourceError> {
        let source = port.name().clone();
        let mut pending = VecDeque::new();
        let (mut outcome, mut stopping) = (Ok(true), Box::pin(port.stopping()));
        for (number, line) in lines.iter().enumerate() {
            let chunk = match self.open(line, &source) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => continue,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            let mut permit = tokio::select! {
                biased;
                () = &mut stopping => { outcome = Ok(false); break }
                permit = port.reserve(chunk.size()) => permit,
            };
            pending.push_back((chunk.head().partition.clone(), chunk.positions().end, number));
            permit.append(Parsed { chunk, undecodable: Vec::new() }).await;
            self.count(|counts| counts.sent += 1);
        }
        let mut settled = Vec::with_capacity(pending.len());
        while !pending.is_empty() {
            let Some((partition, position)) = port.settled().await else {
                outcome = outcome.map(|_| false);
                break;
            };
            // The log settles in its order, so it is the first but where kinds have different takers. A
            // position below the end is a part of an entry with two records.
            let index = pending.iter().position(|(own, end, _)| *own == partition && *end <= position);
            settled.extend(index.and_then(|index| pending.remove(index)).map(|(.., number)| number));
        }
        settled.sort_unstable();
        let removed = self.walk.remove(&settled).await.map_err(store_failed)?;
        self.count(|counts| counts.removed += removed as u64);
        outcome
    }
}

#[async_trait]
impl DynSource for ReplaySource {
    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(mut self: Box<Self>, mut port: Port) -> Result<(), SourceError> {
        while let Some(portion) = self.walk.next().await.map_err(store_failed)? {
            if !self.replay(&portion.lines, &mut port).await? {
                break;
            }
        }
        Ok(())
    }
}

/// A letter as a chunk, with the id that it had; `None` when its body is no sound record.
fn chunk(letter: &DeadLetter, id_key: &IdKey) -> Result<Option<Chunk>, SourceError> {
    let positions = letter.position..letter.position.saturating_add(1);
    let entry = (letter.position, 0..letter.body.len());
    let Parsed { chunk, undecodable } = Chunk::parse(letter.head(), letter.body.clone(), positions, [entry]);
    if !undecodable.is_empty() {
        return Ok(None);
    }
    let Some(id) = letter.id else { return Ok(Some(chunk)) };
    if chunk.len() != 1 {
        return Ok(None);
    }
    // The pump's own news bring ids that nobody can compute.
    if *letter.source != *crate::news::SOURCE && chunk.record(0).id(id_key) != id {
        return Err(SourceError::new(format!(
            "the record of {} at {} {} had the id {id} and would get another: set record_id.key to what it was \
             when the letters were kept, or the sink cannot tell that it had a record",
            letter.source, letter.partition, letter.position
        )));
    }
    Ok(Some(chunk.with_ids([id])))
}

fn store_failed(error: StoreError) -> SourceError {
    SourceError::caused("the replay stops", error)
}
