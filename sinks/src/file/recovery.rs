//! What a crash left behind below a folder: `.part` files that nobody writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::config::Compression;
use super::names::targets_of;
use super::part::Part;

/// Where a sink's files can be, and which are its own.
pub(super) struct Territory<'a> {
    pub(super) compression: Compression,
    /// Whether a file of that final name, before it got its time and number, could be the sink's.
    pub(super) is_ours: &'a dyn Fn(&Path) -> bool,
}

impl Territory<'_> {
    /// Finishes what was left behind below `folder`, at most `depth` folders down. Whatever else is there
    /// is somebody else's and stays as it is. One file or folder that fails keeps no other from being
    /// finished: each failure is logged, and the first returned.
    pub(super) fn recover_below(&self, folder: &Path, depth: usize) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(told(folder, error)),
        };
        let mut outcome = Ok(());
        for entry in entries {
            let recovered = match entry {
                Ok(entry) => self.recover_entry(&entry, depth),
                Err(error) => Err(told(folder, error)),
            };
            outcome = outcome.and(recovered);
        }
        outcome
    }

    fn recover_entry(&self, entry: &fs::DirEntry, depth: usize) -> io::Result<()> {
        let path = entry.path();
        if entry.file_type().map_err(|error| told(&path, error))?.is_dir() {
            return if depth > 0 { self.recover_below(&path, depth - 1) } else { Ok(()) };
        }
        let Some(target) = self.target_of(&path) else { return Ok(()) };
        match Part::recover_at(&path, &target, self.compression) {
            // Its writer, or another pump that looks too, was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(told(&path, error)),
            Ok(()) => Ok(()),
        }
    }

    fn target_of(&self, path: &Path) -> Option<PathBuf> {
        targets_of(path).into_iter().find(|target| (self.is_ours)(target))
    }
}

fn told(path: &Path, error: io::Error) -> io::Error {
    warn!(path = %path.display(), error = %error, "what a crash left behind cannot be finished yet");
    error
}
