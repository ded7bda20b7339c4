//! What a sink says of the records of one batch.

use std::time::Duration;

/// What a sink says of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is there, as safe as the sink can make it.
    Delivered,
    /// It was there already: an earlier attempt got through.
    Duplicate,
    /// Not now; again, after this long at the least where the destination said so.
    Retry(Option<Duration>),
    /// Never: it becomes a dead letter.
    Rejected {
        /// A word from a closed set of the sink's, good as a metric's label.
        code: &'static str,
        /// What the destination said, for a person.
        detail: Box<str>,
    },
}

/// One slot per record of the batch, in the batch's order. A slot that was never set means "again":
/// what a sink forgets is delivered twice rather than lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers(Slots);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Slots {
    Delivered(usize),
    Each(Box<[Option<Answer>]>),
}

impl Answers {
    /// All `count` records are delivered.
    pub fn delivered(count: usize) -> Self {
        Self(Slots::Delivered(count))
    }

    /// `count` slots, none set.
    pub fn unset(count: usize) -> Self {
        Self(Slots::Each(vec![None; count].into()))
    }

    /// Sets a slot; an index beyond the batch is ignored.
    pub fn set(&mut self, index: usize, answer: Answer) {
        if let Slots::Delivered(count) = self.0 {
            self.0 = Slots::Each(vec![Some(Answer::Delivered); count].into());
        }
        if let Slots::Each(slots) = &mut self.0
            && let Some(slot) = slots.get_mut(index)
        {
            *slot = Some(answer);
        }
    }

    /// How many slots.
    pub fn len(&self) -> usize {
        match &self.0 {
            Slots::Delivered(count) => *count,
            Slots::Each(slots) => slots.len(),
        }
    }

    /// Whether there are no slots.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every record was delivered, known without looking at each.
    pub(crate) fn all_delivered(&self) -> bool {
        matches!(self.0, Slots::Delivered(_))
    }

    /// A slot; `None` also beyond the end, so that too few answers mean "again" for the rest.
    pub fn get(&self, index: usize) -> Option<&Answer> {
        match &self.0 {
            Slots::Delivered(count) => (index < *count).then_some(&Answer::Delivered),
            Slots::Each(slots) => slots.get(index).and_then(Option::as_ref),
        }
    }
}
