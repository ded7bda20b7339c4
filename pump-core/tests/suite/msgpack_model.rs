//! A plain reader of msgpack records: a generic decoder, a table of keys, no thought of speed.
//!
//! It says what JSON a record becomes, or `None` when the record has to be refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmpv::Value as Wire;
use serde_json::{Map, Value, json};

use Type::{Bool, Errors, Float, Int, Path, Struct, Text, TextList, TextListMap, TextMap, Time, Unseen};

/// What is expected under a key.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Int,
    Float,
    Bool,
    Time,
    TextList,
    TextMap,
    TextListMap,
    Errors,
    Path,
    Struct(Fields),
    /// A text that no output has.
    Unseen,
}

/// Key on the wire, key in JSON, type; in the order of Go's structure.
type Fields = &'static [(&'static str, &'static str, Type)];

const TRANSACTION: Fields = &[
    ("Method", "method", Text),
    ("Host", "host", Text),
    ("Path", "path", Text),
    ("RawPath", "raw_path", Text),
    ("ContentLength", "content_length", Int),
    ("UserAgent", "user_agent", Text),
    ("Day", "day", Int),
    ("Month", "month", Int),
    ("Year", "year", Int),
    ("Hour", "hour", Int),
    ("ResponseCode", "response_code", Int),
    ("APIKey", "api_key", Text),
    ("TimeStamp", "timestamp", Time),
    ("APIVersion", "api_version", Text),
    ("APIName", "api_name", Text),
    ("APIID", "api_id", Text),
    ("OrgID", "org_id", Text),
    ("OauthID", "oauth_id", Text),
    ("RequestTime", "request_time", Int),
    ("RawRequest", "raw_request", Text),
    ("RawResponse", "raw_response", Text),
    ("IPAddress", "ip_address", Text),
    (
        "Geo",
        "geo",
        Struct(&[
            ("Country", "country", Struct(&[("ISOCode", "iso_code", Text)])),
            ("City", "city", Struct(&[("GeoNameID", "geoname_id", Int), ("Names", "names", TextMap)])),
            (
                "Location",
                "location",
                Struct(&[
                    ("Latitude", "latitude", Float),
                    ("Longitude", "longitude", Float),
                    ("TimeZone", "time_zone", Text),
                ]),
            ),
        ]),
    ),
    (
        "Network",
        "network",
        Struct(&[
            ("OpenConnections", "open_connections", Int),
            ("ClosedConnection", "closed_connections", Int),
            ("BytesIn", "bytes_in", Int),
            ("BytesOut", "bytes_out", Int),
        ]),
    ),
    (
        "Latency",
        "latency",
        Struct(&[("Total", "total", Int), ("Upstream", "upstream", Int), ("Gateway", "gateway", Int)]),
    ),
    ("Tags", "tags", TextList),
    ("Alias", "alias", Text),
    ("TrackPath", "track_path", Bool),
    ("ExpireAt", "expireAt", Time),
    ("ApiSchema", "api_schema", Text),
    ("OriginalPath", "original_path", Text),
    ("ListenPath", "listen_path", Text),
    (
        "GraphQLStats",
        "graphql_stats",
        Struct(&[
            ("Variables", "Variables", Text),
            ("RootFields", "RootFields", TextList),
            ("Types", "Types", TextListMap),
            ("Errors", "Errors", Errors),
            ("OperationType", "OperationType", Int),
            ("HasErrors", "HasErrors", Bool),
            ("IsGraphQL", "IsGraphQL", Bool),
        ]),
    ),
    (
        "MCPStats",
        "mcp_stats",
        Struct(&[
            ("IsMCP", "is_mcp", Bool),
            ("JSONRPCMethod", "jsonrpc_method", Text),
            ("PrimitiveType", "primitive_type", Text),
            ("PrimitiveName", "primitive_name", Text),
        ]),
    ),
    ("CollectionName", "", Unseen),
];

const ERROR: Fields = &[("Message", "message", Text), ("Path", "path", Path)];

const UPTIME: Fields = &[
    ("URL", "url", Text),
    ("RequestTime", "request_time", Int),
    ("ResponseCode", "response_code", Int),
    ("TCPError", "tcp_error", Bool),
    ("ServerError", "server_error", Bool),
    ("Day", "day", Int),
    ("Month", "month", Int),
    ("Year", "year", Int),
    ("Hour", "hour", Int),
    ("Minute", "minute", Int),
    ("TimeStamp", "timestamp", Time),
    ("ExpireAt", "ExpireAt", Time),
    ("APIID", "api_id", Text),
    ("OrgID", "org_id", Text),
];

/// The JSON of the first transaction in an entry.
pub(crate) fn transaction(mut body: &[u8]) -> Option<Value> {
    let wire = rmpv::decode::read_value_with_max_depth(&mut body, 34).ok()?;
    read(&wire, Struct(TRANSACTION), zero(Struct(TRANSACTION)))
}

/// The JSON of the first uptime record in an entry.
pub(crate) fn uptime(mut body: &[u8]) -> Option<Value> {
    let wire = rmpv::decode::read_value_with_max_depth(&mut body, 34).ok()?;
    read(&wire, Struct(UPTIME), zero(Struct(UPTIME)))
}

/// What is written for a key that is absent.
fn zero(kind: Type) -> Value {
    match kind {
        Text | Unseen => json!(""),
        Int | Float => json!(0),
        Bool => json!(false),
        Time => json!("0001-01-01T00:00:00Z"),
        TextList | TextMap | TextListMap | Errors | Path => Value::Null,
        Struct(fields) => {
            let seen = fields.iter().filter(|(_, _, kind)| !matches!(kind, Unseen));
            Value::Object(seen.map(|(_, name, kind)| ((*name).to_owned(), zero(*kind))).collect())
        }
    }
}

/// Reads a value over an earlier one.
fn read(wire: &Wire, kind: Type, earlier: Value) -> Option<Value> {
    Some(match kind {
        Text | Unseen => text(wire)?.into(),
        Int => int(wire)?.into(),
        Float => match wire {
            Wire::F32(value) => json!(f64::from(*value)),
            Wire::F64(value) => json!(value),
            _ => json!(int(wire)? as f64),
        },
        Bool => wire.as_bool()?.into(),
        Time => time(wire)?,
        TextList => match wire {
            Wire::Nil => earlier,
            _ => texts(wire)?,
        },
        TextMap => map(wire, |value| Some(text(value)?.into()))?,
        TextListMap => map(wire, |value| if value.is_nil() { Some(Value::Null) } else { texts(value) })?,
        Errors => list(wire, |error| read(error, Struct(ERROR), zero(Struct(ERROR))))?,
        Path => list(wire, plain)?,
        Struct(fields) => structure(wire, fields, earlier)?,
    })
}

fn structure(wire: &Wire, fields: Fields, mut earlier: Value) -> Option<Value> {
    let mut set = |(_, name, kind): &(&str, &'static str, Type), value: &Wire| {
        let place = &mut earlier[*name];
        let read = read(value, *kind, place.take())?;
        *place = read;
        Some(())
    };
    match wire {
        Wire::Nil => return Some(zero(Struct(fields))),
        Wire::Array(values) => {
            for (field, value) in fields.iter().zip(values) {
                set(field, value)?;
            }
        }
        Wire::Map(pairs) => {
            for (key, value) in pairs {
                let key = text_bytes(key)?;
                if let Some(field) = fields.iter().find(|(name, _, _)| name.as_bytes() == key) {
                    set(field, value)?;
                }
            }
        }
        _ => return None,
    }
    if let Value::Object(members) = &mut earlier {
        members.remove("");
    }
    Some(earlier)
}

fn text_bytes(wire: &Wire) -> Option<&[u8]> {
    match wire {
        Wire::Nil => Some(b""),
        Wire::String(text) => Some(text.as_bytes()),
        Wire::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// With U+FFFD for each byte that is not UTF-8.
fn text(wire: &Wire) -> Option<String> {
    let mut text = String::new();
    for chunk in text_bytes(wire)?.utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&"\u{fffd}".repeat(chunk.invalid().len()));
    }
    Some(text)
}

fn int(wire: &Wire) -> Option<i64> {
    match wire {
        Wire::Nil => Some(0),
        Wire::Integer(value) => value.as_i64().or_else(|| value.as_u64().map(|value| value as i64)),
        _ => None,
    }
}

fn time(wire: &Wire) -> Option<Value> {
    let [seconds, nanos] = &wire.as_array()?[..] else { return None };
    let (seconds, nanos) = (int(seconds)?, int(nanos)?);
    Some(crate::protobuf_model::rfc_3339(seconds, nanos, "UTC"))
}

fn texts(wire: &Wire) -> Option<Value> {
    wire.as_array()?
        .iter()
        .map(|item| Some(text(item)?.into()))
        .collect::<Option<Vec<Value>>>()
        .map(Value::Array)
}

fn list(wire: &Wire, item: impl Fn(&Wire) -> Option<Value>) -> Option<Value> {
    if wire.is_nil() {
        return Some(Value::Null);
    }
    wire.as_array()?.iter().map(item).collect::<Option<Vec<Value>>>().map(Value::Array)
}

fn map(wire: &Wire, item: impl Fn(&Wire) -> Option<Value>) -> Option<Value> {
    if wire.is_nil() {
        return Some(Value::Null);
    }
    let mut members = std::collections::BTreeMap::new();
    for (key, value) in wire.as_map()? {
        members.insert(text_bytes(key)?.to_vec(), (text(key)?, item(value)?));
    }
    Some(Value::Object(members.into_values().collect()))
}

/// A value whose type nobody knows before.
fn plain(wire: &Wire) -> Option<Value> {
    Some(match wire {
        Wire::Nil => Value::Null,
        Wire::Boolean(value) => json!(value),
        Wire::Integer(value) => value.as_u64().map_or_else(|| json!(value.as_i64()), |value| json!(value)),
        Wire::F32(value) => value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value)),
        Wire::F64(value) => json!(value),
        Wire::String(_) => text(wire)?.into(),
        Wire::Binary(bytes) => STANDARD.encode(bytes).into(),
        Wire::Array(_) => list(wire, plain)?,
        Wire::Map(pairs) => {
            let mut members = Map::new();
            for (key, value) in pairs {
                let key = match key {
                    Wire::String(_) => text(key)?,
                    Wire::Array(_) | Wire::Map(_) | Wire::Binary(_) => return None,
                    _ => plain(key)?.to_string(),
                };
                members.insert(key, plain(value)?);
            }
            Value::Object(members)
        }
        Wire::Ext(..) => return None,
    })
}
