//! What has happened in a run: every record that a gateway pushed, what Redis lost of them by itself, what may have
//! made which of them come again, and a hash over all events, which tells whether two runs were the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

/// A record that a gateway pushed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pushed {
    /// Whether it can be decoded.
    pub(super) is_sound: bool,
    /// Redis lost it before any pump had said that it was safe: by its expiry, or by a failover. It may have been
    /// delivered all the same.
    pub(super) is_lost: bool,
    /// A pump had it removed from Redis, and so has said that it is safe, whatever Redis does later.
    pub(super) is_safe: bool,
    /// How often it may come once more although a sink said that it has it: a pump ended that had read it (once for
    /// each segment that it had read it from), its segment was taken over, or a failover had it.
    pub(super) excuses: u32,
    /// How many failovers took it out of its segment. In the next one nobody can know it by its place.
    pub(super) unsealed: u32,
}

/// The ledger. A handle.
#[derive(Clone)]
pub(super) struct Ledger(Arc<Mutex<State>>);

pub(super) struct State {
    /// By their bodies, each of which is pushed once.
    pub(super) pushed: BTreeMap<Bytes, Pushed>,
    /// Pumps that ended, leases that were lost, failovers.
    pub(super) mishaps: u32,
    /// What each pump has read, and may have kept: its records, each with the segments that it was read from.
    read: BTreeMap<String, BTreeMap<Bytes, BTreeSet<String>>>,
    /// Nothing goes wrong any more.
    pub(super) is_calm: bool,
    /// What must not be.
    pub(super) problems: Vec<String>,
    /// When the run began.
    pub(super) began: Instant,
    trace: DefaultHasher,
    is_told: bool,
}

impl Ledger {
    /// An empty one. `is_told`: every event is printed.
    pub(super) fn new(is_told: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            pushed: BTreeMap::new(),
            mishaps: 0,
            read: BTreeMap::new(),
            is_calm: false,
            problems: Vec::new(),
            trace: DefaultHasher::new(),
            began: Instant::now(),
            is_told,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event, which becomes part of the trace.
    pub(super) fn note(&self, what: impl Display) {
        self.state().note(what);
    }

    /// A mishap, by which these may come again.
    pub(super) fn mishap<'b>(&self, what: impl Display, bodies: impl IntoIterator<Item = &'b Bytes>) {
        let mut state = self.state();
        state.mishaps += 1;
        for body in bodies {
            if let Some(pushed) = state.pushed.get_mut(body) {
                pushed.excuses += 1;
            }
        }
        state.note(what);
    }

    /// A pump has read these from a segment.
    pub(super) fn read(&self, pump: &str, segment: &str, bodies: impl IntoIterator<Item = Bytes>) {
        let mut state = self.state();
        let read = state.read.entry(pump.to_owned()).or_default();
        for body in bodies {
            read.entry(body).or_default().insert(segment.to_owned());
        }
    }

    /// A pump has ended: what it has read may come again, now or, if it keeps its log, later. What a failover gave it
    /// in a second segment is twice in its log, and comes again as often.
    pub(super) fn ended(&self, pump: &str, keeps_log: bool, what: impl Display) {
        let read = self.state().read.remove(pump).unwrap_or_default();
        self.mishap(what, read.iter().flat_map(|(body, segments)| iter::repeat_n(body, segments.len())));
        if keeps_log {
            self.state().read.insert(pump.to_owned(), read);
        }
    }

    /// A pump had these removed: from now on they may not be lost.
    pub(super) fn acked<'b>(&self, bodies: impl IntoIterator<Item = &'b Bytes>) {
        let mut state = self.state();
        for body in bodies {
            if let Some(pushed) = state.pushed.get_mut(body) {
                pushed.is_safe = true;
            }
        }
    }

    /// Something that must not be; the first few are kept, each once.
    pub(super) fn problem(&self, what: String) {
        let mut state = self.state();
        state.note(&what);
        if state.problems.len() < 10 && !state.problems.contains(&what) {
            state.problems.push(what);
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.state().is_calm
    }

    /// Redis lost these. What a pump had called safe is asked for all the same.
    pub(super) fn lost<'b>(&self, bodies: impl IntoIterator<Item = &'b Bytes>) {
        let mut state = self.state();
        for body in bodies {
            if let Some(pushed) = state.pushed.get_mut(body).filter(|pushed| !pushed.is_safe) {
                pushed.is_lost = true;
            }
        }
    }

    /// A failover took these out of their segments, or brought them back into the list that they were in before.
    pub(super) fn unsealed<'b>(&self, bodies: impl IntoIterator<Item = &'b Bytes>) {
        let mut state = self.state();
        for body in bodies {
            if let Some(pushed) = state.pushed.get_mut(body) {
                pushed.unsealed += 1;
            }
        }
    }

    /// The hash over all events so far.
    pub(super) fn trace(&self) -> u64 {
        self.state().trace.finish()
    }
}

impl State {
    fn note(&mut self, what: impl Display) {
        let (at, text) = (self.began.elapsed().as_micros(), what.to_string());
        (at, &text).hash(&mut self.trace);
        if self.is_told {
            eprintln!("{:>10.3} {text}", at as f64 / 1e6);
        }
    }
}
