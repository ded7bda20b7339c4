//! Attempts that wait for reports: which record of which attempt a report is about, and when all are in.
//!
//! librdkafka carries a number with each message and gives it back with the report. The number names the attempt and
//! the record in it, so nothing is allocated for a record. An attempt that was dropped is forgotten, and reports
//! that come for it later are about nothing: its records were not answered, so they come again.

use std::collections::HashMap;

use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

// The attempt and the record's number share the message's number.
const _: () = assert!(usize::BITS >= 64);

/// A record that was not delivered, by its number in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) index: u32,
    pub(super) code: RDKafkaErrorCode,
}

/// What was reported of an attempt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Which records are delivered.
    pub(super) delivered: Box<[bool]>,
    pub(super) delivered_count: usize,
    /// Of the others those that were reported.
    pub(super) failures: Vec<Failure>,
    /// And those that were too large to be sent at all, with their sizes in bytes.
    pub(super) oversized: Vec<(u32, usize)>,
}

/// All attempts of a producer's that are under way.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    next: u32,
    open: HashMap<u32, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    report: Report,
    done: Option<oneshot::Sender<()>>,
}

impl Report {
    /// How many records have one.
    fn count(&self) -> usize {
        self.delivered_count + self.failures.len() + self.oversized.len()
    }
}

impl Attempt {
    fn end_if_complete(&mut self) {
        if self.report.count() == self.report.delivered.len()
            && let Some(done) = self.done.take()
        {
            let _ = done.send(());
        }
    }
}

impl Attempts {
    /// A new attempt with so many records; resolves once each of them is reported.
    pub(super) fn begin(&mut self, count: usize) -> (u32, oneshot::Receiver<()>) {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let (done, all) = oneshot::channel();
        let report = Report { delivered: vec![false; count].into(), ..Report::default() };
        self.open.insert(number, Attempt { report, done: Some(done) });
        (number, all)
    }

    /// What goes with the message of a record.
    pub(super) fn token(attempt: u32, index: usize) -> usize {
        (attempt as usize) << 32 | index & u32::MAX as usize
    }

    /// A message's end.
    pub(super) fn report(&mut self, token: usize, error: Option<RDKafkaErrorCode>) {
        let (number, index) = ((token >> 32) as u32, token as u32);
        let Some(attempt) = self.open.get_mut(&number) else { return };
        let report = &mut attempt.report;
        match (error, report.delivered.get_mut(index as usize)) {
            (None, Some(is_delivered)) => {
                report.delivered_count += usize::from(!*is_delivered);
                *is_delivered = true;
            }
            (Some(code), Some(_)) => report.failures.push(Failure { index, code }),
            (_, None) => {}
        }
        attempt.end_if_complete();
    }

    /// A record that is too large to become a message.
    pub(super) fn too_large(&mut self, token: usize, size: usize) {
        let (number, index) = ((token >> 32) as u32, token as u32);
        let Some(attempt) = self.open.get_mut(&number) else { return };
        attempt.report.oversized.push((index, size));
        attempt.end_if_complete();
    }

    /// How many records of an attempt are delivered so far.
    pub(super) fn delivered(&self, number: u32) -> usize {
        self.open.get(&number).map_or(0, |attempt| attempt.report.delivered_count)
    }

    /// Ends an attempt with what was reported so far.
    pub(super) fn end(&mut self, number: u32) -> Report {
        self.open.remove(&number).map(|attempt| attempt.report).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_done_when_each_record_is_reported() {
        let mut attempts = Attempts::default();
        let (first, mut all_of_first) = attempts.begin(2);
        let (second, _) = attempts.begin(1);
        attempts.report(Attempts::token(first, 1), None);
        attempts.report(Attempts::token(second, 0), None);
        assert!(all_of_first.try_recv().is_err());
        attempts.report(Attempts::token(first, 0), Some(RDKafkaErrorCode::NotEnoughReplicas));
        assert_eq!(all_of_first.try_recv(), Ok(()));
        let report = attempts.end(first);
        assert_eq!(*report.delivered, [false, true]);
        assert_eq!(report.failures, [Failure { index: 0, code: RDKafkaErrorCode::NotEnoughReplicas }]);
        assert_eq!(attempts.end(second).delivered_count, 1);
    }

    #[test]
    fn reports_that_come_after_an_attempt_are_about_nothing() {
        let mut attempts = Attempts::default();
        let (number, _) = attempts.begin(1);
        assert_eq!(attempts.end(number).delivered_count, 0);
        attempts.report(Attempts::token(number, 0), None);
        let (next, _) = attempts.begin(1);
        attempts.report(Attempts::token(number, 0), None);
        attempts.report(Attempts::token(next, 7), None);
        assert_eq!(attempts.end(next).delivered_count, 0);
        assert_eq!(attempts.len(), 0);
    }
}
