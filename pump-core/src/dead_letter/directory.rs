//! Dead letters in a directory: files of JSON lines, only ever appended to, synced before they count.
//!
//! Each pump appends to a file of its own, and holds its lock (flock) for as long as one append takes.
//! Whoever takes letters out holds the same lock, writes what stays into a new file, syncs it, and
//! renames it over the old one, or removes the file when nothing stays. So a pump looks, once it has the
//! lock, whether its file is still the one under that name; if not, or if it does not get the lock at
//! once, it begins another file. Nobody appends to a file that was replaced, and a pump never waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};

use super::archive::{DeadLetterArchive, Fullness, Walk};
use super::directory_walk::DirectoryWalk;
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
    path: PathBuf,
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
        blocking(write).await.unwrap_or_else(|panic| Err(StoreError::Failed(panic.into())))
    }
}

#[async_trait]
impl DeadLetterArchive for DirectoryStore {
    fn place(&self) -> String {
        format!("directory {}", self.state().directory.display())
    }

    async fn fullness(&self) -> Result<Fullness, StoreError> {
        let (directory, max_size) = {
            let state = self.state();
            (state.directory.clone(), state.max_size)
        };
        let size = self.look(move || size_of(&directory)).await?;
        Ok(Fullness { size, max_size })
    }

    async fn walk(&self) -> Result<Box<dyn Walk>, StoreError> {
        let directory = self.state().directory.clone();
        Ok(Box::new(self.look(move || DirectoryWalk::begin(&directory)).await?))
    }
}

impl DirectoryStore {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Does what only reads.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let directory = self.state().directory.clone();
        let looked = blocking(work).await.unwrap_or_else(Err);
        looked.map_err(|error| StoreError::Unreadable(at(&directory, error)))
    }
}

/// Does what blocks on a thread for that; an error when it panicked.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

impl State {
    fn append(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let place = self.directory.clone();
        let failed = |error: io::Error| StoreError::Failed(at(&place, error));
        let size = size_of(&self.directory).map_err(failed)?;
        if size + lines.len() as u64 > self.max_size {
            return Err(StoreError::Full { size, max_size: self.max_size });
        }
        self.write(lines).map_err(failed)
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if open.size < FILE_SIZE && is_ours(&open.file, &open.path)? => open,
            _ => self.begin()?,
        };
        let written = open.file.write_all(lines).and_then(|()| open.file.sync_data());
        if written.is_ok() {
            open.size += lines.len() as u64;
        }
        // A torn line is cut off again, and the file goes on being used; if that fails too, what is at
        // its end is unknown, and the next letters begin a new one.
        if written.is_ok() || open.file.set_len(open.size).is_ok() {
            flock(&open.file, FlockOperation::Unlock)?;
            self.open = Some(open);
        }
        written
    }

    fn begin(&mut self) -> io::Result<Open> {
        if !self.directory.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            // A folder whose own entry is lost takes its letters with it.
            if let Some(parent) = self.directory.canonicalize()?.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        let started = Timestamp::now().seconds;
        loop {
            let name = format!("dead-letters-{started}-{}-{}.ndjson", std::process::id(), self.next);
            self.next += 1;
            let path = self.directory.join(name);
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let file = opened?;
                    File::open(&self.directory)?.sync_all()?;
                    if is_ours(&file, &path)? {
                        return Ok(Open { file, path, size: 0 });
                    }
                }
            }
        }
    }
}

/// Takes the file's lock, if nobody has it and the path still names the file.
fn is_ours(file: &File, path: &Path) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => is_still(file, path),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the path still names this file.
pub(super) fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The files of letters in a directory, oldest first as their names have it.
pub(super) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// An error with the path that it is about.
pub(super) fn at(path: &Path, error: io::Error) -> Box<io::Error> {
    Box::new(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// What the directory's letters take, in bytes: also those of other pumps and of before.
fn size_of(directory: &Path) -> io::Result<u64> {
    files(directory)?.iter().try_fold(0, |total, path| match fs::metadata(path) {
        Ok(metadata) => Ok(total + metadata.len()),
        // Its last letter has just left.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(total),
        Err(error) => Err(error),
    })
}
