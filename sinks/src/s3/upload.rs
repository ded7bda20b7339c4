//! An object on its way: at once when it is small, in parts when it is not.
//!
//! What has come about of the object waits until it makes a part; so no more than a part of it lies in memory. An
//! upload in parts that does not come to its end, because a request failed or the attempt was dropped, is given up
//! in the background, for its parts cost money until somebody clears them away.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pump_core::plugin::SinkError;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::failure::Failure;
use super::store::{Part, Store};

/// Stores want at least 5 MiB, and some of them all but the last of one size.
pub(super) const PART_SIZE: usize = 8 << 20;
/// More parts no object has.
const MAX_PARTS: usize = 10_000;
/// How long giving an upload up may take.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    /// It was there already.
    Taken,
}

/// An object on its way.
pub(super) struct Upload<'u> {
    store: &'u Store,
    janitor: &'u Arc<Janitor>,
    key: String,
    /// What waits to be a part.
    waiting: Vec<u8>,
    begun: Option<Begun>,
    parts: Vec<Part>,
}

impl<'u> Upload<'u> {
    pub(super) fn new(store: &'u Store, janitor: &'u Arc<Janitor>, key: String) -> Self {
        Self { store, janitor, key, waiting: Vec::new(), begun: None, parts: Vec::new() }
    }

    /// More of the object; what makes whole parts is uploaded.
    pub(super) async fn push(&mut self, more: Vec<u8>) -> Result<(), SinkError> {
        if self.waiting.is_empty() {
            self.waiting = more;
        } else {
            self.waiting.extend_from_slice(&more);
        }
        // Exactly a part may be all that there is, and an object of one part is sent at once.
        while self.waiting.len() > PART_SIZE {
            let rest = self.waiting.split_off(PART_SIZE);
            let part = std::mem::replace(&mut self.waiting, rest);
            self.put_part(part.into()).await.map_err(Failure::into_error)?;
        }
        Ok(())
    }

    /// Nothing follows any more.
    pub(super) async fn finish(mut self) -> Result<Outcome, SinkError> {
        let last = Bytes::from(std::mem::take(&mut self.waiting));
        let result = if self.begun.is_some() {
            self.complete(last).await
        } else {
            self.store.put(&self.key, last).await
        };
        match result {
            Ok(()) => Ok(Outcome::Created),
            Err(failure) if failure.is_taken() => Ok(Outcome::Taken),
            Err(failure) => Err(failure.into_error()),
        }
    }

    async fn put_part(&mut self, body: Bytes) -> Result<(), Failure> {
        if self.parts.len() == MAX_PARTS {
            let message = format!("an object has at most {MAX_PARTS} parts of {PART_SIZE} bytes");
            return Err(Failure::Other(SinkError::too_large(message)));
        }
        if self.begun.is_none() {
            self.begun = Some(self.begin().await?);
        }
        let Some(begun) = &self.begun else { return Ok(()) };
        let number = self.parts.len() as i32 + 1;
        self.parts.push(self.store.put_part(&self.key, &begun.id, number, body).await?);
        Ok(())
    }

    /// In a task of its own: were the request dropped, nobody would know the id of what the store has begun.
    async fn begin(&self) -> Result<Begun, Failure> {
        let (store, key, janitor) = (self.store.clone(), self.key.clone(), self.janitor.clone());
        let (mut sender, receiver) = oneshot::channel();
        self.janitor.spawn(async move {
            let mut begin = pin!(store.begin(&key));
            let id = tokio::select! {
                biased;
                id = &mut begin => id,
                // Nobody waits any more: a while longer, so that what comes of it can be given up.
                () = sender.closed() => match timeout(ABORT_TIMEOUT, begin).await {
                    Ok(id) => id,
                    Err(_) => return,
                },
            };
            let begun =
                id.map(|id| Begun { store: store.clone(), janitor, key: key.clone(), id, is_over: false });
            // Whom nobody waits for is given up as it is dropped.
            let _ = sender.send(begun);
        });
        receiver.await.unwrap_or_else(|error| {
            Err(Failure::Other(SinkError::retry(
                "the task that begins an upload ended without an answer",
                error,
            )))
        })
    }

    async fn complete(&mut self, last: Bytes) -> Result<(), Failure> {
        if !last.is_empty() {
            self.put_part(last).await?;
        }
        let Some(mut begun) = self.begun.take() else { return Ok(()) };
        let parts = std::mem::take(&mut self.parts);
        debug!(key = self.key, parts = parts.len(), "an upload ends");
        self.store.complete(&self.key, &begun.id, parts).await?;
        begun.is_over = true;
        Ok(())
    }
}

/// An upload in parts that the store has begun.
struct Begun {
    store: Store,
    janitor: Arc<Janitor>,
    key: String,
    id: String,
    /// It has become an object.
    is_over: bool,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (store, key, id) =
            (self.store.clone(), std::mem::take(&mut self.key), std::mem::take(&mut self.id));
        let janitor = self.janitor.clone();
        self.janitor.spawn(async move {
            match timeout(ABORT_TIMEOUT, store.abort(&key, &id)).await {
                Ok(Ok(())) => debug!(key, "an upload was given up"),
                Ok(Err(failure)) => janitor.cannot(failure),
                Err(_) => janitor.cannot(Failure::Other(SinkError::retry("no answer in time", key))),
            }
        });
    }
}

/// Does in the background what an attempt that has ended leaves to be done.
#[derive(Debug)]
pub(super) struct Janitor {
    sink: Arc<str>,
    work: Mutex<JoinSet<()>>,
    has_told: AtomicBool,
}

impl Janitor {
    pub(super) fn new(sink: Arc<str>) -> Self {
        Self { sink, work: Mutex::default(), has_told: AtomicBool::new(false) }
    }

    /// Waits for what is under way.
    pub(super) async fn finish(&self, limit: Duration) {
        let all = async {
            // What ends may leave more to be done: an upload that has begun is then given up.
            loop {
                let mut work = std::mem::take(&mut *self.work());
                if work.join_next().await.is_none() {
                    return;
                }
                while work.join_next().await.is_some() {}
            }
        };
        if timeout(limit, all).await.is_err() {
            warn!(
                sink = &*self.sink,
                "unfinished uploads are left in the bucket: let a lifecycle rule remove them"
            );
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Outside of a runtime there is nothing left to do it.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut work = self.work();
        while work.try_join_next().is_some() {}
        work.spawn_on(task, &runtime);
    }

    /// Said once: whoever may not do it will not be able to the next time.
    fn cannot(&self, failure: Failure) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            let error = failure.into_error();
            warn!(
                sink = &*self.sink,
                error = %error,
                "an unfinished upload is left in the bucket: allow s3:AbortMultipartUpload, and let a lifecycle rule remove it"
            );
        }
    }

    fn work(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
