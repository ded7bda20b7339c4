//! A batch: what one delivery carries.
//!
//! A batch is a run of places in the log, not a run of bytes. It holds chunks and, where the sink
//! wants bodies, encodings of chunks, both shared; a sink reads it slice by slice, and a slice is what
//! one chunk gave to the batch (at most 4 MiB of it on the wire, but for a single larger record).
//!
//! A batch of a sink that encodes late holds no encodings: each slice is encoded when it is read, and its encoding
//! goes with it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::SinkError;
use crate::edit::{Edits, Scratch};
use crate::lane::LateEncoding;
use crate::log::Placed;
use crate::record::{IdKey, Record, RecordId, View};

/// The bodies of a chunk's records, one after the other, each with its terminator.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// Where each record's body and terminator end; empty ones for records left out.
    pub(crate) ends: Box<[u32]>,
    pub(crate) terminator_len: usize,
}

impl Encoded {
    pub(crate) fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// Body and terminator, in bytes.
    pub(crate) fn size(&self, index: usize) -> usize {
        self.ends[index] as usize - self.start(index)
    }
}

/// What one chunk gives to a batch.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) placed: Placed,
    pub(crate) encoded: Option<Arc<Encoded>>,
    /// Runs of indices into the chunk, ascending.
    pub(crate) runs: Vec<Range<u32>>,
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum()
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().cloned().flatten()
    }

    /// Whether the record of that index into the chunk is in it.
    pub(crate) fn has(&self, index: u32) -> bool {
        let at = self.runs.partition_point(|run| run.end <= index);
        self.runs.get(at).is_some_and(|run| run.start <= index)
    }

    /// Adds an index above all others in the part.
    pub(crate) fn push(&mut self, index: u32) {
        match self.runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => self.runs.push(index..index + 1),
        }
    }
}

/// What one delivery carries: at least one record, all of one route.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) parts: Vec<Part>,
    pub(crate) len: usize,
    /// Bodies with terminators, or wire bytes where there are no bodies.
    pub(crate) size: usize,
    pub(crate) route: Arc<str>,
    pub(crate) edits: Arc<Edits>,
    pub(crate) id_key: Arc<IdKey>,
    /// How slices are encoded that were not before.
    pub(crate) late: Option<Arc<LateEncoding>>,
}

impl Batch {
    /// How many records.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a batch has at least one record.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bodies with their terminators, in bytes; wire bytes for a sink that reads fields only or encodes late.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The value of the sink's route template for all of its records.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The same, shared.
    pub fn shared_route(&self) -> Arc<str> {
        self.route.clone()
    }

    /// The batch from its beginning, slice by slice; each call starts anew.
    pub fn slices(&self) -> Slices<'_> {
        Slices { batch: self, next: 0, before: 0 }
    }

    /// Shows every record once, in the batch's order, for a sink that has no use for slices. An error means that
    /// a slice cannot be had: pass it on.
    pub async fn for_each<'a>(&'a self, mut show: impl FnMut(Entry<'a>) + Send) -> Result<(), SinkError> {
        let mut slices = self.slices();
        while let Some(slice) = slices.next().await? {
            slice.entries().for_each(&mut show);
        }
        Ok(())
    }

    /// The place of its first record in the log.
    pub(crate) fn first(&self) -> u64 {
        let first = |part: &Part| part.placed.first + part.runs.first().map_or(0, |run| u64::from(run.start));
        self.parts.first().map_or(0, first)
    }

    /// Its first record.
    pub(crate) fn first_entry(&self) -> Option<Entry<'_>> {
        let (part, index) = self.places().next()?;
        Some(Entry { batch: self, part, index: index as usize })
    }

    /// Every record with its place in the log, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Part, u32)> {
        self.parts.iter().flat_map(|part| part.indices().map(move |index| (part, index)))
    }

    /// The same as runs, ascending.
    pub(crate) fn runs_of_places(&self) -> impl Iterator<Item = Range<u64>> {
        self.parts.iter().flat_map(|part| {
            let first = part.placed.first;
            part.runs.iter().map(move |run| first + u64::from(run.start)..first + u64::from(run.end))
        })
    }

    /// The records whose numbers (0 for the batch's first) are wanted; `None` when none is.
    pub(crate) fn subset(&self, mut is_wanted: impl FnMut(usize) -> bool) -> Option<Self> {
        let (route, edits, id_key) = (self.route.clone(), self.edits.clone(), self.id_key.clone());
        let late = self.late.clone();
        let mut subset = Self { parts: Vec::new(), len: 0, size: 0, route, edits, id_key, late };
        let mut number = 0;
        for part in &self.parts {
            let (placed, encoded) = (part.placed.clone(), part.encoded.clone());
            let mut taken = Part { placed, encoded, runs: Vec::new() };
            for index in part.indices() {
                if is_wanted(number) {
                    taken.push(index);
                    subset.len += 1;
                    subset.size += part.size(index);
                }
                number += 1;
            }
            if !taken.runs.is_empty() {
                subset.parts.push(taken);
            }
        }
        (subset.len > 0).then_some(subset)
    }
}

impl Part {
    fn size(&self, index: u32) -> usize {
        match &self.encoded {
            Some(encoded) => encoded.size(index as usize),
            None => self.placed.chunk().record(index as usize).body().len(),
        }
    }
}

/// Reads a batch slice by slice.
#[derive(Debug)]
pub struct Slices<'a> {
    batch: &'a Batch,
    next: usize,
    before: usize,
}

impl<'a> Slices<'a> {
    /// The next slice; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Slice<'a>>, SinkError> {
        // With the memory log every slice is at hand; a log on disk will load it here.
        let Some(part) = self.batch.parts.get(self.next) else { return Ok(None) };
        let encoded = match (&part.encoded, &self.batch.late) {
            (None, Some(late)) => Some(Arc::new(late.encode(part))),
            (encoded, _) => encoded.clone(),
        };
        let slice = Slice { batch: self.batch, part, encoded, first: self.before };
        self.next += 1;
        self.before += part.len();
        Ok(Some(slice))
    }
}

/// A run of a batch's records that lie in memory.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    batch: &'a Batch,
    part: &'a Part,
    encoded: Option<Arc<Encoded>>,
    first: usize,
}

impl<'a> Slice<'a> {
    /// How many records.
    pub fn len(&self) -> usize {
        self.part.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.part.runs.is_empty()
    }

    /// The number of the slice's first record in the batch, for [`Answers`](super::Answers).
    pub fn first(&self) -> usize {
        self.first
    }

    /// Bodies with their terminators as they lie in memory: as few pieces as there are gaps.
    pub fn framed(&self) -> impl Iterator<Item = Bytes> + use<'a> {
        let encoded = self.encoded.clone();
        self.part.runs.iter().filter_map(move |run| {
            let encoded = encoded.as_deref()?;
            let end = encoded.ends[run.end as usize - 1] as usize;
            Some(encoded.bytes.slice(encoded.start(run.start as usize)..end))
        })
    }

    /// The records one by one.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let Self { batch, part, .. } = *self;
        part.indices().map(move |index| Entry { batch, part, index: index as usize })
    }
}

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    batch: &'a Batch,
    part: &'a Part,
    index: usize,
}

impl<'a> Entry<'a> {
    /// The encoded body without its terminator; empty for a sink that reads fields only or encodes late, which has its
    /// bodies in [`Slice::framed`] alone.
    pub fn body(&self) -> &'a [u8] {
        let Some(encoded) = &self.part.encoded else { return &[] };
        let end = encoded.ends[self.index] as usize - encoded.terminator_len;
        &encoded.bytes[encoded.start(self.index)..end]
    }

    /// The record as it came, before `omit` and `redact`.
    pub fn record(&self) -> Record<'a> {
        self.part.placed.chunk().record(self.index)
    }

    /// The record's id.
    pub fn id(&self) -> RecordId {
        self.record().id(&self.batch.id_key)
    }

    /// The fields after `omit` and `redact`; `scratch` holds what had to be rewritten.
    pub fn view<'s>(&self, scratch: &'s mut Scratch) -> View<'s>
    where
        'a: 's,
    {
        self.batch.edits.apply(self.record().view(), scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, late_batch};

    /// Slice by slice what is framed, and where the entries are from.
    async fn read(batch: &Batch) -> Vec<(Vec<Bytes>, Vec<u64>)> {
        let (mut slices, mut read) = (batch.slices(), Vec::new());
        while let Some(slice) = slices.next().await.expect("it is in memory") {
            let positions = slice.entries().map(|entry| entry.record().position()).collect();
            read.push((slice.framed().collect(), positions));
        }
        read
    }

    #[tokio::test]
    async fn what_is_encoded_as_it_is_read_is_what_is_encoded_before() {
        let bodies = [r#"{"n":0}"#, r#"{"n":1,"text":"longer"}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#];
        let (before, late) = (batch(&bodies, "r"), late_batch(&bodies, "r"));
        assert_eq!(read(&before).await, read(&late).await);
        for wanted in [vec![0], vec![4], vec![1, 2, 4], vec![0, 2, 3]] {
            let subset = |batch: &Batch| batch.subset(|number| wanted.contains(&number)).expect("some are");
            let (before, late) = (subset(&before), subset(&late));
            assert_eq!(read(&before).await, read(&late).await, "{wanted:?}");
            // A body and its newline; on the wire there is none.
            assert_eq!(before.size(), late.size() + wanted.len());
            assert_eq!(before.digest(), late.digest());
        }
    }
}
