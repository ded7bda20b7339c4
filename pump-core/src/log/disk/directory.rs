//! A directory on a real disk. Every call runs on a thread where it may block.
//!
//! One pump to a directory: a lock on a file in it (flock) goes with the process.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, fdatasync, flock, seek, statfs};

use super::Storage;

/// The file that is locked.
pub(super) const LOCK: &str = "lock";
/// The end of the name of a file that is not yet whole.
const TEMPORARY: &str = ".tmp";
/// Larger writes make the kernel copy twice as long.
const WRITE_AT_ONCE: usize = 256 << 10;
/// How many files are kept open.
const MAX_OPEN: usize = 32;

/// A directory that no other process writes to.
pub struct Directory(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// Files that are open, by name.
    open: Mutex<HashMap<String, Arc<File>>>,
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is missing, and locks it. Blocks.
    pub fn lock(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let above = path.ancestors().skip(1).find(|path| path.exists() && !path.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new(".")).to_owned();
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // A directory that was made just now must not be gone after a power loss.
        let made =
            path.ancestors().skip(1).take_while(|path| **path != above && !path.as_os_str().is_empty());
        if is_new {
            made.chain([&*above]).try_for_each(|path| File::open(path)?.sync_all())?;
        }
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = "another pump has it open: each pump needs a log of its own";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            Err(error) => return Err(error.into()),
        }
        let inner = Inner { path: path.to_owned(), open: Mutex::default(), _lock: lock };
        inner.remove_temporary()?;
        Ok(Self(Arc::new(inner)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let inner = self.0.clone();
        blocking(move || work(&inner)).await
    }
}

/// Runs what may block where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The files of a log's directory with their lengths in bytes, in the order of their names.
pub(super) fn files(path: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string())
            && name != LOCK
        {
            files.push((name, metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether what is written to this directory, or to the nearest one above that exists, goes with the machine's memory.
pub fn is_in_memory(path: &Path) -> io::Result<bool> {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    let existing = path.ancestors().find(|path| path.exists());
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let kind = statfs(existing)?.f_type as u64;
    Ok([TMPFS, RAMFS].contains(&kind))
}

#[async_trait]
impl Storage for Directory {
    async fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.run(|inner| files(&inner.path)).await
    }

    async fn create(&self, name: &str, len: u64) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |inner| inner.create(name, len)).await
    }

    async fn write(&self, name: &str, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |inner| inner.write(&name, offset, &parts)).await
    }

    async fn sync(&self, name: &str) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |inner| Ok(fdatasync(inner.file(&name)?)?)).await
    }

    async fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        let name = name.to_owned();
        self.run(move |inner| inner.read(&name, offset, len)).await
    }

    async fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |inner| {
            let file = inner.file(&name)?;
            file.set_len(len)?;
            file.sync_all()
        })
        .await
    }

    async fn replace(&self, name: &str, content: Bytes) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |inner| inner.replace(&name, &content)).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.run(move |inner| {
            fs::rename(inner.path.join(&from), inner.path.join(&to))?;
            let mut open = inner.open();
            open.remove(&from);
            open.remove(&to);
            drop(open);
            inner.sync_names()
        })
        .await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |inner| {
            let removed = fs::remove_file(inner.path.join(&name));
            inner.open().remove(&name);
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => inner.sync_names(),
            }
        })
        .await
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open();
        if let Some(file) = open.get(name) {
            return Ok(file.clone());
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?);
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    /// Names are durable once the directory is.
    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn remove_temporary(&self) -> io::Result<()> {
        for (name, _) in files(&self.path)?.iter().filter(|(name, _)| name.ends_with(TEMPORARY)) {
            fs::remove_file(self.path.join(name))?;
        }
        Ok(())
    }

    fn create(&self, name: String, len: u64) -> io::Result<()> {
        let path = self.path.join(&name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let made = match fallocate(&file, FallocateFlags::empty(), 0, len.max(1)) {
            // A file system that knows no reservations: a write may then meet a full disk.
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(len),
            other => other.map_err(io::Error::from),
        };
        if let Err(error) = made.and_then(|()| file.sync_all()).and_then(|()| self.sync_names()) {
            // Nothing is in it. What stays behind is found at the next start.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.open().insert(name, Arc::new(file));
        Ok(())
    }

    fn write(&self, name: &str, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        let mut file = &*self.file(name)?;
        seek(file, rustix::fs::SeekFrom::Start(offset))?;
        let pieces = parts.iter().flat_map(|part| part.chunks(WRITE_AT_ONCE));
        let mut slices: Vec<IoSlice<'_>> = pieces.map(IoSlice::new).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let mut count = 0;
            let mut size = 0;
            while count < left.len().min(512) && (count == 0 || size + left[count].len() <= WRITE_AT_ONCE) {
                size += left[count].len();
                count += 1;
            }
            match file.write_vectored(&left[..count]) {
                Ok(0) if size > 0 => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        let file = self.file(name)?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.into())
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}{TEMPORARY}"));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        if let Err(error) = file.write_all(content).and_then(|()| file.sync_data()) {
            // A full disk needs the room, and a part of a file is of no use to anybody.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        fs::rename(&temporary, self.path.join(name))?;
        self.open().remove(name);
        self.sync_names()
    }
}
