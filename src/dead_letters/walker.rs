//! From a walk's lines to letters, with a word to the operator about what is none.

use anyhow::Context;
use bytes::Bytes;
use pump_core::dead_letter::{DeadLetter, Portion, Walk};
use pump_core::record::Timestamp;

/// How many lines that are no letters are named one by one.
const MAX_NAMED: usize = 5;

/// A letter with its line.
pub(super) struct Found {
    pub(super) letter: DeadLetter,
    pub(super) at: Timestamp,
    pub(super) line: Bytes,
    /// In its portion.
    pub(super) number: usize,
}

/// Lines that are no letters.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    named: Vec<String>,
    pub(super) count: usize,
}

impl Unreadable {
    fn note(&mut self, portion: &Portion, number: usize, error: &impl std::fmt::Display) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            let line = portion.first + number as u64;
            self.named.push(format!("{}, line {line}: {error}", portion.place));
        }
    }

    /// Says on standard error what was met and stays.
    pub(super) fn report(&self) {
        for named in &self.named {
            eprintln!("warning: {named}");
        }
        match self.count - self.named.len() {
            0 => {}
            more => eprintln!("warning: and {more} more such lines"),
        }
        if self.count > 0 {
            eprintln!("warning: {} lines are no letters that this release can read; they stay", self.count);
        }
    }
}

/// The letters of the next portion; `None` at the end.
pub(super) async fn next(
    walk: &mut dyn Walk,
    unreadable: &mut Unreadable,
) -> anyhow::Result<Option<Vec<Found>>> {
    let Some(portion) = walk.next().await.context("the letters cannot be gone through")? else {
        return Ok(None);
    };
    let mut found = Vec::with_capacity(portion.lines.len());
    for (number, line) in portion.lines.iter().enumerate() {
        match DeadLetter::from_line(line) {
            Ok((letter, at)) => found.push(Found { letter, at, line: line.clone(), number }),
            Err(error) => unreadable.note(&portion, number, &error),
        }
    }
    Ok(Some(found))
}
