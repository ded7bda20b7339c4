//! A rate limit: a bucket that fills with time and may be overdrawn by one batch.

use std::time::Duration;

use tokio::time::Instant;

/// A limit in records per second.
#[derive(Debug)]
pub(crate) struct RateLimit {
    records_per_second: f64,
    /// Below zero after a batch larger than what was there: the next one waits until it is paid.
    tokens: f64,
    filled: Instant,
}

impl RateLimit {
    /// A bucket that holds a second's worth, full.
    pub(crate) fn new(records_per_second: f64, now: Instant) -> Self {
        Self { records_per_second, tokens: records_per_second, filled: now }
    }

    /// When the next batch may start; `now` or before means at once.
    pub(crate) fn ready_at(&mut self, now: Instant) -> Instant {
        self.fill(now);
        if self.tokens > 0.0 {
            return now;
        }
        // A nanosecond more, so that the bucket is above zero and not at it.
        now + Duration::from_secs_f64(-self.tokens / self.records_per_second) + Duration::from_nanos(1)
    }

    /// A batch of so many records starts.
    pub(crate) fn take(&mut self, records: usize, now: Instant) {
        self.fill(now);
        self.tokens -= records as f64;
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.records_per_second).min(self.records_per_second);
        self.filled = now;
    }
}
