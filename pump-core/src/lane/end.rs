//! How a lane ends, and how its sink does when another one follows.

use tokio::time::{timeout, timeout_at};
use tracing::warn;

use super::{Lane, PROBE_TIMEOUT};
use crate::plugin::Deadline;
use crate::statistics::LaneState;

impl Lane {
    /// Waits for what is in flight, for so long. What is open then is not settled: it comes again.
    pub(super) async fn stop(&mut self, deadline: Deadline) {
        self.wind_up(deadline).await;
        if self.in_flight > 0 {
            let (sink, in_flight) = (&*self.parts.name, self.in_flight);
            warn!(sink, in_flight, "deliveries were cut off by the shutdown");
        }
    }

    /// Waits for what is in flight, for so long, and starts nothing. Safe to drop.
    pub(super) async fn wind_up(&mut self, deadline: Deadline) {
        while self.in_flight > 0 {
            match timeout_at(deadline.instant(), self.work.join_next()).await {
                Ok(Some(Ok(done))) => self.finish(done),
                Ok(Some(Err(error))) => std::panic::resume_unwind(error.into_panic()),
                Ok(None) | Err(_) => break,
            }
        }
    }

    pub(super) async fn close(&mut self) {
        self.work.shutdown().await;
        let held = self.parts.accounting.snapshot().lanes[self.parts.id.index()].held;
        debug_assert_eq!(self.tracker.open() as u64, held, "the books and the tracker agree");
        self.close_sink().await;
        self.in_flight = 0;
        self.set_state(LaneState::Stopped, None);
        self.report();
    }

    pub(super) async fn close_sink(&mut self) {
        if self.is_removed {
            return;
        }
        match timeout(PROBE_TIMEOUT, self.parts.sink.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(sink = &*self.parts.name, error = error.to_string(), "sink did not close in order")
            }
            Err(_elapsed) => warn!(sink = &*self.parts.name, "sink did not close in time"),
        }
    }
}
