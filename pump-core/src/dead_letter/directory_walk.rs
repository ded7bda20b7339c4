//! A walk through a directory of dead letters, file by file.
//!
//! How long each file is was noted at the beginning, under its lock: so no line is met half written, and
//! what is appended later is not met at all.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use super::archive::{Portion, Walk};
use super::directory::{at, blocking, files, is_still};

/// How much is read at once, at least: a pump's file as a whole, so that it is rewritten once.
const PORTION: u64 = 80 << 20;

/// A walk through the files that were there when it began.
pub(super) struct DirectoryWalk {
    portion: u64,
    files: Vec<Noted>,
    /// The next file, where to go on in it, and the number of the line there.
    next: Place,
    last: Option<(PathBuf, Vec<Bytes>)>,
}

/// A file, and how much of it there was.
#[derive(Clone)]
struct Noted {
    path: PathBuf,
    length: u64,
}

#[derive(Clone, Copy, Default)]
struct Place {
    file: usize,
    offset: u64,
    line: u64,
}

impl DirectoryWalk {
    pub(super) fn begin(directory: &Path) -> io::Result<Self> {
        Self::in_portions(directory, PORTION)
    }

    /// Reads so many bytes at once.
    pub(super) fn in_portions(directory: &Path, portion: u64) -> io::Result<Self> {
        let mut noted = Vec::new();
        for path in files(directory)? {
            if let Some(length) = length_of(&path)? {
                noted.push(Noted { path, length });
            }
        }
        Ok(Self { portion, files: noted, next: Place::default(), last: None })
    }
}

#[async_trait]
impl Walk for DirectoryWalk {
    async fn next(&mut self) -> Result<Option<Portion>, StoreError> {
        while let Some(Noted { path, length }) = self.files.get(self.next.file).cloned() {
            let (offset, portion) = (self.next.offset, self.portion);
            let place = path.clone();
            let read = blocking(move || read_lines(&path, offset..length, portion)).await.unwrap_or_else(Err);
            let (lines, end) = read.map_err(|error| StoreError::Unreadable(at(&place, error)))?;
            let first = self.next.line + 1;
            self.next = match end {
                Some(offset) => Place { offset, line: self.next.line + lines.len() as u64, ..self.next },
                None => Place { file: self.next.file + 1, ..Place::default() },
            };
            if !lines.is_empty() {
                self.last = Some((place.clone(), lines.clone()));
                return Ok(Some(Portion { place: place.display().to_string(), first, lines }));
            }
        }
        self.last = None;
        Ok(None)
    }

    async fn remove(&mut self, numbers: &[usize]) -> Result<usize, StoreError> {
        let Some((path, lines)) = self.last.take().filter(|_| !numbers.is_empty()) else { return Ok(0) };
        let gone: HashSet<Bytes> = numbers.iter().filter_map(|number| lines.get(*number).cloned()).collect();
        let place = path.clone();
        let removed = blocking(move || remove_lines(&path, &gone)).await.unwrap_or_else(Err);
        let removed = removed.map_err(|error| StoreError::Unremovable(at(&place, error)))?;
        // What follows in this file has moved towards its beginning.
        if let Some(index) = self.files.iter().position(|file| file.path == place) {
            let file = &mut self.files[index];
            file.length = file.length.saturating_sub(removed.bytes);
            if index == self.next.file {
                self.next.offset = self.next.offset.saturating_sub(removed.bytes);
                self.next.line = self.next.line.saturating_sub(removed.lines as u64);
            }
        }
        Ok(removed.lines)
    }

    fn rewind(&mut self) {
        (self.next, self.last) = (Place::default(), None);
    }
}

/// How long a file is while nobody appends to it; `None` when it has gone.
fn length_of(path: &Path) -> io::Result<Option<u64>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    flock(&file, FlockOperation::LockShared)?;
    Ok(Some(file.metadata()?.len()))
}

/// The lines from an offset on, and where to go on unless the file is at its end.
fn read_lines(path: &Path, range: Range<u64>, portion: u64) -> io::Result<(Vec<Bytes>, Option<u64>)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Another command has taken its last letter out.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::new();
    loop {
        let wanted = portion.min(range.end.saturating_sub(range.start + bytes.len() as u64));
        let read = (&file).take(wanted).read_to_end(&mut bytes)? as u64;
        if read < wanted || range.start + bytes.len() as u64 >= range.end {
            return Ok((split(bytes.into()), None));
        }
        // A line longer than a portion is no letter, but it is read as one, and so reported.
        if let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
            bytes.truncate(newline + 1);
            let end = range.start + bytes.len() as u64;
            return Ok((split(bytes.into()), Some(end)));
        }
    }
}

fn split(bytes: Bytes) -> Vec<Bytes> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| start + at);
        lines.push(bytes.slice(start..end));
        start = end + 1;
    }
    lines
}

#[derive(Default)]
struct Removed {
    lines: usize,
    bytes: u64,
}

/// Takes lines out of a file: all others, torn ones too, stay as they are.
fn remove_lines(path: &Path, gone: &HashSet<Bytes>) -> io::Result<Removed> {
    let file = loop {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removed::default()),
            Err(error) => return Err(error),
        };
        flock(&file, FlockOperation::LockExclusive)?;
        if is_still(&file, path)? {
            break file;
        }
    };
    // The name is our own for as long as we have the lock; what a crash left there goes.
    let rest_path = path.with_extension("rest");
    let (removed, has_rest) = write_rest(&file, &rest_path, gone).inspect_err(|_| {
        // What cannot be taken away now is taken away before the next rest is written.
        let _ = remove_if_there(&rest_path);
    })?;
    match (removed.lines, has_rest) {
        (0, _) => remove_if_there(&rest_path)?,
        (_, true) => fs::rename(&rest_path, path)?,
        (_, false) => fs::remove_file(path)?,
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(removed)
}

/// Writes what stays, synced; returns what does not, and whether anything does. Where nothing stays
/// nothing is written, so that a full disk can be emptied.
fn write_rest(file: &File, rest_path: &Path, gone: &HashSet<Bytes>) -> io::Result<(Removed, bool)> {
    remove_if_there(rest_path)?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut removed, mut rest) = (Removed::default(), None);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if gone.contains(line.strip_suffix(b"\n").unwrap_or(&line)) {
            removed.lines += 1;
            removed.bytes += line.len() as u64;
        } else {
            let writer = match &mut rest {
                Some(writer) => writer,
                None => rest.insert(BufWriter::new(create_rest(file, rest_path)?)),
            };
            writer.write_all(&line)?;
        }
        line.clear();
    }
    let has_rest = rest.is_some();
    if let Some(writer) = rest {
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    }
    Ok((removed, has_rest))
}

/// A new file of the same owner: whoever kept the letters must be able to read them later too.
fn create_rest(file: &File, rest_path: &Path) -> io::Result<File> {
    let rest = OpenOptions::new().write(true).create_new(true).mode(0o600).open(rest_path)?;
    let (own, old) = (rest.metadata()?, file.metadata()?);
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        fchown(&rest, Some(old.uid()), Some(old.gid()))?;
    }
    Ok(rest)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
