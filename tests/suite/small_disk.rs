//! A disk that fills up.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory of so many MiB. Gone when dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one there; the test must be root.
    pub(crate) fn mount(path: &Path, mib: u32) -> Self {
        std::fs::create_dir_all(path).expect("a folder");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status();
        assert!(mounted.expect("mount runs").success(), "the test must be root to mount a small disk");
        Self(path.to_owned())
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
