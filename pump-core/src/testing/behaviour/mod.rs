//! What every sink owes its users, asked of it on its real server.
//!
//! A test of a sink is one line. The author says how a [`Destination`] is written to, read, stopped and broken;
//! the suite runs a real lane of the real engine against it, one behaviour after the other, and reads back what
//! came of it. A behaviour that a destination cannot have is named with the reason ([`Unlike`]), so nothing is
//! left out silently.
//!
//! ```ignore
//! // Cargo.toml: pump-core with `features = ["testing"]`, async-trait, tokio with `rt-multi-thread` and `macros`
//! #[tokio::test(flavor = "multi_thread")]
//! async fn behaves() {
//!     pump_core::testing::behaviour::check(MyServer::start).await;
//! }
//! ```
//!
//! `pump-core/src/testing/behaviour/tests.rs` has a whole one, with a small server.

mod cases;
mod proxy;
mod sample;
mod stage;
#[cfg(test)]
mod tests;
mod watch;
mod witness;

use std::any::type_name;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;

pub use proxy::{Fault, Proxy};
pub use sample::{Sample, numbers_in};

use crate::plugin::Sink;
use cases::{Case, Failure};

/// Why a destination cannot have a behaviour: a sentence for the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unlike(pub &'static str);

/// What repeats of a record, each with the same id, become at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// It has each record once, whatever went wrong on the way.
    Vanish,
    /// What was sent again after a fault may be there again.
    Stay,
}

/// What another client finds at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The record's id, where the destination keeps one, as [`RecordId`](crate::record::RecordId) prints it.
    pub id: Option<String>,
    /// What was written of one record, or of several that are one there: text, in which the suite looks for
    /// what it sent.
    pub text: String,
    /// How often it counts: 1, but for destinations that keep counts.
    pub count: u64,
}

/// Too much for a destination.
#[derive(Debug, Clone, Copy)]
pub struct TooLarge {
    /// So many bytes of encoded bodies are more than it takes in one delivery.
    pub batch: usize,
    /// A record with a field of so many bytes is more than it takes on its own; `None` where the pump's own
    /// limits come first.
    pub record: Option<usize>,
}

/// Where a sink under test writes to: a real server, or a folder.
///
/// The methods with a default belong to one behaviour each: a destination that has the thing writes the
/// method, one that cannot have it says why.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The sink under test.
    type Sink: Sink;

    /// Makes an empty place of that name (an index, a topic, a folder; the name is of small letters and
    /// digits) and gives the sink's keys that write there, as lines of YAML; keys stand at the beginning of a line.
    /// Engine's keys such as `timeout` may be among them, where the suite's own do not fit. Whatever can be cut
    /// goes through [`Self::way`].
    async fn place(&self, name: &str) -> String;

    /// Everything that is in that place.
    async fn read(&self, name: &str) -> Vec<Seen>;

    /// What becomes of repeats.
    fn repeats(&self) -> Repeats;

    /// Whether it keeps ids: then [`Seen::id`] is there for every record.
    fn ids(&self) -> Result<(), Unlike>;

    /// The proxy between the sink and its server.
    fn way(&self) -> Result<&Proxy, Unlike>;

    /// How long an answer takes at the most, on a busy machine, when nothing is wrong: what is called too late is
    /// measured by it.
    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Whether the client library connects anew and sends again by itself, so that a lost connection need not
    /// fail an attempt.
    fn mends_connections(&self) -> bool {
        false
    }

    /// Whether the server can be stopped and started.
    fn restarts(&self) -> Result<(), Unlike> {
        Ok(())
    }

    /// Stops the server; what it had confirmed, it has again after [`Self::start`].
    async fn stop(&self) -> Result<(), Unlike>;

    /// Starts a stopped server, and returns once it answers. It may have another address, if [`Self::way`] leads
    /// there.
    async fn start(&self) {}

    /// This record, made such that the destination refuses it and takes others beside it.
    fn refused(&self, sample: Sample) -> Result<Sample, Unlike>;

    /// What is too large for it.
    fn too_large(&self) -> Result<TooLarge, Unlike>;

    /// The keys for a place with credentials that are wrong.
    async fn wrong_credentials(&self, name: &str) -> Result<String, Unlike>;

    /// The keys for a place that is not there.
    async fn missing(&self, name: &str) -> Result<String, Unlike>;

    /// Makes the place that was missing.
    async fn make_missing(&self, _name: &str) {}

    /// Texts in any of the keys above that nobody may ever see in a log or an error: credentials, wrong ones too,
    /// as they are written and in whatever form they travel.
    fn secrets(&self) -> Vec<String>;
}

/// A behaviour, and what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Its name, words joined by `_`.
    pub name: &'static str,
    /// What it says, a sentence.
    pub sentence: &'static str,
    /// It holds, or why the destination cannot have it.
    pub held: Result<(), Unlike>,
}

/// Starts a destination and runs every behaviour against it, the only one in this process meanwhile. On a
/// multi-threaded runtime.
///
/// # Panics
/// When one does not hold, after all of them were tried, with what was found for each. When this process has a
/// `tracing` subscriber already: the suite has to see every line.
pub async fn check<D: Destination>(start: impl AsyncFnOnce() -> D) -> Vec<Finding> {
    let _one = ONE_AT_A_TIME.lock().await;
    let destination = start().await;
    let (mut findings, mut failures) = (Vec::new(), String::new());
    watch::begin(type_name::<D::Sink>(), destination.secrets());
    for (name, sentence) in cases::ALL {
        let begin = Instant::now();
        let held = match caught(Case::new(&destination, name).run()).await {
            Ok(()) => Ok(()),
            Err(Failure::Unlike(reason)) => Err(reason),
            Err(Failure::Broken(what)) => {
                eprintln!("{} {name}: {what}", D::Sink::NAME);
                let _ = writeln!(failures, "{name} ({sentence}): {what}");
                continue;
            }
        };
        eprintln!("{} {name}: {held:?} in {:.1?}", D::Sink::NAME, begin.elapsed());
        findings.push(Finding { name, sentence, held });
    }
    watch::end();
    assert!(failures.is_empty(), "the sink {} does not behave:\n{failures}", D::Sink::NAME);
    findings
}

static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A panic of what an author has written is a behaviour that does not hold.
async fn caught(case: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut case = std::pin::pin!(case);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| case.as_mut().poll(context))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it says nothing");
            Poll::Ready(Err(Failure::Broken(format!("a panic: {text}"))))
        })
    })
    .await
}
