//! Whether attempts make sense: a lane whose sink refuses everything pauses and probes.
//!
//! No attempt is burnt and nothing is given up meanwhile. Probes back off; so do the pauses of a sink
//! whose probe says yes and whose deliveries say no. An idle lane probes too, so that the operator
//! hears of a dead sink before there is something to deliver.

use std::time::Duration;

use tokio::time::Instant;

use super::retry::RetrySettings;

/// An idle lane asks its sink this often whether it is still there.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Whether a lane's attempts make sense now.
#[derive(Debug)]
pub(crate) struct Availability {
    retry: RetrySettings,
    /// Failed probes since the lane paused; `None`: attempts are made.
    failed_probes: Option<u32>,
    /// How often the lane paused since something got through.
    pauses: u32,
    probe_at: Instant,
    is_probing: bool,
}

impl Availability {
    /// Attempts are made, and a probe is due at once.
    pub(crate) fn new(retry: RetrySettings, now: Instant) -> Self {
        Self { retry, failed_probes: None, pauses: 0, probe_at: now, is_probing: false }
    }

    /// Whether attempts are made.
    pub(crate) fn is_open(&self) -> bool {
        self.failed_probes.is_none()
    }

    /// Attempts make no sense from now on. Whether that is news. `jitter` is a random number in 0..1.
    pub(crate) fn pause(&mut self, now: Instant, jitter: f64) -> bool {
        let is_news = self.is_open();
        if is_news {
            self.failed_probes = Some(0);
            self.pauses += 1;
            self.probe_at = now + self.backoff(self.pauses, jitter);
        }
        is_news
    }

    /// Something got through, which is better than any probe.
    pub(crate) fn got_through(&mut self, now: Instant) {
        self.pauses = 0;
        self.probe_at = now + PROBE_INTERVAL;
    }

    /// Whether a probe is to be started now; it counts as started then.
    pub(crate) fn starts_probe(&mut self, now: Instant) -> bool {
        let is_due = !self.is_probing && now >= self.probe_at;
        self.is_probing |= is_due;
        is_due
    }

    /// A probe has ended. Whether the lane goes on that had paused.
    pub(crate) fn probed(&mut self, is_willing: bool, now: Instant, jitter: f64) -> bool {
        self.is_probing = false;
        if is_willing {
            self.probe_at = now + PROBE_INTERVAL;
            return self.failed_probes.take().is_some();
        }
        let failures = self.failed_probes.unwrap_or_default() + 1;
        self.failed_probes = Some(failures);
        self.probe_at = now + self.backoff(failures, jitter);
        false
    }

    /// When the next probe is due; far away while one is under way.
    pub(crate) fn probe_at(&self, now: Instant) -> Instant {
        if self.is_probing { now + PROBE_INTERVAL } else { self.probe_at }
    }

    fn backoff(&self, failures: u32, jitter: f64) -> Duration {
        self.retry.backoff(failures, jitter).max(self.retry.initial)
    }
}
