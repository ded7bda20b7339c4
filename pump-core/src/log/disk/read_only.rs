//! A log's directory that is only read, and how to say who writes to it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use super::Storage;
use super::directory::{LOCK, blocking, files};

/// A directory with a log that nobody runs. No pump can open it meanwhile; others may read it, too.
pub struct ReadOnly {
    path: PathBuf,
    /// A copy of a log need not have the file.
    _lock: Option<File>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadOnlyError {
    /// A pump writes to it.
    #[error("{} has it open: stop it first, or look at a copy of the folder", holder(.0))]
    Locked(Option<u32>),
    /// The disk says no.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
}

fn holder(process: &Option<u32>) -> String {
    let Some(id) = process else { return "a running pump".to_owned() };
    match fs::read_to_string(format!("/proc/{id}/comm")) {
        Ok(name) => format!("process {id} ({})", name.trim_end().escape_debug()),
        Err(_) => format!("process {id}"),
    }
}

impl ReadOnly {
    /// Changes nothing there. Blocks.
    pub fn open(path: &Path) -> Result<Self, ReadOnlyError> {
        fs::read_dir(path)?;
        let lock = match File::open(path.join(LOCK)) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(lock) = &lock {
            match flock(lock, FlockOperation::NonBlockingLockShared) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(ReadOnlyError::Locked(writer(lock))),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

/// The process that holds the lock, as far as the kernel tells.
fn writer(lock: &File) -> Option<u32> {
    let inode = lock.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 29603 fe:00:5881982 0 EOF
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", process, file, ..] = words[..] else { return None };
        let is_it = file.rsplit(':').next() == Some(&inode);
        process.parse().ok().filter(|process| is_it && *process > 0)
    })
}

#[async_trait]
impl Storage for ReadOnly {
    async fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let path = self.path.clone();
        blocking(move || files(&path)).await
    }

    async fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        let path = self.path.join(name);
        blocking(move || {
            let file = File::open(path)?;
            // Nobody is given more than there is, whatever a header says.
            let there = file.metadata()?.len().saturating_sub(offset).min(len as u64);
            let mut bytes = vec![0; there as usize];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes.into())
        })
        .await
    }

    async fn create(&self, _: &str, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    async fn write(&self, _: &str, _: u64, _: Vec<Bytes>) -> io::Result<()> {
        Err(read_only())
    }

    async fn sync(&self, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    async fn truncate(&self, _: &str, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    async fn replace(&self, _: &str, _: Bytes) -> io::Result<()> {
        Err(read_only())
    }

    async fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    async fn remove(&self, _: &str) -> io::Result<()> {
        Err(read_only())
    }
}

fn read_only() -> io::Error {
    io::ErrorKind::ReadOnlyFilesystem.into()
}
