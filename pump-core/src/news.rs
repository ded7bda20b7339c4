//! The pump's own news: records of kind `event` from a built-in source with the reserved name `pump`.
//!
//! Start, stop, loss by TTL, dead letters and the like. They go to the sinks whose `sources:` name
//! `pump`, and nowhere else; a source of news needs no required sink. News wait for room in the log
//! in a queue of bounded size; when it is full the news are dropped, counted, and reported with the
//! next that get through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::accounting::SourceAccount;
use crate::log::Log;
use crate::record::{Chunk, ChunkHead, Codec, Kind, Partition, RecordId, Timestamp};

/// The reserved name of the source.
pub const SOURCE: &str = "pump";
/// How many news may wait.
const MAX_WAITING: usize = 256;

/// Where news are posted. A handle; clones post to the same place.
#[derive(Debug, Clone)]
pub struct News {
    sender: mpsc::Sender<Map<String, Value>>,
    dropped: Arc<AtomicU64>,
    /// Posted and not yet in the log.
    waiting: watch::Sender<usize>,
}

/// The other end.
pub(crate) struct NewsQueue {
    receiver: mpsc::Receiver<Map<String, Value>>,
    dropped: Arc<AtomicU64>,
    waiting: watch::Sender<usize>,
}

/// A queue of news.
pub(crate) fn channel() -> (News, NewsQueue) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let waiting = watch::Sender::new(0);
    let queue = NewsQueue { receiver, dropped: dropped.clone(), waiting: waiting.clone() };
    (News { sender, dropped, waiting }, queue)
}

impl News {
    /// Posts one event. `what` is its name, such as `dead_letters`; `details` are further members
    /// whose names are not `event`, `time` or `message`. Never waits.
    pub fn post(&self, what: &'static str, message: &str, details: &[(&str, Value)]) {
        let mut event = Map::new();
        event.insert("time".into(), Timestamp::now().to_string().into());
        event.insert("event".into(), what.into());
        event.insert("message".into(), message.into());
        for (name, value) in details {
            event.insert((*name).into(), value.clone());
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        if self.sender.try_send(event).is_err() {
            self.waiting.send_modify(|waiting| *waiting -= 1);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            warn!(what, "the pump's own news were dropped: too many wait");
        }
    }
}

impl News {
    /// Resolves once all that was posted is in the log.
    pub(crate) async fn flushed(&self) {
        // An error cannot be: this holds a sender itself.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }
}

impl NewsQueue {
    /// Moves news into the log until every [`News`] is gone.
    pub(crate) async fn run(mut self, log: Arc<dyn Log>, account: SourceAccount) {
        // Positions begin anew with each process, so the partition is another one each time.
        let partition = Partition::new(RecordId::uuid_v7().to_string());
        let source: Arc<str> = SOURCE.into();
        let mut position = 0;
        while let Some(mut event) = self.receiver.recv().await {
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                event.insert("dropped_before".into(), dropped.into());
            }
            let body = Bytes::from(Value::Object(event).to_string());
            let mut reservation = log.clone().reserve(body.len()).await;
            let head = ChunkHead {
                source: source.clone(),
                partition: partition.clone(),
                kind: Kind::Event,
                codec: Codec::Json,
                received: Timestamp::now(),
            };
            let entry = (position, 0..body.len());
            let parsed = Chunk::parse(head, body, position..position + 1, [entry]);
            // For the same reason the records bring ids of their own.
            let chunk = parsed.chunk.with_ids([RecordId::uuid_v7()]);
            account.took(Kind::Event, chunk.len(), 0, 0);
            reservation.append(chunk);
            position += 1;
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
    }
}
