//! What Redis is told of segments: what is settled, that the lease goes on, and at the end that they are free.

use std::time::Duration;

use pump_core::record::Partition;
use redis::RedisError;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::calls::Ack;
use super::lease::Fate;
use super::run::{MAX_BACKOFF, Running};

/// Segments in one round trip.
const MAX_ACKS: usize = 256;

/// Which segments Redis hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those of which something was settled, and those whose lease is a third over.
    Due,
    /// All, with a lease of nothing: the next pump need not wait for the end of ours.
    All,
}

impl Running {
    /// Tells Redis of each segment that is due, or gives back all.
    pub(super) async fn ack(&mut self, which: Which) -> Result<(), RedisError> {
        let (now, mut lease) = (Instant::now(), self.config.lease.get());
        let mut chosen = Vec::new();
        for (list, (keys, leases)) in self.lists.iter().enumerate() {
            let held = leases.held().filter(|held| which == Which::All || held.is_due(now, lease));
            chosen.extend(held.map(|held| (list, keys, held)));
        }
        if which == Which::All {
            lease = Duration::ZERO;
        }
        let chosen: Vec<_> = chosen
            .into_iter()
            .map(|(list, keys, held)| {
                let (segment, token) = (&*held.segment, &*held.token);
                (list, held.segment.clone(), Ack { keys, segment, token, offset: held.settled, lease })
            })
            .collect();
        let mut answers = Vec::with_capacity(chosen.len());
        for some in chosen.chunks(MAX_ACKS) {
            let acks: Vec<_> = some.iter().map(|(.., ack)| ack.clone()).collect();
            let said = self.server.ack(&acks).await?;
            let asked = some.iter().map(|(list, segment, ack)| (*list, segment.clone(), ack.offset));
            answers.extend(asked.zip(said));
        }
        drop(chosen);
        for ((list, segment, offset), answer) in answers {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.segment_failed(list, &segment, &error);
                    continue;
                }
            };
            match self.lists[list].1.acked(now, &segment, offset, answer) {
                Some(Fate::Lost(partition)) => self.lost(Some(partition), &segment),
                Some(Fate::Emptied) => {
                    self.port.finish(&segment);
                    if let Some(left) = &mut self.to_drain {
                        left.remove(&*segment);
                    }
                    self.poll_at = self.poll_at.min(now + Duration::from_millis(1));
                }
                Some(Fate::Kept) | None => {}
            }
        }
        Ok(())
    }

    pub(super) fn lost(&self, partition: Option<Partition>, segment: &str) {
        let Some(partition) = partition else { return };
        warn!(
            source = &**self.port.name(),
            segment, "lease lost: what is not delivered of it, another pump delivers"
        );
        self.port.revoke(&partition);
        self.port.news().post(
            "lease_lost",
            "another pump took over a segment",
            &[("segment", json!(segment))],
        );
    }

    /// Reads no more; settles until nothing more comes, then gives back what is held.
    pub(super) async fn end(&mut self) {
        loop {
            match timeout_at(
                self.wake_at().max(Instant::now() + Duration::from_millis(10)),
                self.port.settled(),
            )
            .await
            {
                Ok(None) => break,
                Ok(Some((partition, position))) => self.settled(&partition, position),
                Err(_elapsed) => {}
            }
            self.poll_at = Instant::now() + MAX_BACKOFF;
            if let Err(error) = self.ack(Which::Due).await {
                let wait = self.backoff(&error);
                tokio::time::sleep(wait).await;
            }
        }
        if let Err(error) = self.ack(Which::All).await {
            warn!(source = &**self.port.name(), error = %error, "segments were not given back: others wait for their lease");
        }
    }
}
