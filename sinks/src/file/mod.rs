//! The `file` sink: lines of JSON or csv in files, each delivery safe on disk before it counts.
//!
//! A delivery appends whole frames to an open `.part` file and is answered after `fdatasync`. Files
//! are rotated by size and age and get their final name once they are whole; `docs/sinks/file.md`
//! says what a reader of the folder may rely on.

mod config;
mod files;
mod folders;
mod frame;
mod names;
mod part;
mod recovery;
#[cfg(test)]
mod tests;
mod waiter;

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use pump_core::template::Template;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

pub use config::{Compression, FileConfig, Rotation};
use files::Files;
use waiter::Waiter;

use crate::encoding::{Encoding, Target};

/// How many deliveries of a sink write at once, whatever `max_in_flight` says.
const MAX_WRITING: usize = 16;

/// Writes files.
pub struct FileSink {
    files: Arc<Files>,
    /// A disk that hangs holds the threads that write to it. They are the process's, so each sink has a
    /// few of them only; a permit goes with the thread and not with the delivery.
    writers: Arc<Semaphore>,
    /// The same for the one thread that probes.
    prober: Arc<Semaphore>,
    /// How often files are looked after.
    interval: Duration,
}

#[async_trait]
impl Sink for FileSink {
    const NAME: &'static str = "file";
    type Config = FileConfig;

    fn plan(config: &FileConfig, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        if config.compression == Compression::Zstd && !cfg!(feature = "zstd") {
            return Err(PlanError::new("compression", "this build has no zstd: write gzip or none"));
        }
        let route =
            Template::parse(&config.path).map_err(|error| PlanError::new("path", error.to_string()))?;
        let (kinds, body) = config.encoding.plan(format.unwrap_or(Format::Full), Target::File);
        Ok(SinkPlan {
            kinds,
            body: Some(body),
            batch: BatchDefaults::default(),
            route,
            targets: Vec::new(),
            takes_additions: config.encoding == Encoding::Ndjson,
            repeats_batches: false,
        })
    }

    async fn open(config: FileConfig, _: SinkContext) -> Result<Self, SinkError> {
        let template = Template::parse(&config.path)
            .map_err(|error| SinkError::unavailable("the path is no template", error))?;
        let interval =
            (config.rotate.max_age.get() / 10).clamp(Duration::from_millis(100), Duration::from_secs(10));
        let (writers, prober) = (Semaphore::new(MAX_WRITING), Semaphore::new(1));
        let files = Arc::new(Files::new(&config, template));
        Ok(Self { files, writers: Arc::new(writers), prober: Arc::new(prober), interval })
    }

    fn start(&self) {
        self.files.request_recovery();
        tokio::spawn(look_after(Arc::downgrade(&self.files), self.interval));
    }

    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let permit = self.writers.clone().acquire_owned().await.expect("it is never closed");
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            pieces.extend(slice.framed());
        }
        let (files, route) = (self.files.clone(), batch.shared_route());
        let (mut waiter, answered) = Waiter::new();
        spawn_blocking(move || {
            let _permit = permit;
            if let Err(error) = files.append(&route, pieces, &mut waiter) {
                waiter.fail(error);
            }
        });
        match answered.await {
            Ok(Ok(())) => Ok(Answers::delivered(batch.len())),
            Ok(Err(error)) => Err(sink_error(batch.route(), error)),
            Err(closed) => Err(SinkError::retry("the writing thread ended without an answer", closed)),
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        let files = self.files.clone();
        let root = files.root().display().to_string();
        let Ok(permit) = self.prober.clone().try_acquire_owned() else {
            let message = format!("the disk of {root} does not answer: the last probe still waits for it");
            return Err(SinkError::retry(message, io::Error::from(io::ErrorKind::TimedOut)));
        };
        let probe = move || {
            let _permit = permit;
            files.probe()
        };
        match spawn_blocking(probe).await {
            Ok(result) => result.map_err(|error| sink_error(&root, error)),
            Err(error) => Err(SinkError::retry("the probing thread ended without an answer", error)),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        let files = self.files.clone();
        // A pump that drains may end before the first look.
        let finish = move || {
            let recovered = files.recover();
            files.finish_all().and(recovered)
        };
        match spawn_blocking(finish).await {
            Ok(result) => result.map_err(|error| sink_error("finishing files", error)),
            Err(error) => Err(SinkError::retry("the finishing thread ended without an answer", error)),
        }
    }
}

/// Finishes what a crash left behind, and rotates files by age although nothing is written to them.
async fn look_after(files: Weak<Files>, interval: Duration) {
    while let Some(files) = files.upgrade() {
        let look = move || {
            // Each file that fails is logged where it fails, and the next look tries again.
            let _ = files.recover();
            let _ = files.rotate_by_age();
        };
        if spawn_blocking(look).await.is_err() {
            return;
        }
        tokio::time::sleep(interval).await;
    }
}

fn sink_error(place: &str, error: io::Error) -> SinkError {
    use io::ErrorKind::{IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        PermissionDenied | ReadOnlyFilesystem | NotADirectory | IsADirectory => {
            SinkError::unavailable(format!("cannot write {place}: check the path and its permissions"), error)
        }
        _ => SinkError::retry(format!("cannot write {place}"), error),
    }
}
