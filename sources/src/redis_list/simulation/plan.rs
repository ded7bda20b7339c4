//! What a seed decides before a run begins: what goes wrong, how often, and how the pumps are set up. Each sort of
//! fault is left out of some runs, so that others are seen alone.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A plan.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) is_on_disk: bool,
    /// How long things go wrong.
    pub(super) trouble: Duration,
    /// How long a pump holds a segment that says nothing.
    pub(super) lease: Duration,
    /// What the gateway gives its lists.
    pub(super) ttl: Option<Duration>,
    /// Records in one push, at most.
    pub(super) push: usize,
    /// Records in a batch, and attempts at once.
    pub(super) batch: (usize, usize),
    pub(super) calls: CallFaults,
    pub(super) sinks: SinkFaults,
    pub(super) objects: Objects,
    /// Records that an object may have; a batch of more is too large.
    pub(super) max_object: usize,
    pub(super) events: Events,
}

/// How likely what is for one call of Redis.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallFaults {
    pub(super) lost_before: f64,
    pub(super) lost_after: f64,
    pub(super) twice: f64,
}

/// How likely what is for one attempt of a sink, or for one record of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SinkFaults {
    /// It fails as a whole.
    pub(super) fails: f64,
    /// It never answers.
    pub(super) hangs: f64,
    /// It says that nothing will get through for a while.
    pub(super) unavailable: f64,
    /// Records have answers of their own.
    pub(super) answers: f64,
}

/// Whether there is a destination that names what it has by the records in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objects {
    None,
    /// Beside the others, and maybe required.
    Beside {
        is_required: bool,
    },
    /// In the place of all others.
    Alone,
}

/// How much weight each event has when the next one is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events {
    pub(super) kill: u32,
    pub(super) stop: u32,
    pub(super) silence: u32,
    pub(super) failover: u32,
    pub(super) sink_down: u32,
    pub(super) letters_full: u32,
    pub(super) disk_fails: u32,
    pub(super) disk_full: u32,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let random = &mut random;
        let is_on_disk = random.random();
        Self {
            seed,
            is_on_disk,
            trouble: Duration::from_millis(random.random_range(3_000..10_000)),
            lease: Duration::from_millis(random.random_range(1_000..6_000)),
            ttl: sometimes(random).then(|| Duration::from_millis(random.random_range(2_000..20_000))),
            push: random.random_range(1..30),
            batch: (random.random_range(1..40), random.random_range(1..5)),
            calls: CallFaults {
                lost_before: chance(random, 0.05),
                lost_after: chance(random, 0.05),
                twice: chance(random, 0.05),
            },
            sinks: SinkFaults {
                fails: chance(random, 0.3),
                hangs: chance(random, 0.1),
                unavailable: chance(random, 0.1),
                answers: chance(random, 0.5),
            },
            events: Events {
                kill: weight(random, 6),
                stop: weight(random, 3),
                silence: weight(random, 2),
                failover: weight(random, 3),
                sink_down: weight(random, 3),
                letters_full: weight(random, 2),
                disk_fails: if is_on_disk { weight(random, 2) } else { 0 },
                disk_full: if is_on_disk { weight(random, 3) } else { 0 },
            },
            objects: match random.random_range(0..4) {
                0 => Objects::Beside { is_required: sometimes(random) },
                1 => Objects::Alone,
                _ => Objects::None,
            },
            max_object: if sometimes(random) { random.random_range(1..40) } else { usize::MAX },
        }
    }
}

impl Events {
    pub(super) fn sum(&self) -> u32 {
        let Self { kill, stop, silence, failover, sink_down, letters_full, disk_fails, disk_full } = self;
        kill + stop + silence + failover + sink_down + letters_full + disk_fails + disk_full
    }
}

fn sometimes(random: &mut StdRng) -> bool {
    random.random()
}

fn chance(random: &mut StdRng, most: f64) -> f64 {
    if sometimes(random) { random.random::<f64>() * most } else { 0.0 }
}

fn weight(random: &mut StdRng, most: u32) -> u32 {
    if sometimes(random) { random.random_range(1..=most) } else { 0 }
}
