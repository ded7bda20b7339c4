//! Which topics are there, as far as is known.
//!
//! A topic is asked for before the first message to it: a producer would wait long for one that is missing. It is
//! known until a message to it fails in a way that lasts.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pump_core::plugin::{SinkError, SinkErrorKind};

/// With a date in their names topics become more and more.
const MAX_KNOWN: usize = 1_000;

/// Topics that are there, and the one that is asked for by probes.
#[derive(Debug)]
pub(super) struct Topics(Mutex<State>);

#[derive(Debug)]
struct State {
    known: HashSet<Box<str>>,
    to_probe: Option<Box<str>>,
}

impl Topics {
    /// None is known; `only` is the one that all records go to, if they do.
    pub(super) fn new(only: Option<&str>) -> Self {
        Self(Mutex::new(State { known: HashSet::new(), to_probe: only.map(Into::into) }))
    }

    pub(super) fn is_known(&self, topic: &str) -> bool {
        self.state().known.contains(topic)
    }

    /// What a probe asks for: the last one that was met or missed.
    pub(super) fn to_probe(&self) -> Option<Box<str>> {
        self.state().to_probe.clone()
    }

    /// Somebody asked for a topic.
    pub(super) fn met(&self, topic: &str, met: Result<(), SinkError>) -> Result<(), SinkError> {
        match &met {
            Ok(()) => {
                let mut state = self.state();
                if state.known.len() >= MAX_KNOWN {
                    state.known.clear();
                }
                state.known.insert(topic.into());
                state.to_probe = Some(topic.into());
            }
            Err(error) => self.failed(topic, error),
        }
        met
    }

    /// Nothing could be written to a topic.
    pub(super) fn failed(&self, topic: &str, error: &SinkError) {
        if error.kind() == SinkErrorKind::Unavailable {
            let mut state = self.state();
            state.known.remove(topic);
            state.to_probe = Some(topic.into());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is lost with a panic is asked for again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
