//! A lane: one sink's way through the log.
//!
//! ```text
//! log ─► prepare (filter, route, encode) ─► batcher ─► attempts in flight ─► answers
//!                                              ▲                               │
//!                                              └── waiting for another try ◄───┤
//!                             cursor ◄── tracker ◄── outcomes ◄────────────────┘
//! ```
//!
//! A lane pulls at its own pace and holds no more than what its batches need: it reads on only while
//! no cut batch waits for a slot. What fails as a whole keeps its slot until it is tried again, so a
//! sink in trouble sees no more load than a sound one; single records that are to come again wait
//! aside, so that they do not hold up the others.

mod answers;
mod attempt;
mod availability;
mod batcher;
mod change;
mod concurrency;
mod cuts;
mod end;
mod outcome;
mod prepare;
mod rate;
mod retry;
mod settings;
#[cfg(test)]
mod tests;
mod tracker;
mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

#[cfg(any(test, feature = "testing"))]
pub(crate) use batcher::CutBatch;
pub(crate) use batcher::{Batcher, Limits};
pub(crate) use change::{Order, Successor};
pub(crate) use concurrency::ceiling;
pub(crate) use prepare::{Encodings, LateEncoding, Preparation, Sharing};
pub use retry::RetrySettings;
pub use settings::LaneSettings;

use crate::accounting::{Accounting, LaneId, Outcome};
use crate::dead_letter::Burial;
use crate::log::{Log, Placed, Places};
use crate::plugin::{Answers, Batch, Deadline, DynSink, SinkError};
use crate::randomness::Randomness;
use crate::record::IdKey;
use crate::statistics::{LaneState, Statistics};
use availability::Availability;
use concurrency::Concurrency;
use cuts::Repeats;
use rate::RateLimit;
use retry::History;
use tracker::{Open, Tracker};
use waiting::Waiting;

/// How long a probe or the closing of a sink may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the engine asks of its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Deliver, in batches as large as the settings allow.
    Running,
    /// Deliver without waiting for batches to fill.
    Draining,
    /// As before, and end once nothing is left.
    Finishing,
    /// Start nothing, and end when what is in flight has ended, at the latest then.
    Stopping(Deadline),
}

/// What a lane is made of.
pub(crate) struct LaneParts {
    pub(crate) id: LaneId,
    pub(crate) name: Arc<str>,
    pub(crate) sink: Arc<dyn DynSink>,
    pub(crate) settings: LaneSettings,
    pub(crate) preparation: Preparation,
    pub(crate) is_required: bool,
    /// Whether a batch that may be at its destination has to stay as it is.
    pub(crate) repeats_batches: bool,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) accounting: Accounting,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) burial: Arc<Burial>,
    pub(crate) id_key: Arc<IdKey>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) randomness: Randomness,
}

/// One sink's way through the log.
pub(crate) struct Lane {
    parts: LaneParts,
    batcher: Batcher,
    tracker: Tracker,
    waiting: Waiting,
    /// Read under other settings, and to be prepared once more before anything new is read.
    again: VecDeque<Open>,
    /// What an earlier process has closed above the cursor, as far as it was not read yet.
    closed_before: Places,
    /// A reload took the sink out; another may put it back.
    is_removed: bool,
    work: JoinSet<Done>,
    /// Deliveries and burials under way; the rest of `work` are probes.
    in_flight: usize,
    rate: Option<RateLimit>,
    last_delivered: Option<Instant>,
    /// How many records were rejected since the last one that was not.
    rejected_run: usize,
    availability: Availability,
    /// `None`: always as many as the settings allow.
    concurrency: Option<Concurrency>,
}

/// What a piece of work came to.
enum Done {
    Delivered { batch: Arc<Batch>, history: History, span: Span, result: Result<Answers, SinkError> },
    Buried { batch: Arc<Batch>, numbers: Vec<usize> },
    Probed(Result<(), SinkError>),
}

/// When an attempt was made.
#[derive(Debug, Clone, Copy)]
struct Span {
    began: Instant,
    ended: Instant,
}

impl Lane {
    pub(crate) fn new(parts: LaneParts) -> Self {
        let now = Instant::now();
        let concurrency = parts.settings.concurrency(now);
        Self {
            batcher: Batcher::new(
                parts.settings.limits(parts.is_required, parts.log.lane_span(parts.settings.batch.max_bytes)),
            ),
            tracker: Tracker::default(),
            waiting: parts.settings.waiting(concurrency.as_ref()),
            again: VecDeque::new(),
            closed_before: Places::default(),
            is_removed: false,
            work: JoinSet::new(),
            in_flight: 0,
            rate: parts.settings.rate_limit.map(|limit| RateLimit::new(limit, now)),
            last_delivered: None,
            rejected_run: 0,
            availability: Availability::new(parts.settings.retry, now),
            concurrency,
            parts,
        }
    }

    /// Runs until the engine says that it ends.
    pub(crate) async fn run(mut self) {
        self.parts.sink.start();
        self.go_on();
        loop {
            let phase = *self.parts.phase.borrow_and_update();
            if let Phase::Stopping(deadline) = phase {
                self.stop(deadline).await;
                break;
            }
            self.step(phase);
            if phase == Phase::Finishing && self.is_idle() {
                break;
            }
            if self.may_read()
                && let Some(open) = self.again.pop_front()
            {
                self.prepare(&open.placed, Some(&open));
                continue;
            }
            let wake_at = self.wake_at();
            // Whichever is ready first in this order, so that the same events make the same run. Phases and orders
            // are few. What has ended comes before what is new: each piece of work that ends was started for
            // something that was read, so reading gets its turn. The clock comes last and misses nothing: it
            // only wakes, and what is due is started before each wait, whatever ended it.
            tokio::select! {
                biased;
                changed = self.parts.phase.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                Some(order) = self.parts.orders.recv() => self.obey(order).await,
                Some(done) = self.work.join_next() => {
                    // A panic in a sink is a panic of the lane: it must not go on as if nothing happened.
                    let done = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                    self.finish(done);
                }
                placed = self.parts.log.next(self.parts.id), if self.may_read() => self.take(&placed),
                () = sleep_until(wake_at) => {}
            }
        }
        self.close().await;
    }

    /// Starts what can be started now.
    fn step(&mut self, phase: Phase) {
        if self.is_removed {
            return;
        }
        let now = Instant::now();
        self.probe_if_due(now);
        let is_hurried =
            phase != Phase::Running && !self.has_unread() && !self.waiting.is_full(self.in_flight);
        if is_hurried {
            self.batcher.cut_all();
        } else if self.batcher.is_repeating() && !self.has_unread() {
            self.batcher.end_repeats();
        }
        while self.availability.is_open() && self.rate.as_mut().is_none_or(|rate| rate.ready_at(now) <= now) {
            // An open batch goes on growing while no slot is free for it.
            if !self.waiting.is_full(self.in_flight) && !self.batcher.is_ready() {
                self.batcher.cut_due(now);
            }
            let pending = match self.waiting.pop(now, self.in_flight) {
                Some(pending) => pending,
                None if self.waiting.is_full(self.in_flight) => break,
                None => match self.batcher.pop() {
                    Some(cut) => self.pending(cut, now),
                    None => break,
                },
            };
            if let Some(pending) = self.without_revoked(pending) {
                self.attempt(pending, now);
            }
        }
        self.report();
    }

    fn may_read(&self) -> bool {
        !self.batcher.is_ready()
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0
            && self.waiting.is_empty()
            && !self.batcher.is_ready()
            && !self.batcher.is_open()
            && !self.has_unread()
    }

    fn has_unread(&self) -> bool {
        !self.again.is_empty() || self.parts.log.has_unread(self.parts.id)
    }

    /// When there is something to do even if nothing happens.
    fn wake_at(&mut self) -> Instant {
        let now = Instant::now();
        if self.is_removed {
            return now + PROBE_TIMEOUT;
        }
        let at = self.availability.probe_at(now);
        if !self.availability.is_open() {
            return at;
        }
        let mut next = self.waiting.next_at(self.in_flight);
        if !self.waiting.is_full(self.in_flight) {
            let cut = if self.batcher.is_ready() { Some(now) } else { self.batcher.due_at() };
            next = [next, cut].into_iter().flatten().min();
        }
        if let (Some(next), Some(rate)) = (&mut next, &mut self.rate) {
            *next = (*next).max(rate.ready_at(now));
        }
        next.map_or(at, |next| next.min(at))
    }

    /// Takes up what an earlier process has left.
    fn go_on(&mut self) {
        let cuts = self.parts.log.cuts(self.parts.id);
        self.closed_before = cuts.closed.clone();
        if self.parts.repeats_batches {
            let configuration = self.parts.preparation.configuration();
            self.batcher.repeat(Repeats::new(cuts, configuration));
        }
    }

    fn take(&mut self, placed: &Placed) {
        self.tracker.read(placed);
        let closed = self.closed_before.within(placed.first..placed.end()).flatten();
        let closed = closed.filter(|place| self.tracker.close(*place)).count();
        self.closed_before.remove_below(placed.end());
        // The destination has them; only the cursor did not say so.
        self.parts.accounting.lane_closed(self.parts.id, Outcome::Duplicate, closed);
        let rest = self.tracker.rest_of_last();
        if rest.is_some() || closed == 0 {
            self.prepare(placed, rest.as_ref());
        } else {
            self.parts.log.advance(self.parts.id, self.tracker.cursor());
        }
    }

    /// Closes what is not to be delivered of a chunk, or of those records of it, and batches the rest.
    fn prepare(&mut self, placed: &Placed, among: Option<&Open>) {
        let LaneParts { id, accounting, log, preparation, .. } = &mut self.parts;
        let (chunk, tracker) = (placed.chunk(), &mut self.tracker);
        let mut count = 0;
        let mut close = |index: usize| count += usize::from(tracker.close(placed.first + index as u64));
        let outcome = if chunk.head().partition.is_revoked() {
            (0..chunk.len()).for_each(close);
            Outcome::Revoked
        } else {
            preparation.prepare(Instant::now(), placed, among, &mut self.batcher, &mut close);
            Outcome::Filtered
        };
        accounting.lane_closed(*id, outcome, count);
        log.advance(*id, self.tracker.cursor());
    }

    fn pause(&mut self, reason: &str) {
        if self.availability.pause(Instant::now(), self.parts.randomness.fraction()) {
            warn!(sink = &*self.parts.name, reason, "sink is unavailable, the lane pauses");
            self.adapt(|concurrency| concurrency.restart(Instant::now()));
        }
        self.set_state(LaneState::Unavailable, Some(reason.into()));
    }

    fn probe_if_due(&mut self, now: Instant) {
        if !self.availability.starts_probe(now) {
            return;
        }
        let sink = self.parts.sink.clone();
        self.work.spawn(async move {
            Done::Probed(match timeout(PROBE_TIMEOUT, sink.probe()).await {
                Ok(result) => result,
                Err(elapsed) => Err(SinkError::retry("no answer to a probe", elapsed)),
            })
        });
    }

    fn probed(&mut self, result: Result<(), SinkError>) {
        if let Err(error) = &result {
            self.pause(&error.to_string());
        }
        let jitter = self.parts.randomness.fraction();
        if self.availability.probed(result.is_ok(), Instant::now(), jitter) {
            info!(sink = &*self.parts.name, "sink is available again");
            self.set_state(LaneState::Retrying, None);
        }
        if result.is_ok() {
            self.parts.statistics.update(self.parts.id, |lane| lane.is_reachable = true);
        }
    }

    /// Tells what governs the number of slots, if anything does, and does as it says.
    fn adapt(&mut self, tell: impl FnOnce(&mut Concurrency)) {
        let Some(concurrency) = &mut self.concurrency else { return };
        tell(concurrency);
        let slots = concurrency.slots();
        if slots != self.waiting.slots() {
            debug!(sink = &*self.parts.name, slots, "deliveries at once");
            self.waiting.set_slots(slots);
        }
    }

    fn set_state(&self, state: LaneState, error: Option<Box<str>>) {
        self.parts.statistics.update(self.parts.id, |lane| {
            lane.state = state;
            lane.is_reachable = matches!(state, LaneState::Delivering);
            if error.is_some() || state == LaneState::Delivering {
                lane.last_error = error;
            }
        });
    }

    fn report(&mut self) {
        let (in_flight, max_in_flight) = (self.in_flight, self.waiting.slots());
        let cursor = self.tracker.cursor();
        let oldest_pending = self.tracker.oldest();
        self.parts.statistics.update(self.parts.id, |lane| {
            lane.in_flight = in_flight;
            lane.max_in_flight = max_in_flight;
            lane.cursor = cursor;
            lane.oldest_pending = oldest_pending;
        });
    }
}
