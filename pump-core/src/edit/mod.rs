//! What `omit` and `redact` do to a record before a sink sees it, encoded or field by field.
//!
//! `omit` leaves fields out. `redact.fields` puts a keyed hash or `***` in place of text; an empty text
//! stays empty, which says that there was none. `redact.headers` edits recorded requests and
//! responses: the base64 is decoded, the header's value becomes `***`, and it is encoded again; what
//! cannot be read for certain is left out as a whole.
//!
//! The gateway repeats values in a transaction's tags, and those follow:
//!
//! - Tags that begin with `key-` hold the API key: they go when `api_key` is omitted or removed, and
//!   are hashed or masked after the prefix when it is.
//! - Tags that begin with a redacted header's name and `-` hold its value (`tag_headers`): it is masked.
//!
//! For application logs, audit entries and events the names are those of top-level members, compared
//! after unescaping.
//!
//! What is not covered, and is the user's to name: an API key in a recorded request goes only with the
//! header that carries it, `redact: {headers: [authorization]}`, and where clients send it in the URL
//! it stands in the request's first line and in `path`: omit those. An event holds the key as `key`, and
//! a detailed audit entry whole requests as `request_dump` and `response_dump`: name these members too.
//! A recorded body is not looked into; that holds for trailers, where RFC 9110 (6.5.1) allows no
//! credentials.

mod config;
mod fields;
mod headers;
mod members;
mod plan;
mod scratch;
mod tags;

pub use config::{FieldMode, RedactConfig};
pub use plan::EditError;
pub use scratch::Scratch;

use headers::{Headers, Outcome};
use members::Members;
use scratch::StandIn;
use tags::TagRules;

use crate::record::{
    Field, FieldSet, IdKey, TextList, Transaction, Uptime, UptimeField, UptimeFieldSet, View,
};

/// What is left out and replaced in each record of a lane. Made once, used by all its deliveries.
#[derive(Debug, Clone)]
pub struct Edits {
    id_key: IdKey,
    omitted: FieldSet,
    texts: Box<[(Field, StandIn)]>,
    /// Recorded requests and responses to be read for headers.
    messages: Box<[Field]>,
    headers: Headers,
    tags: TagRules,
    uptime_omitted: UptimeFieldSet,
    uptime_texts: Box<[(UptimeField, StandIn)]>,
    members: Members,
    unknown_names: Box<[Box<str>]>,
    key: Box<str>,
}

impl Default for Edits {
    /// Edits that leave every record as it is.
    fn default() -> Self {
        Self::new(&[], &RedactConfig::default(), &IdKey::default()).expect("nothing is asked for")
    }
}

impl Edits {
    /// From the settings `omit` and `redact`; what is in both is omitted.
    ///
    /// Any name is taken, since application logs and events have free ones; see
    /// [`Self::unknown_names`]. Hashing or masking a field of transactions or health checks that is
    /// not text is an error.
    pub fn new(omit: &[String], redact: &RedactConfig, id_key: &IdKey) -> Result<Self, EditError> {
        plan::plan(omit, redact, id_key)
    }

    /// Whether every record stays as it is.
    pub fn is_empty(&self) -> bool {
        self.key.is_empty()
    }

    /// Two edits with the same key make the same of every record; empty when they change nothing.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The names that neither a transaction nor a health check has: right for members of other kinds,
    /// and else mistyped.
    pub fn unknown_names(&self) -> &[Box<str>] {
        &self.unknown_names
    }

    /// The record as the sink may see it. Called once per record; what is replaced lies in `scratch`,
    /// which allocates only until its buffers are large enough for the records that come.
    pub fn apply<'s>(&self, view: View<'s>, scratch: &'s mut Scratch) -> View<'s> {
        if self.is_empty() {
            return view;
        }
        scratch.clear();
        match view {
            View::Transaction(mut transaction) => {
                self.edit_transaction(&mut transaction, scratch);
                View::Transaction(transaction)
            }
            View::Uptime(mut uptime) => {
                self.edit_uptime(&mut uptime, scratch);
                View::Uptime(uptime)
            }
            View::Object(object) => View::Object(self.members.edit(object, &self.id_key, scratch)),
        }
    }

    // First everything is written into the scratch, then it is only read: the fields borrow from it.
    fn edit_transaction<'s>(&self, transaction: &mut Transaction<'s>, scratch: &'s mut Scratch) {
        let mut omitted = self.omitted;
        for (field, stand_in) in &self.texts {
            scratch.write_stand_in(*stand_in, transaction.get(*field).text(), &self.id_key);
        }
        for field in &self.messages {
            match self.headers.edit(transaction.get(*field).text(), scratch) {
                Outcome::Unchanged => scratch.write_unchanged(),
                Outcome::Written => {}
                Outcome::Unreadable => {
                    omitted = omitted.with(*field);
                    scratch.write_unchanged();
                }
            }
        }
        let tags = self.tags.edit(transaction.tags, &self.id_key, scratch);

        let scratch = &*scratch;
        let replaced = self.texts.iter().map(|(field, _)| field).chain(&self.messages);
        for (field, text) in replaced.zip(scratch.texts()) {
            if let (Some(slot), Some(text)) = (fields::text_mut(transaction, *field), text) {
                *slot = text;
            }
        }
        if let Some(tags) = tags {
            transaction.tags = TextList::Msgpack { body: scratch.bytes(tags.range), count: tags.count };
        }
        for field in omitted.iter() {
            fields::clear(transaction, field);
        }
        transaction.omitted = omitted;
    }

    fn edit_uptime<'s>(&self, uptime: &mut Uptime<'s>, scratch: &'s mut Scratch) {
        for (field, stand_in) in &self.uptime_texts {
            scratch.write_stand_in(*stand_in, uptime.get(*field).text(), &self.id_key);
        }
        let scratch = &*scratch;
        for ((field, _), text) in self.uptime_texts.iter().zip(scratch.texts()) {
            if let (Some(slot), Some(text)) = (fields::uptime_text_mut(uptime, *field), text) {
                *slot = text;
            }
        }
        for field in self.uptime_omitted.iter() {
            fields::clear_uptime(uptime, field);
        }
        uptime.omitted = self.uptime_omitted;
    }
}

#[cfg(test)]
mod tests;
