//! A pump's place in a run: the real pump with its real source, started, killed and started again, with the disk that
//! it finds then.

use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use pump_core::engine::LogBlueprint;
use pump_core::engine::{Monitor, Pump, PumpError};
use pump_core::log::LogError;
use pump_core::log::disk::{DiskSettings, OpenError, Opened};
use pump_core::plugin::{BatchDefaults, Mode};
use pump_core::record::{Codec, Kind};
use pump_core::testing::{self, Call, Loss, MemoryStore, ScriptedSink, SimulatedStorage};
use pump_core::{LaneSettings, Randomness, RetrySettings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::RedisListSource;
use super::super::keys::ListKeys;
use super::ledger::Ledger;
use super::plan::Plan;
use super::redis::SimulatedRedis;
use super::sink::{Destination, SimulatedSink};

/// The gateway's lists.
pub(super) const LISTS: [&str; 2] = ["analytics-tyk-system-analytics", "analytics-tyk-system-analytics_1"];

/// What a disk says that was made to fail: nothing else ever says it, so a pump that ends with it ends by that.
const INJECTED: ErrorKind = ErrorKind::HostUnreachable;
/// The calls that are made to fail, syncs more often than others.
const CALLS: [Call; 10] = [
    Call::Sync,
    Call::Sync,
    Call::Write,
    Call::Create,
    Call::Replace,
    Call::Truncate,
    Call::Read,
    Call::Remove,
    Call::Rename,
    Call::List,
];

/// What all pumps share.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) plan: Plan,
    pub(super) ledger: Ledger,
    pub(super) redis: SimulatedRedis,
    pub(super) destinations: Vec<Destination>,
    pub(super) letters: MemoryStore,
}

/// A pump's place.
pub(super) struct Seat {
    surroundings: Surroundings,
    name: String,
    random: StdRng,
    disk: Option<SimulatedStorage>,
    running: Option<Running>,
    /// A read of this disk was made to fail: whoever opens the log may take that for damage.
    may_misread: bool,
}

/// Why a pump has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndedBy {
    Itself,
    Stop,
}

struct Running {
    task: JoinHandle<Result<(), PumpError>>,
    stop: oneshot::Sender<()>,
    monitor: Monitor,
}

impl Seat {
    pub(super) fn new(surroundings: &Surroundings, number: u64) -> Self {
        let mut random = StdRng::seed_from_u64(surroundings.plan.seed.wrapping_mul(8).wrapping_add(number));
        let disk = surroundings.plan.is_on_disk.then(|| SimulatedStorage::new(random.random()));
        let name = format!("pump {number}");
        Self { surroundings: surroundings.clone(), name, random, disk, running: None, may_misread: false }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts the pump with what is on its disk.
    pub(super) async fn start(&mut self) {
        let ledger = self.surroundings.ledger.clone();
        ledger.note(format_args!("{} starts", self.name));
        let log = match &self.disk {
            None => LogBlueprint::Memory { max_size: self.random.random_range(1_000..40_000) },
            Some(disk) => {
                disk.set_max_delay(Duration::from_millis(2));
                let settings = DiskSettings {
                    max_size: 256 << 10,
                    segment_size: 8 << 10,
                    memory: 32 << 10,
                    ..DiskSettings::new(1 << 20)
                };
                let patience = match self.random.random_bool(0.1) && !ledger.is_calm() {
                    true => Duration::from_micros(self.random.random_range(0..20_000)),
                    false => Duration::MAX,
                };
                match timeout(patience, Opened::open(Arc::new(disk.clone()), settings)).await {
                    Ok(Ok(opened)) => LogBlueprint::Disk(Box::new(opened)),
                    Ok(Err(OpenError::Io(error))) if error.kind() == INJECTED => {
                        self.end(format_args!("{} cannot open its log: {error}", self.name));
                        return self.find_disk(true);
                    }
                    // It is refused, and nothing is thrown away.
                    Ok(Err(error)) if self.may_misread => {
                        self.end(format_args!("{} cannot open its log: {error}", self.name));
                        return self.find_disk(true);
                    }
                    Ok(Err(error)) => {
                        return ledger.problem(format!("{} cannot open its log: {error:?}", self.name));
                    }
                    Err(_killed) => {
                        self.end(format_args!("{} is killed while it opens its log", self.name));
                        return self.find_disk(true);
                    }
                }
            }
        };
        let mut blueprint = testing::blueprint(Mode::Follow, vec![("redis", Box::new(self.source()))]);
        blueprint.log = log;
        blueprint.dead_letters = Arc::new(self.surroundings.letters.clone());
        blueprint.shutdown_timeout = Duration::from_secs(2);
        blueprint.randomness = Randomness::seeded(self.random.random(), ledger.state().began);
        for destination in self.surroundings.destinations.clone() {
            blueprint.lanes.push(self.lane(&destination));
        }
        let pump = Pump::new(blueprint);
        let (monitor, (stop, stopped)) = (pump.monitor(), oneshot::channel());
        let task = tokio::spawn(pump.run(async move {
            // Whoever drops the other end does not mean a stop.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        self.running = Some(Running { task, stop, monitor });
    }

    fn source(&mut self) -> RedisListSource {
        let plan = &self.surroundings.plan;
        let config = json!({
            "url": "redis://127.0.0.1:1",
            "lease": format!("{}ms", plan.lease.as_millis()),
            "max_reply": "1KiB",
        });
        let config = serde_json::from_value(config).expect("these are settings of the source");
        let lists = LISTS.map(|list| ListKeys::new(list, Kind::Transaction, Codec::Msgpack)).into();
        let client = self.surroundings.redis.client(self.name.clone(), plan.calls, self.random.random());
        RedisListSource { config, server: Box::new(client), lists }
    }

    fn lane(&mut self, destination: &Destination) -> pump_core::engine::LaneBlueprint {
        let Surroundings { plan, ledger, .. } = &self.surroundings;
        let mut lane = testing::lane(destination.name, &ScriptedSink::willing());
        let seed = self.random.random();
        lane.sink = Arc::new(SimulatedSink::new(destination, self.name.clone(), plan, ledger, seed));
        lane.repeats_batches = destination.names_objects;
        lane.kinds = vec![Kind::Transaction];
        lane.is_required = destination.is_required;
        let (max_records, max_in_flight) = plan.batch;
        lane.settings = LaneSettings {
            batch: BatchDefaults { max_records, max_bytes: 64 << 10, max_age: Duration::from_millis(300) },
            max_in_flight,
            is_adaptive: false,
            rate_limit: None,
            timeout: Duration::from_secs(2),
            retry: RetrySettings {
                initial: Duration::from_millis(100),
                max: Duration::from_secs(1),
                max_age: None,
            },
        };
        lane
    }

    /// Ends it as `kill -9` does, or as a power cut, which takes from the disk what was not synced.
    pub(super) async fn kill(&mut self) {
        let Some(running) = self.running.take() else { return };
        let is_power_cut = self.random.random_bool(0.7);
        running.task.abort();
        // It is gone when this returns.
        let _ = running.task.await;
        self.end(format_args!("{} is killed, power cut: {is_power_cut}", self.name));
        self.find_disk(is_power_cut);
    }

    /// It runs no more.
    fn end(&self, what: impl Display) {
        self.surroundings.ledger.ended(&self.name, self.disk.is_some(), what);
    }

    fn find_disk(&mut self, is_power_cut: bool) {
        let losses = [Loss::All, Loss::Some, Loss::Nothing];
        let loss = losses[self.random.random_range(0..losses.len())];
        if let Some(disk) = &mut self.disk {
            *disk = if is_power_cut { disk.crash(loss) } else { disk.kill() };
        }
        self.may_misread = false;
    }

    /// Ends it in order.
    pub(super) async fn stop(&mut self) {
        let Some(Running { task, stop, .. }) = self.running.take() else { return };
        self.surroundings.ledger.note(format_args!("{} stops", self.name));
        let by = if task.is_finished() { EndedBy::Itself } else { EndedBy::Stop };
        // It may have ended by itself.
        let _ = stop.send(());
        let ended = task.await;
        self.judge(ended, by);
    }

    /// One call of its log fails soon, or when it is opened next.
    pub(super) fn fail_disk(&mut self) {
        let (call, after) = (CALLS[self.random.random_range(0..CALLS.len())], self.random.random_range(0..3));
        if let Some(disk) = &self.disk {
            self.surroundings.ledger.note(format_args!("{}: {call:?} fails soon", self.name));
            disk.fail(call, after, INJECTED);
            self.may_misread |= call == Call::Read;
        }
    }

    /// Its disk has no room any more, until it is started again or nothing goes wrong any more.
    pub(super) fn fill_disk(&mut self) {
        let room = self.random.random_range(0..10_000);
        if let Some(disk) = &self.disk {
            self.surroundings.ledger.note(format_args!("{}: the disk is full", self.name));
            disk.set_capacity(disk.size() + room);
        }
    }

    /// Nothing fails any more that has not yet.
    pub(super) fn mend(&self) {
        if let Some(disk) = &self.disk {
            disk.mend();
            disk.set_capacity(u64::MAX);
        }
    }

    /// Looks at the books; and whether it has ended, which it must not by itself.
    pub(super) async fn look(&mut self) {
        let Some(running) = &mut self.running else { return };
        let books = running.monitor.books();
        let is_balanced = books.lanes.iter().all(|lane| lane.is_balanced())
            && books.sources.iter().all(|source| source.is_balanced());
        if !is_balanced {
            self.surroundings.ledger.problem(format!("{}: the books do not balance: {books:?}", self.name));
        }
        if running.task.is_finished() {
            let ended = (&mut running.task).await;
            self.running = None;
            self.judge(ended, EndedBy::Itself);
        }
    }

    /// Whether every lane has an outcome for all that it has accepted.
    pub(super) fn is_at_rest(&self) -> bool {
        let Some(running) = &self.running else { return false };
        running.monitor.books().lanes.iter().all(|lane| lane.pending() == 0)
    }

    /// What its lanes have no outcome for, for a person.
    pub(super) fn pending(&self) -> String {
        let Some(running) = &self.running else { return format!("{} does not run", self.name) };
        let pending: Vec<_> = running.monitor.books().lanes.iter().map(|lane| lane.pending()).collect();
        format!("{} has {pending:?}", self.name)
    }

    fn judge(&mut self, ended: Result<Result<(), PumpError>, tokio::task::JoinError>, by: EndedBy) {
        self.end(format_args!("{} has ended: {ended:?}", self.name));
        let ledger = &self.surroundings.ledger;
        match ended {
            Ok(Ok(())) if by == EndedBy::Stop => {}
            Ok(Err(PumpError::Log(LogError::Sync(error) | LogError::Io(error))))
                if error.kind() == INJECTED
                    || by == EndedBy::Stop && error.kind() == ErrorKind::StorageFull =>
            {
                self.find_disk(true);
            }
            Ok(Ok(())) => ledger.problem(format!("{} has ended, and nobody told it to", self.name)),
            Ok(Err(error)) => ledger.problem(format!("{} has failed: {error:?}", self.name)),
            Err(error) => ledger.problem(format!("{} has panicked: {error}", self.name)),
        }
    }
}
