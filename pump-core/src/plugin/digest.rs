//! Which records exactly are in a batch, as a short text.
//!
//! A sink that names what it writes by this digest can tell, when the name is taken, that exactly these records
//! are there. The digest is over where the records came from: source, partition, position, and which record of
//! an entry that holds more than one; in order. It does not depend on how records lay in chunks or in the log, on
//! the pump, or on what is done to their bodies.

use std::fmt;

use super::{Batch, Part};
use crate::stable_hash::StableHasher;

/// What [`Batch::digest`] gives: 16 bytes, written as 32 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchDigest(pub [u8; 16]);

impl fmt::Display for BatchDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Batch {
    /// A digest over the exact records in it, in order: the same in every process and on every pump, and another one
    /// if a record more or less is in it. Made anew at each call, from positions only.
    pub fn digest(&self) -> BatchDigest {
        let mut digester = Digester { hasher: StableHasher::new("batch"), names: None, run: None };
        self.parts.iter().for_each(|part| digester.part(part));
        digester.end_run();
        BatchDigest(digester.hasher.finish_wide())
    }
}

/// What follows in what is hashed: names of source and partition, or a run in them.
const NAMES: u64 = 0;
const RUN: u64 = 1;

/// Hashes runs of consecutive positions rather than positions; where one ends is a matter of the records alone.
struct Digester<'a> {
    hasher: StableHasher,
    /// Source and partition of the run.
    names: Option<(&'a str, &'a str)>,
    run: Option<Run>,
}

struct Run {
    first: u64,
    len: u64,
    /// Which record of its entry each of them is.
    ordinal: u64,
}

impl<'a> Digester<'a> {
    fn part(&mut self, part: &'a Part) {
        let chunk = part.placed.chunk();
        let head = chunk.head();
        let names = (&*head.source, head.partition.name());
        if self.names != Some(names) {
            self.end_run();
            self.hasher.number(NAMES);
            self.hasher.text(names.0.as_bytes());
            self.hasher.text(names.1.as_bytes());
            self.names = Some(names);
        }
        let spans = chunk.spans();
        let mut before: Option<(usize, u64)> = None;
        for index in part.indices().map(|index| index as usize) {
            // The records of an entry follow each other in its chunk.
            let from = before.map_or(0, |(index, _)| index);
            let is_same = |other: &usize| spans[*other].position == spans[index].position;
            let back = (from..index).rev().take_while(is_same).count();
            let ordinal = match before {
                Some((other, ordinal)) if index - back == other => ordinal + back as u64,
                _ => back as u64,
            };
            before = Some((index, ordinal));
            self.record(chunk.record(index).position(), ordinal);
        }
    }

    fn record(&mut self, position: u64, ordinal: u64) {
        match &mut self.run {
            Some(run) if run.ordinal == ordinal && run.first + run.len == position => run.len += 1,
            _ => {
                self.end_run();
                self.run = Some(Run { first: position, len: 1, ordinal });
            }
        }
    }

    fn end_run(&mut self) {
        if let Some(Run { first, len, ordinal }) = self.run.take() {
            [RUN, first, len, ordinal].into_iter().for_each(|number| self.hasher.number(number));
        }
    }
}

#[cfg(test)]
mod tests;
