//! The log of a pipeline: what is said of it before anything is opened, and how it is opened.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use pump_core::config::{ByteSize, ConfigError, LogConfig, MemoryLogConfig};
use pump_core::engine::LogBlueprint;
use pump_core::log::disk::{Compression, Directory, DiskSettings, Opened, is_in_memory};
use pump_core::plugin::BatchDefaults;

/// What this build cannot do.
pub(super) fn refuse_unbuilt(config: &LogConfig) -> Option<ConfigError> {
    let LogConfig::Disk(disk) = config else { return None };
    (disk.compression == Compression::Zstd && !cfg!(feature = "zstd"))
        .then(|| ConfigError::new("this build has no zstd: write none").on("log.compression"))
}

/// A disk log in memory promises what it cannot keep, unless somebody says that he knows.
pub(super) fn refuse_in_memory(config: &LogConfig) -> Option<ConfigError> {
    let LogConfig::Disk(disk) = config else { return None };
    let error = match is_in_memory(Path::new(&disk.path)) {
        Ok(true) if !disk.ephemeral => {
            ConfigError::new("this path lies in memory (tmpfs): the log would be lost when the machine stops")
                .help("choose a path on a disk, or say `ephemeral: true` if that may be")
        }
        Ok(_) => return None,
        Err(error) => ConfigError::new(format!("the file system of this path cannot be asked: {error}")),
    };
    Some(error.on("log.path"))
}

/// What a dead sink does to the others.
pub(super) fn note(config: &LogConfig, required_sinks: usize) -> Option<String> {
    let size = config.max_size();
    match config {
        LogConfig::Memory(_) if required_sinks > 1 => Some(format!(
            "log in memory: one required sink that is down stops everything once the log is full ({size}); then \
             records wait in the buffer"
        )),
        LogConfig::Memory(_) => None,
        LogConfig::Disk(_) => Some(format!(
            "log on disk: records wait there for a required sink that is down, and the other sinks go on; once the \
             log is full ({size}) records wait in the buffer"
        )),
    }
}

/// Of a batch that the log is too small for.
pub(super) fn note_on_batch(config: &LogConfig, sink: &str, batch: &BatchDefaults) -> Option<String> {
    let half = ByteSize(config.max_size().bytes() / 2);
    let wanted = ByteSize(batch.max_bytes as u64);
    (wanted.bytes() > half.bytes()).then(|| {
        format!(
            "sink {sink}: a batch ends with {half} of records, half of what the log holds, although `batch.max_bytes` is \
             {wanted}: raise `log.max_size` for larger ones"
        )
    })
}

/// Reads a log on disk, which is then locked.
pub(crate) async fn open(config: &LogConfig, accept_gap: bool) -> anyhow::Result<LogBlueprint> {
    let LogConfig::Disk(disk) = config else { return Ok(in_memory(config)) };
    let path = disk.path.clone();
    let directory = tokio::task::spawn_blocking(move || Directory::lock(Path::new(&path)));
    let directory = directory.await?.context("cannot open the folder of the disk log (log.path)")?;
    let settings = DiskSettings {
        retain: disk.retain.get(),
        compression: disk.compression,
        accept_gap,
        ..DiskSettings::new(disk.max_size.bytes())
    };
    let opened = Opened::open(Arc::new(directory), settings).await?;
    Ok(LogBlueprint::Disk(Box::new(opened)))
}

/// A log in memory, whatever the file says: for what never meets the records of a log on disk.
pub(crate) fn in_memory(config: &LogConfig) -> LogBlueprint {
    let max_size = match config {
        LogConfig::Memory(memory) => memory.max_size,
        LogConfig::Disk(_) => MemoryLogConfig::default().max_size,
    };
    LogBlueprint::Memory { max_size: max_size.bytes() as usize }
}
