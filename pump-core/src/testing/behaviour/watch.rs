//! Looks at every line that is logged in this process through `tracing`, for texts that nobody may see.
//!
//! A process has one such listener. This one sleeps but while the suite runs.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Id, Level, Metadata, Subscriber, span};

static IS_AWAKE: AtomicBool = AtomicBool::new(false);

#[derive(Default)]
struct Watch {
    /// The crate of the sink under test: all that it says is looked at.
    own: String,
    secrets: Vec<String>,
    found: Vec<String>,
}

fn state() -> &'static Mutex<Watch> {
    static STATE: OnceLock<Mutex<Watch>> = OnceLock::new();
    STATE.get_or_init(Mutex::default)
}

/// From now on, lines with one of these texts are kept. `sink` is the path of the sink's type.
///
/// # Panics
/// When somebody else listens to this process's log: then nothing could be seen.
pub(super) fn begin(sink: &str, secrets: Vec<String>) {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        tracing::subscriber::set_global_default(Watcher)
            .expect("a process that runs the suite has no subscriber of its own");
    });
    let own = sink.split("::").next().unwrap_or_default().to_owned();
    *state().lock().unwrap_or_else(PoisonError::into_inner) = Watch { own, secrets, found: Vec::new() };
    wake(true);
}

/// Nothing is looked at any more.
pub(super) fn end() {
    wake(false);
}

fn wake(is_awake: bool) {
    IS_AWAKE.store(is_awake, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Looks at a text that is shown elsewhere, such as an error on the status page.
pub(super) fn look(text: &str) {
    let mut state = state().lock().unwrap_or_else(PoisonError::into_inner);
    if state.secrets.iter().any(|secret| text.contains(secret)) && state.found.len() < 10 {
        state.found.push(text.to_owned());
    }
}

/// What was found so far.
pub(super) fn found() -> Vec<String> {
    state().lock().unwrap_or_else(PoisonError::into_inner).found.clone()
}

/// Takes what an operator would see who wants to know much: the pump's own words, and what libraries say aloud.
struct Watcher;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Watcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if !IS_AWAKE.load(Ordering::Relaxed) {
            return false;
        }
        let is_own = |target: &str| {
            target.starts_with("pump")
                || target.starts_with(&*state().lock().unwrap_or_else(PoisonError::into_inner).own)
        };
        *metadata.level() <= Level::INFO || is_own(metadata.target())
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> Id {
        let mut line = Line(String::new());
        attributes.record(&mut line);
        look(&line.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &span::Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        look(&line.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        look(&line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
