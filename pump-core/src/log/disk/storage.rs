//! What the disk log asks of a disk, in a few calls, so that a simulation can put one there that forgets
//! what was not synced, tears what was half written, or is full.
//!
//! Files are known by name. A name that was created, replaced, renamed or removed is durable when the call
//! has returned; what was written is durable once [`Storage::sync`] has returned without an error, and before
//! that any part of it may be lost, whatever comes after it.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;

/// A directory of files. Every call may fail, and after a failed [`Self::sync`] nobody knows what is durable.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// All files with their lengths in bytes, in the order of their names.
    async fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Makes a new file of that length, which reads as zeros, with room on the disk for all of it: writing
    /// into it later needs none. Fails if the name is taken.
    async fn create(&self, name: &str, len: u64) -> io::Result<()>;

    /// Writes the parts one after the other, from an offset on.
    async fn write(&self, name: &str, offset: u64, parts: Vec<Bytes>) -> io::Result<()>;

    /// Makes durable what was written.
    async fn sync(&self, name: &str) -> io::Result<()>;

    /// At most `len` bytes from an offset on: fewer only where the file ends.
    async fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Bytes>;

    /// Cuts a file off at that length; the cut is durable when this has returned.
    async fn truncate(&self, name: &str, len: u64) -> io::Result<()>;

    /// Replaces a small file as a whole, or makes it: after a crash it has the old content or the new.
    async fn replace(&self, name: &str, content: Bytes) -> io::Result<()>;

    /// Gives a file another name, which must be free.
    async fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. One that is not there is no error.
    async fn remove(&self, name: &str) -> io::Result<()>;
}
