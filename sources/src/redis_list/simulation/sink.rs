//! Destinations, as all pumps see them, and the sinks through which one pump does: they answer for single records,
//! fail as a whole before or after they have taken what came, are silent, or gone for a while.
//!
//! One sort of them writes objects, each whole, under the digest of the records in it: what comes again as the same
//! batch is there once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::plugin::{Answer, Answers, Batch, BatchDigest, Deadline, DynSink, SinkError};
use pump_core::record::RecordId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::ledger::Ledger;
use super::plan::{Plan, SinkFaults};

/// A place where records end up. A handle.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) name: &'static str,
    pub(super) is_required: bool,
    /// Whether it has objects, and asks for batches that are repeated as they were.
    pub(super) names_objects: bool,
    state: Arc<Mutex<State>>,
}

struct State {
    taken: BTreeMap<Bytes, Taken>,
    objects: BTreeMap<BatchDigest, Object>,
    down_until: Instant,
}

/// How often a destination took one record.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    pub(super) ids: Vec<RecordId>,
    /// And said so.
    pub(super) heard: u32,
    /// And did not say so, so that it had to come again.
    pub(super) unheard: u32,
}

/// An object of a destination that names them.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bodies: Vec<Bytes>,
    /// The pumps that wrote it.
    pub(super) pumps: BTreeSet<String>,
}

impl Destination {
    pub(super) fn new(name: &'static str, is_required: bool) -> Self {
        let state = State { taken: BTreeMap::new(), objects: BTreeMap::new(), down_until: Instant::now() };
        Self { name, is_required, names_objects: false, state: Arc::new(Mutex::new(state)) }
    }

    /// One that names what it has by the records in it.
    pub(super) fn of_objects(is_required: bool) -> Self {
        Self { names_objects: true, ..Self::new("objects", is_required) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes nothing for so long.
    pub(super) fn go_down(&self, time: Duration) {
        self.state().down_until = Instant::now() + time;
    }

    /// By body, what it has.
    pub(super) fn taken(&self) -> BTreeMap<Bytes, Taken> {
        self.state().taken.clone()
    }

    /// By name, the objects that it has.
    pub(super) fn objects(&self) -> BTreeMap<BatchDigest, Object> {
        self.state().objects.clone()
    }

    /// Writes an object. Whether it has the contents that it had before, if it was there.
    fn put(&self, name: BatchDigest, pump: &str, bodies: Vec<Bytes>) -> bool {
        let mut state = self.state();
        let object = state
            .objects
            .entry(name)
            .or_insert_with(|| Object { bodies: bodies.clone(), pumps: BTreeSet::new() });
        object.pumps.insert(pump.to_owned());
        object.bodies == bodies
    }

    fn is_down(&self) -> bool {
        self.state().down_until > Instant::now()
    }

    fn take(&self, body: &Bytes, id: RecordId, is_heard: bool) {
        let mut state = self.state();
        let taken = state.taken.entry(body.clone()).or_default();
        if !taken.ids.contains(&id) {
            taken.ids.push(id);
        }
        *if is_heard { &mut taken.heard } else { &mut taken.unheard } += 1;
    }

    fn has(&self, body: &Bytes) -> bool {
        self.state().taken.contains_key(body)
    }
}

/// One pump's way to a destination.
pub(super) struct SimulatedSink {
    pub(super) destination: Destination,
    pub(super) pump: String,
    faults: SinkFaults,
    /// Records that an object may have.
    max_object: usize,
    ledger: Ledger,
    random: Mutex<StdRng>,
}

/// What a sink does with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    Take,
    AnswerEach,
    /// Takes everything first, or nothing.
    Fail {
        has_taken: bool,
    },
    Hang {
        has_taken: bool,
    },
    Unavailable,
    TooLarge,
}

impl SimulatedSink {
    pub(super) fn new(
        destination: &Destination,
        pump: String,
        plan: &Plan,
        ledger: &Ledger,
        seed: u64,
    ) -> Self {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let max_object = if destination.names_objects { plan.max_object } else { usize::MAX };
        let (destination, faults, ledger) = (destination.clone(), plan.sinks, ledger.clone());
        Self { destination, pump, faults, max_object, ledger, random }
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, records: usize) -> (Reaction, Duration) {
        let mut random = self.random();
        let SinkFaults { fails, hangs, unavailable, answers } = self.faults;
        let (is_calm, has_taken, mut draw) = (self.ledger.is_calm(), random.random(), random.random::<f64>());
        let mut is_drawn = |chance: f64| {
            draw -= chance;
            draw < 0.0
        };
        let reaction = match () {
            () if records > self.max_object => Reaction::TooLarge,
            () if is_calm => Reaction::Take,
            () if is_drawn(fails) => Reaction::Fail { has_taken },
            () if is_drawn(hangs) => Reaction::Hang { has_taken },
            () if is_drawn(unavailable) => Reaction::Unavailable,
            // An object has all of its records or is not there.
            () if is_drawn(answers) && !self.destination.names_objects => Reaction::AnswerEach,
            () => Reaction::Take,
        };
        (reaction, Duration::from_millis(random.random_range(0..100)))
    }

    fn take(&self, batch: &Batch, records: &[(Bytes, RecordId)], is_heard: bool) {
        records.iter().for_each(|(body, id)| self.destination.take(body, *id, is_heard));
        if self.destination.names_objects {
            let bodies = records.iter().map(|(body, _)| body.clone()).collect();
            if !self.destination.put(batch.digest(), &self.pump, bodies) {
                self.ledger.problem(format!("the object {} has other contents than before", batch.digest()));
            }
        }
    }

    /// An answer of its own for each record; a slot may stay empty.
    fn answer_each(&self, records: &[(Bytes, RecordId)]) -> Answers {
        let mut answers = Answers::unset(records.len());
        for (number, (body, id)) in records.iter().enumerate() {
            let draw = self.random().random_range(0..12);
            let answer = match draw {
                0 => Answer::Retry(None),
                1 => Answer::Retry(Some(Duration::from_millis(300))),
                2 => Answer::Rejected { code: "refused", detail: "chance has it".into() },
                3 => {
                    self.destination.take(body, *id, false);
                    Answer::Retry(None)
                }
                4 => continue,
                _ if self.destination.has(body) => Answer::Duplicate,
                _ => {
                    self.destination.take(body, *id, true);
                    Answer::Delivered
                }
            };
            answers.set(number, answer);
        }
        answers
    }
}

#[async_trait]
impl DynSink for SimulatedSink {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut records = Vec::with_capacity(batch.len());
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            records.extend(slice.entries().map(|entry| (Bytes::copy_from_slice(entry.body()), entry.id())));
        }
        let (reaction, delay) = self.draw(records.len());
        sleep(delay).await;
        let take = |is_heard| self.take(batch, &records, is_heard);
        self.ledger.note(format_args!(
            "{} gives {} records to {}: {reaction:?}",
            self.pump,
            records.len(),
            self.destination.name
        ));
        match reaction {
            _ if self.destination.is_down() => Err(SinkError::retry("gone", "it is down")),
            Reaction::Take => {
                take(true);
                Ok(Answers::delivered(records.len()))
            }
            Reaction::AnswerEach => Ok(self.answer_each(&records)),
            Reaction::Fail { has_taken } => {
                if has_taken {
                    take(false);
                }
                Err(SinkError::retry("failed", "chance has it"))
            }
            Reaction::Hang { has_taken } => {
                if has_taken {
                    take(false);
                }
                std::future::pending().await
            }
            Reaction::TooLarge => Err(SinkError::too_large("too many records for an object")),
            Reaction::Unavailable => Err(SinkError::unavailable("not now", "chance has it")),
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        match self.destination.is_down() {
            true => Err(SinkError::unavailable("gone", "it is down")),
            false => Ok(()),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
