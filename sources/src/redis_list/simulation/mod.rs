//! Whole pumps in simulated time: three real engines with the real source, against a Redis, sinks and disks that go
//! wrong as a seed decides, and a verdict once nothing goes wrong any more. `docs/simulation.md` says what it shows.
//!
//! `plan` is what a seed decides; `redis`, `sink` and the disk of `pump_core::testing` are what pumps stand in; `seat`
//! starts and ends them; `ledger` remembers what happened; `verdict` judges.

mod ledger;
mod plan;
mod redis;
mod seat;
mod sink;
mod tests;
mod verdict;

use std::panic::catch_unwind;
use std::time::Duration;

use bytes::Bytes;
use pump_core::testing::MemoryStore;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use ledger::Ledger;
use plan::{Events, Objects, Plan};
use redis::SimulatedRedis;
use seat::{LISTS, Seat, Surroundings};
use sink::Destination;

const PUMPS: u64 = 3;
/// How long it may take until everything is delivered, once nothing goes wrong any more.
const REST: Duration = Duration::from_secs(300);

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// A hash over everything that happened.
    trace: u64,
    records: usize,
    mishaps: u32,
    /// What must not be; empty when all is well.
    problems: Vec<String>,
}

/// Lives through the run of a seed. A panic is a problem of that seed, and the runs of others go on.
fn simulate(seed: u64, is_told: bool) -> Outcome {
    let lived = catch_unwind(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing");
        runtime.block_on(live(Plan::of(seed), is_told))
    });
    lived.unwrap_or_else(|_told| {
        let problems = vec!["the run panics, and says above why".to_owned()];
        Outcome { trace: 0, records: 0, mishaps: 0, problems }
    })
}

async fn live(plan: Plan, is_told: bool) -> Outcome {
    let ledger = Ledger::new(is_told);
    ledger.note(format_args!("{plan:?}"));
    let surroundings = Surroundings {
        redis: SimulatedRedis::new(&ledger),
        destinations: destinations(plan.objects),
        letters: MemoryStore::default(),
        plan,
        ledger,
    };
    let mut seats: Vec<_> = (0..PUMPS).map(|number| Seat::new(&surroundings, number)).collect();
    for seat in &mut seats {
        seat.start().await;
    }
    let mut world =
        World { random: StdRng::seed_from_u64(!surroundings.plan.seed), surroundings, seats, made: 0 };
    world.be_troubled().await;
    world.come_to_rest().await;
    for seat in &mut world.seats {
        seat.stop().await;
    }
    verdict::judge(&world.surroundings);
    let ledger = &world.surroundings.ledger;
    let (trace, state) = (ledger.trace(), ledger.state());
    Outcome { trace, records: state.pushed.len(), mishaps: state.mishaps, problems: state.problems.clone() }
}

fn destinations(objects: Objects) -> Vec<Destination> {
    let mut destinations = vec![
        Destination::new("first", true),
        Destination::new("second", true),
        Destination::new("best effort", false),
    ];
    match objects {
        Objects::None => {}
        Objects::Beside { is_required } => destinations.push(Destination::of_objects(is_required)),
        Objects::Alone => destinations = vec![Destination::of_objects(true)],
    }
    destinations
}

/// Everything, and what happens to it next.
struct World {
    surroundings: Surroundings,
    random: StdRng,
    seats: Vec<Seat>,
    /// How many records gateways have made.
    made: u32,
}

impl World {
    /// Gateways push, and things go wrong.
    async fn be_troubled(&mut self) {
        let end = Instant::now() + self.surroundings.plan.trouble;
        while Instant::now() < end {
            sleep(Duration::from_millis(self.random.random_range(5..200))).await;
            if self.random.random_bool(0.6) {
                self.push();
            }
            if self.random.random_bool(0.15) {
                self.happen().await;
            }
            for seat in &mut self.seats {
                seat.look().await;
                if !seat.is_running() && self.random.random_bool(0.1) {
                    seat.start().await;
                }
            }
        }
    }

    fn push(&mut self) {
        let list = LISTS[self.random.random_range(0..LISTS.len())];
        let count = self.random.random_range(1..=self.surroundings.plan.push);
        let records = (0..count).map(|_| {
            self.made += 1;
            let is_sound = !self.random.random_bool(0.01);
            (body(self.made, is_sound, self.random.random_range(0..80)), is_sound)
        });
        self.surroundings.redis.push(list, records.collect(), self.surroundings.plan.ttl);
    }

    /// One event, drawn by its weight.
    async fn happen(&mut self) {
        let Events { kill, stop, silence, failover, sink_down, letters_full, disk_full, .. } =
            self.surroundings.plan.events;
        let sum = self.surroundings.plan.events.sum();
        if sum == 0 {
            return;
        }
        let mut draw = self.random.random_range(0..sum);
        let mut is_drawn = |weight: u32| {
            let is_drawn = draw < weight;
            draw = draw.saturating_sub(weight);
            is_drawn
        };
        let index = self.random.random_range(0..self.seats.len());
        let time = Duration::from_millis(self.random.random_range(100..4_000));
        let Surroundings { redis, destinations, letters, ledger, .. } = &self.surroundings;
        match () {
            () if is_drawn(kill) => self.seats[index].kill().await,
            () if is_drawn(stop) => self.seats[index].stop().await,
            () if is_drawn(silence) => {
                ledger.note(format_args!("redis is silent for {time:?}"));
                redis.be_silent(time);
            }
            () if is_drawn(failover) => match redis.is_lagging() {
                true => redis.fail_over(),
                false => redis.lag(),
            },
            () if is_drawn(sink_down) => {
                let destination = &destinations[index % destinations.len()];
                ledger.note(format_args!("{} is down for {time:?}", destination.name));
                destination.go_down(time);
            }
            () if is_drawn(letters_full) => letters.fail(3),
            () if is_drawn(disk_full) => self.seats[index].fill_disk(),
            () => self.seats[index].fail_disk(),
        }
    }

    /// Nothing goes wrong any more, and everything is delivered.
    async fn come_to_rest(&mut self) {
        let Surroundings { redis, ledger, letters, .. } = self.surroundings.clone();
        ledger.note("calm");
        ledger.state().is_calm = true;
        redis.catch_up();
        letters.fail(0);
        self.seats.iter().for_each(Seat::mend);
        let end = Instant::now() + REST;
        loop {
            for seat in &mut self.seats {
                seat.look().await;
                if !seat.is_running() {
                    seat.start().await;
                }
            }
            if redis.is_empty() && self.seats.iter().all(Seat::is_at_rest) {
                return;
            }
            if Instant::now() >= end {
                let pending: Vec<_> = self.seats.iter().map(Seat::pending).collect();
                let left = redis.left();
                return ledger
                    .problem(format!("{left} records are in redis after {REST:?}; {}", pending.join(", ")));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A record of a gateway: a map with one key; one that is not sound begins with a byte that MessagePack never uses.
fn body(number: u32, is_sound: bool, padding: usize) -> Bytes {
    let text = format!("/{number}/{}", "x".repeat(padding));
    let start: &[u8] = if is_sound { b"\x81\xa4Path\xd9" } else { b"\xc1\xa4Path\xd9" };
    [start, &[text.len() as u8], text.as_bytes()].concat().into()
}
