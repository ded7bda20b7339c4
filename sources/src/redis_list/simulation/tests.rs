//! The runs that belong to every test run, and those that are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pump_core::bugs::{Bug, plant};

use super::ledger::{Ledger, Pushed};
use super::{Outcome, simulate};

/// How many runs belong to every test run.
const SEEDS: u64 = 200;
/// Within how many runs a planted bug must be found.
const ENOUGH: u64 = 500;

#[test]
fn nothing_is_lost_whatever_goes_wrong() {
    run(number_in("PUMP_SIMULATE_SEEDS").unwrap_or(SEEDS));
}

/// The run of one seed, with everything that happens in it.
#[test]
#[ignore = "lives through the one seed in PUMP_SIMULATE_SEED, and tells everything"]
fn one_seed() {
    let seed = number_in("PUMP_SIMULATE_SEED").expect("PUMP_SIMULATE_SEED has a number");
    let outcome = simulate(seed, true);
    eprintln!("{outcome:#?}");
    assert!(outcome.problems.is_empty());
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        let first = simulate(seed, false);
        assert!(first.records > 0);
        assert_eq!(first, simulate(seed, false), "seed {seed}");
    }
}

#[test]
fn a_log_that_settles_before_it_syncs_is_found() {
    finds(Bug::SettleBeforeSync);
}

#[test]
fn a_dropped_batch_that_counts_as_delivered_is_found() {
    finds(Bug::DroppedBatchIsDelivered);
}

#[test]
fn a_trim_by_count_is_found() {
    finds(Bug::RelativeTrim);
}

#[test]
fn a_cursor_that_moves_over_a_gap_is_found() {
    finds(Bug::CursorOverGap);
}

#[test]
fn what_a_pump_had_removed_is_asked_for_whatever_redis_loses_of_it_later() {
    let ledger = Ledger::new(false);
    let bodies = ["removed", "left"].map(|body| Bytes::from_static(body.as_bytes()));
    ledger.state().pushed.extend(bodies.iter().map(|body| (body.clone(), Pushed::default())));
    ledger.acked(&bodies[..1]);
    ledger.lost(&bodies);
    assert_eq!(bodies.map(|body| ledger.state().pushed[&body].is_lost), [false, true]);
}

#[test]
fn a_pump_that_ends_is_an_excuse_for_each_segment_that_it_had_read_a_record_from() {
    let ledger = Ledger::new(false);
    let body = Bytes::from_static(b"unsealed by a failover");
    ledger.state().pushed.insert(body.clone(), Pushed::default());
    for segment in ["first", "second", "second"] {
        ledger.read("pump", segment, [body.clone()]);
    }
    ledger.ended("another", true, "it had read nothing");
    assert_eq!(ledger.state().pushed[&body].excuses, 0);
    // Its log has both, each time that it ends.
    ledger.ended("pump", true, "killed");
    ledger.ended("pump", false, "killed again, and its log is gone");
    ledger.ended("pump", false, "it has read nothing since");
    assert_eq!(ledger.state().pushed[&body].excuses, 4);
}

#[test]
fn a_cut_that_is_not_durable_is_found() {
    finds(Bug::CutNotDurable);
}

fn finds(bug: Bug) {
    let _planted = plant(bug);
    let found = (0..ENOUGH)
        .map(|seed| (seed, simulate(seed, false)))
        .find(|(_, outcome)| !outcome.problems.is_empty());
    let (seed, outcome) = found.unwrap_or_else(|| panic!("{bug:?} is not found in {ENOUGH} runs"));
    println!("{bug:?} is found by seed {seed}: {:#?}", outcome.problems);
}

/// Runs so many seeds on all cores, from the first that is asked for.
fn run(seeds: u64) {
    let first = number_in("PUMP_SIMULATE_FIRST").unwrap_or_default();
    let (next, threads) =
        (AtomicU64::new(first), std::thread::available_parallelism().map_or(2, usize::from));
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds || failed.len() > 4 {
                return failed;
            }
            let Outcome { problems, .. } = simulate(seed, false);
            if !problems.is_empty() {
                // At once: whoever asked for many runs need not wait for the last.
                println!("seed {seed}: {problems:#?}\nto see it: make simulate SEED={seed}");
                failed.push(seed);
            }
        }
    };
    let failed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a run that panics is caught")).collect()
    });
    assert!(
        failed.is_empty(),
        "these seeds of {seeds} go wrong: {failed:?} (to see one: make simulate SEED={})",
        failed[0]
    );
}

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
