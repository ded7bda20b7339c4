//! One file that is being written: `NAME.part`, locked, cut back to what was answered before each
//! append, and renamed once it is whole.
//!
//! The lock (flock) goes with the process, so a `.part` without a lock was left behind by a crash.
//! Its end may be torn: whoever finds it cuts it back to its last whole frame and finishes it. Nothing
//! is removed that holds a byte of a record.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use tracing::{info, warn};

use super::config::Compression;
use super::folders::{Folders, above, sync_folder};
use super::frame::{self, Found};
use super::names::{final_path, part_path, torn_path};

/// How many pumps may write under one name at once.
const MAX_WRITERS: u64 = 64;

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
    pub(super) fn open(target: &Path, folders: &Folders, compression: Compression) -> io::Result<Self> {
        let folder = above(target);
        folders.make(folder)?;
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
                    sync_folder(folder)?;
                    return Ok(part);
                }
                match part.recover(compression) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What is left of a crash keeps nothing new from being written.
                    Err(error) => {
                        warn!(path = %path.display(), error = %error, "what a crash left behind cannot be finished yet");
                        break;
                    }
                }
            }
        }
        Err(io::Error::other(format!("{MAX_WRITERS} pumps write {} already", target.display())))
    }

    /// Finishes a file that a crash left behind, unless somebody writes it.
    pub(super) fn recover_at(path: &Path, target: &Path, compression: Compression) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if try_lock(&file)? && is_still(&file, path)? {
            Self::adopt(file, path.to_owned(), target)?.recover(compression)?;
        }
        Ok(())
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

    /// Where it is while it is written.
    pub(super) fn path(&self) -> &Path {
        &self.path
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
        if self.length == 0 {
            fs::remove_file(&self.path)?;
            return Ok(None);
        }
        self.file.sync_data()?;
        rename_to_free(&self.path, |number| final_path(&self.target, self.started, number)).map(Some)
    }

    /// Takes over a file that a crash left behind: cuts it back to its last whole frame and finishes it.
    /// What has no whole frame was never answered, yet somebody may want to see it: it is set aside.
    /// Whether the file's name is free afterwards.
    fn recover(mut self, compression: Compression) -> io::Result<bool> {
        let path = self.path.display();
        if !frame::is_of(&self.file, compression)? {
            warn!(%path, "a file left behind is compressed in another way than this sink does, and stays");
            return Ok(false);
        }
        match frame::found(&self.file, compression)? {
            Found::Nothing => fs::remove_file(&self.path)?,
            Found::Torn => {
                let torn = rename_to_free(&self.path, |number| torn_path(&self.target, number))?;
                warn!(path = %torn.display(), "a file left behind has nothing whole in it and was set aside");
            }
            Found::Whole(length) => {
                self.length = length;
                if let Some(path) = self.finish()? {
                    info!(path = %path.display(), "a file left behind by a crash was finished");
                }
            }
        }
        Ok(true)
    }

    fn adopt(file: File, path: PathBuf, target: &Path) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let is_new = metadata.len() == 0;
        let started = if is_new { SystemTime::now() } else { metadata.modified()? };
        let length = metadata.len();
        Ok(Self { file, path, target: target.to_owned(), length, started, opened: Instant::now() })
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

/// Renames to the first of these names that is not taken, safely.
fn rename_to_free(from: &Path, names: impl Fn(u64) -> PathBuf) -> io::Result<PathBuf> {
    for number in 1.. {
        let name = names(number);
        match rename_to_new(from, &name) {
            Ok(()) => {
                sync_folder(above(&name))?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("there is a number that is not taken")
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
