//! Dead letters in a directory: files of JSON lines, only ever appended to, synced before they count.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{DeadLetter, DeadLetterStore, StoreError};
use crate::record::Timestamp;

/// A new file is begun at this size, so that replay can remove what it is done with.
const FILE_SIZE: u64 = 64 << 20;

/// Dead letters in a directory. Its files are `dead-letters-<time>-<process>-<n>.ndjson`, mode 0600;
/// several pumps may share it. Nothing is touched before the first letter.
#[derive(Debug, Clone)]
pub struct DirectoryStore(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    directory: PathBuf,
    max_size: u64,
    open: Option<Open>,
    next: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

impl DirectoryStore {
    /// A store in this directory, which is made when it is needed, of at most so many bytes.
    pub fn new(directory: impl Into<PathBuf>, max_size: u64) -> Self {
        Self(Arc::new(Mutex::new(State { directory: directory.into(), max_size, open: None, next: 0 })))
    }
}

#[async_trait]
impl DeadLetterStore for DirectoryStore {
    async fn append(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let mut lines = Vec::new();
        for letter in letters {
            lines.extend_from_slice(&letter.to_line(now));
            lines.push(b'\n');
        }
        let state = self.0.clone();
        let write = move || {
            let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            state.append(&lines)
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(panic) => Err(StoreError::Failed(Box::new(panic))),
        }
    }
}

impl State {
    fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let place = self.directory.display().to_string();
        let failed = |error: io::Error| {
            StoreError::Failed(Box::new(io::Error::new(error.kind(), format!("{place}: {error}"))))
        };
        let size = size_of(&self.directory).map_err(failed)?;
        if size + lines.len() as u64 > self.max_size {
            return Err(StoreError::Full { size, max_size: self.max_size });
        }
        self.write(lines).map_err(failed)
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if open.size < FILE_SIZE => open,
            _ => self.begin()?,
        };
        let written = open.file.write_all(lines).and_then(|()| open.file.sync_data());
        if written.is_ok() {
            open.size += lines.len() as u64;
        }
        // A torn line is cut off again, and the file goes on being used; if that fails too, what is at
        // its end is unknown, and the next letters begin a new one.
        if written.is_ok() || open.file.set_len(open.size).is_ok() {
            self.open = Some(open);
        }
        written
    }

    fn begin(&mut self) -> io::Result<Open> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let started = Timestamp::now().seconds;
        loop {
            let name = format!("dead-letters-{started}-{}-{}.ndjson", std::process::id(), self.next);
            self.next += 1;
            let path = self.directory.join(name);
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let file = opened?;
                    File::open(&self.directory)?.sync_all()?;
                    return Ok(Open { file, size: 0 });
                }
            }
        }
    }
}

/// What the directory's letters take, in bytes: also those of other pumps and of before.
fn size_of(directory: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    entries.into_iter().try_fold(0, |total, entry| {
        let entry = entry?;
        let is_ours = entry.path().extension().is_some_and(|extension| extension == "ndjson");
        Ok(total + if is_ours { entry.metadata()?.len() } else { 0 })
    })
}
