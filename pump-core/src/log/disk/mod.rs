//! The log on a disk.

mod storage;

pub use storage::Storage;
