//! A lane whose sink is replaced, or taken out, while the pump runs.
//!
//! The lane stays: its cursor, its books, what it has closed. Deliveries in flight may end, for a few
//! seconds; what is open after that, wherever it was (in an open batch, waiting for another try, cut
//! off), is prepared once more under the new settings. So nothing is left out, nothing that the lane
//! knows to be delivered is sent again, and a changed filter applies to all that was not delivered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::availability::Availability;
use super::batcher::Batcher;
use super::rate::RateLimit;
use super::{Lane, LaneSettings, Phase, Preparation};
use crate::accounting::Outcome;
use crate::log::LaneInterest;
use crate::plugin::{Deadline, DynSink};
use crate::statistics::LaneState;

/// How long what is in flight to a sink that is replaced may take. Cut off it comes again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a reload tells a lane. The log knows already, and gives it nothing until it has obeyed.
pub(crate) enum Order {
    /// Go on with another sink, or other settings.
    Change(Box<Successor>),
    /// The sink is not in the pipeline any more: leave behind what it has no outcome for.
    Remove,
}

/// What a lane goes on with.
pub(crate) struct Successor {
    pub(crate) sink: Arc<dyn DynSink>,
    pub(crate) settings: LaneSettings,
    pub(crate) preparation: Preparation,
    pub(crate) interest: LaneInterest,
    pub(crate) repeats_batches: bool,
}

impl Lane {
    pub(super) async fn obey(&mut self, order: Order) {
        let mut phase = self.parts.phase.clone();
        // Both end this wait, so neither can keep the other waiting.
        tokio::select! {
            biased;
            // The pump ends: so does the lane, as it is.
            _ = phase.wait_for(|phase| matches!(phase, Phase::Stopping(_))) => return,
            () = self.wind_up(Deadline::after(PATIENCE)) => {}
        }
        let sink = self.parts.name.clone();
        if self.in_flight > 0 {
            let in_flight = self.in_flight;
            warn!(
                sink = &*sink,
                in_flight, "deliveries were cut off by the reload, their records come again"
            );
        }
        self.work.shutdown().await;
        self.in_flight = 0;
        self.close_sink().await;
        match order {
            Order::Change(successor) => {
                self.adopt(*successor);
                info!(sink = &*sink, cursor = self.tracker.cursor(), "sink was changed");
            }
            Order::Remove => {
                let left_behind = self.leave(&LaneInterest::default());
                self.forget();
                self.is_removed = true;
                self.set_state(LaneState::Stopped, None);
                self.parts.log.resume(self.parts.id);
                info!(sink = &*sink, left_behind, "sink was taken out");
            }
        }
        self.report();
    }

    fn adopt(&mut self, successor: Successor) {
        let Successor { sink, settings, preparation, interest, repeats_batches } = successor;
        (self.parts.sink, self.parts.settings, self.parts.preparation) = (sink, settings, preparation);
        self.parts.is_required = interest.is_required;
        self.parts.repeats_batches = repeats_batches;
        self.leave(&interest);
        self.forget();
        self.again.extend(self.tracker.open_chunks());
        self.is_removed = false;
        self.parts.statistics.update(self.parts.id, |lane| {
            lane.state = LaneState::Starting;
            lane.is_reachable = false;
            lane.last_error = None;
        });
        self.parts.sink.start();
        self.parts.log.resume(self.parts.id);
    }

    /// Leaves behind what is open and not taken any more; says how many records that were.
    fn leave(&mut self, interest: &LaneInterest) -> usize {
        let count = self.tracker.close_unless(|head| interest.takes(head));
        self.parts.accounting.lane_closed(self.parts.id, Outcome::LeftBehind, count);
        self.parts.log.advance(self.parts.id, self.tracker.cursor());
        count
    }

    /// Begins anew with everything but the tracker.
    fn forget(&mut self) {
        let (settings, now) = (&self.parts.settings, Instant::now());
        self.concurrency = settings.concurrency(now);
        self.waiting = settings.waiting(self.concurrency.as_ref());
        self.rate = settings.rate_limit.map(|limit| RateLimit::new(limit, now));
        self.availability = Availability::new(settings.retry, now);
        self.batcher = Batcher::new(
            settings.limits(self.parts.is_required, self.parts.log.lane_span(settings.batch.max_bytes)),
        );
        (self.last_delivered, self.rejected_run) = (None, 0);
        self.again.clear();
    }
}
