//! When a failed batch is tried again, when it is cut in half, and when it is given up.
//!
//! By default a batch is tried for ever. A batch that keeps failing while its lane delivers others is
//! halved from time to time, so that one record that nobody can take does not hold thousands; such a
//! record, alone, is given up as `stuck` after ten minutes. While nothing gets through, nothing is
//! given up: then it is not the record's fault. A batch that may be at its destination under its own name is
//! not halved for that: its halves would be there a second time.

use std::time::Duration;

use tokio::time::Instant;

/// How long a record may fail alone while others get through.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(600);
/// How long a batch may fail while others get through before it is halved.
pub(crate) const HALVE_AFTER: Duration = Duration::from_secs(60);

/// The shortest ceiling of a wait, whatever the file says: a lane must not spin.
const MIN_WAIT: Duration = Duration::from_millis(10);
/// The longest wait that a destination can ask for.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// The `retry` section of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// The longest first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How long a record is tried; `None`: for ever.
    pub max_age: Option<Duration>,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { initial: Duration::from_millis(200), max: Duration::from_secs(30), max_age: None }
    }
}

/// What a batch has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct History {
    pub(crate) failures: u32,
    first_failed: Option<Instant>,
    halved: Option<Instant>,
}

/// What to do with a failed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Again {
        at: Instant,
    },
    /// Two batches of half the size, each at once.
    Halve,
    /// Dead letters, with this reason.
    GiveUp(&'static str),
}

/// What happened to a batch, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) now: Instant,
    pub(crate) records: usize,
    /// The batch may be at its destination, as a whole.
    pub(crate) stays_whole: bool,
    /// How long the destination asked to wait.
    pub(crate) wait: Option<Duration>,
    /// When the lane last delivered anything.
    pub(crate) last_delivered: Option<Instant>,
    /// A random number in 0..1.
    pub(crate) jitter: f64,
}

impl RetrySettings {
    /// Decides, and writes the failure into the batch's history.
    pub(crate) fn judge(&self, history: &mut History, failure: Failure) -> Verdict {
        let Failure { now, records, stays_whole, wait, last_delivered, jitter } = failure;
        let first_failed = *history.first_failed.get_or_insert(now);
        history.failures = history.failures.saturating_add(1);
        let age = now.saturating_duration_since(first_failed);
        if self.max_age.is_some_and(|max_age| age >= max_age) {
            return Verdict::GiveUp("expired");
        }
        let others_get_through = last_delivered.is_some_and(|at| at > first_failed);
        if others_get_through && records == 1 && age >= STUCK_AFTER {
            return Verdict::GiveUp("stuck");
        }
        let halved = history.halved.unwrap_or(first_failed);
        let may_be_halved = records > 1 && !stays_whole;
        if others_get_through && may_be_halved && now.saturating_duration_since(halved) >= HALVE_AFTER {
            history.halved = Some(now);
            return Verdict::Halve;
        }
        Verdict::Again {
            at: now + wait.unwrap_or_default().min(MAX_WAIT).max(self.backoff(history.failures, jitter)),
        }
    }

    /// Full jitter: anywhere between nothing and the exponential ceiling.
    pub(crate) fn backoff(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let ceiling =
            self.initial.saturating_mul(1 << doublings).min(self.max.max(self.initial)).max(MIN_WAIT);
        ceiling.mul_f64(jitter.clamp(0.0, 1.0))
    }
}
