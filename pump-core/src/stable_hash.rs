//! A hash that is the same in every process and in every release: for what is compared over restarts.
//!
//! HighwayHash (<https://arxiv.org/abs/1612.06257>) with a fixed key. Each text's length is hashed before it, so
//! that no two sequences hash the same bytes.

use highway::{HighwayHash, HighwayHasher, Key};

/// In ASCII "pump stable hash, v1". Changing it changes the names of objects that may be half uploaded.
const KEY: Key = Key([0x7075_6d70_2073_7461, 0x626c_6520_6861_7368, 0x2c20_7631_0000_0000, 0]);

/// Takes texts and numbers in an order that means something.
pub(crate) struct StableHasher(HighwayHasher);

impl StableHasher {
    /// A hasher for one purpose: equal sequences of two purposes have different hashes.
    pub(crate) fn new(purpose: &str) -> Self {
        let mut hasher = Self(HighwayHasher::new(KEY));
        hasher.text(purpose.as_bytes());
        hasher
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.0.append(text);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.append(&number.to_le_bytes());
    }

    pub(crate) fn finish(self) -> u64 {
        self.0.finalize64()
    }

    pub(crate) fn finish_wide(self) -> [u8; 16] {
        let [low, high] = self.0.finalize128();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        bytes
    }
}
