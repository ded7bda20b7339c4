//! A sink that keeps a summary in memory: records, errors by API, slowest paths, refused callers.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pump_core::edit::{Edits, Scratch};
use pump_core::encode::Additions;
use pump_core::engine::LaneBlueprint;
use pump_core::filter::Filter;
use pump_core::plugin::{Answers, Batch, BatchDefaults, Deadline, DynSink, SinkError};
use pump_core::record::{Kind, Transaction, View};
use pump_core::template::Template;
use pump_core::{LaneSettings, RetrySettings};

/// How many different values are kept of each; made-up traffic has far fewer.
const MAX_KEPT: usize = 1_000;
/// How many rows a table has.
const ROWS: usize = 5;

/// What was seen so far. A handle, and a sink.
#[derive(Clone, Default)]
pub(super) struct Summary(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    records: u64,
    apis: HashMap<String, ApiSeen>,
    paths: HashMap<String, PathSeen>,
    refused: HashMap<String, u64>,
}

#[derive(Default)]
struct ApiSeen {
    records: u64,
    client_errors: u64,
    server_errors: u64,
}

#[derive(Default)]
struct PathSeen {
    records: u64,
    total_ms: i64,
    slowest_ms: i64,
}

impl Summary {
    /// The lane that feeds it: small batches, so that the terminal moves.
    pub(super) fn lane(&self) -> LaneBlueprint {
        let batch = BatchDefaults { max_age: Duration::from_millis(200), ..BatchDefaults::default() };
        LaneBlueprint {
            name: "summary".into(),
            sink: Arc::new(self.clone()),
            sources: None,
            kinds: vec![Kind::Transaction],
            is_required: true,
            filter: Filter::default(),
            edits: Edits::default(),
            additions: Additions::default(),
            body: None,
            route: Template::constant_of(""),
            repeats_batches: false,
            settings: LaneSettings {
                batch,
                max_in_flight: 1,
                is_adaptive: false,
                rate_limit: None,
                timeout: Duration::from_secs(5),
                retry: RetrySettings::default(),
            },
        }
    }

    /// Some twenty lines.
    pub(super) fn report(&self, elapsed: Duration) -> String {
        let seen = self.seen();
        let mut text = String::new();
        let rate = seen.records as f64 / elapsed.as_secs_f64().max(0.001);
        let _ = writeln!(
            text,
            "{} records in {:.1} s, {rate:.0} a second\n",
            seen.records,
            elapsed.as_secs_f64()
        );
        let _ = writeln!(text, "{:<24}{:>10}{:>8}{:>8}", "API", "records", "4xx", "5xx");
        for (name, api) in most(&seen.apis, |api| api.records) {
            let ApiSeen { records, client_errors, server_errors } = api;
            let _ = writeln!(text, "{name:<24}{records:>10}{client_errors:>8}{server_errors:>8}");
        }
        let _ = writeln!(text, "\n{:<40}{:>10}{:>10}", "slowest paths", "mean ms", "max ms");
        for (path, seen) in most(&seen.paths, PathSeen::mean_ms) {
            let _ = writeln!(text, "{path:<40}{:>10}{:>10}", seen.mean_ms(), seen.slowest_ms);
        }
        let _ = writeln!(text, "\n{:<24}{:>10}", "refused (401) most", "times");
        for (address, times) in most(&seen.refused, |times| *times).into_iter().take(3) {
            let _ = writeln!(text, "{address:<24}{times:>10}");
        }
        text
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn add(&mut self, transaction: &Transaction<'_>) {
        self.records += 1;
        let status = transaction.response_code;
        if let Some(api) = entry(&mut self.apis, transaction.api_name.to_str().into_owned()) {
            api.records += 1;
            api.client_errors += u64::from((400..500).contains(&status));
            api.server_errors += u64::from((500..600).contains(&status));
        }
        let path = format!("{} {}", transaction.method.to_str(), transaction.path.to_str());
        if let Some(path) = entry(&mut self.paths, path) {
            path.records += 1;
            path.total_ms += transaction.latency.total;
            path.slowest_ms = path.slowest_ms.max(transaction.latency.total);
        }
        if status == 401
            && let Some(times) = entry(&mut self.refused, transaction.ip_address.to_str().into_owned())
        {
            *times += 1;
        }
    }
}

impl PathSeen {
    fn mean_ms(&self) -> i64 {
        self.total_ms / (self.records as i64).max(1)
    }
}

fn entry<T: Default>(map: &mut HashMap<String, T>, key: String) -> Option<&mut T> {
    let has_room = map.len() < MAX_KEPT || map.contains_key(&key);
    has_room.then(|| map.entry(key).or_default())
}

fn most<T, K: Ord>(map: &HashMap<String, T>, key: impl Fn(&T) -> K) -> Vec<(&String, &T)> {
    let mut rows: Vec<_> = map.iter().collect();
    rows.sort_by(|(left_name, left), (right_name, right)| {
        key(right).cmp(&key(left)).then_with(|| left_name.cmp(right_name))
    });
    rows.truncate(ROWS);
    rows
}

#[async_trait]
impl DynSink for Summary {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut scratch = Scratch::default();
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            let mut seen = self.seen();
            for entry in slice.entries() {
                if let View::Transaction(transaction) = entry.view(&mut scratch) {
                    seen.add(&transaction);
                }
            }
        }
        Ok(Answers::delivered(batch.len()))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
