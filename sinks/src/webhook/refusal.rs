//! What it means when a receiver says no, or nothing.

use pump_core::plugin::SinkError;

use super::client::Reply;
use crate::http;

/// Why a request was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Every request would meet it.
    All(SinkError),
    /// It may be about this one.
    One(SinkError),
    /// What was sent is wrong; the receiver's words.
    Content(String),
}

/// From an answer that is no 2xx.
pub(super) fn refusal(reply: &Reply) -> Refusal {
    let Reply { status, wait, elsewhere, said } = reply;
    let separator = if said.is_empty() { "" } else { ": " };
    let said = format!("status {status}{separator}{said}");
    let refused = |message: &'static str, said| Refusal::All(SinkError::unavailable(message, said));
    match status {
        300..=399 => {
            let to = elsewhere.as_ref().map_or(said, |to| format!("status {status}, to {to}"));
            refused("the receiver sends us elsewhere, where we do not go: check `url`", to)
        }
        401 | 407 => refused("the credentials are refused: check `auth`, `headers` and `signature`", said),
        402 | 403 => refused("the receiver does not let us: check the rights that we have there", said),
        404 | 410 => refused("there is no receiver at this address: check `url`", said),
        405 | 406 | 411 | 415 | 417 | 421 | 426 | 431 => refused(
            "the receiver does not take such requests: check `url`, `encoding`, `compression` and `headers`",
            said,
        ),
        413 => {
            Refusal::One(SinkError::too_large(format!("the receiver takes no requests of this size: {said}")))
        }
        // 409: a request with this key is still under way there.
        408 | 409 | 423 | 425 | 429 | 500..=599 => {
            let error = SinkError::retry("the receiver cannot take it now", said);
            match wait {
                Some(wait) => Refusal::All(error.after(*wait)),
                None if matches!(status, 429 | 503) => Refusal::All(error),
                None => Refusal::One(error),
            }
        }
        400..=499 => Refusal::Content(said),
        _ => Refusal::One(SinkError::retry("the receiver answers what no receiver should", said)),
    }
}

/// From an attempt that got no answer. The address is not shown.
pub(super) fn lost(error: reqwest::Error) -> Refusal {
    let error = error.without_url();
    let said = http::causes(&error);
    if error.is_timeout() {
        // Whoever reads it looks for a slow server and not for a wrong address.
        Refusal::One(SinkError::retry("no answer in time", said))
    } else if !error.is_connect() {
        Refusal::One(SinkError::retry("the connection was lost before the answer", said))
    } else if said.contains("dns error") {
        Refusal::All(SinkError::unavailable("the receiver's name is not known: check `url`", said))
    } else {
        Refusal::All(SinkError::retry("the receiver cannot be reached", said))
    }
}
