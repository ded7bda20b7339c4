//! The `stdout` sink: lines on standard output, for trying and for pipes.

mod config;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use pump_core::template::Template;
use tokio::task::spawn_blocking;

pub use config::StdoutConfig;

use crate::encoding::{self, Encoding};

/// Writes lines to standard output. Two such sinks do not cut each other's lines.
pub struct StdoutSink {
    encoding: Encoding,
    has_header: Arc<AtomicBool>,
}

#[async_trait]
impl Sink for StdoutSink {
    const NAME: &'static str = "stdout";
    type Config = StdoutConfig;

    fn plan(config: &StdoutConfig, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        let (kinds, body) = config.encoding.plan(format.unwrap_or(Format::Full), encoding::Target::Stdout);
        Ok(SinkPlan {
            kinds,
            body: Some(body),
            batch: BatchDefaults::default(),
            route: Template::constant_of(""),
            targets: Vec::new(),
            takes_additions: config.encoding == Encoding::Ndjson,
            repeats_batches: false,
        })
    }

    async fn open(config: StdoutConfig, _: SinkContext) -> Result<Self, SinkError> {
        Ok(Self { encoding: config.encoding, has_header: Arc::default() })
    }

    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            pieces.extend(slice.framed());
        }
        let has_header = self.has_header.clone();
        let is_csv = self.encoding == Encoding::Csv;
        let write = move || -> io::Result<()> {
            let mut stdout = io::stdout().lock();
            if is_csv && !has_header.swap(true, Ordering::Relaxed) {
                stdout.write_all(encoding::CSV_HEADER)?;
            }
            pieces.iter().try_for_each(|piece| stdout.write_all(piece))?;
            stdout.flush()
        };
        match spawn_blocking(write).await {
            Ok(Ok(())) => Ok(Answers::delivered(batch.len())),
            Ok(Err(error)) => Err(SinkError::unavailable("standard output is closed", error)),
            Err(error) => Err(SinkError::retry("the writing thread ended without an answer", error)),
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        // Nobody can tell without writing.
        Ok(())
    }
}
