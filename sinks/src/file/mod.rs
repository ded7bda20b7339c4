//! The `file` sink: lines of JSON or csv in files, each delivery safe on disk before it counts.
//!
//! A delivery appends whole frames to an open `.part` file and is answered after `fdatasync`. Files
//! are rotated by size and age and get their final name once they are whole; `docs/sinks/file.md`
//! says what a reader of the folder may rely on.

mod config;
mod files;
mod frame;
mod part;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use pump_core::template::Template;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::warn;

pub use config::{Compression, FileConfig, Rotation};
use files::Files;

use crate::encoding::{Encoding, Target};

/// Writes files.
pub struct FileSink(Arc<Files>);

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
        })
    }

    async fn open(config: FileConfig, _: SinkContext) -> Result<Self, SinkError> {
        let template = Template::parse(&config.path)
            .map_err(|error| SinkError::unavailable("the path is no template", error))?;
        let files = Arc::new(Files::new(&config, template));
        tokio::spawn(look_after(Arc::downgrade(&files), config.rotate.max_age.get()));
        Ok(Self(files))
    }

    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            pieces.extend(slice.framed());
        }
        let (files, route) = (self.0.clone(), batch.shared_route());
        let (answer, answered) = oneshot::channel();
        spawn_blocking(move || {
            // The answer is given before the write counts: if this delivery was dropped while it
            // waited, the file is cut back and the records come again.
            let mut answer = Some(answer);
            let result = files
                .append(&route, pieces, || answer.take().is_some_and(|answer| answer.send(Ok(())).is_ok()));
            if let (Err(error), Some(answer)) = (result, answer.take()) {
                let _ = answer.send(Err(error));
            }
        });
        match answered.await {
            Ok(Ok(())) => Ok(Answers::delivered(batch.len())),
            Ok(Err(error)) => Err(sink_error(batch.route(), error)),
            Err(closed) => Err(SinkError::retry("the writing thread ended without an answer", closed)),
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        let files = self.0.clone();
        let root = files.root().display().to_string();
        match spawn_blocking(move || files.probe()).await {
            Ok(result) => result.map_err(|error| sink_error(&root, error)),
            Err(error) => Err(SinkError::retry("the probing thread ended without an answer", error)),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        let files = self.0.clone();
        match spawn_blocking(move || files.finish_all()).await {
            Ok(result) => result.map_err(|error| sink_error("finishing files", error)),
            Err(error) => Err(SinkError::retry("the finishing thread ended without an answer", error)),
        }
    }
}

/// Finishes what a crash left behind, then rotates files by age although nothing is written to them.
async fn look_after(files: Weak<Files>, max_age: Duration) {
    let interval = (max_age / 10).clamp(Duration::from_millis(100), Duration::from_secs(10));
    let mut is_first = true;
    loop {
        {
            let Some(files) = files.upgrade() else { return };
            let work = move || {
                if std::mem::take(&mut is_first) {
                    files.recover()?
                }
                files.rotate_by_age()
            };
            match spawn_blocking(work).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(error = %error, "files could not be looked after"),
                Err(_) => return,
            }
            is_first = false;
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
