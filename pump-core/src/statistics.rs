//! What is measured besides the books: durations, sizes, states, reasons. Read by `/metrics` and
//! `/status`; written once per batch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use serde::Serialize;

use crate::accounting::LaneId;
use crate::record::Timestamp;

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Its sink was not tried yet.
    Starting,
    /// The last attempt got through.
    Delivering,
    /// The last attempt failed and will be made again.
    Retrying,
    /// Paused: the sink refuses everything, and is probed.
    Unavailable,
    /// Ended in order.
    Stopped,
}

impl LaneState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::Delivering, Self::Retrying, Self::Unavailable, Self::Stopped];

    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Delivering => "delivering",
            Self::Retrying => "retrying",
            Self::Unavailable => "unavailable",
            Self::Stopped => "stopped",
        }
    }
}

/// One lane's statistics.
#[derive(Debug, Clone)]
pub struct LaneStatistics {
    /// What it is doing.
    pub state: LaneState,
    /// Whether the last probe or attempt got an answer.
    pub is_reachable: bool,
    /// The last error, until something gets through.
    pub last_error: Option<Box<str>>,
    /// Deliveries under way.
    pub in_flight: usize,
    /// How many there may be; with `max_in_flight: auto` it changes.
    pub max_in_flight: usize,
    /// The lowest place in the log without an outcome.
    pub cursor: u64,
    /// When the oldest record without an outcome was received.
    pub oldest_pending: Option<Timestamp>,
    /// Delivered bodies, in bytes.
    pub bytes: u64,
    /// Attempts made again, by reason.
    pub retries: BTreeMap<&'static str, u64>,
    /// From the start of an attempt to its answers.
    pub delivery: Histogram,
    /// From the record's own time to its confirmed delivery; the last record that each chunk gave
    /// to a batch stands for the others.
    pub end_to_end: Histogram,
}

/// A histogram of seconds with fixed bounds.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: [u64; Self::BOUNDS.len()],
    /// Seconds, all together.
    pub sum: f64,
    /// How many were observed.
    pub count: u64,
}

impl Histogram {
    /// Upper bounds in seconds; a last bucket without a bound follows.
    pub const BOUNDS: [f64; 14] =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

    /// Counts one.
    pub fn observe(&mut self, seconds: f64) {
        if let Some(bucket) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.counts[bucket] += 1;
        }
        self.sum += seconds;
        self.count += 1;
    }

    /// Pairs of a bound and how many were at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        Self::BOUNDS.iter().zip(&self.counts).scan(0, |total, (bound, count)| {
            *total += count;
            Some((*bound, *total))
        })
    }
}

/// All statistics of a running pump.
#[derive(Debug, Default)]
pub struct Statistics {
    lanes: RwLock<Vec<Arc<Mutex<LaneStatistics>>>>,
    dead_letters: Mutex<DeadLetterStatistics>,
}

/// What was given up.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterStatistics {
    /// By sink (empty: at the door) and reason.
    pub counts: BTreeMap<(Arc<str>, Cow<'static, str>), u64>,
    /// Why the store takes none, while it does not.
    pub trouble: Option<String>,
}

impl Statistics {
    /// The next lane's begin.
    pub(crate) fn add_lane(&self) {
        let lane = LaneStatistics {
            state: LaneState::Starting,
            is_reachable: false,
            last_error: None,
            in_flight: 0,
            max_in_flight: 0,
            cursor: 0,
            oldest_pending: None,
            bytes: 0,
            retries: BTreeMap::new(),
            delivery: Histogram::default(),
            end_to_end: Histogram::default(),
        };
        let mut lanes = self.lanes.write().expect("nothing panics while it holds this lock");
        lanes.push(Arc::new(Mutex::new(lane)));
    }

    /// One lane's.
    pub fn lane(&self, lane: LaneId) -> LaneStatistics {
        let lane = self.get(lane);
        let statistics = lane.lock().expect("nothing panics while it holds this lock");
        statistics.clone()
    }

    /// What was given up.
    pub fn dead_letters(&self) -> DeadLetterStatistics {
        self.letters().clone()
    }

    pub(crate) fn update(&self, lane: LaneId, change: impl FnOnce(&mut LaneStatistics)) {
        change(&mut self.get(lane).lock().expect("nothing panics while it holds this lock"));
    }

    pub(crate) fn delivered(&self, lane: LaneId, took: Duration, bytes: usize) {
        self.update(lane, |lane| {
            lane.delivery.observe(took.as_secs_f64());
            lane.bytes += bytes as u64;
        });
    }

    pub(crate) fn dead_letter(&self, sink: Option<&Arc<str>>, reason: Cow<'static, str>) {
        let sink = sink.cloned().unwrap_or_else(|| "".into());
        *self.letters().counts.entry((sink, reason)).or_default() += 1;
    }

    pub(crate) fn dead_letters_trouble(&self, trouble: Option<String>) {
        self.letters().trouble = trouble;
    }

    fn get(&self, lane: LaneId) -> Arc<Mutex<LaneStatistics>> {
        self.lanes.read().expect("nothing panics while it holds this lock")[lane.index()].clone()
    }

    fn letters(&self) -> MutexGuard<'_, DeadLetterStatistics> {
        self.dead_letters.lock().expect("nothing panics while it holds this lock")
    }
}
