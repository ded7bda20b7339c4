//! Troubles with brokers: refused credentials, certificates, connections.
//!
//! They are told beside the messages, which only time out. They are those of a cluster, whatever producer met them.

use std::sync::Arc;

use pump_core::plugin::SinkError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::watch;

use super::outcome;

/// What went wrong at a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: Code,
    /// In librdkafka's words, without secrets.
    pub(super) said: Box<str>,
}

/// What went wrong last, until something goes right; shared by clones.
#[derive(Debug, Clone, Default)]
pub(super) struct Troubles(Arc<watch::Sender<Option<Trouble>>>);

impl Trouble {
    /// Whether nothing will get through until somebody mends something.
    pub(super) fn is_lasting(&self) -> bool {
        outcome::is_lasting(self.code)
    }

    /// As the error of an attempt or a probe.
    pub(super) fn error(&self) -> SinkError {
        outcome::trouble(self.code, &self.said)
    }
}

impl Troubles {
    /// What went wrong last, if nothing went right since.
    pub(super) fn last(&self) -> Option<Trouble> {
        self.0.borrow().clone()
    }

    /// Something went wrong.
    pub(super) fn add(&self, new: Trouble) {
        self.0.send_if_modified(|last| {
            // What has to be mended is not hidden by what follows from it.
            let is_kept = last.as_ref().is_some_and(|last| {
                last.is_lasting() && !new.is_lasting() || new.code == Code::AllBrokersDown
            });
            let is_new = !is_kept && last.as_ref() != Some(&new);
            if is_new {
                *last = Some(new);
            }
            is_new
        });
    }

    /// Something went right.
    pub(super) fn are_over(&self) {
        self.0.send_if_modified(|last| last.take().is_some());
    }

    /// Resolves once there is one that lasts, be it an old one.
    pub(super) async fn begin(&self) -> SinkError {
        let mut last = self.0.subscribe();
        let is_lasting = |last: &Option<Trouble>| last.as_ref().is_some_and(Trouble::is_lasting);
        let error = last.wait_for(is_lasting).await.ok().and_then(|last| last.as_ref().map(Trouble::error));
        match error {
            Some(error) => error,
            // The sender lives as long as we do.
            None => std::future::pending().await,
        }
    }
}
