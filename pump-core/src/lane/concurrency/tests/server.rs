//! A server with so many workers and one queue: M/D/c, or with times that vary.

use rand::RngExt;
use rand::rngs::StdRng;

#[derive(Debug, Clone)]
pub(super) struct Server {
    /// Seconds that a worker takes for a delivery.
    pub(super) service: f64,
    /// Seconds to it and back.
    pub(super) distance: f64,
    /// Of the Erlang distribution that the workers' times follow: 1 is exponential; `None`: always the same.
    pub(super) shape: Option<u32>,
    /// Refuses what comes while so many are there.
    pub(super) most: Option<usize>,
    /// The share that fails by chance.
    pub(super) failing: f64,
    /// When each worker is free.
    pub(super) workers: Vec<f64>,
    /// When those that are there leave it.
    pub(super) leaving: Vec<f64>,
}

impl Server {
    pub(super) fn new(workers: usize, service: f64, distance: f64) -> Self {
        let (workers, leaving) = (vec![0.0; workers], Vec::new());
        Self { service, distance, shape: None, most: None, failing: 0.0, workers, leaving }
    }

    pub(super) fn set_workers(&mut self, count: usize) {
        self.workers.sort_by(f64::total_cmp);
        self.workers.resize(count, 0.0);
    }

    /// When a delivery that is sent now comes back, and whether it was taken.
    pub(super) fn deliver(&mut self, now: f64, random: &mut StdRng) -> (f64, bool) {
        let there = now + self.distance / 2.0;
        self.leaving.retain(|leaves| *leaves > there);
        let is_too_much = self.most.is_some_and(|most| self.leaving.len() >= most);
        if is_too_much || random.random_bool(self.failing) {
            return (there + self.distance / 2.0 + 0.001, false);
        }
        let service = match self.shape {
            None => self.service,
            Some(shape) => {
                let exponential = |_| -(1.0 - random.random::<f64>()).ln() / f64::from(shape);
                (0..shape).map(exponential).sum::<f64>() * self.service
            }
        };
        let first_free = self.workers.iter_mut().min_by(|one, other| one.total_cmp(other));
        let worker = first_free.expect("a server has a worker");
        *worker = worker.max(there) + service;
        self.leaving.push(*worker);
        (*worker + self.distance / 2.0, true)
    }
}
