//! Dead letters: records given up, with their reasons, kept for replay.
//!
//! A record counts as dead-lettered once the store says that it is safe. While the store is full or
//! failing, whoever buries waits: nothing is dropped to make progress.
//!
//! `line` is what a letter looks like in every store; `directory` and `directory_walk` are the
//! store that needs nothing but a disk, and the way through it; `archive` is what commands may do with
//! a store; `replay` makes letters a source, so that they go through the engine again.

mod archive;
mod directory;
mod directory_walk;
mod line;
mod replay;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tracing::error;

pub use archive::{DeadLetterArchive, Fullness, Portion, Walk};
pub use directory::DirectoryStore;
pub use line::LineError;
pub use replay::{ReplayCounts, ReplaySource, Selection};

use crate::news::News;
use crate::record::{ChunkHead, Codec, IdKey, Kind, Partition, Record, RecordId, Timestamp, Undecodable};
use crate::statistics::Statistics;

/// A record given up. Holds the wire bytes as they came, unredacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The sink that would not take it; `None` for what could not be decoded at the door.
    pub sink: Option<Arc<str>>,
    /// A word from a closed set.
    pub reason: Cow<'static, str>,
    /// For a person.
    pub detail: Box<str>,
    /// The record's id; `None` for what could not be decoded.
    pub id: Option<RecordId>,
    /// The source's name.
    pub source: Arc<str>,
    /// The partition's name.
    pub partition: Box<str>,
    /// The place in the partition.
    pub position: u64,
    /// What sort of record it was meant to be.
    pub kind: Kind,
    /// How its body is written.
    pub codec: Codec,
    /// When the source got it.
    pub received: Timestamp,
    /// The bytes as they came.
    pub body: Bytes,
}

impl DeadLetter {
    /// What a chunk of the letter's record has for a head: source, partition, kind and the rest as they were.
    pub fn head(&self) -> ChunkHead {
        ChunkHead {
            source: self.source.clone(),
            partition: Partition::new(self.partition.clone()),
            kind: self.kind,
            codec: self.codec,
            received: self.received,
        }
    }

    /// What becomes of an entry that is no sound record.
    pub fn undecodable(head: &ChunkHead, entry: &Undecodable) -> Self {
        Self {
            sink: None,
            reason: entry.error.code.into(),
            detail: entry.error.to_string().into(),
            id: None,
            source: head.source.clone(),
            partition: head.partition.name().into(),
            position: entry.position,
            kind: head.kind,
            codec: head.codec,
            received: head.received,
            body: entry.body.clone(),
        }
    }

    pub(crate) fn refused(
        sink: &Arc<str>,
        record: Record<'_>,
        key: &IdKey,
        reason: &'static str,
        detail: impl Into<Box<str>>,
    ) -> Self {
        let head = record.chunk().head();
        Self {
            sink: Some(sink.clone()),
            reason: reason.into(),
            detail: detail.into(),
            id: Some(record.id(key)),
            source: head.source.clone(),
            partition: head.partition.name().into(),
            position: record.position(),
            kind: head.kind,
            codec: head.codec,
            received: head.received,
            body: record.shared_body(),
        }
    }
}

/// Where dead letters are kept.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + 'static {
    /// Keeps all of them, or fails. When it returns without error they survive a crash. Called again
    /// with the same letters after a failure, so a letter may be there twice, with the same id.
    async fn append(&self, letters: &[DeadLetter]) -> Result<(), StoreError>;
}

/// Why dead letters could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store holds as much as it may.
    #[error(
        "dead letters are full ({size} of {max_size} bytes): look at them and replay or drop some, or raise dead_letters.max_size"
    )]
    Full {
        /// Bytes in it.
        size: u64,
        /// Bytes that it may hold.
        max_size: u64,
    },
    /// Anything else that keeps letters from being kept.
    #[error("dead letters cannot be written")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is in the store cannot be seen.
    #[error("dead letters cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Letters stay although they were to leave.
    #[error("dead letters cannot be removed: they stay, and may be sent again")]
    Unremovable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// What is wrong, with everything that lies beneath.
    fn with_causes(&self) -> String {
        let (mut text, mut cause) = (self.to_string(), std::error::Error::source(self));
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}

/// A wait for the store that may be; over when it is dropped.
struct Trouble<'a>(&'a Statistics);

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        self.0.dead_letters_trouble(None);
    }
}

/// Buries dead letters and counts them: waits for as long as the store fails.
pub(crate) struct Burial {
    store: Arc<dyn DeadLetterStore>,
    statistics: Arc<Statistics>,
    news: News,
}

impl Burial {
    pub(crate) fn new(store: Arc<dyn DeadLetterStore>, statistics: Arc<Statistics>, news: News) -> Self {
        Self { store, statistics, news }
    }

    /// Returns once all of them are safe.
    pub(crate) async fn bury(&self, sink: Option<&Arc<str>>, letters: Vec<DeadLetter>) {
        let (mut wait, mut done, mut portion) = (Duration::from_millis(100), 0, letters.len());
        // Also when a reload cuts it off: who still waits says so again.
        let _trouble = Trouble(&self.statistics);
        while done < letters.len() {
            let end = letters.len().min(done + portion);
            match self.store.append(&letters[done..end]).await {
                Ok(()) => {
                    for letter in &letters[done..end] {
                        self.statistics.dead_letter(sink, letter.reason.clone());
                    }
                    done = end;
                }
                // What does not fit together may fit one by one.
                Err(StoreError::Full { .. }) if portion > 1 => portion = portion.div_ceil(2),
                Err(error) => {
                    let reason = error.with_causes();
                    let sink = sink.map_or("", |sink| sink);
                    error!(sink, reason, "dead letters wait for their store");
                    self.statistics.dead_letters_trouble(Some(reason));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
        }
        // News about buried news would never end.
        if let Some(letter) = letters.iter().find(|letter| &*letter.source != crate::news::SOURCE) {
            let details = [
                ("sink", sink.map_or("", |sink| sink).into()),
                ("count", letters.len().into()),
                ("reason", (&*letter.reason).into()),
                ("detail", (&*letter.detail).into()),
            ];
            self.news.post("dead_letters", "records were given up and kept as dead letters", &details);
        }
    }
}
