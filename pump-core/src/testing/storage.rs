//! A disk that loses power, in memory.
//!
//! It keeps apart what is durable and what is only written, as an operating system does: what was written
//! reads back at once, and a power loss leaves of it whatever it likes. A failed sync throws away what it
//! could not write: that still reads back, and no later sync makes it durable, though it says so (Linux
//! does this).
//!
//! All that it decides comes from a seed; delays are in the runtime's time, which tests pause.

mod history;
mod medium;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use history::{History, Replay};
pub use medium::Loss;
use medium::{Medium, Step};

use crate::log::disk::Storage;

/// What can be asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the method of `Storage` with this name")]
pub enum Call {
    List,
    Create,
    Write,
    Sync,
    Read,
    Truncate,
    Replace,
    Rename,
    Remove,
}

/// A disk in memory. A handle; clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedStorage(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    medium: Medium,
    random: StdRng,
    history: Option<History>,
    faults: Vec<Fault>,
    /// How many bytes all files may have.
    capacity: u64,
    max_delay: Duration,
}

/// An error that one call will give.
#[derive(Debug)]
struct Fault {
    call: Call,
    /// How many calls go well before.
    after: usize,
    error: ErrorKind,
}

impl SimulatedStorage {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self::of(Medium::default(), seed)
    }

    fn of(medium: Medium, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            medium,
            random: StdRng::seed_from_u64(seed),
            history: None,
            faults: Vec::new(),
            capacity: u64::MAX,
            max_delay: Duration::ZERO,
        })))
    }

    /// The disk as it is found after a power loss at this moment: another disk, without faults or a history.
    /// This one stays as it is.
    #[must_use]
    pub fn crash(&self, loss: Loss) -> Self {
        let mut state = self.state();
        let mut medium = state.medium.clone();
        medium.lose_power(loss, &mut state.random);
        Self::of(medium, state.random.random())
    }

    /// The disk as the next process finds it when this one was killed: all that was written reads back, and
    /// what was not durable is not durable yet. Another disk, without faults or a history.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut state = self.state();
        Self::of(state.medium.clone(), state.random.random())
    }

    /// Begins to write down every change, from what there is now.
    pub fn record(&self) {
        let mut state = self.state();
        state.history = Some(History::of(state.medium.clone()));
    }

    /// How many changes were made since [`Self::record`].
    pub fn steps(&self) -> usize {
        self.state().history.as_ref().map_or(0, History::len)
    }

    /// The changes since [`Self::record`].
    pub fn history(&self) -> History {
        self.state().history.clone().unwrap_or_default()
    }

    /// Lets one call fail, after so many of its kind have gone well. A write that fails may have written a
    /// part, and of a sync that fails nobody knows what it did.
    pub fn fail(&self, call: Call, after: usize, error: ErrorKind) {
        self.state().faults.push(Fault { call, after, error });
    }

    /// Forgets all faults that have not come yet.
    pub fn mend(&self) {
        self.state().faults.clear();
    }

    /// How many bytes all files may have; what needs more finds the disk full.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Each call takes up to so long, and has its effect at the beginning or at the end of that.
    pub fn set_max_delay(&self, max_delay: Duration) {
        self.state().max_delay = max_delay;
    }

    /// All files with their lengths, without a delay or a fault.
    pub fn files(&self) -> Vec<(String, u64)> {
        self.state().medium.list()
    }

    /// How many bytes all files have.
    pub fn size(&self) -> u64 {
        self.state().medium.size()
    }

    /// Turns over one bit of what is stored. Whether there is such a bit.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) -> bool {
        self.state().change(Step::Flip { name: name.into(), offset, bit }).is_ok()
    }

    /// Loses a file. Whether there was one.
    pub fn vanish(&self, name: &str) -> bool {
        let mut state = self.state();
        let was_there = state.medium.has(name);
        was_there && state.change(Step::Remove { name: name.into() }).is_ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something at the beginning or at the end of a delay.
    async fn run<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let (delay, is_early) = {
            let mut state = self.state();
            let max_delay = state.max_delay;
            match max_delay {
                Duration::ZERO => (Duration::ZERO, true),
                _ => (max_delay.mul_f64(state.random.random()), state.random.random()),
            }
        };
        if is_early {
            let done = work(&mut self.state());
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            return done;
        }
        tokio::time::sleep(delay).await;
        work(&mut self.state())
    }

    async fn change(&self, call: Call, step: Step) -> io::Result<()> {
        self.run(|state| {
            state.fault(call)?;
            state.change(step)
        })
        .await
    }
}

impl State {
    /// The error that this call has to give, if any.
    fn fault(&mut self, call: Call) -> io::Result<()> {
        let mut due = None;
        for (index, fault) in self.faults.iter_mut().enumerate().filter(|(_, fault)| fault.call == call) {
            match fault.after {
                0 => due = due.or(Some(index)),
                _ => fault.after -= 1,
            }
        }
        match due {
            Some(index) => Err(self.faults.remove(index).error.into()),
            None => Ok(()),
        }
    }

    fn change(&mut self, step: Step) -> io::Result<()> {
        if self.medium.size() + self.medium.growth(&step) > self.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        self.medium.apply(&step)?;
        if let Some(history) = &mut self.history {
            history.push(step);
        }
        Ok(())
    }

    fn write(&mut self, name: String, offset: u64, mut bytes: Bytes) -> io::Result<()> {
        let fault = self.fault(Call::Write);
        if fault.is_err() {
            bytes.truncate(self.random.random_range(0..=bytes.len()));
        }
        self.change(Step::Write { name, offset, bytes })?;
        fault
    }

    fn sync(&mut self, name: String) -> io::Result<()> {
        let Err(error) = self.fault(Call::Sync) else { return self.change(Step::Sync { name }) };
        let kept = self.medium.survivors(&name, &mut self.random);
        self.change(Step::FailedSync { name, kept })?;
        Err(error)
    }
}

#[async_trait]
impl Storage for SimulatedStorage {
    async fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.run(|state| {
            state.fault(Call::List)?;
            Ok(state.medium.list())
        })
        .await
    }

    async fn create(&self, name: &str, len: u64) -> io::Result<()> {
        self.change(Call::Create, Step::Create { name: name.into(), len }).await
    }

    async fn write(&self, name: &str, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |state| state.write(name, offset, parts.concat().into())).await
    }

    async fn sync(&self, name: &str) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |state| state.sync(name)).await
    }

    async fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        self.run(|state| {
            state.fault(Call::Read)?;
            state.medium.read(name, offset, len)
        })
        .await
    }

    async fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.change(Call::Truncate, Step::Truncate { name: name.into(), len }).await
    }

    async fn replace(&self, name: &str, content: Bytes) -> io::Result<()> {
        self.change(Call::Replace, Step::Replace { name: name.into(), content }).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Call::Rename, Step::Rename { from: from.into(), to: to.into() }).await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.change(Call::Remove, Step::Remove { name: name.into() }).await
    }
}
