//! The limit by itself, and against servers that are simulated.

mod server;
mod simulation;

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{Concurrency, FIRST, MOST, ceiling};
use server::Server;
use simulation::{Allowed, Run, best_fixed, run};

/// What an attempt came to.
#[derive(Debug, Clone, Copy)]
enum End {
    Answered { is_full: bool },
    Refused,
    Gone,
}

proptest! {
    /// Whatever happens, in whatever order attempts end: the limit stays between one and the ceiling, never
    /// more than doubles or halves, and never changes twice within one round trip.
    #[test]
    fn the_limit_stays_in_bounds_and_changes_once_in_a_round_trip(
        ceiling in 1..80usize,
        ends in prop::collection::vec((prop_oneof![
            8 => any::<bool>().prop_map(|is_full| End::Answered { is_full }),
            2 => Just(End::Refused),
            1 => Just(End::Gone),
        ], 1..2_000u64, 0..100u64), 0..600),
    ) {
        let mut now = Instant::now();
        let mut concurrency = Concurrency::new(ceiling, now);
        let mut changed = now;
        for (end, took, pause) in ends {
            now += Duration::from_millis(pause);
            let began = now - Duration::from_millis(took);
            let before = concurrency.slots();
            match end {
                End::Answered { is_full } => concurrency.answered(began, now, is_full),
                End::Refused => concurrency.refused(began, now),
                End::Gone => concurrency.restart(now),
            }
            let slots = concurrency.slots();
            prop_assert!((1..=ceiling).contains(&slots), "{} of {}", slots, ceiling);
            if matches!(end, End::Gone) {
                prop_assert_eq!(slots, FIRST.min(ceiling));
                changed = now;
            } else if slots != before {
                // A look lasts for a round and its end may come with a step of its own.
                prop_assert!(slots <= 2 * before + 2 && 4 * slots + 4 >= before, "{} to {}", before, slots);
                prop_assert!(began >= changed, "what began before the last change says nothing of it");
                changed = now;
            }
        }
    }
}

#[test]
fn what_may_be_under_way_fits_into_memory() {
    assert_eq!(ceiling(1), MOST);
    assert_eq!(ceiling(1 << 20), 64);
    assert_eq!(ceiling(4 << 20), 16);
    assert_eq!(ceiling(5 << 20), 12);
    assert_eq!((ceiling(64 << 20), ceiling(usize::MAX), ceiling(0)), (FIRST, FIRST, MOST));
}

#[test]
fn a_lane_with_little_to_do_learns_nothing_from_it() {
    let mut now = Instant::now();
    let mut concurrency = Concurrency::new(64, now);
    for _ in 0..1_000 {
        let began = now;
        now += Duration::from_millis(10);
        concurrency.answered(began, now, false);
    }
    assert_eq!(concurrency.slots(), FIRST);
}

#[test]
fn one_refusal_does_not_shrink_the_limit_and_two_rounds_of_them_do() {
    let mut now = Instant::now();
    let mut concurrency = Concurrency::new(64, now);
    let mut round = |concurrency: &mut Concurrency, refusals: usize| {
        let began = now;
        now += Duration::from_millis(10);
        let slots = concurrency.slots();
        for number in 0..slots.max(4) {
            match number < refusals {
                true => concurrency.refused(began, now),
                false => concurrency.answered(began, now, true),
            }
        }
        concurrency.slots()
    };
    let grown: Vec<_> = (0..3).map(|_| round(&mut concurrency, 0)).collect();
    assert_eq!(grown, [4, 8, 16], "slow start");
    assert_eq!(round(&mut concurrency, 1), 16, "a single one keeps it where it is");
    assert_eq!(round(&mut concurrency, 1), 8, "one more, and it is back where it was sound");
    let grown: Vec<_> = (0..6).map(|_| round(&mut concurrency, 0)).collect();
    assert_eq!(grown, [11, 13, 14, 15, 15, 15], "towards sixteen, and not up to it");
    assert_eq!(round(&mut concurrency, 5), 11, "many at once are enough");
}

/// Seconds of a simulation.
const SECONDS: f64 = 60.0;

fn auto(server: &Server, seed: u64) -> Run {
    run(server.clone(), Allowed::auto(), SECONDS, seed, |_, _| {})
}

#[test]
fn a_queueing_server_is_kept_busy_and_its_queue_short() {
    for (workers, service, distance) in [
        (1, 0.010, 0.0005),
        (3, 0.100, 0.020),
        (4, 0.020, 0.0),
        (16, 0.050, 0.002),
        (64, 0.050, 0.002),
        (4, 0.020, 0.200),
    ] {
        let server = Server::new(workers, service, distance);
        let (auto, best) = (auto(&server, 1), best_fixed(&server, SECONDS));
        let share = auto.done() as f64 / best.done() as f64;
        let alone = service + distance;
        let queue = auto.mean_latency() / alone;
        println!(
            "{workers:3} x {service} s, {distance} s away: {share:.3} of the best, {queue:.2} times alone"
        );
        assert!(share >= 0.95, "{share} of the best fixed limit: {server:?}");
        // One worker has a queue as soon as there are two deliveries, and with less nothing can be learnt.
        assert!(queue <= if workers == 1 { 3.0 } else { 2.2 }, "{queue} times the latency alone: {server:?}");
    }
}

#[test]
fn a_server_whose_times_vary_is_kept_busy_too() {
    for (shape, least) in [(1, 0.80), (4, 0.93)] {
        let server = Server { shape: Some(shape), ..Server::new(8, 0.050, 0.002) };
        let best = best_fixed(&server, SECONDS);
        for seed in 1..=5 {
            let auto = auto(&server, seed);
            let share = auto.done() as f64 / best.done() as f64;
            println!(
                "times of shape {shape}: {share:.3} of the best, {:.2} times alone",
                auto.mean_latency() / 0.052
            );
            assert!(share >= least, "{share} of the best fixed limit, times of shape {shape}, seed {seed}");
            assert!(auto.mean_latency() <= 0.052 * 2.5, "{}", auto.mean_latency());
        }
    }
}

#[test]
fn a_server_far_away_gets_as_much_as_is_allowed() {
    let server = Server::new(1_000, 0.010, 0.200);
    let (auto, best) = (auto(&server, 1), best_fixed(&server, SECONDS));
    assert!(auto.done() as f64 >= 0.95 * best.done() as f64, "{} of {}", auto.done(), best.done());
    assert_eq!(auto.slots_at(SECONDS / 2.0), MOST);
    let grown = auto.changes.iter().find(|(_, slots)| *slots == MOST).expect("it comes there").0;
    assert!(grown < 4.0, "after {grown} s");
}

#[test]
fn a_server_that_refuses_what_is_too_much_gets_what_it_takes() {
    // With one at once, whatever was refused holds the only slot while it waits for its next try.
    for (most, least) in [(1, 0.75), (3, 0.90), (16, 0.90), (40, 0.90)] {
        let server = Server { most: Some(most), ..Server::new(1_000, 0.050, 0.002) };
        let best = best_fixed(&server, SECONDS);
        for seed in 1..=5 {
            let auto = auto(&server, seed);
            let share = auto.done() as f64 / best.done() as f64;
            let refused = auto.refused as f64 / auto.done() as f64;
            println!("{most} at once: {share:.3} of the best, {refused:.4} refused");
            assert!(share >= least, "{share} of the best fixed limit, {most} at once, seed {seed}");
            assert!(refused <= 0.04, "{refused} refused, {most} at once, seed {seed}");
        }
    }
}

#[test]
fn errors_by_chance_do_not_starve_a_lane() {
    let server = Server { failing: 0.01, ..Server::new(16, 0.050, 0.002) };
    let best = best_fixed(&server, SECONDS);
    for seed in 1..=5 {
        let auto = auto(&server, seed);
        let share = auto.done() as f64 / best.done() as f64;
        println!("one in a hundred fails: {share:.3} of the best");
        assert!(share >= 0.70, "{share} of the best fixed limit, seed {seed}");
    }
}

/// Runs on a server that changes after 30 s; gives the shares of its new best throughput, by seconds since then.
fn after_change(before: &Server, change: impl Fn(&mut Server)) -> Vec<f64> {
    const CHANGE: f64 = 30.0;
    let mut after = before.clone();
    change(&mut after);
    let best = best_fixed(&after, SECONDS).done() as f64 / SECONDS;
    let mut is_changed = false;
    let auto = run(before.clone(), Allowed::auto(), SECONDS, 1, |now, server| {
        if now >= CHANGE && !std::mem::replace(&mut is_changed, true) {
            change(server);
        }
    });
    (30..60).map(|second| auto.done_between(second.into(), (second + 1).into()) as f64 / best).collect()
}

#[test]
fn a_server_that_changes_is_followed() {
    let sixteen = Server::new(16, 0.050, 0.002);
    let four = Server::new(4, 0.050, 0.002);
    for (what, shares, seconds) in [
        ("fewer workers", after_change(&sixteen, |server| server.set_workers(4)), 1),
        ("more workers", after_change(&four, |server| server.set_workers(16)), 3),
        ("slower", after_change(&sixteen, |server| server.service = 0.150), 6),
        ("faster", after_change(&sixteen, |server| server.service = 0.020), 2),
    ] {
        println!("{what}: {shares:.2?}");
        let settled = &shares[seconds..];
        let mean = settled.iter().sum::<f64>() / settled.len() as f64;
        assert!(mean >= 0.93, "{what}: {mean} of the best, after {seconds} s: {shares:.2?}");
        assert!(settled.iter().all(|share| *share >= 0.75), "{what}: {shares:.2?}");
    }
}

#[test]
fn after_an_outage_the_limit_is_soon_back() {
    let server = Server::new(16, 0.050, 0.002);
    let best = best_fixed(&server, SECONDS).done() as f64 / SECONDS;
    let auto = run(server, Allowed::auto(), SECONDS, 1, |now, server| {
        server.failing = if (30.0..35.0).contains(&now) { 1.0 } else { 0.0 };
    });
    // What failed last waits for its next try meanwhile: up to eight seconds by then.
    let share = auto.done_between(46.0, SECONDS) as f64 / (SECONDS - 46.0) / best;
    assert!(share >= 0.93, "{share} of the best");
    assert!(auto.slots_at(34.9) <= 2, "what does not answer is not stormed: {}", auto.slots_at(34.9));
}
