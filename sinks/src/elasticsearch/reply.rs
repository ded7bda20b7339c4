//! What a cluster says of a bulk request, item by item.
//!
//! The reply is read as a stream of borrowed items: a record that was taken costs no allocation. What
//! cannot be read answers nothing, so the records behind it come again.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use pump_core::plugin::{Answer, Answers, SinkError};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::config::Op;
use crate::http::words;

/// The parts of a reply that are read; asked for with each request, so that replies stay small.
pub(super) const FILTER: &str = "filter_path=items.*.status,items.*.failure_store,items.*.error.type,\
     items.*.error.reason,items.*.error.caused_by.reason";

/// Answers to `count` records from the reply to them. `wait` is what the server asked for.
pub(super) fn answers(
    reply: &[u8],
    count: usize,
    op: Op,
    wait: Option<Duration>,
) -> Result<Answers, SinkError> {
    let mut items = Items { op, wait, count, seen: 0, delivered: 0, answers: None, unavailable: None };
    let mut deserializer = serde_json::Deserializer::from_slice(reply);
    let read = Reply(&mut items).deserialize(&mut deserializer);
    let Items { seen, delivered, answers, unavailable, .. } = items;
    if let Some(text) = unavailable {
        return Err(SinkError::unavailable("the index cannot be written", text));
    }
    // More items than records: this is the answer to something else.
    if seen > count {
        return Err(SinkError::retry("the reply has more items than the request", format!("{seen} items")));
    }
    match read {
        Err(error) if seen == 0 => Err(SinkError::retry("the reply is none to a bulk request", error)),
        _ if delivered == count => Ok(Answers::delivered(count)),
        _ => Ok(answers.unwrap_or_else(|| prefix(delivered, count))),
    }
}

/// The first so many are delivered, the others are not answered.
fn prefix(delivered: usize, count: usize) -> Answers {
    let mut answers = Answers::unset(count);
    (0..delivered).for_each(|index| answers.set(index, Answer::Delivered));
    answers
}

/// What went wrong with an item, or with a request as a whole.
#[derive(Debug, Deserialize)]
pub(super) struct Cause<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    caused_by: Option<Beneath>,
}

#[derive(Debug, Deserialize)]
struct Beneath {
    #[serde(default)]
    reason: Option<String>,
}

impl Cause<'_> {
    /// Whether it is the index, or our rights to it, and no record's own fault.
    fn is_no_records_fault(&self) -> bool {
        self.kind == "security_exception" || self.is_of_the_index()
    }

    /// Whether nothing at all can be written there.
    pub(super) fn is_of_the_index(&self) -> bool {
        const KINDS: [&str; 5] = [
            "index_not_found_exception",
            "index_closed_exception",
            "invalid_index_name_exception",
            "cluster_block_exception",
            // Such as too many shards for another index.
            "validation_exception",
        ];
        // What is said of the index in the words of a wrong argument. Only by how it begins: further on a
        // reason may quote a record.
        const REASONS: [&str; 3] = [
            // What a data stream says to `op: index`.
            "only write ops with an op_type of create",
            "no write index is defined for alias",
            "pipeline with id [",
        ];
        let reason = self.reason.as_deref().unwrap_or_default();
        let is_argument = self.kind == "illegal_argument_exception";
        KINDS.contains(&&*self.kind) || (is_argument && REASONS.iter().any(|begin| reason.starts_with(begin)))
    }

    /// A word for a metric's label.
    fn code(&self) -> &'static str {
        match &*self.kind {
            "mapper_parsing_exception" | "document_parsing_exception" | "parsing_exception" => "mapping",
            "strict_dynamic_mapping_exception" => "mapping",
            "illegal_argument_exception" => "illegal_argument",
            _ => "refused",
        }
    }
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words(&self.kind))?;
        let beneath = self.caused_by.as_ref().and_then(|beneath| beneath.reason.as_deref());
        for reason in [self.reason.as_deref(), beneath].into_iter().flatten() {
            write!(f, ": {}", words(reason))?;
        }
        Ok(())
    }
}

/// What is read of an item, whatever its operation.
#[derive(Deserialize)]
struct Item<'a> {
    status: u16,
    #[serde(borrow, default)]
    error: Option<Cause<'a>>,
    /// `used`: the data stream could not take it, and put it aside.
    #[serde(borrow, default)]
    failure_store: Option<Cow<'a, str>>,
}

/// The items so far.
struct Items {
    op: Op,
    wait: Option<Duration>,
    count: usize,
    seen: usize,
    delivered: usize,
    /// Made for the first record that was not delivered: mostly there is none.
    answers: Option<Answers>,
    unavailable: Option<String>,
}

impl Items {
    fn take(&mut self, item: &Item<'_>) {
        let index = self.seen;
        self.seen += 1;
        let answer = match self.judge(item) {
            Some(Answer::Delivered) if self.answers.is_none() => {
                self.delivered += 1;
                return;
            }
            Some(answer) => answer,
            None => return,
        };
        let (delivered, count) = (self.delivered, self.count);
        self.answers.get_or_insert_with(|| prefix(delivered, count)).set(index, answer);
    }

    /// `None`: nobody can write there.
    fn judge(&mut self, item: &Item<'_>) -> Option<Answer> {
        let Item { status, error, failure_store } = item;
        if let Some(cause) = error.as_ref().filter(|cause| cause.is_no_records_fault()) {
            self.unavailable.get_or_insert_with(|| cause.to_string());
            return None;
        }
        let detail = || error.as_ref().map_or_else(|| format!("status {status}"), Cause::to_string);
        match status {
            200..=299 if failure_store.as_deref() == Some("used") => Some(Answer::Rejected {
                code: "failure_store",
                detail: "the data stream put it into its failure store, where searches do not find it".into(),
            }),
            // Never with an error, as far as we know; if so, what it means is not known.
            200..=299 if error.is_some() => Some(Answer::Retry(self.wait)),
            200..=299 => Some(Answer::Delivered),
            409 if self.op == Op::Create => Some(Answer::Duplicate),
            401 | 403 | 404 => {
                self.unavailable.get_or_insert_with(detail);
                None
            }
            400 | 413 | 422 => Some(Answer::Rejected {
                code: error.as_ref().map_or("refused", Cause::code),
                detail: detail().into(),
            }),
            _ => Some(Answer::Retry(self.wait)),
        }
    }
}

/// The whole reply: an object with `items` among its members.
struct Reply<'i>(&'i mut Items);

impl<'de> DeserializeSeed<'de> for Reply<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reply<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reply with items")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Name {
            Items,
            #[serde(other)]
            Other,
        }
        let mut has_items = false;
        while let Some(name) = map.next_key()? {
            match name {
                // A second list would answer the same records twice.
                Name::Items if has_items => return Err(A::Error::duplicate_field("items")),
                Name::Items => {
                    has_items = true;
                    map.next_value_seed(List(&mut *self.0))?;
                }
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_items { Ok(()) } else { Err(A::Error::missing_field("items")) }
    }
}

struct List<'i>(&'i mut Items);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(Operation(item)) = list.next_element()? {
            self.0.take(&item);
        }
        Ok(())
    }
}

/// `{"create": {…}}`: the name of the operation does not matter.
struct Operation<'a>(Item<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Operation<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Operation<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Operation<'de>, A::Error> {
                let Some(IgnoredAny) = map.next_key()? else {
                    return Err(A::Error::custom("an item is empty"));
                };
                let item = map.next_value()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Operation(item))
            }
        }
        deserializer.deserialize_map(One)
    }
}

#[cfg(test)]
mod tests;
