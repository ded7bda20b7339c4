//! Large buffers that are used again.
//!
//! The encoding of a chunk takes megabytes and lives for as long as its slowest delivery. Taken from the
//! allocator each time, such buffers cost a page fault for every 4 KiB, and the holes that they leave
//! made the process half as large again as what it held. So a few of them wait for their next use.
//!
//! Each is reserved far larger than it is ever filled. Allocators map a reservation of that size by
//! itself: what is not touched costs nothing, and what is freed goes back to the system at once.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// How many buffers wait for their next use: as many as one delivery of the default size gives back.
const MAX_IDLE: usize = 3;
/// What is reserved for each. glibc maps by itself, whatever has been freed before, from 32 MiB on.
const RESERVED: usize = 33 << 20;
/// How much of an idle buffer may have been touched.
const MAX_TOUCHED: usize = 8 << 20;

/// A pool of buffers. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct BufferPool(Arc<Mutex<Vec<Vec<u8>>>>);

impl BufferPool {
    /// An empty buffer of at least this capacity in bytes.
    pub(crate) fn take(&self, capacity: usize) -> Vec<u8> {
        let mut buffer = self.idle().pop().unwrap_or_default();
        if buffer.capacity() < capacity {
            buffer = Vec::with_capacity(capacity.max(RESERVED));
        }
        buffer
    }

    /// The buffer as shared bytes; it comes back here when the last of them is dropped.
    pub(crate) fn share(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that others read.
struct Lent {
    buffer: Vec<u8>,
    home: BufferPool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let is_small = buffer.len() <= MAX_TOUCHED && buffer.capacity() >= RESERVED;
        let mut idle = self.home.idle();
        if is_small && idle.len() < MAX_IDLE {
            buffer.clear();
            idle.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_once_nobody_reads_it() {
        let buffers = BufferPool::default();
        let mut buffer = buffers.take(100);
        buffer.extend_from_slice(b"first");
        let place = buffer.as_ptr().addr();
        let shared = buffers.share(buffer);
        let part = shared.slice(1..3);
        drop(shared);
        let other = buffers.take(100);
        assert_ne!(other.as_ptr().addr(), place, "somebody still reads it");
        assert_eq!(part, &b"ir"[..]);
        drop(part);
        let again = buffers.take(100);
        assert_eq!((again.as_ptr().addr(), again.len()), (place, 0));
    }

    #[test]
    fn neither_many_nor_much_is_kept() {
        let buffers = BufferPool::default();
        let taken: Vec<_> = (0..10).map(|_| buffers.take(1)).collect();
        taken.into_iter().for_each(|buffer| drop(buffers.share(buffer)));
        assert_eq!(buffers.idle().len(), MAX_IDLE);
        let mut large = buffers.take(1);
        large.resize(MAX_TOUCHED + 1, 0);
        let idle = buffers.idle().len();
        drop(buffers.share(large));
        assert_eq!(buffers.idle().len(), idle);
    }
}
