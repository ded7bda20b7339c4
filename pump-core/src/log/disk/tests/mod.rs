//! The disk log against a list in memory, on a disk that loses power.
//!
//! The list is not written down: the record at a position of a partition is always the same, so a source can
//! give it again, and whoever reads it can tell whether it is what was appended.

mod damage;
mod directory;
mod model;
mod power;
mod recovery;
mod room;
mod world;

use super::DiskSettings;

/// A small log of small segments.
fn settings() -> DiskSettings {
    DiskSettings { segment_size: 1_500, commit_bytes: 1_500, memory: 3_000, ..DiskSettings::new(12_000) }
}

fn block_on(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime").block_on(test);
}
