//! What a message says: as Tyk Pump writes it, or the bytes as they came.

use pump_core::encode::{Additions, Encoder, FullEncoder, json};
use pump_core::record::{Field, Record, Text, TextList, Transaction, View, Zone};

/// Writes a transaction as Tyk Pump's kafka pump does; records of other kinds are written `full`.
#[derive(Debug, Clone, Copy)]
pub(super) struct TykMessage;

impl Encoder for TykMessage {
    fn key(&self) -> &str {
        "kafka-tyk"
    }

    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        match view {
            View::Transaction(transaction) => self::transaction(transaction, additions, out),
            View::Uptime(_) | View::Object(_) => FullEncoder.encode(record, view, additions, out),
        }
    }
}

/// Writes the bytes as they came.
#[derive(Debug, Clone, Copy)]
pub(super) struct WireMessage;

impl Encoder for WireMessage {
    fn key(&self) -> &str {
        "kafka-wire"
    }

    fn encode(&self, record: Record<'_>, _: &View<'_>, _: &Additions, out: &mut Vec<u8>) {
        out.extend_from_slice(record.body());
    }

    fn heeds_edits(&self) -> bool {
        false
    }
}

/// In the order of their names, as Go writes a map.
fn transaction(record: &Transaction<'_>, additions: &Additions, out: &mut Vec<u8>) {
    let begin = out.len();
    let omitted = record.omitted;
    // The name of a member stands with its punctuation, so that it is one copy.
    macro_rules! member {
        ($field:ident, $name:literal, $write:expr) => {
            if !omitted.has(Field::$field) {
                out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
                $write;
            }
        };
    }
    let text = |text: Text<'_>, out: &mut Vec<u8>| json::string(text, out);
    member!(Alias, "alias", text(record.alias, out));
    member!(ApiId, "api_id", text(record.api_id, out));
    member!(ApiKey, "api_key", text(record.api_key, out));
    member!(ApiName, "api_name", text(record.api_name, out));
    member!(ApiVersion, "api_version", text(record.api_version, out));
    member!(ContentLength, "content_length", json::int(record.content_length, out));
    member!(Host, "host", text(record.host, out));
    member!(IpAddress, "ip_address", text(record.ip_address, out));
    member!(Method, "method", text(record.method, out));
    member!(OauthId, "oauth_id", text(record.oauth_id, out));
    member!(OrgId, "org_id", text(record.org_id, out));
    member!(Path, "path", text(record.path, out));
    member!(RawPath, "raw_path", text(record.raw_path, out));
    member!(RawRequest, "raw_request", text(record.raw_request, out));
    member!(RawResponse, "raw_response", text(record.raw_response, out));
    member!(RequestTime, "request_time_ms", json::int(record.request_time, out));
    member!(ResponseCode, "response_code", json::int(record.response_code, out));
    // Tyk Pump writes an empty list as none.
    let tags = if record.tags.is_empty() { TextList::Nil } else { record.tags };
    member!(Tags, "tags", json::list(tags, out));
    let zone = Zone::at(record.time_zone, record.timestamp);
    member!(Timestamp, "timestamp", json::time(record.timestamp, &zone, out));
    member!(UserAgent, "user_agent", text(record.user_agent, out));
    out.extend_from_slice(additions.members());
    match out.get_mut(begin) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}
