//! From a record's view to the bytes that a sink sends.
//!
//! An [`Encoder`] writes one record into a growing buffer and keeps nothing. The engine calls it once
//! per chunk and shares the result among all lanes whose encoders, edits and additions are the same.

mod csv;
mod full;
pub mod json;
mod payload;
#[cfg(test)]
mod tests;
mod tyk;

pub use csv::{CSV_HEADER, CsvEncoder};
pub use full::FullEncoder;
pub use tyk::{TykRecordEncoder, TykStdoutEncoder};

use crate::record::{Record, View};

/// Writes one record's body. Called once per record, on the hot path: allocates nothing.
pub trait Encoder: Send + Sync + 'static {
    /// Two encoders with the same key write the same bytes for the same record.
    fn key(&self) -> &str;

    /// Appends the body to `out`, without a separator. `view` is the record after `omit` and
    /// `redact`; `additions` are the constant fields of `add`, to be put where they belong.
    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>);

    /// Whether what it writes comes from the view. One that copies a record as it came says no, and a lane with
    /// `omit` or `redact` is then refused: what is to be hidden would be shown.
    fn heeds_edits(&self) -> bool {
        true
    }
}

/// The constant fields of `add`, as JSON members that only need to be put before a closing brace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Additions {
    /// Such as `,"cluster":"eu1"`; empty when there are none.
    members: Vec<u8>,
    names: Vec<Box<str>>,
}

impl Additions {
    /// From the `add` map of the pipeline file.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut additions = Self::default();
        for (name, value) in fields {
            let member = format!(",{}:{}", serde_json::Value::from(name), serde_json::Value::from(value));
            additions.members.extend_from_slice(member.as_bytes());
            additions.names.push(name.into());
        }
        additions
    }

    /// The members, each with a comma before it.
    pub fn members(&self) -> &[u8] {
        &self.members
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}
