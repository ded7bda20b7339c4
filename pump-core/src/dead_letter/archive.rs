//! A store's other side: what is in it, and how letters leave it, for the commands that look after it.
//!
//! A [`Walk`] goes once through what was there when it began; what pumps append meanwhile, it does not
//! meet. A line is known by its bytes: two lines with the same bytes are one letter that was kept twice,
//! so whichever of them leaves, the other says the same. That is why several commands, and pumps that
//! append, may work on one store at once.

use async_trait::async_trait;
use bytes::Bytes;

use super::{DeadLetterStore, StoreError};

/// A store that can also be read, and emptied.
#[async_trait]
pub trait DeadLetterArchive: DeadLetterStore {
    /// What it is and where, for a person: `directory ./dead-letters`.
    fn place(&self) -> String;

    /// What its letters take.
    async fn fullness(&self) -> Result<Fullness, StoreError>;

    /// A walk through what is there now.
    async fn walk(&self) -> Result<Box<dyn Walk>, StoreError>;
}

/// How full a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fullness {
    /// Bytes in it.
    pub size: u64,
    /// Bytes that it may hold before pumps wait.
    pub max_size: u64,
}

/// One way through a store.
#[async_trait]
pub trait Walk: Send + Sync {
    /// The next lines, at least one; `None` at the end.
    async fn next(&mut self) -> Result<Option<Portion>, StoreError>;

    /// Takes lines of the last portion, by their numbers in it and in order, out of the store, and
    /// returns how many were still there. Once it returns they are gone also after a crash; a crash
    /// before that leaves each line whole or gone. Called at most once for a portion.
    async fn remove(&mut self, numbers: &[usize]) -> Result<usize, StoreError>;

    /// Begins again with the same letters, less those that left.
    fn rewind(&mut self);
}

/// Lines that lie together.
#[derive(Debug, Clone)]
pub struct Portion {
    /// Where they lie, for a person: a file or a list.
    pub place: String,
    /// What the first of them is counted as there, from 1.
    pub first: u64,
    /// Without their newlines. They need not be letters: anybody may have put anything there.
    pub lines: Vec<Bytes>,
}
