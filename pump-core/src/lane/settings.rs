//! What a lane's section of the pipeline file says, and what follows from it.

use std::time::Duration;

use tokio::time::Instant;

use super::batcher::Limits;
use super::concurrency::Concurrency;
use super::retry::RetrySettings;
use super::waiting::Waiting;
use crate::plugin::BatchDefaults;

/// What a lane's section of the pipeline file says, checked.
#[derive(Debug, Clone)]
pub struct LaneSettings {
    /// Where a batch ends.
    pub batch: BatchDefaults,
    /// Attempts at once, at most.
    pub max_in_flight: usize,
    /// Whether the lane finds out how many of them the destination has a use for.
    pub is_adaptive: bool,
    /// Records per second; `None`: no limit.
    pub rate_limit: Option<f64>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// What happens after a failed one.
    pub retry: RetrySettings,
}

impl LaneSettings {
    /// Where batches end, in a log of which a lane may hold so many bytes.
    pub(super) fn limits(&self, is_required: bool, lane_span: usize) -> Limits {
        let Self { mut batch, max_in_flight, rate_limit, .. } = *self;
        // A batch goes out whole: with a rate limit it must not be more than a second's worth.
        if let Some(limit) = rate_limit {
            batch.max_records = batch.max_records.min((limit as usize).max(1));
        }
        // A best-effort lane may be skipped by the log while it holds chunks; what it then keeps in
        // memory must stay within what its batches may take.
        let max_span = if is_required { lane_span } else { lane_span.min(batch.max_bytes.saturating_mul(2)) };
        Limits { batch, max_span, max_held: max_in_flight.saturating_mul(batch.max_bytes) }
    }

    pub(super) fn concurrency(&self, now: Instant) -> Option<Concurrency> {
        self.is_adaptive.then(|| Concurrency::new(self.max_in_flight, now))
    }

    pub(super) fn waiting(&self, concurrency: Option<&Concurrency>) -> Waiting {
        let mut waiting = Waiting::new(self.max_in_flight);
        if let Some(concurrency) = concurrency {
            waiting.set_slots(concurrency.slots());
        }
        waiting
    }
}
