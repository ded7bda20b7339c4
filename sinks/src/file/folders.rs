//! Folders that are made for files, each safe in the one above before anything is put in it.
//!
//! Another thread or pump may make the same folder at the same moment: that it is there does not say
//! that it is safe. So whoever returns syncs the folders above, and remembers that it did.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How many folders are remembered; after that it begins anew.
const MAX_REMEMBERED: usize = 1_024;

/// Makes folders.
#[derive(Debug, Default)]
pub(super) struct Folders {
    safe: Mutex<HashSet<PathBuf>>,
}

impl Folders {
    /// Makes a folder and those above it. When it returns, all of them outlive a power cut.
    pub(super) fn make(&self, folder: &Path) -> io::Result<()> {
        self.make_with(folder, &sync_folder)
    }

    /// The same with a way to make what a folder holds safe.
    pub(super) fn make_with(&self, folder: &Path, sync: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        let is_there = folder.is_dir();
        if folder == above(folder) || (is_there && self.safe().contains(folder)) {
            return Ok(());
        }
        let parent = above(folder);
        self.make_with(parent, sync)?;
        let is_new = !is_there && make_one(folder)?;
        match sync(parent) {
            // Somebody else's folder, such as one above all of ours, may not be ours to read.
            Err(error) if !is_new && is_refused(&error) => {}
            synced => synced?,
        }
        let mut safe = self.safe();
        if safe.len() >= MAX_REMEMBERED {
            safe.clear();
        }
        safe.insert(folder.to_owned());
        Ok(())
    }

    fn safe(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.safe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder that holds this one or this file; the root and the working folder hold themselves.
pub(super) fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Makes what a folder holds outlive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether it was not there.
fn make_one(folder: &Path) -> io::Result<bool> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match folder.is_dir() {
            true => Ok(false),
            false => Err(io::ErrorKind::NotADirectory.into()),
        },
        Err(error) => Err(error),
    }
}

fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), PermissionDenied | InvalidInput | Unsupported)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_folder_that_another_has_just_made_is_safe_before_it_is_used() {
        let top = TempDir::new().expect("a folder");
        let (a, b) = (top.path().join("a"), top.path().join("a/b"));
        // Another pump has got this far, and has synced nothing yet.
        fs::create_dir_all(&b).expect("made");
        let (folders, synced) = (Folders::default(), RefCell::new(Vec::new()));
        let sync = |folder: &Path| {
            synced.borrow_mut().push(folder.to_owned());
            sync_folder(folder)
        };
        folders.make_with(&b, &sync).expect("it is there");
        assert!(synced.borrow().ends_with(&[top.path().to_owned(), a]), "{synced:?}");
        synced.borrow_mut().clear();
        folders.make_with(&b, &sync).expect("it is there");
        assert_eq!(*synced.borrow(), Vec::<PathBuf>::new(), "once is enough");
    }

    #[test]
    fn a_folder_that_could_not_be_made_safe_is_not_given_out_at_the_next_try_either() {
        let top = TempDir::new().expect("a folder");
        let (folders, folder) = (Folders::default(), top.path().join("a"));
        let failing = |_: &Path| Err(rustix::io::Errno::IO.into());
        for _ in 0..2 {
            let error = folders.make_with(&folder, &failing).expect_err("the disk is bad");
            assert_eq!(error.raw_os_error(), Some(5));
        }
    }

    #[test]
    fn folders_of_others_need_not_be_readable() {
        let top = TempDir::new().expect("a folder");
        let folder = top.path().join("a");
        fs::create_dir(&folder).expect("made");
        let refusing = |_: &Path| Err(io::ErrorKind::PermissionDenied.into());
        Folders::default().make_with(&folder, &refusing).expect("it was there before");
        let error = Folders::default().make_with(&folder.join("new"), &refusing);
        error.expect_err("a new one must be made safe");
    }

    #[test]
    fn many_threads_may_make_the_same_folders() {
        let top = TempDir::new().expect("a folder");
        let folders = Folders::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..50 {
                        let folder = top.path().join(format!("{number}/a/b"));
                        folders.make(&folder).expect("it is made");
                        assert!(folder.is_dir());
                    }
                });
            }
        });
    }
}
