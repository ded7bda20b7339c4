//! A sink that does as it is told.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::plugin::{Answers, Batch, Deadline, DynSink, SinkError};

/// What a scripted sink does with one attempt.
pub enum Reaction {
    /// Takes everything.
    Take,
    /// Takes it that much later.
    TakeAfter(Duration),
    /// Takes those for which the answers say so.
    Answer(Answers),
    /// Fails as a whole.
    Fail(SinkError),
    /// Never answers.
    Hang,
    /// Panics.
    Panic,
}

type Script = Box<dyn FnMut(&[String]) -> Reaction + Send>;

/// A sink that does as it is told. A handle; clones are the same sink.
#[derive(Clone)]
pub struct ScriptedSink(Arc<Mutex<State>>);

struct State {
    script: Script,
    is_reachable: bool,
    attempts: Vec<Vec<String>>,
    delivered: Vec<String>,
}

impl ScriptedSink {
    /// `script` is asked at each attempt, with the bodies.
    pub fn new(script: impl FnMut(&[String]) -> Reaction + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State {
            script: Box::new(script),
            is_reachable: true,
            attempts: Vec::new(),
            delivered: Vec::new(),
        })))
    }

    /// A sink that takes everything.
    pub fn willing() -> Self {
        Self::new(|_| Reaction::Take)
    }

    /// Every body that was answered as delivered, in order.
    pub fn delivered(&self) -> Vec<String> {
        self.state().delivered.clone()
    }

    /// The bodies of every attempt, in order.
    pub fn attempts(&self) -> Vec<Vec<String>> {
        self.state().attempts.clone()
    }

    /// What probes say from now on.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.state().is_reachable = is_reachable;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl DynSink for ScriptedSink {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut bodies = Vec::with_capacity(batch.len());
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            bodies.extend(slice.entries().map(|entry| String::from_utf8_lossy(entry.body()).into_owned()));
        }
        let reaction = {
            let mut state = self.state();
            state.attempts.push(bodies.clone());
            (state.script)(&bodies)
        };
        let answers = match reaction {
            Reaction::Take => Answers::delivered(bodies.len()),
            Reaction::TakeAfter(wait) => {
                sleep(wait).await;
                Answers::delivered(bodies.len())
            }
            Reaction::Answer(answers) => answers,
            Reaction::Fail(error) => return Err(error),
            Reaction::Hang => std::future::pending().await,
            Reaction::Panic => panic!("the script said so"),
        };
        let mut state = self.state();
        for (number, body) in bodies.into_iter().enumerate() {
            if answers.get(number) == Some(&crate::plugin::Answer::Delivered) {
                state.delivered.push(body);
            }
        }
        Ok(answers)
    }

    async fn probe(&self) -> Result<(), SinkError> {
        match self.state().is_reachable {
            true => Ok(()),
            false => Err(SinkError::unavailable("not reachable", "the script said so")),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
