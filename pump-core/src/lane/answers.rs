//! What the answers to a batch come to, record by record.

use std::time::Duration;

use crate::plugin::{Answer, Answers, Batch};

/// A lane whose last so many records were all rejected is taken for unavailable.
pub(crate) const ALL_REJECTED: usize = 1_000;

/// The answers of one batch, sorted. Numbers count from the batch's first record.
pub(crate) struct Verdicts<'a> {
    answers: &'a Answers,
    /// Delivered and duplicate.
    pub(crate) got_through: usize,
    /// To be sent again: told so, or never answered.
    pub(crate) again: Vec<usize>,
    /// The longest wait that was asked for.
    pub(crate) wait: Option<Duration>,
    pub(crate) rejected: Vec<(usize, &'static str, Box<str>)>,
}

impl<'a> Verdicts<'a> {
    pub(crate) fn of(batch: &Batch, answers: &'a Answers) -> Self {
        let mut verdicts =
            Self { answers, got_through: 0, again: Vec::new(), wait: None, rejected: Vec::new() };
        if answers.all_delivered() && answers.len() >= batch.len() {
            verdicts.got_through = batch.len();
            return verdicts;
        }
        for number in 0..batch.len() {
            match answers.get(number) {
                Some(Answer::Delivered | Answer::Duplicate) => verdicts.got_through += 1,
                Some(Answer::Rejected { code, detail }) => {
                    verdicts.rejected.push((number, code, detail.clone()));
                }
                Some(Answer::Retry(wait)) => {
                    verdicts.wait = verdicts.wait.max(*wait);
                    verdicts.again.push(number);
                }
                None => verdicts.again.push(number),
            }
        }
        verdicts
    }

    pub(crate) fn is_delivered(&self, number: usize) -> bool {
        self.answers.get(number) == Some(&Answer::Delivered)
    }

    pub(crate) fn is_duplicate(&self, number: usize) -> bool {
        self.answers.get(number) == Some(&Answer::Duplicate)
    }
}
