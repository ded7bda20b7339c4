//! Dead letters in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::dead_letter::{DeadLetter, DeadLetterStore, StoreError};

/// Keeps dead letters in memory. A handle.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    letters: Vec<DeadLetter>,
    failures: usize,
}

impl MemoryStore {
    /// What is in it.
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).letters.clone()
    }

    /// Refuses the next so many calls.
    pub fn fail(&self, calls: usize) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).failures = calls;
    }
}

#[async_trait]
impl DeadLetterStore for MemoryStore {
    async fn append(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.failures > 0 {
            state.failures -= 1;
            return Err(StoreError::Full { size: 1, max_size: 1 });
        }
        state.letters.extend_from_slice(letters);
        Ok(())
    }
}
