//! What a lane would send, without sending it: the lane's own preparation, and nothing behind it.
//!
//! A [`Sample`] is a chunk outside of any log. A [`Preview`] filters it, finds routes, edits and encodes
//! as the sink's lane does, each record on its own. It is not for the hot path.
//!
//! One thing depends on the records around: a lane that has 64 routes open sends what would open
//! another to the route of strays. A preview shows the route that a record has on its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::edit::{Edits, Scratch};
use crate::encode::Additions;
use crate::filter::Filter;
use crate::lane::{Batcher, Limits, Preparation};
use crate::log::{LaneInterest, Placed};
use crate::plugin::{Batch, BatchDefaults, Body, Entry};
use crate::record::{Chunk, ChunkHead, IdKey, Kind, Record, RecordId, View};
use crate::template::Template;

/// Records to be looked at, by several lanes one after the other.
pub struct Sample(Placed);

impl Sample {
    /// Of a chunk that no source gave.
    pub fn new(chunk: Chunk) -> Self {
        Self(Placed::new(0, chunk))
    }

    /// The records.
    pub fn chunk(&self) -> &Chunk {
        self.0.chunk()
    }
}

/// What is done for a sink before its batches are cut, as its lane does it.
pub struct PreviewParts {
    /// Names of the sources that it takes from.
    pub sources: Vec<Arc<str>>,
    /// The kinds that it takes.
    pub kinds: Vec<Kind>,
    /// Which records it takes.
    pub filter: Filter,
    /// What is left out and rewritten.
    pub edits: Edits,
    /// What is added.
    pub additions: Additions,
    /// How records become bytes; `None` for a sink that reads fields only.
    pub body: Option<Body>,
    /// Where records go.
    pub route: Template,
    /// Makes record ids.
    pub id_key: Arc<IdKey>,
}

/// Prepares records as one sink's lane does.
pub struct Preview {
    interest: LaneInterest,
    preparation: Preparation,
    id_key: Arc<IdKey>,
}

/// What became of one record.
pub enum Outcome {
    /// The lane does not want it.
    Filtered {
        /// The setting of `filter` that says so, such as `skip_api_ids`.
        by: &'static str,
    },
    /// The sink would get it.
    Sent(Sent),
}

/// One record as the sink would get it.
pub struct Sent {
    batch: Batch,
    has_body: bool,
}

impl Preview {
    /// Of one sink.
    pub fn new(parts: PreviewParts) -> Self {
        let PreviewParts { sources, kinds, filter, edits, additions, body, route, id_key } = parts;
        let interest = LaneInterest { sources: Some(sources), kinds, is_required: false };
        let preparation = Preparation::new(filter, Arc::new(edits), additions, body, route);
        Self { interest, preparation, id_key }
    }

    /// Whether the log would give the sink's lane records of this head at all.
    pub fn takes(&self, head: &ChunkHead) -> bool {
        self.interest.takes(head)
    }

    /// What becomes of each record of the sample, in its order.
    pub fn outcomes(&mut self, sample: &Sample) -> Vec<Outcome> {
        let mut batcher = Batcher::new(one_record_each());
        let mut is_filtered = vec![false; sample.chunk().len()];
        self.preparation
            .prepare(Instant::now(), &sample.0, None, &mut batcher, |index| is_filtered[index] = true);
        let outcome = |(index, is_filtered)| {
            if is_filtered {
                let refusal = self.preparation.filter.refusal(&sample.chunk().record(index).view());
                return Outcome::Filtered { by: refusal.expect("the same filter refused it just now") };
            }
            let cut = batcher.pop().expect("a record that is not filtered is a batch of its own");
            let edits = self.preparation.edits.clone();
            let id_key = self.id_key.clone();
            let batch = Batch {
                parts: cut.parts,
                len: cut.len,
                size: cut.size,
                route: cut.route,
                edits,
                id_key,
                late: None,
            };
            Outcome::Sent(Sent { batch, has_body: self.preparation.body.is_some() })
        };
        is_filtered.into_iter().enumerate().map(outcome).collect()
    }
}

impl Sent {
    /// The value of the sink's route template.
    pub fn route(&self) -> &str {
        self.batch.route()
    }

    /// What counts against a batch, in bytes: the body with its terminator, or the record as it came
    /// for a sink that reads fields only.
    pub fn size(&self) -> usize {
        self.batch.size()
    }

    /// The record's id.
    pub fn id(&self) -> RecordId {
        self.entry().id()
    }

    /// The body without its terminator; `None` for a sink that reads fields only.
    pub fn body(&self) -> Option<&[u8]> {
        self.has_body.then(|| self.entry().body())
    }

    /// The record as it came, before `omit` and `redact`.
    pub fn record(&self) -> Record<'_> {
        self.entry().record()
    }

    /// The fields after `omit` and `redact`.
    pub fn view<'s>(&'s self, scratch: &'s mut Scratch) -> View<'s> {
        self.entry().view(scratch)
    }

    fn entry(&self) -> Entry<'_> {
        self.batch.first_entry().expect("a batch has at least one record")
    }
}

/// Batches that are full with their first record.
fn one_record_each() -> Limits {
    let batch = BatchDefaults { max_records: 1, max_bytes: usize::MAX, max_age: Duration::ZERO };
    Limits { batch, max_span: usize::MAX, max_held: usize::MAX }
}

#[cfg(test)]
mod tests;
