//! What it means when a cluster refuses a request as a whole.

use pump_core::plugin::SinkError;
use serde::Deserialize;

use super::client::Reply;
use super::reply::Cause;
use crate::http::words;

/// The error for a reply that is no success.
pub(super) fn refusal(reply: &Reply) -> SinkError {
    let Reply { status, wait, body } = reply;
    let cause = read(body);
    let said = cause.as_ref().map_or_else(|| words(&String::from_utf8_lossy(body)), ToString::to_string);
    let said = format!("status {status}: {said}");
    let error = match status {
        413 => SinkError::too_large(format!("the cluster takes no requests of this size: {said}")),
        _ if cause.as_ref().is_some_and(Cause::is_of_the_index) => {
            SinkError::unavailable("the index cannot be written", said)
        }
        401 => SinkError::unavailable("the credentials are refused: check `auth`", said),
        403 => SinkError::unavailable("the cluster does not let us: check the rights of `auth`", said),
        404 => SinkError::unavailable("what is asked for is not there: check `endpoints` and `index`", said),
        300..=399 => SinkError::unavailable("the cluster is somewhere else: check `endpoints`", said),
        _ => SinkError::retry("the cluster refuses the request", said),
    };
    match wait {
        Some(wait) => error.after(*wait),
        None => error,
    }
}

/// The server's own error; `None` when the reply is not from such a server, or says it otherwise.
fn read(body: &[u8]) -> Option<Cause<'_>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Cause<'a>,
    }
    serde_json::from_slice::<Body<'_>>(body).ok().map(|body| body.error)
}
