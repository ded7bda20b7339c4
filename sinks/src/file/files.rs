//! The open files of the sink, by route.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pump_core::template::Template;

use super::config::{Compression, FileConfig};
use super::frame::frame;
use super::part::{Part, Shape, create_directories, recover_below};
use crate::encoding::Encoding;

/// How many files may be open; beyond it the one that was not written for the longest is finished.
const MAX_OPEN: usize = 64;

/// The open files, each behind its own lock: deliveries to different routes run side by side.
pub(super) struct Files {
    shape: Shape,
    template: Template,
    max_size: u64,
    max_age: Duration,
    root: PathBuf,
    /// How many folders the path's varying part may add to the root.
    depth: usize,
    open: Mutex<HashMap<Box<str>, Slot>>,
}

struct Slot {
    part: Arc<Mutex<Option<Part>>>,
    used: Instant,
}

impl Files {
    pub(super) fn new(config: &FileConfig, template: Template) -> Self {
        let path = Path::new(&config.path);
        // Folders down to the first one whose name varies.
        let varies = |name: &std::ffi::OsStr| name.to_string_lossy().contains(['%', '{']);
        let parent = path.parent().unwrap_or(Path::new(""));
        let root: PathBuf = parent.components().take_while(|part| !varies(part.as_os_str())).collect();
        let depth = parent.components().count() - root.components().count();
        Self {
            shape: Shape { encoding: config.encoding, compression: config.compression },
            template,
            max_size: config.rotate.max_size.bytes(),
            max_age: config.rotate.max_age.get(),
            root: if root.as_os_str().is_empty() { ".".into() } else { root },
            depth,
            open: Mutex::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Appends one frame to the route's file; see [`Part::append`] for `commit`.
    pub(super) fn append(
        &self,
        route: &str,
        mut pieces: Vec<Bytes>,
        commit: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        let shared = self.slot(route)?;
        let mut slot = lock(&shared);
        let part = match &mut *slot {
            Some(part) => part,
            None => slot.insert(Part::open(&self.target(route), self.shape)?),
        };
        if part.length() == 0 && self.shape.encoding == Encoding::Csv {
            pieces.insert(0, Bytes::from_static(crate::encoding::CSV_HEADER));
        }
        let frame = frame(pieces, self.shape.compression)?;
        part.append(&frame, commit)?;
        // Nobody else knows the file when it was closed to make room while this thread waited for it.
        let is_orphan = Arc::strong_count(&shared) == 1;
        if is_orphan || part.length() >= self.max_size || part.age() >= self.max_age {
            slot.take().map_or(Ok(None), Part::finish)?;
        }
        Ok(())
    }

    /// Whether the folder is there and can be written.
    pub(super) fn probe(&self) -> io::Result<()> {
        create_directories(&self.root)?;
        rustix::fs::access(&self.root, rustix::fs::Access::WRITE_OK)?;
        Ok(())
    }

    /// Finishes what a crash left behind.
    pub(super) fn recover(&self) -> io::Result<()> {
        recover_below(&self.root, self.depth, self.shape, &|target| self.is_ours(target))
    }

    /// Whether a file of that final name, before it got its time and number, could be this sink's.
    fn is_ours(&self, target: &Path) -> bool {
        let Some(target) = target.to_str() else { return false };
        // The root of a relative path may have been walked as `./…`.
        let target = target.strip_prefix("./").unwrap_or(target);
        let ending = self.ending();
        let without = target.strip_suffix(ending).filter(|_| !ending.is_empty());
        let is_whole = |route: &str| self.template.could_give(route);
        match without {
            Some(route) => is_whole(route) || is_whole(target),
            None => ending.is_empty() && is_whole(target),
        }
    }

    fn ending(&self) -> &'static str {
        match self.shape.compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    pub(super) fn rotate_by_age(&self) -> io::Result<()> {
        self.finish(|part| part.age() >= self.max_age)
    }

    pub(super) fn finish_all(&self) -> io::Result<()> {
        self.finish(|_| true)
    }

    fn finish(&self, is_due: impl Fn(&Part) -> bool) -> io::Result<()> {
        let slots: Vec<_> = self.open().values().map(|slot| slot.part.clone()).collect();
        for slot in slots {
            let mut slot = lock(&slot);
            if slot.as_ref().is_some_and(&is_due)
                && let Some(part) = slot.take()
            {
                part.finish()?;
            }
        }
        Ok(())
    }

    fn slot(&self, route: &str) -> io::Result<Arc<Mutex<Option<Part>>>> {
        let mut open = self.open();
        if let Some(slot) = open.get_mut(route) {
            slot.used = Instant::now();
            return Ok(slot.part.clone());
        }
        let mut finished = None;
        if open.len() >= MAX_OPEN {
            let oldest = open.iter().min_by_key(|(_, slot)| slot.used).map(|(route, _)| route.clone());
            finished = oldest.and_then(|route| open.remove(&route));
        }
        let part = Arc::new(Mutex::new(None));
        open.insert(route.into(), Slot { part: part.clone(), used: Instant::now() });
        drop(open);
        if let Some(slot) = finished
            && let Some(part) = lock(&slot.part).take()
        {
            part.finish()?;
        }
        Ok(part)
    }

    fn target(&self, route: &str) -> PathBuf {
        let ending = self.ending();
        if route.ends_with(ending) { route.into() } else { format!("{route}{ending}").into() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Box<str>, Slot>> {
        lock(&self.open)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
