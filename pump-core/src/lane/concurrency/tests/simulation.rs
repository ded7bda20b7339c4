//! A lane that always has batches, in front of a server, in a time of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::super::{Concurrency, MOST};
use super::server::Server;
use crate::lane::RetrySettings;

pub(super) enum Allowed {
    Fixed(usize),
    Auto(Concurrency),
}

impl Allowed {
    pub(super) fn auto() -> Self {
        Self::Auto(Concurrency::new(MOST, Instant::now()))
    }

    fn slots(&self) -> usize {
        match self {
            Self::Fixed(slots) => *slots,
            Self::Auto(concurrency) => concurrency.slots(),
        }
    }
}

/// What came of a simulation.
#[derive(Default)]
pub(super) struct Run {
    /// When deliveries ended that were taken, and how long they took.
    ended: Vec<(f64, f64)>,
    pub(super) refused: usize,
    /// When the limit changed, and to what.
    pub(super) changes: Vec<(f64, usize)>,
}

impl Run {
    pub(super) fn done(&self) -> usize {
        self.ended.len()
    }

    pub(super) fn done_between(&self, from: f64, to: f64) -> usize {
        self.ended.iter().filter(|(ended, _)| (from..to).contains(ended)).count()
    }

    pub(super) fn mean_latency(&self) -> f64 {
        self.ended.iter().map(|(_, took)| took).sum::<f64>() / self.done() as f64
    }

    pub(super) fn slots_at(&self, moment: f64) -> usize {
        let before = self.changes.iter().take_while(|(at, _)| *at <= moment);
        before.last().map_or(super::FIRST, |(_, slots)| *slots)
    }
}

/// The best that a limit that stays does for that server.
pub(super) fn best_fixed(server: &Server, seconds: f64) -> Run {
    const LIMITS: [usize; 18] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 17, 18, 21, 26, 32, 44, 55, MOST];
    let runs =
        LIMITS.into_iter().map(|slots| run(server.clone(), Allowed::Fixed(slots), seconds, 1, |_, _| {}));
    runs.max_by_key(Run::done).expect("there are limits")
}

/// A delivery under way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Delivery {
    ends: Duration,
    number: usize,
    began: Duration,
    is_taken: bool,
    failures: u32,
}

/// Delivers for so many seconds; `change` is asked at each moment.
pub(super) fn run(
    mut server: Server,
    mut allowed: Allowed,
    seconds: f64,
    seed: u64,
    mut change: impl FnMut(f64, &mut Server),
) -> Run {
    let (start, mut random) = (Instant::now(), StdRng::seed_from_u64(seed));
    if let Allowed::Auto(concurrency) = &mut allowed {
        concurrency.restart(start);
    }
    let retry = RetrySettings::default();
    let mut run = Run::default();
    let mut under_way: BinaryHeap<Reverse<Delivery>> = BinaryHeap::new();
    // What was refused keeps its slot until it is sent again: when that is, and how often it failed.
    let mut waiting: Vec<(Duration, u32)> = Vec::new();
    let (mut now, mut number) = (Duration::ZERO, 0);
    while now.as_secs_f64() < seconds {
        change(now.as_secs_f64(), &mut server);
        while under_way.len() < allowed.slots() {
            let failures = match waiting.iter().position(|(due, _)| *due <= now) {
                Some(index) => waiting.remove(index).1,
                None if under_way.len() + waiting.len() < allowed.slots() => 0,
                None => break,
            };
            let (ends, is_taken) = server.deliver(now.as_secs_f64(), &mut random);
            let ends = Duration::from_secs_f64(ends);
            number += 1;
            under_way.push(Reverse(Delivery { ends, number, began: now, is_taken, failures }));
        }
        let due = waiting.iter().map(|(due, _)| *due).filter(|due| *due > now).min();
        let ends = under_way.peek().map(|Reverse(delivery)| delivery.ends);
        if let Some(due) = due
            && under_way.len() < allowed.slots()
            && ends.is_none_or(|ends| due < ends)
        {
            now = due;
            continue;
        }
        let Some(Reverse(delivery)) = under_way.pop() else { break };
        now = now.max(delivery.ends);
        let is_full = under_way.len() + 1 + waiting.len() >= allowed.slots();
        let before = allowed.slots();
        if let Allowed::Auto(concurrency) = &mut allowed {
            let (began, now) = (start + delivery.began, start + now);
            match delivery.is_taken {
                true => concurrency.answered(began, now, is_full),
                false => concurrency.refused(began, now),
            }
        }
        if allowed.slots() != before {
            run.changes.push((now.as_secs_f64(), allowed.slots()));
        }
        if delivery.is_taken {
            run.ended.push((now.as_secs_f64(), (delivery.ends - delivery.began).as_secs_f64()));
        } else {
            run.refused += 1;
            let failures = delivery.failures + 1;
            waiting.push((now + retry.backoff(failures, random.random()), failures));
        }
    }
    run
}
