//! Every change that was made to a simulated disk, and the disk as it was after any of them.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::SimulatedStorage;
use super::medium::{Loss, Medium, Step};

/// The changes of a disk, in order.
#[derive(Debug, Clone, Default)]
pub struct History {
    begin: Medium,
    steps: Vec<Step>,
}

/// A walk through a history, one change after the other.
#[derive(Debug)]
pub struct Replay<'a> {
    history: &'a History,
    medium: Medium,
    /// How many changes were made.
    done: usize,
}

impl History {
    pub(super) fn of(begin: Medium) -> Self {
        Self { begin, steps: Vec::new() }
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// How many changes.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Begins at the beginning, before the first change.
    pub fn replay(&self) -> Replay<'_> {
        Replay { history: self, medium: self.begin.clone(), done: 0 }
    }
}

impl Replay<'_> {
    /// How many changes were made so far.
    pub fn steps(&self) -> usize {
        self.done
    }

    /// Makes the next change. Whether there was one.
    pub fn advance(&mut self) -> bool {
        let Some(step) = self.history.steps.get(self.done) else { return false };
        self.medium.apply(step).expect("it could be done the first time");
        self.done += 1;
        true
    }

    /// The disk as it is found after a power loss at this moment, which may have come in the midst of the
    /// next change.
    pub fn disk(&self, loss: Loss, seed: u64) -> SimulatedStorage {
        let mut random = StdRng::seed_from_u64(seed);
        let mut medium = self.medium.clone();
        medium.lose_power(loss, &mut random);
        if let (Loss::Some, Some(next)) = (loss, self.history.steps.get(self.done)) {
            medium.lose_power_within(next, &mut random);
        }
        SimulatedStorage::of(medium, random.random())
    }

    /// The disk as the next process finds it when this one was killed at this moment.
    pub fn killed(&self, seed: u64) -> SimulatedStorage {
        SimulatedStorage::of(self.medium.clone(), seed)
    }
}
