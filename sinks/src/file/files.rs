//! The open files of the sink, by route.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pump_core::template::Template;
use tracing::warn;

use super::config::{Compression, FileConfig};
use super::folders::Folders;
use super::frame::frame;
use super::part::Part;
use super::recovery::Territory;
use super::waiter::Waiter;
use crate::encoding::Encoding;

/// How many files may be open; beyond it the one that was not written for the longest is finished.
const MAX_OPEN: usize = 64;

/// The open files, each behind its own lock: deliveries to different routes run side by side.
pub(super) struct Files {
    encoding: Encoding,
    compression: Compression,
    template: Template,
    max_size: u64,
    max_age: Duration,
    root: PathBuf,
    /// How many folders the path's varying part may add to the root.
    depth: usize,
    folders: Folders,
    open: Mutex<HashMap<Box<str>, Slot>>,
    /// Whether something may have been left behind that nobody looked for yet.
    is_recovery_due: AtomicBool,
    /// Held by who looks.
    recovering: Mutex<()>,
}

struct Slot {
    route: Arc<Mutex<Route>>,
    used: Instant,
}

/// A route's file, if it is open.
#[derive(Default)]
pub(super) struct Route {
    part: Option<Part>,
    /// It was closed to make room: nobody else finds it any more, so nothing may be put in it.
    is_retired: bool,
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
            encoding: config.encoding,
            compression: config.compression,
            template,
            max_size: config.rotate.max_size.bytes(),
            max_age: config.rotate.max_age.get(),
            root: if root.as_os_str().is_empty() { ".".into() } else { root },
            depth,
            folders: Folders::default(),
            open: Mutex::default(),
            is_recovery_due: AtomicBool::default(),
            recovering: Mutex::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Appends one frame to the route's file; nothing if nobody waits for it any more.
    pub(super) fn append(&self, name: &str, pieces: Vec<Bytes>, waiter: &mut Waiter) -> io::Result<()> {
        loop {
            let shared = self.route(name);
            let mut route = lock(&shared);
            // Both may have come to pass while this thread waited for the lock.
            if waiter.is_gone() {
                return Ok(());
            }
            if !route.is_retired {
                return self.append_to(&mut route, name, pieces, waiter);
            }
        }
    }

    fn append_to(
        &self,
        route: &mut Route,
        name: &str,
        mut pieces: Vec<Bytes>,
        waiter: &mut Waiter,
    ) -> io::Result<()> {
        let part = match &mut route.part {
            Some(part) => part,
            None => {
                let part = Part::open(&self.target(name), &self.folders, self.compression)?;
                route.part.insert(part)
            }
        };
        if part.length() == 0 && self.encoding == Encoding::Csv {
            pieces.insert(0, Bytes::from_static(crate::encoding::CSV_HEADER));
        }
        let frame = frame(pieces, self.compression)?;
        part.append(&frame, || waiter.tell())?;
        if part.length() >= self.max_size || part.age() >= self.max_age {
            // The delivery is answered, so this is no failure of it.
            let _ = self.finish_one(route.part.take());
        }
        Ok(())
    }

    /// Whether the folder is there and can be written.
    pub(super) fn probe(&self) -> io::Result<()> {
        self.folders.make(&self.root)?;
        rustix::fs::access(&self.root, rustix::fs::Access::WRITE_OK)?;
        Ok(())
    }

    /// The next [`Self::recover`] is to look.
    pub(super) fn request_recovery(&self) {
        self.is_recovery_due.store(true, Ordering::Relaxed);
    }

    /// Finishes what a crash left behind, if that was asked for and has not succeeded yet. A second caller
    /// waits for the first.
    pub(super) fn recover(&self) -> io::Result<()> {
        let _only = lock(&self.recovering);
        if !self.is_recovery_due.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let is_ours = &|target: &Path| self.is_ours(target);
        let territory = Territory { compression: self.compression, is_ours };
        let recovered = territory.recover_below(&self.root, self.depth);
        if recovered.is_err() {
            self.request_recovery();
        }
        recovered
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
        match self.compression {
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

    /// One file that fails keeps no other from being finished: the first error is returned.
    fn finish(&self, is_due: impl Fn(&Part) -> bool) -> io::Result<()> {
        let routes: Vec<_> = self.open().values().map(|slot| slot.route.clone()).collect();
        let mut outcome = Ok(());
        for route in routes {
            let mut route = lock(&route);
            if route.part.as_ref().is_some_and(&is_due) {
                outcome = outcome.and(self.finish_one(route.part.take()));
            }
        }
        outcome
    }

    /// Gives a file its final name. When that fails its records are safe, but the name is not final: it
    /// is from now on a file left behind, which the next look finishes.
    fn finish_one(&self, part: Option<Part>) -> io::Result<()> {
        let Some(part) = part else { return Ok(()) };
        let path = part.path().to_owned();
        let finished = part.finish().map(drop);
        if let Err(error) = &finished {
            warn!(path = %path.display(), error = %error, "a file is safe but could not be given its final name");
            self.request_recovery();
        }
        finished
    }

    /// The route of this name; makes room for it if there is none.
    pub(super) fn route(&self, name: &str) -> Arc<Mutex<Route>> {
        let mut open = self.open();
        if let Some(slot) = open.get_mut(name) {
            slot.used = Instant::now();
            return slot.route.clone();
        }
        let mut retired = None;
        if open.len() >= MAX_OPEN {
            let oldest = open.iter().min_by_key(|(_, slot)| slot.used).map(|(name, _)| name.clone());
            retired = oldest.and_then(|name| open.remove(&name));
        }
        let route = Arc::<Mutex<Route>>::default();
        open.insert(name.into(), Slot { route: route.clone(), used: Instant::now() });
        drop(open);
        if let Some(slot) = retired {
            let mut retired = lock(&slot.route);
            retired.is_retired = true;
            // The delivery that makes room has nothing to do with this file.
            let _ = self.finish_one(retired.part.take());
        }
        route
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
