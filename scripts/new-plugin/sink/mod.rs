//! The `__name__` sink: appends records to a file.
// FILL IN: what it writes and where, and what becomes of records that are sent twice. Until then it appends to a file,
// so that all around it can be seen to work.

mod config;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pump_core::plugin::{
    Answers, Batch, Body, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use tokio::task::spawn_blocking;

pub use config::__Name__Config;

/// Appends records to a file, one JSON object a line.
pub struct __Name__Sink {
    // FILL IN: the client of the destination. Deliveries run at the same time and share it.
    file: PathBuf,
}

#[async_trait]
impl Sink for __Name__Sink {
    const NAME: &'static str = "__name__";
    type Config = __Name__Config;

    fn plan(_: &__Name__Config, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        // FILL IN: refuse keys that contradict each other: `PlanError::new("key", "what to write instead")`. Say what
        // the engine has to know: addresses in `targets`, limits of the destination in `batch`, how records become
        // bytes in the body (None for a sink that reads fields). `pump check` calls this: contact nobody.
        Ok(SinkPlan::new(Some(Body::json_lines(format))))
    }

    async fn open(config: __Name__Config, _: SinkContext) -> Result<Self, SinkError> {
        // FILL IN: build the client, and contact nobody: a start never waits for a sink.
        Ok(Self { file: config.folder.join("records.ndjson") })
    }

    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        // FILL IN: one attempt, such as one request; the engine retries, splits and gives up. It may be dropped at any
        // await, and then comes again: `entry.id()` is the same each time, for a destination that drops repeats.
        let mut lines = Vec::with_capacity(batch.size());
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            slice.framed().for_each(|piece| lines.extend_from_slice(&piece));
        }
        let file = self.file.clone();
        let written = spawn_blocking(move || append(&file, &lines)).await;
        // FILL IN: sort what can go wrong. What may pass by itself is `retry` (with `after` where the destination says
        // how long), what somebody has to mend is `unavailable`, a batch that is more than it takes is `too_large`.
        // A record that will never be taken is `Answer::Rejected` in its slot of `Answers::unset(batch.len())`.
        match written {
            Ok(Ok(())) => Ok(Answers::delivered(batch.len())),
            Ok(Err(error)) => Err(SinkError::unavailable("the file cannot be written", error)),
            Err(error) => Err(SinkError::retry("the writing thread ended without an answer", error)),
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        // FILL IN: ask the destination whether it would take a batch, without sending one.
        match self.file.parent().map(Path::metadata) {
            Some(Err(error)) => Err(SinkError::unavailable("the folder cannot be reached: make it", error)),
            _ => Ok(()),
        }
    }
}

fn append(file: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(lines)?;
    file.sync_data()
}
