//! Three pumps on one Redis: work is shared, and what one leaves others take over within the lease.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use pump_testing::RedisServer;
use rustix::process::Signal;

use super::{LOG_RECORDS, SMALL, drain, folder, pipeline};
use crate::gateway::{batches, push, repeats};
use crate::process::PumpProcess;

/// The lease in the pipeline, and what looking and taking over add to it on a busy machine.
const LEASE: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(8);

/// What happens to one of the pumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Nothing,
    Killed,
    /// Stopped for longer than its lease, then awake again.
    Stopped,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Killed => "killed",
            Self::Stopped => "stopped past its lease",
        })
    }
}

/// What one round has shown.
struct Round {
    /// From the first push until all was delivered.
    took: Duration,
    /// From the fate of one until the others had delivered all that was left.
    taken_over: Duration,
    repeats: u64,
    /// What each pump that lives has delivered.
    delivered: Vec<u64>,
}

/// So many pumps take what a gateway pushes, with a pause after every 200 records; the first meets its
/// fate once it has delivered something.
fn round(count: usize, records: u64, pause: Duration, fate: Fate) -> Round {
    let (redis, folder) = (RedisServer::start(), folder());
    let keys = format!("url: {}", redis.url());
    let pushes: Vec<_> = batches(0, records, SMALL).collect();
    let mut pumps: Vec<_> = (0..count)
        .map(|number| PumpProcess::start(folder.path(), &format!("pump-{number}"), &pipeline(&keys), &[]))
        .collect();
    for pump in &pumps {
        pump.wait_until(Duration::from_secs(20), "started", |status| status["lanes"].is_array());
    }
    let delivered = |pump: &PumpProcess| pump.status()["lanes"][0]["records"]["delivered"].as_u64();
    let begin = Instant::now();
    let mut connection = redis.connection();
    let pushing = thread::spawn(move || {
        for (key, bodies) in pushes {
            redis::cmd("RPUSH").arg(key).arg(bodies).exec(&mut connection).expect("redis takes it");
            thread::sleep(pause);
        }
    });
    pumps[0].wait_until(Duration::from_secs(20), "it delivers", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() > Some(0)
    });
    let struck = Instant::now();
    match fate {
        Fate::Nothing => {}
        Fate::Killed => pumps.remove(0).kill(),
        Fate::Stopped => pumps[0].signal(Signal::STOP),
    }
    pushing.join().expect("pushed");
    for pump in &pumps[usize::from(fate == Fate::Stopped)..] {
        pump.wait_until(Duration::from_secs(120), "the backlog is gone", |status| {
            status["sources"][0]["records"]["backlog"] == 0 && status["lanes"][0]["records"]["pending"] == 0
        });
    }
    let (took, taken_over) = (begin.elapsed(), struck.elapsed());
    if fate == Fate::Stopped {
        pumps[0].signal(Signal::CONT);
        pumps[0].wait_until(Duration::from_secs(30), "awake", |status| {
            status["lanes"][0]["records"]["pending"] == 0
        });
    }
    let delivered = pumps.iter().map(|pump| delivered(pump).unwrap_or_default()).collect();
    pumps.iter_mut().for_each(PumpProcess::stop);
    drain(folder.path(), &keys);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    Round { took, taken_over, repeats: repeats(&folder.path().join("out"), records), delivered }
}

/// What was there before any pump is not taken by the first one alone.
#[test]
fn pumps_share_what_waits_for_them() {
    const RECORDS: u64 = 110_000;
    let (redis, folder) = (RedisServer::start(), folder());
    let keys = format!("url: {}", redis.url());
    let slow = pipeline(&keys)
        .replace("    kinds: [transaction]\n", "    kinds: [transaction]\n    rate_limit: 6000/s\n");
    push(&redis.url(), 0, RECORDS, SMALL);
    let mut pumps: Vec<_> = (0..3)
        .map(|number| PumpProcess::start(folder.path(), &format!("pump-{number}"), &slow, &[]))
        .collect();
    for pump in &pumps {
        pump.wait_until(Duration::from_secs(120), "the backlog is gone", |status| {
            status["sources"][0]["records"]["backlog"] == 0 && status["lanes"][0]["records"]["pending"] == 0
        });
    }
    for pump in &pumps {
        let status = pump.status();
        let delivered = status["lanes"][0]["records"]["delivered"].as_u64();
        assert!(delivered >= Some(RECORDS / 10), "not shared: {status}");
    }
    pumps.iter_mut().for_each(PumpProcess::stop);
    assert_eq!(repeats(&folder.path().join("out"), RECORDS), 0);
}

#[test]
fn three_pumps_share_the_work_and_take_over_within_the_lease() {
    for fate in [Fate::Nothing, Fate::Killed, Fate::Stopped] {
        let round = round(3, 90_000, Duration::from_millis(8), fate);
        assert!(
            round.delivered.iter().all(|count| *count > 0),
            "{fate:?}: not shared: {:?}",
            round.delivered
        );
        let most = if fate == Fate::Nothing { 0 } else { LOG_RECORDS };
        assert!(round.repeats <= most, "{fate:?}: {} repeats", round.repeats);
        assert!(round.taken_over <= LEASE + SLACK, "{fate:?}: taken over after {:?}", round.taken_over);
    }
}

/// Prints the table of the page on `redis_list`.
#[test]
#[ignore = "measures: the page on redis_list has the command"]
fn measure_pumps_side_by_side() {
    const RECORDS: u64 = 300_000;
    println!(
        "| pumps | what happens to one | records/s | all delivered after that | repeats | each delivered |"
    );
    println!("|---|---|---|---|---|---|");
    for (pumps, fate) in [(1, Fate::Nothing), (3, Fate::Nothing), (3, Fate::Killed), (3, Fate::Stopped)] {
        let round = round(pumps, RECORDS, Duration::ZERO, fate);
        let rate = RECORDS as f64 / round.took.as_secs_f64();
        let Round { taken_over, repeats, delivered, .. } = round;
        let delivered = delivered.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        println!("| {pumps} | {fate} | {rate:.0} | {taken_over:.1?} | {repeats} | {delivered} |");
    }
}
