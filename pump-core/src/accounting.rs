//! The books: what became of every record, exact in one snapshot.
//!
//! Per lane: `accepted = delivered + duplicate + filtered + dead_lettered + left_behind + revoked +
//! pending`. Per source: `read = appended + already_held + dead_lettered`. Each entry moves a number
//! of records from one column to another under one lock, once per chunk or batch, so the equations
//! hold at every moment. They hold per process lifetime; after a crash the judge is the ids at the
//! destination.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;

use crate::record::Kind;

/// A lane, in the order in which they came. A name keeps its number for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LaneId(usize);

impl LaneId {
    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// What finally became of a record in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// The sink had it already.
    Duplicate,
    /// The lane's filter does not want it.
    Filtered,
    /// Given up, with a reason, and kept.
    DeadLettered,
    /// A best-effort lane could not keep up, or a reload took the sink out.
    LeftBehind,
    /// The source lost the partition before it was delivered.
    Revoked,
}

/// One lane's books, in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LaneBooks {
    /// Appended to the log and taken by the lane.
    pub accepted: u64,
    /// See [`Outcome`].
    pub delivered: u64,
    /// See [`Outcome`].
    pub duplicate: u64,
    /// See [`Outcome`].
    pub filtered: u64,
    /// See [`Outcome`].
    pub dead_lettered: u64,
    /// See [`Outcome`].
    pub left_behind: u64,
    /// See [`Outcome`].
    pub revoked: u64,
    /// In the log, not yet read by the lane.
    pub unread: u64,
    /// Read by the lane, without an outcome yet.
    pub held: u64,
}

impl LaneBooks {
    /// Records without an outcome.
    pub fn pending(&self) -> u64 {
        self.unread + self.held
    }

    /// Whether the equation holds.
    pub fn is_balanced(&self) -> bool {
        let outcomes = self.delivered
            + self.duplicate
            + self.filtered
            + self.dead_lettered
            + self.left_behind
            + self.revoked;
        self.accepted == outcomes + self.pending()
    }
}

/// One source's books, in records (an entry that could not be decoded counts as one).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SourceBooks {
    /// Got from the buffer.
    pub read: u64,
    /// Given to the log.
    pub appended: u64,
    /// Got again although the log had it.
    pub already_held: u64,
    /// Not sound: dead letters at the door.
    pub dead_lettered: u64,
    /// Appended, by kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// Waiting in the buffer when the source last looked; `None` when it does not know.
    pub backlog: Option<u64>,
    /// Age of the newest record when it was read, in seconds; `None` before the first.
    pub lag_seconds: Option<f64>,
    /// Gone from the buffer before they could be read.
    pub expired: u64,
    /// Why the source is not reading, if it is not.
    pub trouble: Option<Box<str>>,
}

impl SourceBooks {
    /// Whether the equation holds.
    pub fn is_balanced(&self) -> bool {
        self.read == self.appended + self.already_held + self.dead_lettered
    }
}

/// All books of a running pump. A handle; clones share the books.
#[derive(Debug, Clone)]
pub struct Accounting(Arc<Mutex<Books>>);

/// A snapshot of all books, taken at one moment.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// In the order of [`LaneId`].
    pub lanes: Vec<LaneBooks>,
    /// In the order of the pipeline file.
    pub sources: Vec<SourceBooks>,
}

impl Accounting {
    /// Empty books. Lanes come with [`Self::add_lane`].
    pub(crate) fn new(sources: usize) -> Self {
        Self(Arc::new(Mutex::new(Books {
            lanes: Vec::new(),
            sources: vec![SourceBooks::default(); sources],
        })))
    }

    /// All of it, at one moment.
    pub fn snapshot(&self) -> Books {
        self.books().clone()
    }

    /// Opens the books of the next lane.
    pub(crate) fn add_lane(&self) {
        self.books().lanes.push(LaneBooks::default());
    }

    /// The page of one source.
    pub(crate) fn source(&self, index: usize) -> SourceAccount {
        SourceAccount { accounting: self.clone(), index }
    }

    pub(crate) fn lane_accepted(&self, lane: LaneId, records: usize) {
        let books = &mut self.books().lanes[lane.0];
        books.accepted += records as u64;
        books.unread += records as u64;
    }

    pub(crate) fn lane_read(&self, lane: LaneId, records: usize) {
        let books = &mut self.books().lanes[lane.0];
        books.unread -= records as u64;
        books.held += records as u64;
    }

    pub(crate) fn lane_left_behind(&self, lane: LaneId, records: usize) {
        let books = &mut self.books().lanes[lane.0];
        books.unread -= records as u64;
        books.left_behind += records as u64;
    }

    pub(crate) fn lane_closed(&self, lane: LaneId, outcome: Outcome, records: usize) {
        let books = &mut self.books().lanes[lane.0];
        let records = records as u64;
        books.held -= records;
        *match outcome {
            Outcome::Delivered => &mut books.delivered,
            Outcome::Duplicate => &mut books.duplicate,
            Outcome::Filtered => &mut books.filtered,
            Outcome::DeadLettered => &mut books.dead_lettered,
            Outcome::LeftBehind => &mut books.left_behind,
            Outcome::Revoked => &mut books.revoked,
        } += records;
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// One source's page of the books.
#[derive(Debug, Clone)]
pub struct SourceAccount {
    accounting: Accounting,
    index: usize,
}

impl SourceAccount {
    /// How many records wait in the buffer.
    pub fn backlog(&self, records: u64) {
        self.update(|books| books.backlog = Some(records));
    }

    /// How old the newest record just read is, in seconds.
    pub fn lag(&self, seconds: f64) {
        self.update(|books| books.lag_seconds = Some(seconds));
    }

    /// Records that left the buffer before anybody read them.
    pub fn expired(&self, records: u64) {
        self.update(|books| books.expired += records);
    }

    /// Why the source is not reading; `None` once it does again.
    pub fn trouble(&self, reason: Option<&str>) {
        self.update(|books| {
            if books.trouble.as_deref() != reason {
                books.trouble = reason.map(Into::into);
            }
        });
    }

    pub(crate) fn took(&self, kind: Kind, appended: usize, dead_lettered: usize, already_held: usize) {
        self.update(|books| {
            books.read += (appended + dead_lettered + already_held) as u64;
            books.already_held += already_held as u64;
            books.appended += appended as u64;
            books.dead_lettered += dead_lettered as u64;
            *books.by_kind.entry(kind).or_default() += appended as u64;
        });
    }

    fn update(&self, change: impl FnOnce(&mut SourceBooks)) {
        change(&mut self.accounting.books().sources[self.index]);
    }
}
