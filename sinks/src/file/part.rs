//! One file that is being written: `NAME.part`, locked, cut back to what was answered before each
//! append, and renamed once it is whole.
//!
//! The lock (flock) goes with the process, so a `.part` without a lock was left behind by a crash.
//! Its end may be torn: whoever finds it cuts it back to its last whole frame and finishes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use super::config::Compression;
use super::frame;
use crate::encoding::Encoding;

/// How many pumps may write under one name at once.
const MAX_WRITERS: u32 = 64;
/// The ending of a file that is being written.
const PART: &str = "part";

/// How a file is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) encoding: Encoding,
    pub(super) compression: Compression,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    /// The name without `.part`, and without the number of a second writer.
    target: PathBuf,
    /// Up to here everything was answered.
    length: u64,
    started: SystemTime,
    opened: Instant,
}

impl Part {
    /// Opens the first free `.part` of this name; finishes those that were left behind.
    pub(super) fn open(target: &Path, shape: Shape) -> io::Result<Self> {
        let directory = directory_of(target);
        create_directories(directory)?;
        for number in 1..=MAX_WRITERS {
            let path = part_path(target, number);
            loop {
                let file =
                    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
                if !try_lock(&file)? {
                    break;
                }
                // Between opening and locking, its writer may have finished it under another name.
                if !is_still(&file, &path)? {
                    continue;
                }
                let part = Self::adopt(file, path.clone(), target)?;
                if part.length == 0 {
                    sync_directory(directory)?;
                    return Ok(part);
                }
                part.recover(shape)?;
            }
        }
        Err(io::Error::other(format!("{MAX_WRITERS} pumps write {} already", target.display())))
    }

    /// Appends one frame and makes it safe. `commit` is asked once it is: if nobody waits for the
    /// answer any more, the file is cut back, so that the same records do not stand in it twice.
    pub(super) fn append(&mut self, pieces: &[Bytes], commit: impl FnOnce() -> bool) -> io::Result<()> {
        let written = self.write(pieces);
        if written.is_ok() && commit() {
            self.length += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
            return Ok(());
        }
        // On a full disk this gives back what the torn frame took. Should it fail, the next append
        // does it again before it writes.
        let cut = self.file.set_len(self.length);
        written.and(cut)
    }

    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        pieces.iter().try_for_each(|piece| self.file.write_all(piece))?;
        self.file.sync_data()
    }

    /// Bytes that are safe.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Renames it to its final name, never over a file; removes it if it is empty.
    pub(super) fn finish(self) -> io::Result<Option<PathBuf>> {
        self.file.set_len(self.length)?;
        let directory = directory_of(&self.target);
        if self.length == 0 {
            fs::remove_file(&self.path)?;
            return Ok(None);
        }
        self.file.sync_data()?;
        for number in 1.. {
            let name = final_path(&self.target, self.started, number);
            match rename_to_new(&self.path, &name) {
                Ok(()) => {
                    sync_directory(directory)?;
                    return Ok(Some(name));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("there is a number that is not taken")
    }

    /// Takes over a file that a crash left behind: cuts it back to its last whole frame, finishes it.
    fn recover(mut self, shape: Shape) -> io::Result<()> {
        if !frame::is_of(&self.file, shape.compression)? {
            let path = self.path.display();
            tracing::warn!(%path, "a file left behind is compressed in another way than this sink does, and stays");
            return Ok(());
        }
        self.length = frame::whole_length(&self.file, shape.compression, shape.encoding)?;
        let finished = self.finish()?;
        if let Some(path) = finished {
            tracing::info!(path = %path.display(), "a file left behind by a crash was finished");
        }
        Ok(())
    }

    fn adopt(file: File, path: PathBuf, target: &Path) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let is_new = metadata.len() == 0;
        let started = if is_new { SystemTime::now() } else { metadata.modified()? };
        let length = metadata.len();
        Ok(Self { file, path, target: target.to_owned(), length, started, opened: Instant::now() })
    }
}

/// Finishes the `.part` files below `root`, at most `depth` folders down, that nobody writes and whose
/// names are ours. Whatever else is there is somebody else's and stays as it is.
pub(super) fn recover_below(
    root: &Path,
    depth: usize,
    shape: Shape,
    is_ours: &dyn Fn(&Path) -> bool,
) -> io::Result<()> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                recover_below(&path, depth - 1, shape, is_ours)?;
            }
        } else if let Some(target) = targets_of(&path).into_iter().find(|target| is_ours(target)) {
            match recover_one(&path, &target, shape) {
                // Its writer, or another pump that looks too, was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

fn recover_one(path: &Path, target: &Path, shape: Shape) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if try_lock(&file)? && is_still(&file, path)? {
        Part::adopt(file, path.to_owned(), target)?.recover(shape)?;
    }
    Ok(())
}

/// `x.ndjson` and 1 give `x.ndjson.part`, and 2 `x.ndjson.2.part`.
fn part_path(target: &Path, number: u32) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    if number > 1 {
        name.push(format!(".{number}"));
    }
    name.push(format!(".{PART}"));
    name.into()
}

/// The way back from [`part_path`]: the name without `.part`, and without the number of a second writer
/// if it has one. None for a file that is no `.part`.
fn targets_of(part: &Path) -> Vec<PathBuf> {
    if part.extension().is_none_or(|ending| ending != PART) {
        return Vec::new();
    }
    let target = part.with_extension("");
    let has_number =
        target.extension().is_some_and(|ending| ending.to_string_lossy().parse::<u32>().is_ok_and(|n| n > 1));
    let without_number = has_number.then(|| target.with_extension(""));
    [Some(target), without_number].into_iter().flatten().collect()
}

/// `x.ndjson.gz` gives `x-20261124T081500Z-1.ndjson.gz`: the endings stay, so that tools know it.
fn final_path(target: &Path, started: SystemTime, number: u64) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let (stem, endings) = match name.get(1..).and_then(|rest| rest.find('.')) {
        Some(dot) => name.split_at(dot + 1),
        None => (&*name, ""),
    };
    let since = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let started = pump_core::record::Timestamp { seconds: since.as_secs() as i64, nanos: 0 };
    let started = started.to_string().replace(['-', ':'], "");
    target.with_file_name(format!("{stem}-{started}-{number}{endings}"))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the path still names this file.
fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Renames, but never over a file.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems know no such rename, but all of those know links.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        result => Ok(result?),
    }
}

/// Makes a folder and those above it; each is safe in the one above before anything is put in it.
pub(super) fn create_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory_of(directory);
    create_directories(parent)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !directory.is_dir() => {
            Err(io::ErrorKind::NotADirectory.into())
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(parent),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
