//! From a chunk to items for the batcher: filter, route, encode, in one walk over the records.
//!
//! A lane without a filter shares its encoding of a chunk with every other lane that would write the same bytes. The
//! encoding lives as long as some batch needs it: a lane that comes to the chunk later writes its own, since what is
//! kept for it would be memory that nobody has promised. So does a lane with a filter, and only what it wants: a
//! batch of a few records from each of many chunks must not hold all that those chunks say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::time::Instant;

use super::batcher::{Batcher, Item};
use super::tracker::Open;
use crate::buffer_pool::BufferPool;
use crate::edit::{Edits, Scratch};
use crate::encode::{Additions, Encoder};
use crate::filter::Filter;
use crate::log::Placed;
use crate::plugin::{Body, Encoded, Part};
use crate::record::{Chunk, Record, View};
use crate::stable_hash::StableHasher;
use crate::template::Template;

/// The encodings of one chunk that lanes share.
#[derive(Debug, Default)]
pub(crate) struct Encodings(Mutex<Vec<(Arc<str>, Slot)>>);

type Slot = Arc<Mutex<Weak<Encoded>>>;

impl Encodings {
    /// The encoding of that key, made by whoever asks first while the others wait for it.
    fn get_or_make(&self, key: &Arc<str>, make: impl FnOnce() -> Encoded) -> Arc<Encoded> {
        let slot = {
            let mut slots = self.0.lock().expect("nothing panics while it holds this lock");
            match slots.iter().find(|(own, _)| own == key) {
                Some((_, slot)) => slot.clone(),
                None => {
                    let slot = Slot::default();
                    slots.push((key.clone(), slot.clone()));
                    slot
                }
            }
        };
        let mut made = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(encoded) = made.upgrade() {
            return encoded;
        }
        let encoded = Arc::new(make());
        *made = Arc::downgrade(&encoded);
        encoded
    }
}

/// What a lane writes, and whether another lane writes the same.
#[derive(Debug, Clone)]
pub(crate) struct Sharing {
    /// Equal for lanes that write the same bytes.
    pub(crate) key: Arc<str>,
    /// Whether another lane has the same key. Changes when lanes do.
    pub(crate) is_shared: Arc<AtomicBool>,
}

/// What a lane does to records before they are batched.
pub(crate) struct Preparation {
    pub(crate) filter: Filter,
    pub(crate) edits: Arc<Edits>,
    pub(crate) additions: Additions,
    pub(crate) body: Option<Body>,
    pub(crate) route: Template,
    /// Slices are encoded as they are read, and nothing before.
    pub(crate) late: Option<Arc<LateEncoding>>,
    sharing: Sharing,
    scratch: Scratch,
    buffers: BufferPool,
    route_text: String,
    /// Bytes of body for a byte on the wire, as the last chunk had it: so much is allocated at once.
    expansion: f64,
}

impl Preparation {
    pub(crate) fn new(
        filter: Filter,
        edits: Arc<Edits>,
        additions: Additions,
        body: Option<Body>,
        route: Template,
    ) -> Self {
        let key = body.as_ref().map_or_else(String::new, |body| {
            format!(
                "{}\0{}\0{}\0{}",
                body.encoder.key(),
                body.terminator.escape_ascii(),
                edits.key(),
                String::from_utf8_lossy(additions.members())
            )
        });
        Self {
            filter,
            edits,
            additions,
            body,
            route,
            late: None,
            sharing: Sharing { key: key.into(), is_shared: Arc::default() },
            scratch: Scratch::default(),
            buffers: BufferPool::default(),
            route_text: String::new(),
            expansion: 1.5,
        }
    }

    /// The same for batches that are large and wait long: encodings are made as slices are read, and not kept. They
    /// are shared with nobody, and a record counts as large as it is on the wire.
    pub(crate) fn encoding_late(self) -> Self {
        let Self { edits, additions, body, buffers, .. } = &self;
        let late = body.as_ref().map(|body| {
            let body = Body { encoder: body.encoder.clone(), terminator: body.terminator };
            let (edits, additions, buffers) = (edits.clone(), additions.clone(), buffers.clone());
            Arc::new(LateEncoding { body, edits, additions, buffers })
        });
        Self { late, ..self }
    }

    /// What the lane writes, for whoever knows the other lanes.
    pub(crate) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// A hash of what makes a batch what it is, other than which records are in it; the same in every process.
    pub(crate) fn configuration(&self) -> u64 {
        let mut hasher = StableHasher::new("configuration of a cut");
        hasher.text(self.sharing.key.as_bytes());
        hasher.text(self.route.key().as_bytes());
        hasher.finish()
    }

    /// Hands the chunk's records to the batcher, `among` them only if there is such a choice; calls
    /// `filtered` with the index of each that the lane does not want.
    pub(crate) fn prepare(
        &mut self,
        now: Instant,
        placed: &Placed,
        among: Option<&Open>,
        batcher: &mut Batcher,
        mut filtered: impl FnMut(usize),
    ) {
        let chunk = placed.chunk();
        let wanted = (!self.filter.is_empty() || among.is_some()).then(|| {
            let judge = |(index, record): (usize, Record<'_>)| {
                let is_meant = among.is_none_or(|open| open.has(index));
                let is_wanted = is_meant && (self.filter.is_empty() || self.filter.accepts(&record.view()));
                if is_meant && !is_wanted {
                    filtered(index);
                }
                is_wanted
            };
            chunk.records().enumerate().map(judge).collect::<Vec<bool>>()
        });
        let is_wanted = |index: usize| wanted.as_ref().is_none_or(|wanted| wanted[index]);
        let encoded = self.encode(placed, &is_wanted, wanted.is_some());
        batcher.begin_chunk(chunk.size());
        for record in chunk.records().enumerate().filter(|(index, _)| is_wanted(*index)) {
            let (index, record) = record;
            let size = match &encoded {
                Some(encoded) => encoded.size(index),
                None => record.body().len(),
            };
            let item = Item { placed, encoded: encoded.as_ref(), index: index as u32, size };
            match self.route.constant() {
                Some(route) => batcher.push(now, route, item),
                None => {
                    self.route_text.clear();
                    // What a sink is not to see, it is not to see in a name either.
                    let view = self.edits.apply(record.view(), &mut self.scratch);
                    self.route.render(record, &view, &mut self.route_text);
                    if batcher.is_crowded(&self.route_text) {
                        self.route_text.clear();
                        self.route.render_stray(record, &view, &mut self.route_text);
                    }
                    batcher.push(now, &self.route_text, item);
                }
            }
        }
        batcher.end_chunk(placed);
    }

    fn encode(
        &mut self,
        placed: &Placed,
        is_wanted: &dyn Fn(usize) -> bool,
        is_filtered: bool,
    ) -> Option<Arc<Encoded>> {
        if self.late.is_some() {
            return None;
        }
        let body = self.body.as_ref()?;
        let encoding = Encoding {
            encoder: &*body.encoder,
            terminator: body.terminator,
            edits: &self.edits,
            additions: &self.additions,
            buffers: &self.buffers,
        };
        let (scratch, expansion) = (&mut self.scratch, &mut self.expansion);
        let mut make = || encoding.write(placed.chunk(), is_wanted, scratch, expansion);
        let is_alone = is_filtered || !self.sharing.is_shared.load(Ordering::Relaxed);
        Some(if is_alone {
            Arc::new(make())
        } else {
            placed.encodings().get_or_make(&self.sharing.key, make)
        })
    }
}

/// Encodes a slice of a batch when it is read.
pub(crate) struct LateEncoding {
    body: Body,
    edits: Arc<Edits>,
    additions: Additions,
    buffers: BufferPool,
}

impl LateEncoding {
    /// The bodies of the chunk's records that are in the part.
    pub(crate) fn encode(&self, part: &Part) -> Encoded {
        let Self { body, edits, additions, buffers } = self;
        let (encoder, terminator) = (&*body.encoder, body.terminator);
        let encoding = Encoding { encoder, terminator, edits, additions, buffers };
        let is_wanted = |index: usize| part.has(index as u32);
        encoding.write(part.placed.chunk(), &is_wanted, &mut Scratch::default(), &mut 1.5)
    }
}

impl std::fmt::Debug for LateEncoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LateEncoding").field("encoder", &self.body.encoder.key()).finish_non_exhaustive()
    }
}

struct Encoding<'a> {
    encoder: &'a dyn Encoder,
    terminator: &'static [u8],
    edits: &'a Edits,
    additions: &'a Additions,
    buffers: &'a BufferPool,
}

impl Encoding<'_> {
    fn write(
        &self,
        chunk: &Chunk,
        is_wanted: &dyn Fn(usize) -> bool,
        scratch: &mut Scratch,
        expansion: &mut f64,
    ) -> Encoded {
        let mut bytes = self.buffers.take((chunk.size() as f64 * *expansion) as usize);
        let mut ends = Vec::with_capacity(chunk.len());
        for (index, record) in chunk.records().enumerate() {
            if is_wanted(index) {
                let view: View<'_> = record.view();
                if self.edits.is_empty() {
                    self.encoder.encode(record, &view, self.additions, &mut bytes);
                } else {
                    let view = self.edits.apply(view, scratch);
                    self.encoder.encode(record, &view, self.additions, &mut bytes);
                }
                bytes.extend_from_slice(self.terminator);
            }
            ends.push(bytes.len() as u32);
        }
        // A little more than the last chunk took, so that most buffers never grow.
        *expansion = (bytes.len() as f64 / chunk.size().max(1) as f64) * 1.05;
        Encoded { bytes: self.buffers.share(bytes), ends: ends.into(), terminator_len: self.terminator.len() }
    }
}
