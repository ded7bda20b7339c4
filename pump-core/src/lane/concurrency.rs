//! How many deliveries run at once where the pipeline file says `max_in_flight: auto`.
//!
//! A destination has a knee: up to some number of deliveries at once each further one adds throughput; beyond it they
//! wait for each other, and only the latency grows, in proportion to the limit. The limit is held a little beyond
//! the knee. It changes once in a round: as many attempts as there are slots, all of them begun since the last change.
//!
//! - When all slots were in use, the limit grows by one; in the beginning it doubles (slow start).
//! - When the latency is well above the one without a queue, the limit shrinks in that proportion. That
//!   leads to a little beyond the knee and not below it: everything that serves is still kept busy.
//! - When attempts are refused (429, 5xx, a time-out), many in one round or some in two running, the limit
//!   shrinks by a quarter and stays for a while below where that was. A single one only keeps it from growing.
//!
//! What the latency is without a queue cannot be seen while there is one, and it changes. So it sinks with what is
//! measured, and from time to time the limit is halved for a look: what that shows counts, up or down. A
//! latency that is high with one delivery at a time is no queue of ours: then everything begins anew.

use std::time::Duration;

use tokio::time::Instant;

/// The highest limit that is tried.
const MOST: usize = 64;
/// Bytes of batches that may be under way at the highest limit.
const MOST_BYTES: usize = 64 << 20;
/// The first limit, which is what lanes have by default.
const FIRST: usize = 2;
/// A round has at least so many attempts: fewer say nothing.
const LEAST_ATTEMPTS: u32 = 4;
/// From so many times the latency without a queue on the limit shrinks.
const TOLERATED: f64 = 1.75;
/// To so many times that latency: above one, so that none who serves has to wait for the next delivery.
const WANTED: f64 = 1.35;
/// How much less a single change can leave.
const SHRINKS: std::ops::RangeInclusive<f64> = 0.5..=0.9;
/// What is left of a limit at which attempts were refused.
const AFTER_REFUSAL: f64 = 0.75;
/// For so many rounds the limit then stays below it.
const HELD_FOR: u32 = 24;
/// From so many times the latency without a queue on there may be one.
const SUSPICIOUS: f64 = 1.1;
/// After so many rounds with a queue the limit is halved for a look at the latency without one.
const LOOKS_AFTER: u32 = 32;
/// So many rounds a look lasts: in all but the last the queue drains.
const LOOKS_FOR: u32 = 2;

/// The highest limit for batches of that size: what is under way is to fit into memory.
pub(crate) fn ceiling(max_bytes: usize) -> usize {
    (MOST_BYTES / max_bytes.max(1)).clamp(FIRST, MOST)
}

/// A limit that follows what the destination can do.
#[derive(Debug)]
pub(crate) struct Concurrency {
    ceiling: f64,
    limit: f64,
    growth: Growth,
    /// Seconds that an attempt takes while none waits for another.
    without_queue: Option<f64>,
    rounds_to_look: u32,
    /// For so many rounds more the limit is halved.
    rounds_of_look: u32,
    /// Attempts of the last round were refused.
    was_refused: bool,
    round: Round,
}

#[derive(Debug, Clone, Copy)]
enum Growth {
    /// Until it is too much for the first time.
    Doubling,
    ByOne,
    /// Towards a limit that was refused, but not up to it, for so many rounds.
    Below {
        refused: f64,
        rounds: u32,
    },
}

impl Concurrency {
    pub(crate) fn new(ceiling: usize, now: Instant) -> Self {
        let ceiling = ceiling.max(1) as f64;
        Self {
            ceiling,
            limit: ceiling.min(FIRST as f64),
            growth: Growth::Doubling,
            without_queue: None,
            rounds_to_look: LOOKS_AFTER,
            rounds_of_look: 0,
            was_refused: false,
            round: Round::new(now),
        }
    }

    /// The destination was gone: what was learnt of it does not count any more.
    pub(crate) fn restart(&mut self, now: Instant) {
        *self = Self::new(self.ceiling as usize, now);
    }

    /// How many deliveries may be under way: from one to the ceiling.
    pub(crate) fn slots(&self) -> usize {
        let limit = if self.rounds_of_look > 0 { self.limit / 2.0 } else { self.limit };
        limit.max(1.0) as usize
    }

    /// An attempt that began then was answered now. `is_full`: no slot was free until now.
    pub(crate) fn answered(&mut self, began: Instant, now: Instant, is_full: bool) {
        // What began before the last change shows the limit before it.
        if began >= self.round.began {
            self.round.add(now.saturating_duration_since(began), is_full);
            self.end_round(now);
        }
    }

    /// An attempt that began then was refused now, or has got no answer.
    pub(crate) fn refused(&mut self, began: Instant, now: Instant) {
        if began >= self.round.began {
            self.round.refused += 1;
            self.end_round(now);
        }
    }

    fn end_round(&mut self, now: Instant) {
        if self.round.attempts() < LEAST_ATTEMPTS.max(self.slots() as u32) {
            return;
        }
        let round = std::mem::replace(&mut self.round, Round::new(now));
        let was_refused = std::mem::replace(&mut self.was_refused, round.refused > 0);
        if round.refused > 0 {
            self.rounds_of_look = 0;
            if was_refused || round.refused * 4 > round.attempts() {
                self.shrink_below_refusal();
            }
        } else if self.rounds_of_look > 0 {
            self.look(&round);
        } else if round.was_full() {
            self.weigh(&round);
        }
    }

    /// The limit was refused.
    fn shrink_below_refusal(&mut self) {
        self.was_refused = false;
        if self.slots() == 1 {
            // With fewer nothing would be learnt: as at the start, and so after an outage.
            (self.growth, self.without_queue) = (Growth::Doubling, None);
            return;
        }
        // The limit before it doubled was not refused.
        let left = if matches!(self.growth, Growth::Doubling) { 0.5 } else { AFTER_REFUSAL };
        self.growth = Growth::Below { refused: self.limit, rounds: HELD_FOR };
        self.set(self.limit * left);
    }

    /// Takes the latency with half as many deliveries for the one without a queue.
    fn look(&mut self, round: &Round) {
        self.rounds_of_look -= 1;
        if self.rounds_of_look > 0 || !round.was_full() {
            return;
        }
        let latency = round.mean();
        let known = self.without_queue.unwrap_or(latency);
        self.without_queue = Some(known.midpoint(latency));
    }

    /// Grows or shrinks by the latency of a round in which all slots were in use.
    fn weigh(&mut self, round: &Round) {
        let latency = round.mean();
        let mut without_queue = self.without_queue.unwrap_or(latency);
        if latency < without_queue {
            // Slowly: it may be chance, and the lowest of many chances would be far too low.
            without_queue += (latency - without_queue) / 16.0;
        }
        self.without_queue = Some(without_queue);
        if latency - round.standard_error() <= TOLERATED * without_queue {
            self.grow();
        } else if self.slots() == 1 {
            (self.growth, self.without_queue) = (Growth::Doubling, Some(latency));
        } else {
            if matches!(self.growth, Growth::Doubling) {
                self.growth = Growth::ByOne;
            }
            let left = WANTED * without_queue / latency;
            self.set(self.limit * left.clamp(*SHRINKS.start(), *SHRINKS.end()));
        }
        self.rounds_to_look -= u32::from(latency > SUSPICIOUS * without_queue);
        if self.rounds_to_look == 0 {
            (self.rounds_to_look, self.rounds_of_look) = (LOOKS_AFTER, LOOKS_FOR);
        }
    }

    fn grow(&mut self) {
        let limit = match &mut self.growth {
            Growth::Doubling => self.limit * 2.0,
            Growth::Below { refused, rounds } if *rounds > 0 => {
                *rounds -= 1;
                // Half of the way there, but a step at least, and nearer than a step never.
                let way = (*refused - 1.0 - self.limit).max(0.0);
                self.limit + way.min((way / 2.0).max(1.0))
            }
            Growth::ByOne | Growth::Below { .. } => {
                self.growth = Growth::ByOne;
                self.limit + 1.0
            }
        };
        self.set(limit);
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(1.0, self.ceiling);
    }
}

/// The attempts that began after the limit was last changed, as far as they have ended.
#[derive(Debug)]
struct Round {
    began: Instant,
    refused: u32,
    /// Answered while slots were free.
    idle: u32,
    /// Answered while none was.
    full: u32,
    /// Of those: their latencies together, in seconds, and the squares of them.
    seconds: f64,
    squares: f64,
}

impl Round {
    fn new(began: Instant) -> Self {
        Self { began, refused: 0, idle: 0, full: 0, seconds: 0.0, squares: 0.0 }
    }

    fn add(&mut self, latency: Duration, is_full: bool) {
        if is_full {
            let seconds = latency.as_secs_f64();
            self.full += 1;
            self.seconds += seconds;
            self.squares += seconds * seconds;
        } else {
            self.idle += 1;
        }
    }

    fn attempts(&self) -> u32 {
        self.refused + self.idle + self.full
    }

    /// Whether the limit was what kept more from being under way, most of the time.
    fn was_full(&self) -> bool {
        self.full > self.idle
    }

    fn mean(&self) -> f64 {
        self.seconds / f64::from(self.full.max(1))
    }

    /// How far the mean may be off by chance.
    fn standard_error(&self) -> f64 {
        let count = f64::from(self.full.max(1));
        let variance = self.squares / count - self.mean() * self.mean();
        (variance.max(0.0) / count).sqrt()
    }
}

#[cfg(test)]
mod tests;
