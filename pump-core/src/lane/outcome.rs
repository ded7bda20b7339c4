//! What becomes of records once an attempt has ended: closed, tried again, or put among the dead
//! letters.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::answers::{self, Verdicts};
use super::retry::{Failure, History, Verdict};
use super::waiting::Pending;
use super::{Done, Lane, LaneParts, Span};
use crate::accounting::Outcome;
use crate::bugs::{self, Bug};
use crate::dead_letter::DeadLetter;
use crate::log::Places;
use crate::plugin::{Answers, Batch, SinkError, SinkErrorKind};
use crate::record::Timestamp;
use crate::statistics::LaneState;

impl Lane {
    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Probed(result) => self.probed(result),
            Done::Buried { batch, numbers } => {
                self.in_flight -= 1;
                let mut buried = numbers.iter().copied().peekable();
                self.close_numbers(&batch, Outcome::DeadLettered, |number| {
                    buried.next_if_eq(&number).is_some()
                });
            }
            Done::Delivered { batch, history, span, result } => {
                self.in_flight -= 1;
                match result {
                    Ok(answers) => self.answered(batch, history, span, &answers),
                    Err(error) => self.failed(batch, history, span, &error),
                }
            }
        }
    }

    fn answered(&mut self, batch: Arc<Batch>, history: History, span: Span, answers: &Answers) {
        let now = Instant::now();
        let LaneParts { id, statistics, .. } = &self.parts;
        statistics.delivered(*id, span.ended - span.began, batch.size());
        let verdicts = Verdicts::of(&batch, answers);
        self.learn(span, !verdicts.again.is_empty());
        self.close_numbers(&batch, Outcome::Delivered, |number| verdicts.is_delivered(number));
        self.close_numbers(&batch, Outcome::Duplicate, |number| verdicts.is_duplicate(number));
        if verdicts.got_through > 0 {
            self.last_delivered = Some(now);
            self.rejected_run = 0;
            self.availability.got_through(now);
            self.observe_latency(&batch);
            self.set_state(LaneState::Delivering, None);
        }
        let mut again = verdicts.again;
        if let Some((_, code, detail)) = verdicts.rejected.first() {
            self.rejected_run += verdicts.rejected.len();
            if self.rejected_run >= answers::ALL_REJECTED && verdicts.got_through == 0 {
                let reason =
                    format!("the last {} records were all rejected: {code}: {detail}", self.rejected_run);
                again.extend(verdicts.rejected.iter().map(|(number, ..)| *number));
                again.sort_unstable();
                self.pause(&reason);
            } else {
                self.bury(&batch, verdicts.rejected);
            }
        }
        if again.is_empty() {
            return;
        }
        let mut numbers = again.iter().copied().peekable();
        if let Some(rest) = batch.subset(|number| numbers.next_if_eq(&number).is_some()) {
            let is_part = rest.len() < batch.len();
            self.parts
                .statistics
                .update(self.parts.id, |lane| *lane.retries.entry("answer").or_default() += 1);
            self.try_again(Arc::new(rest), history, verdicts.wait, is_part);
        }
    }

    fn failed(&mut self, batch: Arc<Batch>, history: History, span: Span, error: &SinkError) {
        let text = error.to_string();
        warn!(sink = &*self.parts.name, records = batch.len(), error = text, "delivery failed");
        let reason = match error.kind() {
            SinkErrorKind::Retry => "error",
            SinkErrorKind::TooLarge => "too_large",
            SinkErrorKind::Unavailable => "unavailable",
        };
        self.parts.statistics.update(self.parts.id, |lane| *lane.retries.entry(reason).or_default() += 1);
        match error.kind() {
            SinkErrorKind::Unavailable => {
                self.pause(&text);
                let not_before = Instant::now();
                self.waiting.push(Pending { batch, history, not_before, keeps_slot: true, is_stored: true });
            }
            SinkErrorKind::TooLarge if batch.len() > 1 => self.halve(&batch, history),
            SinkErrorKind::TooLarge => self.bury(&batch, vec![(0, "too_large", text.into())]),
            SinkErrorKind::Retry if bugs::is(Bug::DroppedBatchIsDelivered) => {
                self.close_numbers(&batch, Outcome::Delivered, |_| true);
            }
            SinkErrorKind::Retry => {
                self.learn(span, true);
                self.set_state(LaneState::Retrying, Some(text.into()));
                self.try_again(batch, history, error.wait(), false);
            }
        }
    }

    /// What an attempt that has just ended says of how many there should be at once.
    fn learn(&mut self, span: Span, is_refused: bool) {
        let Span { began, ended } = span;
        // As it was before it ended.
        let is_full = self.waiting.is_full(self.in_flight + 1);
        self.adapt(|concurrency| match is_refused {
            true => concurrency.refused(began, ended),
            false => concurrency.answered(began, ended, is_full),
        });
    }

    /// Plans another try of a batch, or gives it up if its time is over.
    fn try_again(&mut self, batch: Arc<Batch>, mut history: History, wait: Option<Duration>, is_part: bool) {
        let failure = Failure {
            now: Instant::now(),
            records: batch.len(),
            stays_whole: self.parts.repeats_batches,
            wait,
            last_delivered: self.last_delivered,
            jitter: self.parts.randomness.fraction(),
        };
        match self.parts.settings.retry.judge(&mut history, failure) {
            Verdict::Again { at } => {
                let keeps_slot = !is_part || !self.waiting.has_room_aside();
                let is_stored = !is_part;
                self.waiting.push(Pending { batch, history, not_before: at, keeps_slot, is_stored });
            }
            Verdict::Halve => self.halve(&batch, history),
            Verdict::GiveUp(reason) => {
                let detail = format!("given up after {} attempts", history.failures);
                let numbers = (0..batch.len()).map(|number| (number, reason, detail.as_str().into()));
                self.bury(&batch, numbers.collect());
            }
        }
    }

    fn halve(&mut self, batch: &Batch, history: History) {
        let half = batch.len().div_ceil(2);
        let halves = [batch.subset(|number| number < half), batch.subset(|number| number >= half)];
        for batch in halves.into_iter().flatten() {
            self.waiting.push(Pending { history, ..Pending::new(batch, Instant::now()) });
        }
    }

    /// Puts records among the dead letters; they keep a slot until they are safe there.
    fn bury(&mut self, batch: &Arc<Batch>, given_up: Vec<(usize, &'static str, Box<str>)>) {
        let LaneParts { name, burial, id_key, .. } = &self.parts;
        let mut numbers = Vec::with_capacity(given_up.len());
        let mut letters = Vec::with_capacity(given_up.len());
        let mut given_up = given_up.into_iter().peekable();
        for (number, (part, index)) in batch.places().enumerate() {
            if let Some((_, reason, detail)) = given_up.next_if(|(own, ..)| *own == number) {
                let record = part.placed.chunk().record(index as usize);
                letters.push(DeadLetter::refused(name, record, id_key, reason, detail));
                numbers.push(number);
            }
        }
        let (name, burial, batch) = (name.clone(), burial.clone(), batch.clone());
        self.in_flight += 1;
        self.work.spawn(async move {
            burial.bury(Some(&name), letters).await;
            Done::Buried { batch, numbers }
        });
    }

    /// Closes those records of a batch, all with the same outcome.
    pub(super) fn close_numbers(
        &mut self,
        batch: &Batch,
        outcome: Outcome,
        mut is_meant: impl FnMut(usize) -> bool,
    ) {
        let mut count = 0;
        let mut closed = Places::default();
        for (number, (part, index)) in batch.places().enumerate() {
            if is_meant(number) {
                let place = part.placed.first + u64::from(index);
                let was_open = self.tracker.close(place);
                debug_assert!(was_open, "a record has one outcome");
                count += usize::from(was_open);
                if self.parts.repeats_batches {
                    closed.push(place..place + 1);
                }
            }
        }
        if count > 0 {
            // Before the cursor moves: a cut of which a part lies below it is then known to be closed.
            if self.parts.repeats_batches {
                self.parts.log.close_places(self.parts.id, &closed);
            }
            self.parts.accounting.lane_closed(self.parts.id, outcome, count);
            self.parts.log.advance(self.parts.id, self.tracker.cursor());
        }
    }

    fn observe_latency(&self, batch: &Batch) {
        let now = Timestamp::now();
        self.parts.statistics.update(self.parts.id, |lane| {
            for part in &batch.parts {
                let Some(index) = part.runs.last().map(|run| run.end as usize - 1) else { continue };
                let record = part.placed.chunk().record(index);
                if let Some(time) = record.view().time(record.received()) {
                    lane.end_to_end.observe(now.seconds_since(time).max(0.0));
                }
            }
        });
    }
}
