//! What a message has besides its body: a key, and headers that say what it is.

use pump_core::encode::json;
use pump_core::plugin::{Entry, Format, PlanError};
use pump_core::record::{Codec, Field, Kind, Text, Transaction, UptimeField, Value, View};
use pump_core::template::Template;
use rdkafka::message::{Header, OwnedHeaders};

use super::config::{KafkaConfig, KafkaEncoding};
use crate::words::hex;

/// A record's id: 32 hexadecimal digits, the same however often it is sent.
pub(super) const ID: &str = "pump-id";
/// What sort of thing the record tells of.
pub(super) const KIND: &str = "pump-kind";
/// Which version of which format the body has.
pub(super) const FORMAT: &str = "pump-format";
/// What links the record to others of the same request.
pub(super) const CORRELATION_ID: &str = "correlation-id";
/// The body's media type.
pub(super) const CONTENT_TYPE: &str = "content-type";

const OURS: [&str; 5] = [ID, KIND, FORMAT, CORRELATION_ID, CONTENT_TYPE];

/// A correlation id that a client chose may be of any length.
const MAX_CORRELATION_ID: usize = 128;

/// Codecs, in the order of their headers.
const CODECS: [Codec; 3] = [Codec::Msgpack, Codec::Protobuf, Codec::Json];

/// Which field is a message's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// None: messages are spread evenly.
    None,
    /// The record's kind.
    Kind,
    /// The source's name.
    Source,
    /// A field; of logs and events the member of that name.
    Field { name: Box<str>, transaction: Option<Field>, uptime: Option<UptimeField> },
}

impl Key {
    /// From its name in the pipeline file.
    pub(super) fn parse(name: &str) -> Result<Self, PlanError> {
        // A name that stands in a template has one value.
        let wrong = |error: &dyn ToString| PlanError::new("key", error.to_string().replace(['{', '}'], ""));
        Template::parse(&format!("{{{name}}}")).map_err(|error| wrong(&error))?;
        Ok(match name {
            "none" => Self::None,
            "kind" => Self::Kind,
            "source" => Self::Source,
            _ => Self::Field {
                name: name.into(),
                transaction: Field::from_name(name),
                uptime: UptimeField::from_name(name),
            },
        })
    }

    /// Writes a record's key into `out`, which is empty; false when it has none.
    pub(super) fn write(&self, entry: &Entry<'_>, view: &View<'_>, out: &mut Vec<u8>) -> bool {
        let (name, transaction, uptime) = match self {
            Self::None => return false,
            Self::Kind => {
                out.extend_from_slice(entry.record().kind().name().as_bytes());
                return true;
            }
            Self::Source => {
                out.extend_from_slice(entry.record().chunk().head().source.as_bytes());
                return true;
            }
            Self::Field { name, transaction, uptime } => (name, *transaction, *uptime),
        };
        match view {
            View::Transaction(record) => {
                let field = transaction.filter(|field| !record.omitted.has(*field));
                value(field.map(|field| record.get(field)), out);
            }
            View::Uptime(record) => {
                let field = uptime.filter(|field| !record.omitted.has(*field));
                value(field.map(|field| record.get(field)), out);
            }
            View::Object(object) => {
                if let Some(text) = object.text(name).filter(|text| text != "null") {
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
        !out.is_empty()
    }
}

fn value(value: Option<Value<'_>>, out: &mut Vec<u8>) {
    match value {
        Some(Value::Text(text)) => out.extend_from_slice(text.bytes()),
        Some(Value::Int(number)) => json::int(number, out),
        Some(Value::Bool(is_true)) => json::bool(is_true, out),
        Some(Value::Time(time)) => json::int(time.seconds, out),
        Some(Value::List(_) | Value::Nested) | None => {}
    }
}

/// The headers of messages. What is the same for all records of a kind and a codec is made once.
pub(super) struct Headers {
    of: Vec<OwnedHeaders>,
}

impl Headers {
    /// Whether the user's own can stand beside ours.
    pub(super) fn check(config: &KafkaConfig) -> Result<(), PlanError> {
        for (name, value) in &config.headers {
            if OURS.contains(&name.as_str()) {
                return Err(PlanError::new(
                    "headers",
                    format!("each message has `{name}` already: choose another name"),
                ));
            }
            if name.is_empty() || name.contains('\0') || value.contains('\0') {
                return Err(PlanError::new("headers", "a header has a name, and no NUL in it"));
            }
        }
        Ok(())
    }

    pub(super) fn new(config: &KafkaConfig, format: Format) -> Self {
        let all = Kind::ALL.iter().flat_map(|kind| CODECS.map(|codec| (*kind, codec)));
        Self { of: all.map(|(kind, codec)| constant(config, format, kind, codec)).collect() }
    }

    /// A record's headers.
    pub(super) fn of(&self, entry: &Entry<'_>, view: &View<'_>) -> OwnedHeaders {
        let record = entry.record();
        let codec = record.chunk().head().codec;
        let kind = Kind::ALL.iter().position(|kind| *kind == record.kind()).unwrap_or_default();
        let codec = CODECS.iter().position(|other| *other == codec).unwrap_or_default();
        let id = hex(entry.id());
        let headers =
            self.of[kind * CODECS.len() + codec].clone().insert(Header { key: ID, value: Some(&id[..]) });
        match view {
            View::Transaction(transaction) => match correlation_id(transaction) {
                Some(id) => headers.insert(Header { key: CORRELATION_ID, value: Some(bounded(id.bytes())) }),
                None => headers,
            },
            View::Object(object) => match object.text("trace_id").filter(|id| !id.is_empty()) {
                Some(id) => {
                    headers.insert(Header { key: CORRELATION_ID, value: Some(bounded(id.as_bytes())) })
                }
                None => headers,
            },
            View::Uptime(_) => headers,
        }
    }
}

fn constant(config: &KafkaConfig, format: Format, kind: Kind, codec: Codec) -> OwnedHeaders {
    let content_type = match (config.encoding, codec) {
        (KafkaEncoding::Json, _) | (_, Codec::Json) => "application/json",
        (KafkaEncoding::Wire, Codec::Msgpack) => "application/msgpack",
        (KafkaEncoding::Wire, Codec::Protobuf) => "application/x-protobuf",
    };
    let format = match (config.encoding, format) {
        (KafkaEncoding::Wire, _) => "wire/1",
        (KafkaEncoding::Json, Format::Tyk) if kind == Kind::Transaction => "tyk/1",
        (KafkaEncoding::Json, _) => "full/1",
    };
    let ours = [(KIND, kind.name()), (FORMAT, format), (CONTENT_TYPE, content_type)];
    let users = config.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let room = OURS.len() + config.headers.len();
    ours.into_iter().chain(users).fold(OwnedHeaders::new_with_capacity(room), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    })
}

/// What the gateway or a client called the request: the gateway's own comes first, as its access log has it too.
fn correlation_id<'a>(record: &Transaction<'a>) -> Option<Text<'a>> {
    let omitted = record.omitted.has(Field::Tags);
    let find = |prefix: &[u8]| {
        let values = record.tags.iter().filter_map(|tag| tag.bytes().strip_prefix(prefix).map(Text));
        values.into_iter().find(|value| !value.is_empty())
    };
    if omitted { None } else { find(b"trace-id-").or_else(|| find(b"x-request-id-")) }
}

fn bounded(id: &[u8]) -> &[u8] {
    &id[..id.len().min(MAX_CORRELATION_ID)]
}
