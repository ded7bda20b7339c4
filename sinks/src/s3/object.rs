//! An object as it grows: lines or columns.

use std::io;

use pump_core::plugin::{SinkError, Slice};
use tokio::task::spawn_blocking;

use super::config::{Encoding, S3Config};
use super::lines::Lines;
use super::table::Table;

/// An object that is not whole yet.
pub(super) enum Object {
    Lines(Box<Lines>),
    Table(Box<Table>),
}

impl Object {
    pub(super) fn new(config: &S3Config) -> Result<Self, SinkError> {
        Ok(match config.encoding {
            Encoding::Ndjson => Self::Lines(Box::new(Lines::new(config.compression).map_err(unencoded)?)),
            Encoding::Parquet => Self::Table(Box::new(Table::new(config.compression).map_err(unencoded)?)),
        })
    }

    /// Adds a slice; gives the object, and what of it has come about.
    pub(super) async fn add(self, slice: &Slice<'_>) -> Result<(Self, Vec<u8>), SinkError> {
        match self {
            Self::Lines(mut lines) => {
                let pieces: Vec<_> = slice.framed().collect();
                aside(move || {
                    lines.write(&pieces)?;
                    let more = lines.take();
                    Ok((Self::Lines(lines), more))
                })
                .await
            }
            Self::Table(mut table) => {
                table.add(slice);
                if !table.is_full() {
                    return Ok((Self::Table(table), Vec::new()));
                }
                aside(move || {
                    table.write()?;
                    let more = table.take();
                    Ok((Self::Table(table), more))
                })
                .await
            }
        }
    }

    /// The end of the object.
    pub(super) async fn finish(self) -> Result<Vec<u8>, SinkError> {
        aside(move || match self {
            Self::Lines(lines) => lines.finish(),
            Self::Table(table) => table.finish(),
        })
        .await
    }
}

/// Runs what takes its time on a thread where it may.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SinkError> {
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(unencoded),
        Err(error) => Err(SinkError::retry("the encoding thread ended without an answer", error)),
    }
}

fn unencoded(error: io::Error) -> SinkError {
    SinkError::retry("the object cannot be encoded", error)
}
