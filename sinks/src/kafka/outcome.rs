//! What reports mean: for each record, and for the attempt as a whole.
//!
//! An error of librdkafka's or a broker's is about one record, about the place where it goes, or about nothing that
//! will last. A record's own error is its answer. What stops every record is the attempt's error, but only when
//! nothing got through: an attempt of which a part is delivered keeps that, and the rest shows its error next time.

use pump_core::plugin::{Answer, Answers, SinkError};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::attempts::{Failure, Report};
use super::troubles::Trouble;

/// What an error means for what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It will pass.
    Passing,
    /// Somebody has to mend something; what.
    Lasting(&'static str),
    /// The set of messages in which the record went was larger than the topic takes.
    TooLarge,
    /// The record itself is refused; why, in a word.
    OfRecord(&'static str),
}

fn meaning(code: Code) -> Meaning {
    use Meaning::{Lasting, OfRecord, Passing, TooLarge};
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => Lasting("the credentials are refused: check `sasl`"),
        Code::SSL => Lasting("there is no TLS with the brokers: check `tls` and the port in `brokers`"),
        Code::Resolve => Lasting("a broker's name is not known: check `brokers`"),
        Code::TopicAuthorizationFailed => {
            Lasting("we may not write to the topic: check the rights of `sasl`")
        }
        Code::ClusterAuthorizationFailed => {
            Lasting("we may not write with idempotence: check the rights of `sasl`")
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Lasting("the topic is not there: create it, or check `topic`")
        }
        Code::InvalidTopic => Lasting("brokers take no topic of this name: check `topic`"),
        Code::UnsupportedCompressionType | Code::UnsupportedForMessageFormat | Code::UnsupportedVersion => {
            Lasting("the brokers are too old for this: check `compression` and `headers`")
        }
        Code::InvalidRequiredAcks | Code::PolicyViolation | Code::SecurityDisabled => {
            Lasting("the brokers do not take what we send: check their log")
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => TooLarge,
        Code::InvalidRecord => OfRecord("invalid_record"),
        Code::InvalidTimestamp => OfRecord("invalid_timestamp"),
        _ => Passing,
    }
}

/// Whether nothing will get through until somebody mends something.
pub(super) fn is_lasting(code: Code) -> bool {
    matches!(meaning(code), Meaning::Lasting(_))
}

/// The error for what a broker or the way to it has.
pub(super) fn trouble(code: Code, said: &str) -> SinkError {
    match meaning(code) {
        Meaning::Lasting(what) => SinkError::unavailable(what, said),
        _ => SinkError::retry("no broker answers", said),
    }
}

/// The error of a request that failed as a whole; what the brokers said explains time-outs.
pub(super) fn error(code: Code, trouble: Option<&Trouble>) -> SinkError {
    match (meaning(code), trouble) {
        (Meaning::Lasting(what), _) => SinkError::unavailable(what, code),
        (Meaning::TooLarge, _) => SinkError::too_large(
            "the topic takes no messages of this size together, which are halved: `batch.size` under `properties` \
             makes sets smaller from the start",
        ),
        (Meaning::OfRecord(_), _) => {
            SinkError::too_large(format!("a record is refused, and halves find it: {code}"))
        }
        (_, Some(trouble)) => trouble.error(),
        (_, None) => SinkError::retry("no broker has confirmed it", code),
    }
}

/// What is said of each record.
pub(super) fn answers(report: &Report, trouble: Option<&Trouble>) -> Result<Answers, SinkError> {
    let count = report.delivered.len();
    if report.delivered_count == count {
        return Ok(Answers::delivered(count));
    }
    let mut answers = Answers::unset(count);
    let mut is_answered = false;
    // Of a set of messages brokers may refuse all for one; that it was not this one is then said of the others.
    let is_said_of_each =
        count == 1 || report.failures.iter().any(|failure| failure.code == Code::InvalidDifferentRecord);
    for index in (0..count).filter(|index| report.delivered[*index]) {
        answers.set(index, Answer::Delivered);
        is_answered = true;
    }
    for Failure { index, code } in &report.failures {
        let index = *index as usize;
        let answer = match meaning(*code) {
            Meaning::OfRecord(word) if is_said_of_each => rejected(word, code.to_string()),
            _ => Answer::Retry(None),
        };
        is_answered |= matches!(answer, Answer::Rejected { .. });
        answers.set(index, answer);
    }
    for (index, size) in &report.oversized {
        let detail = format!("the message has {size} bytes; librdkafka's `message.max.bytes` is less");
        answers.set(*index as usize, rejected("too_large", detail));
        is_answered = true;
    }
    if is_answered {
        return Ok(answers);
    }
    Err(whole(report, trouble))
}

fn rejected(code: &'static str, detail: String) -> Answer {
    Answer::Rejected { code, detail: detail.into() }
}

/// Nothing got through: the worst that was said.
fn whole(report: &Report, trouble: Option<&Trouble>) -> SinkError {
    let rank = |code: &Code| match meaning(*code) {
        Meaning::Lasting(_) => 2,
        Meaning::Passing => 1,
        Meaning::TooLarge | Meaning::OfRecord(_) => 0,
    };
    // What is too large, or has a wrong record in it, is split only when nothing else is the matter.
    match report.failures.iter().map(|failure| failure.code).max_by_key(rank) {
        Some(code) => error(code, trouble),
        None => match trouble {
            Some(trouble) => trouble.error(),
            None => SinkError::retry("no broker has confirmed it in time", "no report has come"),
        },
    }
}

#[cfg(test)]
mod tests {
    use pump_core::plugin::SinkErrorKind;

    use super::*;

    fn report(delivered: &[bool], failures: &[(u32, Code)]) -> Report {
        Report {
            delivered: delivered.into(),
            delivered_count: delivered.iter().filter(|is_delivered| **is_delivered).count(),
            failures: failures.iter().map(|(index, code)| Failure { index: *index, code: *code }).collect(),
            oversized: Vec::new(),
        }
    }

    #[test]
    fn what_is_delivered_stays_delivered_whatever_the_others_met() {
        for code in [Code::TopicAuthorizationFailed, Code::MessageSizeTooLarge, Code::MessageTimedOut] {
            let answers =
                answers(&report(&[true, false, false], &[(1, code)]), None).expect("a part is there");
            assert_eq!(answers.get(0), Some(&Answer::Delivered));
            assert_eq!(answers.get(1), Some(&Answer::Retry(None)));
            assert_eq!(answers.get(2), None, "no report is no answer");
        }
    }

    #[test]
    fn a_record_that_a_broker_refuses_is_rejected_and_its_neighbours_come_again() {
        let failures = [(0, Code::InvalidDifferentRecord), (1, Code::InvalidRecord)];
        let answers = answers(&report(&[false, false], &failures), None).expect("one is answered");
        assert_eq!(answers.get(0), Some(&Answer::Retry(None)));
        assert!(matches!(answers.get(1), Some(Answer::Rejected { code: "invalid_record", .. })));
    }

    #[test]
    fn of_records_that_are_refused_together_halves_are_made() {
        let refused = |count: usize| {
            let failures: Vec<_> = (0..count).map(|index| (index as u32, Code::InvalidRecord)).collect();
            answers(&report(&vec![false; count], &failures), None)
        };
        assert_eq!(refused(2).expect_err("which one is not said").kind(), SinkErrorKind::TooLarge);
        let answers = refused(1).expect("it is this one");
        assert!(matches!(answers.get(0), Some(Answer::Rejected { code: "invalid_record", .. })));
    }

    #[test]
    fn what_stops_every_record_is_the_attempts_error() {
        use SinkErrorKind::{Retry, TooLarge, Unavailable};
        let refused = Trouble { code: Code::Authentication, said: "no".into() };
        let down = Trouble { code: Code::BrokerTransportFailure, said: "refused".into() };
        for (codes, trouble, kind) in [
            (vec![Code::MessageSizeTooLarge; 2], None, TooLarge),
            (vec![Code::MessageSizeTooLarge, Code::NotEnoughReplicas], None, Retry),
            (vec![Code::MessageTimedOut; 2], None, Retry),
            (vec![Code::MessageTimedOut; 2], Some(&down), Retry),
            (vec![Code::MessageTimedOut; 2], Some(&refused), Unavailable),
            (vec![Code::PurgeQueue; 2], Some(&refused), Unavailable),
            (vec![Code::UnknownTopic, Code::MessageTimedOut], None, Unavailable),
            (vec![Code::TopicAuthorizationFailed], Some(&down), Unavailable),
            (vec![], None, Retry),
            (vec![], Some(&refused), Unavailable),
        ] {
            let failures: Vec<_> = (0..).zip(codes.iter().copied()).collect();
            let error =
                answers(&report(&[false, false], &failures), trouble).expect_err("nothing got through");
            assert_eq!(error.kind(), kind, "{codes:?} {trouble:?}: {error}");
        }
    }
}
