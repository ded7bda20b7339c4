//! What a lane asked of its sink, and what the sink said: whether a fault was really met, and how often records
//! may be there again.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Fault, Proxy, watch};
use crate::plugin::{Answer, Answers, Batch, Deadline, DynSink, SinkError, SinkErrorKind};

/// Attempts, by how they ended.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Each record has an outcome.
    pub(super) delivered: AtomicU64,
    /// As a whole, or for some of its records.
    pub(super) retry: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) unavailable: AtomicU64,
    /// By the engine's time limit, by a stop, or by the suite.
    pub(super) dropped: AtomicU64,
    /// By the suite, after the server had said something.
    pub(super) dropped_answered: AtomicU64,
    /// Records without an outcome in an attempt: each may be at the destination once more for it.
    pub(super) unsure: AtomicU64,
    /// Records that were rejected.
    pub(super) rejected: AtomicU64,
    /// How long each took that answered.
    times: Mutex<Vec<Duration>>,
}

impl Attempts {
    /// Those that did not end well.
    pub(super) fn failed(&self) -> u64 {
        [&self.retry, &self.unavailable, &self.dropped].map(read).iter().sum()
    }

    /// All of them.
    pub(super) fn made(&self) -> u64 {
        [&self.delivered, &self.too_large].map(read).iter().sum::<u64>() + self.failed()
    }

    /// What one takes that answers: the middle of all; zero before the first.
    pub(super) fn usual_time(&self) -> Duration {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// When a delivery is dropped.
#[derive(Debug, Clone)]
pub(super) enum Moment {
    /// When it waits for the so-manieth time.
    Wait(usize),
    /// That long after it began.
    After(Duration),
    /// Once the server has begun to say something, which does not arrive.
    Answered(Proxy),
}

/// Stands between a lane and its sink.
pub(super) struct Witness {
    inner: Arc<dyn DynSink>,
    attempts: Arc<Attempts>,
    /// When the first deliveries are dropped, the next one last.
    moments: Mutex<Vec<Moment>>,
    /// Probes are not passed on, and succeed.
    is_blind: bool,
}

impl Witness {
    pub(super) fn new(inner: Arc<dyn DynSink>, attempts: Arc<Attempts>) -> Self {
        Self { inner, attempts, moments: Mutex::default(), is_blind: false }
    }

    pub(super) fn dropping(self, moments: Vec<Moment>) -> Self {
        Self { moments: Mutex::new(moments), ..self }
    }

    pub(super) fn blind(self) -> Self {
        Self { is_blind: true, ..self }
    }

    fn note(&self, batch: &Batch, took: Duration, answered: &Result<Answers, SinkError>) {
        let add = |count: &AtomicU64, more: u64| {
            count.fetch_add(more, Ordering::Relaxed);
        };
        match answered {
            Ok(answers) => {
                let count = |is_it: fn(Option<&Answer>) -> bool| {
                    (0..batch.len()).filter(|index| is_it(answers.get(*index))).count() as u64
                };
                let is_done =
                    |answer: Option<&Answer>| matches!(answer, Some(Answer::Delivered | Answer::Duplicate));
                let rejected = count(|answer| matches!(answer, Some(Answer::Rejected { .. })));
                let unsure = batch.len() as u64 - count(is_done) - rejected;
                add(if unsure == 0 { &self.attempts.delivered } else { &self.attempts.retry }, 1);
                add(&self.attempts.unsure, unsure);
                add(&self.attempts.rejected, rejected);
                self.attempts.times.lock().unwrap_or_else(PoisonError::into_inner).push(took);
            }
            Err(error) => {
                watch::look(&error.to_string());
                add(&self.attempts.unsure, batch.len() as u64);
                add(
                    match error.kind() {
                        SinkErrorKind::Retry => &self.attempts.retry,
                        SinkErrorKind::TooLarge => &self.attempts.too_large,
                        SinkErrorKind::Unavailable => &self.attempts.unavailable,
                    },
                    1,
                );
            }
        }
    }
}

/// Counts an attempt as dropped unless it is told otherwise.
struct UnderWay<'a>(&'a Attempts, u64, bool);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.2 {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            self.0.unsure.fetch_add(self.1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl DynSink for Witness {
    fn encodes_late(&self) -> bool {
        self.inner.encodes_late()
    }

    fn start(&self) {
        self.inner.start();
    }

    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError> {
        let moment = self.moments.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let begin = Instant::now();
        let mut under_way = UnderWay(&self.attempts, batch.len() as u64, true);
        let mut delivery = self.inner.deliver(batch, deadline);
        let answered = match moment {
            None => Some(delivery.await),
            Some(Moment::After(limit)) => tokio::time::timeout(limit, delivery).await.ok(),
            Some(Moment::Wait(times)) => {
                let mut waits = 0;
                std::future::poll_fn(|context| match delivery.as_mut().poll(context) {
                    Poll::Ready(answered) => Poll::Ready(Some(answered)),
                    Poll::Pending => {
                        waits += 1;
                        if waits >= times { Poll::Ready(None) } else { Poll::Pending }
                    }
                })
                .await
            }
            Some(Moment::Answered(way)) => {
                way.set(Some(Fault::Silent));
                let is_answered = async {
                    while way.met_back() == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let answered = tokio::select! {
                    answered = &mut delivery => Some(answered),
                    () = is_answered => None,
                };
                if answered.is_none() {
                    self.attempts.dropped_answered.fetch_add(1, Ordering::Relaxed);
                }
                drop(delivery);
                way.set(None);
                answered
            }
        };
        let Some(answered) = answered else {
            return Err(SinkError::retry(
                "the suite has dropped it",
                io::Error::from(io::ErrorKind::Interrupted),
            ));
        };
        under_way.2 = false;
        self.note(batch, begin.elapsed(), &answered);
        answered
    }

    async fn probe(&self) -> Result<(), SinkError> {
        if self.is_blind {
            return Ok(());
        }
        let probed = self.inner.probe().await;
        if let Err(error) = &probed {
            watch::look(&error.to_string());
        }
        probed
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.inner.close().await
    }
}
