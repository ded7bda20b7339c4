//! A chunk: records that a source handed over together, as they came.
//!
//! One buffer, shared and never copied; spans into it; a position for each record. Immutable, and
//! shared by all lanes. The only way to make one is [`Chunk::parse`], so whoever holds a chunk holds
//! sound records.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{Codec, DecodeError, IdKey, Kind, RecordId, Timestamp, View, json, msgpack, protobuf};

/// The largest body that is taken, in bytes; a larger one is a dead letter.
pub const MAX_BODY: usize = 8 << 20;
/// How deep values may nest; a deeper body is a dead letter.
pub const MAX_DEPTH: usize = 32;

/// On the source side, a run of positions that settles together: a Redis segment, a Kafka
/// partition. A handle; clones are the same partition.
#[derive(Debug, Clone)]
pub struct Partition(Arc<PartitionState>);

#[derive(Debug)]
struct PartitionState {
    name: Box<str>,
    is_revoked: AtomicBool,
}

impl Partition {
    /// A partition that the source holds from now on. The name is stable over restarts, and a position in a
    /// partition of that name is the same record for ever: a log that outlives the process takes it once. Where
    /// positions begin anew, the name is a new one.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(Arc::new(PartitionState { name: name.into(), is_revoked: AtomicBool::new(false) }))
    }

    /// The name that the source gave it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the source lost it: somebody else delivers what is not yet delivered.
    pub fn is_revoked(&self) -> bool {
        self.0.is_revoked.load(Ordering::Acquire)
    }

    pub(crate) fn revoke(&self) {
        self.0.is_revoked.store(true, Ordering::Release);
    }
}

impl PartialEq for Partition {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Partition {}

impl std::hash::Hash for Partition {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// What all records of a chunk have in common.
#[derive(Debug, Clone)]
pub struct ChunkHead {
    /// The source's name in the pipeline file.
    pub source: Arc<str>,
    /// Where the positions count.
    pub partition: Partition,
    /// What sort of records.
    pub kind: Kind,
    /// How their bodies are written.
    pub codec: Codec,
    /// When the source got them.
    pub received: Timestamp,
}

/// Where one record lies in the chunk's buffer, and its position less the chunk's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) position: u32,
}

/// A chunk taken apart, as the disk log keeps it.
pub(crate) struct ChunkParts {
    pub(crate) head: ChunkHead,
    pub(crate) bytes: Bytes,
    pub(crate) spans: Box<[Span]>,
    pub(crate) positions: Range<u64>,
    pub(crate) ids: Option<Box<[RecordId]>>,
}

/// Records that a source handed over together; immutable.
#[derive(Debug)]
pub struct Chunk {
    head: ChunkHead,
    bytes: Bytes,
    spans: Box<[Span]>,
    positions: Range<u64>,
    ids: Option<Box<[RecordId]>>,
}

/// What became of the entries that a source handed over.
#[derive(Debug)]
pub struct Parsed {
    /// The sound records.
    pub chunk: Chunk,
    /// The others, with their reasons.
    pub undecodable: Vec<Undecodable>,
}

/// An entry that is no sound record.
#[derive(Debug, Clone)]
pub struct Undecodable {
    /// Its position in the partition.
    pub position: u64,
    /// Its bytes as they came.
    pub body: Bytes,
    /// What is wrong with it.
    pub error: DecodeError,
}

impl Chunk {
    /// Walks every entry once and keeps the sound ones.
    ///
    /// `positions` is what the chunk settles when all its records are closed: from the first entry's
    /// position to one past the last. An entry is its position and its place in `bytes`. An entry
    /// that holds two records gives two with the same position.
    pub fn parse(
        head: ChunkHead,
        bytes: Bytes,
        positions: Range<u64>,
        entries: impl IntoIterator<Item = (u64, Range<usize>)>,
    ) -> Parsed {
        let entries = entries.into_iter();
        let mut spans = Vec::with_capacity(entries.size_hint().0);
        let mut undecodable = Vec::new();
        for (position, range) in entries {
            let body = &bytes[range.clone()];
            let relative = (position - positions.start) as u32;
            let mut add = |part: Range<usize>| {
                spans.push(Span {
                    start: (range.start + part.start) as u32,
                    end: (range.start + part.end) as u32,
                    position: relative,
                });
            };
            if let Err(error) = walk(head.kind, head.codec, body, &mut add) {
                undecodable.push(Undecodable { position, body: bytes.slice(range), error });
            }
        }
        let chunk = Self { head, bytes, spans: spans.into(), positions, ids: None };
        Parsed { chunk, undecodable }
    }

    /// A chunk that was walked before and kept; `None` when its parts do not fit together.
    pub(crate) fn from_parts(parts: ChunkParts) -> Option<Self> {
        let ChunkParts { head, bytes, spans, positions, ids } = parts;
        let is_inside = |span: &Span| {
            let has_position = positions.start.checked_add(u64::from(span.position)).is_some();
            span.start <= span.end && span.end as usize <= bytes.len() && has_position
        };
        let has_all_ids = ids.as_ref().is_none_or(|ids| ids.len() == spans.len());
        let is_sound = has_all_ids && positions.start <= positions.end && spans.iter().all(is_inside);
        is_sound.then_some(Self { head, bytes, spans, positions, ids })
    }

    /// What lies in the chunk's buffer, in order.
    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The chunk's whole buffer.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same chunk in a partition that nobody can revoke: what is durable is delivered by us, whoever
    /// holds the lease by then.
    pub(crate) fn detached(mut self) -> Self {
        self.head.partition = Partition::new(self.head.partition.name());
        self
    }

    /// The same chunk with ids that came along, or that the source made; one for each record, in
    /// order. Without them, ids are computed when somebody asks.
    ///
    /// # Panics
    ///
    /// If there are more or fewer ids than records: which is whose could not be said any more.
    #[must_use]
    pub fn with_ids(mut self, ids: impl Into<Box<[RecordId]>>) -> Self {
        let ids = ids.into();
        assert_eq!(ids.len(), self.len(), "a chunk has one id for each of its records");
        self.ids = Some(ids);
        self
    }

    /// The ids that came along, if any did.
    pub fn ids(&self) -> Option<&[RecordId]> {
        self.ids.as_deref()
    }

    /// What all its records have in common.
    pub fn head(&self) -> &ChunkHead {
        &self.head
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether no entry was sound.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What it takes of a log's room, in bytes.
    pub fn size(&self) -> usize {
        let ids = self.ids.as_ref().map_or(0, |ids| size_of_val(&**ids));
        self.bytes.len() + size_of_val(&*self.spans) + ids + size_of::<Self>()
    }

    /// The positions that are settled when all its records are closed.
    pub fn positions(&self) -> Range<u64> {
        self.positions.clone()
    }

    /// The record at an index below [`Self::len`].
    pub fn record(&self, index: usize) -> Record<'_> {
        Record { chunk: self, index }
    }

    /// All records, in the order in which they came.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }
}

/// Checks one body; calls `add` for each record in it (more than one only in msgpack).
fn walk(kind: Kind, codec: Codec, body: &[u8], add: &mut dyn FnMut(Range<usize>)) -> Result<(), DecodeError> {
    let refuse = |code, detail| Err(DecodeError { code, detail, at: 0 });
    if body.is_empty() {
        return refuse("empty", "the entry has no bytes");
    }
    if body.len() > MAX_BODY {
        return refuse("too_large", "the entry is larger than 8 MiB");
    }
    match (kind, codec) {
        (Kind::Transaction, Codec::Msgpack) => msgpack::walk_transactions(body, add),
        (Kind::Uptime, Codec::Msgpack) => msgpack::walk_uptimes(body, add),
        (Kind::Transaction, Codec::Protobuf) => {
            protobuf::walk_transaction(body)?;
            add(0..body.len());
            Ok(())
        }
        (Kind::AppLog | Kind::Audit | Kind::Event, Codec::Json) => {
            let object = json::walk_object(body)?;
            add(object);
            Ok(())
        }
        _ => refuse("malformed", "records of this kind are not written in this codec"),
    }
}

impl Parsed {
    /// The same without what lies below a position, and how many records and undecodable entries that were.
    pub(crate) fn starting_at(mut self, position: u64) -> (Self, usize) {
        let before = self.chunk.len() + self.undecodable.len();
        self.undecodable.retain(|entry| entry.position >= position);
        let Chunk { positions, spans, ids, .. } = &mut self.chunk;
        let is_kept = |span: &Span| positions.start + u64::from(span.position) >= position;
        let kept: Vec<bool> = spans.iter().map(is_kept).collect();
        let mut keep = kept.iter();
        *spans = spans.iter().filter(|span| is_kept(span)).copied().collect();
        *ids = ids.take().map(|ids| ids.into_iter().filter(|_| keep.next() == Some(&true)).collect());
        let already = before - self.chunk.len() - self.undecodable.len();
        (self, already)
    }
}

/// One sound record: a chunk and an index into it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    chunk: &'a Chunk,
    index: usize,
}

impl<'a> Record<'a> {
    /// The chunk it is in.
    pub fn chunk(self) -> &'a Chunk {
        self.chunk
    }

    /// What sort of record.
    pub fn kind(self) -> Kind {
        self.chunk.head.kind
    }

    /// When the source got it.
    pub fn received(self) -> Timestamp {
        self.chunk.head.received
    }

    /// Its position in the partition.
    pub fn position(self) -> u64 {
        self.chunk.positions.start + u64::from(self.chunk.spans[self.index].position)
    }

    /// The bytes as they came.
    pub fn body(self) -> &'a [u8] {
        let span = self.chunk.spans[self.index];
        &self.chunk.bytes[span.start as usize..span.end as usize]
    }

    /// The same bytes, shared.
    pub fn shared_body(self) -> Bytes {
        let span = self.chunk.spans[self.index];
        self.chunk.bytes.slice(span.start as usize..span.end as usize)
    }

    /// Its fields; decoded anew at each call (a transaction takes some 200 to 400 ns).
    pub fn view(self) -> View<'a> {
        let body = self.body();
        match (self.kind(), self.chunk.head.codec) {
            (Kind::Transaction, Codec::Protobuf) => View::Transaction(protobuf::transaction(body)),
            (Kind::Transaction, _) => View::Transaction(msgpack::transaction(body)),
            (Kind::Uptime, _) => View::Uptime(msgpack::uptime(body)),
            (Kind::AppLog | Kind::Audit | Kind::Event, _) => View::Object(super::Object::new(body)),
        }
    }

    /// Its id: the same for the same record on every replica and after every restart.
    pub fn id(self, key: &IdKey) -> RecordId {
        match &self.chunk.ids {
            Some(ids) => ids[self.index],
            None => key.id(self),
        }
    }
}
