//! What has happened in a run: every record that a gateway pushed, what Redis lost of them by itself, how many
//! mishaps there were that may cause repeats, and a hash over all events, which tells whether two runs were the same.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
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
    /// How many mishaps there had been by then: they explain no repeat of it.
    pub(super) mishaps_before: u32,
}

/// The ledger. A handle.
#[derive(Clone)]
pub(super) struct Ledger(Arc<Mutex<State>>);

pub(super) struct State {
    /// By their bodies, each of which is pushed once.
    pub(super) pushed: BTreeMap<Bytes, Pushed>,
    /// What may make a record come once more although a sink said that it has it: pumps that ended, leases that were
    /// lost, failovers.
    pub(super) mishaps: u32,
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

    /// A mishap.
    pub(super) fn mishap(&self, what: impl Display) {
        let mut state = self.state();
        state.mishaps += 1;
        state.note(what);
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

    /// Redis lost these.
    pub(super) fn lost<'b>(&self, bodies: impl IntoIterator<Item = &'b Bytes>) {
        let mut state = self.state();
        for body in bodies {
            if let Some(pushed) = state.pushed.get_mut(body) {
                pushed.is_lost = true;
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
