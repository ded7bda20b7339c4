//! Cuts: which records went into a batch that may be at its destination.
//!
//! A sink that names what it writes by the records in it must be given the same batch again after a crash, or the
//! records are there twice under two names. So the cut is stored before the first attempt, and repeated by the next
//! process. A cut is of use until all its places are closed; and since places are closed out of order, those above
//! a lane's cursor are stored as well: a cut of which part is closed cannot be repeated.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Places in the log, as runs that are ascending and apart from each other.
///
/// Written as a list of numbers, two for each run: how far it begins behind the one before, and its length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u64>", try_from = "Vec<u64>")]
pub struct Places(Vec<Range<u64>>);

/// A list of numbers that are no runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("runs of places are pairs of a distance and a length, none empty")]
pub struct PlacesError;

/// One batch that was to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The batch's route.
    pub route: Box<str>,
    /// Its records.
    pub places: Places,
    /// A hash of what shaped the batch, other than which records are in it.
    pub configuration: u64,
}

/// What is remembered of a lane's batches beside its cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuts {
    /// Cuts that are not known to be closed; no place is in two of them.
    pub cuts: Vec<Cut>,
    /// Places above the cursor that are closed.
    pub closed: Places,
}

impl Places {
    /// The runs.
    pub fn runs(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The place after the last; 0 when there is none.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |run| run.end)
    }

    /// Adds a run above all others, or one that touches the last.
    pub fn push(&mut self, run: Range<u64>) {
        match self.0.last_mut() {
            _ if run.is_empty() => {}
            Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
            _ => self.0.push(run),
        }
    }

    /// Adds those places.
    pub fn add(&mut self, others: &Self) {
        let mut runs: Vec<_> = self.0.drain(..).chain(others.0.iter().cloned()).collect();
        runs.sort_unstable_by_key(|run| run.start);
        runs.into_iter().for_each(|run| self.push(run));
    }

    /// Those of these places that lie in a range.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.partition_point(|run| run.end <= range.start);
        let runs = self.0[first..].iter().take_while(move |run| run.start < range.end);
        runs.map(move |run| run.start.max(range.start)..run.end.min(range.end))
    }

    /// Takes out what lies below a place.
    pub fn remove_below(&mut self, place: u64) {
        let gone = self.0.partition_point(|run| run.end <= place);
        self.0.drain(..gone);
        if let Some(first) = self.0.first_mut() {
            first.start = first.start.max(place);
        }
    }

    /// Whether some place is in both.
    pub fn overlaps(&self, others: &Self) -> bool {
        others.0.iter().any(|run| self.within(run.clone()).next().is_some())
    }

    /// Whether all of the others are among these, as far as they are not below a place.
    fn covers(&self, others: &Self, from: u64) -> bool {
        others.within(from..u64::MAX).all(|run| self.within(run.clone()).next() == Some(run))
    }
}

impl FromIterator<Range<u64>> for Places {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(runs: I) -> Self {
        let mut places = Self::default();
        places.add(&Self(runs.into_iter().filter(|run| !run.is_empty()).collect()));
        places
    }
}

impl From<Places> for Vec<u64> {
    fn from(places: Places) -> Self {
        let mut end = 0;
        let pair = |run: Range<u64>| [run.start - std::mem::replace(&mut end, run.end), run.end - run.start];
        places.0.into_iter().flat_map(pair).collect()
    }
}

impl TryFrom<Vec<u64>> for Places {
    type Error = PlacesError;

    fn try_from(numbers: Vec<u64>) -> Result<Self, PlacesError> {
        let (pairs, rest) = numbers.as_chunks();
        let mut places = Self::default();
        for [distance, len] in pairs {
            let start = places.end().checked_add(*distance).ok_or(PlacesError)?;
            let end = start.checked_add(*len).filter(|end| *end > start).ok_or(PlacesError)?;
            places.push(start..end);
        }
        if rest.is_empty() { Ok(places) } else { Err(PlacesError) }
    }
}

impl Cuts {
    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.closed.is_empty()
    }

    /// A batch is about to be delivered. Whatever of its records was in another one is now in this.
    pub fn store(&mut self, cut: Cut) {
        self.cuts.retain(|own| !own.places.overlaps(&cut.places));
        self.cuts.push(cut);
    }

    /// Those places have an outcome.
    pub fn close(&mut self, places: &Places) {
        self.closed.add(places);
    }

    /// Everything below has an outcome, too; what is closed needs not be remembered.
    pub fn pass(&mut self, cursor: u64) {
        self.closed.remove_below(cursor);
        self.cuts.retain(|cut| !self.closed.covers(&cut.places, cursor));
    }
}

#[cfg(test)]
mod tests;
