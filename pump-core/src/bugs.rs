//! Bugs that tests plant, to show that a simulation finds them.
//!
//! Where a bug would be, the code asks [`is`]. Without the feature `planted-bugs` that is never so, known when it is
//! compiled, and nothing is left of it. With the feature a bug is there for as long as a test holds what [`plant`]
//! gave it, and only in the thread of that test: others run beside it undisturbed.

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The disk log tells sources that a chunk is safe before it is synced.
    SettleBeforeSync,
    /// A batch that failed is counted as delivered.
    DroppedBatchIsDelivered,
    /// What is settled is trimmed from a segment by how many records that is, not up to which offset.
    RelativeTrim,
    /// A lane's cursor moves over places that are still open.
    CursorOverGap,
    /// A sink is told that a cut is durable when it is only written.
    CutNotDurable,
}

/// Whether the bug is planted in this thread.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_: Bug) -> bool {
    false
}

/// Whether the bug is planted in this thread.
#[cfg(feature = "planted-bugs")]
pub fn is(bug: Bug) -> bool {
    planted::is(bug)
}

#[cfg(feature = "planted-bugs")]
pub use planted::{Planted, plant};

#[cfg(feature = "planted-bugs")]
mod planted {
    use std::cell::Cell;
    use std::marker::PhantomData;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Takes the bug out again when it is dropped.
    #[derive(Debug)]
    pub struct Planted(PhantomData<*const ()>);

    /// Plants one bug in this thread, in the place of any other.
    #[must_use = "the bug is there for as long as this is held"]
    pub fn plant(bug: Bug) -> Planted {
        PLANTED.set(Some(bug));
        Planted(PhantomData)
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }

    pub(super) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}
