//! An object of columns: Apache Parquet, one row for each transaction.
//!
//! Rows are gathered until they make a row group, which is then written and compressed as a whole; so a row group
//! and what it was compressed to lie in memory, and nothing else of the object.

mod columns;
mod rows;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use pump_core::edit::Scratch;
use pump_core::plugin::Slice;
use pump_core::record::View;

use super::config::Compression;
use rows::Rows;

/// Where a row group ends, in bytes of values.
const GROUP_SIZE: usize = 16 << 20;

/// Takes slices of batches, and gives what can be uploaded so far.
pub(super) struct Table {
    rows: Rows,
    writer: SerializedFileWriter<Vec<u8>>,
}

impl Table {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        let compression = match compression {
            Compression::Zstd => parquet::basic::Compression::ZSTD(ZstdLevel::default()),
            Compression::None | Compression::Gzip => parquet::basic::Compression::UNCOMPRESSED,
        };
        let properties = WriterProperties::builder()
            .set_created_by("pump".to_owned())
            .set_compression(compression)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let writer = SerializedFileWriter::new(Vec::new(), columns::schema()?, Arc::new(properties))?;
        Ok(Self { rows: Rows::new(columns::shapes()), writer })
    }

    /// Adds the slice's transactions; whatever else is in it has no columns.
    pub(super) fn add(&mut self, slice: &Slice<'_>) {
        let mut scratch = Scratch::default();
        for entry in slice.entries() {
            if let View::Transaction(record) = entry.view(&mut scratch) {
                columns::fill(entry.id(), &record, &mut self.rows);
            }
        }
    }

    /// Whether it is time to write what was added.
    pub(super) fn is_full(&self) -> bool {
        self.rows.size() >= GROUP_SIZE
    }

    /// Writes what was added. Takes its time: not for a thread that others wait for.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let rows = std::mem::replace(&mut self.rows, Rows::new(columns::shapes()));
        if !rows.is_empty() {
            rows.write(&mut self.writer)?;
        }
        self.writer.flush()
    }

    /// What of the object has come about since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        // The writer counts what it has written by itself.
        std::mem::take(self.writer.inner_mut())
    }

    /// The end of the object.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.write()?;
        Ok(self.writer.into_inner()?)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("size", &self.rows.size()).finish_non_exhaustive()
    }
}

/// What should not happen, as the schema is ours.
fn misfit(what: &'static str) -> ParquetError {
    ParquetError::General(what.to_owned())
}
