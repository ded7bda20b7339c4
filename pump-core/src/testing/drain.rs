//! A source, run as the pump runs it, for its own tests.

use std::time::Duration;

use super::{ScriptedSink, blueprint, lane};
use crate::config::{ConfigErrors, read, tree_of};
use crate::engine::Pump;
use crate::plugin::{Mode, Source, SourceContext};

/// How long a source may take for what a test holds.
const LIMIT: Duration = Duration::from_secs(60);

/// Plans and opens a source from the keys of its section (YAML), runs it until what it held at the start is settled,
/// and gives the bodies that arrived at a sink, as they came and in the order of the log.
///
/// # Panics
/// When its keys are wrong, when it fails, when it does not end, and when the books do not balance.
pub async fn drain<S: Source + Sync>(keys: &str) -> Vec<String> {
    let tree = tree_of(keys).unwrap_or_else(|| panic!("no YAML: {keys}"));
    let config: S::Config = read(&tree).unwrap_or_else(|errors| panic!("{}", ConfigErrors(errors)));
    let kinds = S::plan(&config).unwrap_or_else(|error| panic!("{}: {error}", error.key)).kinds;
    let context = SourceContext { name: S::NAME.into(), kinds: kinds.clone() };
    let source = S::open(config, context).await.unwrap_or_else(|error| panic!("it is not opened: {error}"));
    let sink = ScriptedSink::willing();
    let mut parts = blueprint(Mode::Drain, vec![(S::NAME, Box::new(source))]);
    parts.lanes.push(lane("all", &sink));
    parts.lanes[0].kinds = kinds;
    parts.lanes[0].settings.max_in_flight = 1;
    let pump = Pump::new(parts);
    let monitor = pump.monitor();
    let ended = tokio::time::timeout(LIMIT, pump.run(std::future::pending())).await;
    let ended = ended.unwrap_or_else(|_| panic!("it has not ended after {LIMIT:?}: {:?}", monitor.books()));
    ended.unwrap_or_else(|error| panic!("the pump ended with an error: {error}"));
    let books = monitor.books();
    let is_balanced = books.lanes[0].is_balanced() && books.sources[0].is_balanced();
    assert!(is_balanced, "the books do not balance: {books:?}");
    sink.delivered()
}
