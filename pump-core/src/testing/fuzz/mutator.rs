//! Makes bytes that are nearly right of bytes that are right.
//!
//! Nothing random but the seed: the same seed makes the same bytes on every machine and in every version,
//! which a generator of a library does not promise.

/// What lengths, counts and kinds go wrong at.
const EDGES: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
];
/// What is made is at most this long: larger inputs find little more, and cost much more.
const MAX_LEN: usize = 16 << 10;
const MAX_CHANGES: usize = 6;
const MAX_RUN: usize = 64;

/// Changes bytes; a seed says how.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The same seed makes the same changes.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// One of the corpus's inputs, changed in some places; `corpus` is not empty.
    pub fn next_input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let seed = &corpus[self.below(corpus.len())];
        let mut bytes = seed[..seed.len().min(MAX_LEN)].to_vec();
        for _ in 0..=self.below(MAX_CHANGES) {
            let other = &corpus[self.below(corpus.len())];
            self.change(&mut bytes, other);
        }
        bytes.truncate(MAX_LEN);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let len = 1 + self.below(MAX_RUN);
        let end = bytes.len().min(at + len);
        match self.below(10) {
            0 | 1 => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            2 => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte = self.next() as u8),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let byte = self.next() as u8;
                bytes.splice(at..at, std::iter::repeat_n(byte, len));
            }
            7 | 8 => self.number(&mut bytes[at..]),
            _ => {
                let from = self.below(other.len() + 1);
                let part = &other[from..other.len().min(from + 4 * len)];
                // Half of the time the other's end takes the place of this one's.
                let end = if self.below(2) == 0 { bytes.len() } else { at };
                bytes.splice(at..end, part.iter().copied());
            }
        }
    }

    /// Writes a number that is an edge, or near one, over what stands there, as lengths are written.
    fn number(&mut self, bytes: &mut [u8]) {
        let edge = EDGES[self.below(EDGES.len())];
        let number = edge.wrapping_add(self.below(3) as u64).wrapping_sub(1);
        let width = 1 << self.below(4);
        let Some(slot) = bytes.get_mut(..width) else { return };
        if self.below(2) == 0 {
            slot.copy_from_slice(&number.to_le_bytes()[..width]);
        } else {
            slot.copy_from_slice(&number.to_be_bytes()[8 - width..]);
        }
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// SplitMix64 (Steele, Lea and Flood, <https://doi.org/10.1145/2660193.2660195>).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
