//! A record is one thing that happened: a transaction at the gateway, a health check, a line of an
//! application log, an entry of an audit log, an event.
//!
//! Records travel as the bytes they came in. A source hands over a [`Chunk`]: one buffer and spans
//! into it. [`Chunk::parse`] walks each body once, keeping no values; what is unsound is returned
//! beside the chunk and becomes a dead letter. Everything after may assume a sound record and reads
//! it through a [`View`], a struct of fields borrowed from the buffer.

mod chunk;
pub(crate) mod escape;
mod field;
mod id;
mod json;
mod lists;
mod msgpack;
mod object;
mod protobuf;
mod text;
mod time;
mod transaction;
mod uptime;
mod zone;

pub use chunk::{Chunk, ChunkHead, MAX_BODY, MAX_DEPTH, Parsed, Partition, Record, Undecodable};
pub(crate) use chunk::{ChunkParts, Span};
pub(crate) use field::Shape;
pub use field::{Field, FieldSet, UptimeField, UptimeFieldSet, Value};
pub use id::{IdKey, RecordId, RecordIdError};
pub use lists::{
    GraphqlError, GraphqlErrors, GraphqlPath, PathItem, PathPairs, TextList, TextListMap, TextMap, sorted,
};
pub use msgpack::split_msgpack;
pub use object::{Member, Members, Object};
pub use text::Text;
pub use time::{Civil, Timestamp, TimestampError};
pub use transaction::{Geo, GraphqlStats, Latency, McpStats, Network, Transaction};
pub use uptime::Uptime;
pub use zone::Zone;

use serde::{Deserialize, Serialize};

/// What sort of thing a record tells of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One request through the gateway.
    Transaction,
    /// One health check of an upstream.
    Uptime,
    /// One line of an application log.
    AppLog,
    /// One entry of an audit log.
    Audit,
    /// Something that the gateway, or the pump itself, reports once.
    Event,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Transaction, Self::Uptime, Self::AppLog, Self::Audit, Self::Event];

    /// As the pipeline file and labels write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Uptime => "uptime",
            Self::AppLog => "app_log",
            Self::Audit => "audit",
            Self::Event => "event",
        }
    }
}

/// How a record's body is written on the wire.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// As a gateway writes it by default; transactions and uptime.
    Msgpack,
    /// As a gateway writes it with `serializer_type: protobuf`; transactions only.
    Protobuf,
    /// One JSON object; application logs, audit logs and events.
    Json,
}

/// A sound record's fields, borrowed from its body.
///
/// A transaction is some 900 bytes on the stack: pass views by reference.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "views live on the stack, one at a time; a box would be an allocation per record"
)]
pub enum View<'a> {
    /// A request through the gateway.
    Transaction(Transaction<'a>),
    /// A health check.
    Uptime(Uptime<'a>),
    /// Any other kind: one JSON object.
    Object(Object<'a>),
}

impl<'a> View<'a> {
    /// The record's own time as written in it, also when it is absurd; `None` when it has none.
    pub fn written_time(&self) -> Option<Timestamp> {
        match self {
            Self::Transaction(transaction) => Some(transaction.timestamp),
            Self::Uptime(uptime) => Some(uptime.timestamp),
            Self::Object(object) => object.time(),
        }
    }

    /// The record's own time; `None` when absent, before 1970, or more than a day after `received`.
    pub fn time(&self, received: Timestamp) -> Option<Timestamp> {
        const DAY: i64 = 86_400;
        self.written_time()
            .filter(|time| time.seconds >= 0 && time.seconds <= received.seconds.saturating_add(DAY))
    }
}

/// Why a body is no sound record. It becomes a dead letter with this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail} (at byte {at})")]
pub struct DecodeError {
    /// A word from a closed set, good as a metric's label: `truncated`, `wrong_type`, `too_deep`,
    /// `too_large`, `invalid_utf8`, `malformed`, `empty`.
    pub code: &'static str,
    /// What was found, for a person.
    pub detail: &'static str,
    /// Where in the body, in bytes from its start.
    pub at: usize,
}
