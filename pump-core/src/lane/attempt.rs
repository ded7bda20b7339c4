//! An attempt: one batch, once, to the sink.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::batcher::CutBatch;
use super::waiting::Pending;
use super::{Done, Lane, Preparation, Span};
use crate::accounting::Outcome;
use crate::log::Cut;
use crate::plugin::{Batch, Deadline, Part, SinkError};

impl Lane {
    /// A batch that was cut, to be tried now.
    pub(super) fn pending(&self, cut: CutBatch, now: Instant) -> Pending {
        let CutBatch { route, parts, len, size, is_stored } = cut;
        let Preparation { edits, late, .. } = &self.parts.preparation;
        let (edits, late) = (edits.clone(), late.clone());
        let batch = Batch { parts, len, size, route, edits, id_key: self.parts.id_key.clone(), late };
        Pending { is_stored, ..Pending::new(batch, now) }
    }

    /// What is left of a batch once its source has lost some of its partitions.
    pub(super) fn without_revoked(&mut self, pending: Pending) -> Option<Pending> {
        let is_revoked = |part: &Part| part.placed.chunk().head().partition.is_revoked();
        if !pending.batch.parts.iter().any(is_revoked) {
            return Some(pending);
        }
        let revoked: Vec<bool> = pending.batch.places().map(|(part, _)| is_revoked(part)).collect();
        self.close_numbers(&pending.batch, Outcome::Revoked, |number| revoked[number]);
        let batch = pending.batch.subset(|number| !revoked[number])?;
        Some(Pending { batch: Arc::new(batch), is_stored: false, ..pending })
    }

    pub(super) fn attempt(&mut self, pending: Pending, now: Instant) {
        let Pending { batch, history, is_stored, .. } = pending;
        if let Some(rate) = &mut self.rate {
            rate.take(batch.len(), now);
        }
        debug!(sink = &*self.parts.name, records = batch.len(), route = batch.route(), "delivery starts");
        let (sink, limit) = (self.parts.sink.clone(), self.parts.settings.timeout);
        let (log, id) = (self.parts.log.clone(), self.parts.id);
        let cut = (self.parts.repeats_batches && !is_stored).then(|| self.cut(&batch));
        self.in_flight += 1;
        self.work.spawn(async move {
            // From here on the records may be at the destination, together: they stay together.
            if let Some(cut) = cut {
                log.store_cut(id, cut).await;
            }
            let (began, deadline) = (Instant::now(), Deadline::after(limit));
            let result = match timeout_at(deadline.instant(), sink.deliver(&batch, deadline)).await {
                Ok(result) => result,
                Err(elapsed) => Err(SinkError::retry(format!("no answer within {limit:?}"), elapsed)),
            };
            let span = Span { began, ended: Instant::now() };
            Done::Delivered { batch, history, span, result }
        });
    }

    fn cut(&self, batch: &Batch) -> Cut {
        Cut {
            route: batch.route().into(),
            places: batch.runs_of_places().collect(),
            configuration: self.parts.preparation.configuration(),
        }
    }
}
