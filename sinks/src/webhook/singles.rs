//! A request for each record of a batch, several under way at once, and an answer for each.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pump_core::edit::Scratch;
use pump_core::plugin::{Answer, Answers, Batch, Deadline, Entry, SinkError, SinkErrorKind};
use tracing::debug;

use super::client::Client;
use super::form::Form;
use super::refusal::Refusal;
use crate::http::hex;

/// How many requests are under way at once within one delivery.
const AT_ONCE: usize = 8;
/// An attempt that ran out of time would lose the answers that are there, so ours ends a little earlier.
const MARGIN: Duration = Duration::from_secs(1);

/// Delivers what can be delivered. An error only when nothing got through or was rejected: then there are no
/// answers to lose.
pub(super) async fn deliver(
    client: &Client,
    form: &Form,
    batch: &Batch,
    deadline: Deadline,
) -> Result<Answers, SinkError> {
    let remaining = deadline.remaining();
    let deadline = Deadline::after(remaining - MARGIN.min(remaining / 10));
    let mut entries = entries(batch).await?.into_iter().enumerate();
    let mut scratch = Scratch::default();
    let mut under_way = FuturesUnordered::new();
    let mut results =
        Results { answers: Answers::unset(batch.len()), closed: 0, error: None, is_over: false };
    loop {
        while under_way.len() < AT_ONCE && !results.is_over && !deadline.remaining().is_zero() {
            let Some((number, entry)) = entries.next() else { break };
            let (body, id) = (form.one(&entry, &mut scratch), hex(entry.id()));
            under_way.push(async move {
                let key = str::from_utf8(&id).unwrap_or_default();
                (number, client.post(body, key, deadline).await)
            });
        }
        let Some((number, result)) = under_way.next().await else { break };
        results.take(number, result);
    }
    results.end()
}

async fn entries(batch: &Batch) -> Result<Vec<Entry<'_>>, SinkError> {
    let mut entries = Vec::with_capacity(batch.len());
    let mut slices = batch.slices();
    while let Some(slice) = slices.next().await? {
        entries.extend(slice.entries());
    }
    Ok(entries)
}

struct Results {
    answers: Answers,
    /// Records that need not come again.
    closed: usize,
    /// The first that every request would meet, or else the first.
    error: Option<SinkError>,
    /// Whether further requests make no sense now.
    is_over: bool,
}

impl Results {
    fn take(&mut self, number: usize, result: Result<(), Refusal>) {
        let answer = match result {
            Ok(()) => Answer::Delivered,
            Err(Refusal::Content(said)) => Answer::Rejected { code: "refused", detail: said.into() },
            Err(Refusal::One(error)) if error.kind() == SinkErrorKind::TooLarge => {
                Answer::Rejected { code: "too_large", detail: error.to_string().into() }
            }
            Err(Refusal::One(error)) => return self.again(number, error),
            Err(Refusal::All(error)) => {
                if !std::mem::replace(&mut self.is_over, true) {
                    self.error = None;
                }
                return self.again(number, error);
            }
        };
        self.closed += 1;
        self.answers.set(number, answer);
    }

    fn again(&mut self, number: usize, error: SinkError) {
        debug!(number, error = error.to_string(), "a request was not taken");
        self.answers.set(number, Answer::Retry(error.wait()));
        self.error.get_or_insert(error);
    }

    fn end(self) -> Result<Answers, SinkError> {
        match self.error {
            Some(error) if self.closed == 0 => Err(error),
            _ => Ok(self.answers),
        }
    }
}
