//! `full`: every field under its own name, one JSON object per record.
//!
//! Transactions and health checks have the names and the order of Tyk Pump's JSON. Application logs,
//! audit entries and events are the object that came, on one line. Constant fields of `add` stand at
//! the end; of an object's own members with such a name none is left.

use super::json;
use super::{Additions, Encoder};
use crate::record::{Field, Object, Record, Text, Transaction, Uptime, UptimeField, View, Zone};

/// Writes every field.
#[derive(Debug, Clone, Copy)]
pub struct FullEncoder;

impl Encoder for FullEncoder {
    fn key(&self) -> &str {
        "full"
    }

    fn encode(&self, _: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        match view {
            View::Transaction(transaction) => self::transaction(transaction, json::string, additions, out),
            View::Uptime(uptime) => self::uptime(uptime, additions, out),
            View::Object(object) => self::object(*object, additions, out),
        }
    }
}

/// Writes members with a comma before each; the first comma becomes the opening brace.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    begin: usize,
}

impl<'o> Members<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        let begin = out.len();
        Self { out, begin }
    }

    fn end(self, additions: &Additions) {
        self.out.extend_from_slice(additions.members());
        match self.out.get_mut(self.begin) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }
}

/// A transaction as Tyk Pump's JSON has it; `payload` writes the recorded request and response.
pub(super) fn transaction(
    record: &Transaction<'_>,
    payload: impl Fn(Text<'_>, &mut Vec<u8>),
    additions: &Additions,
    out: &mut Vec<u8>,
) {
    let members = Members::begin(out);
    let out = &mut *members.out;
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
    macro_rules! text {
        ($field:ident, $name:literal, $value:expr) => {
            member!($field, $name, json::string($value, out))
        };
    }
    macro_rules! int {
        ($field:ident, $name:literal, $value:expr) => {
            member!($field, $name, json::int($value, out))
        };
    }
    text!(Method, "method", record.method);
    text!(Host, "host", record.host);
    text!(Path, "path", record.path);
    text!(RawPath, "raw_path", record.raw_path);
    int!(ContentLength, "content_length", record.content_length);
    text!(UserAgent, "user_agent", record.user_agent);
    int!(Day, "day", record.day);
    int!(Month, "month", record.month);
    int!(Year, "year", record.year);
    int!(Hour, "hour", record.hour);
    int!(ResponseCode, "response_code", record.response_code);
    text!(ApiKey, "api_key", record.api_key);
    let zone = |time| Zone::at(record.time_zone, time);
    member!(Timestamp, "timestamp", json::time(record.timestamp, &zone(record.timestamp), out));
    text!(ApiVersion, "api_version", record.api_version);
    text!(ApiName, "api_name", record.api_name);
    text!(ApiId, "api_id", record.api_id);
    text!(OrgId, "org_id", record.org_id);
    text!(OauthId, "oauth_id", record.oauth_id);
    int!(RequestTime, "request_time", record.request_time);
    member!(RawRequest, "raw_request", payload(record.raw_request, out));
    member!(RawResponse, "raw_response", payload(record.raw_response, out));
    text!(IpAddress, "ip_address", record.ip_address);
    member!(Geo, "geo", geo(record, out));
    member!(Network, "network", network(record, out));
    member!(Latency, "latency", latency(record, out));
    member!(Tags, "tags", json::list(record.tags, out));
    text!(Alias, "alias", record.alias);
    member!(TrackPath, "track_path", json::bool(record.track_path, out));
    member!(ExpireAt, "expireAt", json::time(record.expire_at, &zone(record.expire_at), out));
    text!(ApiSchema, "api_schema", record.api_schema);
    text!(OriginalPath, "original_path", record.original_path);
    text!(ListenPath, "listen_path", record.listen_path);
    member!(GraphqlStats, "graphql_stats", graphql(record, out));
    member!(McpStats, "mcp_stats", mcp(record, out));
    members.end(additions);
}

fn geo(record: &Transaction<'_>, out: &mut Vec<u8>) {
    let geo = &record.geo;
    out.extend_from_slice(b"{\"country\":{\"iso_code\":");
    json::string(geo.iso_code, out);
    out.extend_from_slice(b"},\"city\":{\"geoname_id\":");
    json::int(geo.geoname_id, out);
    out.extend_from_slice(b",\"names\":");
    json::map(geo.names, out);
    out.extend_from_slice(b"},\"location\":{\"latitude\":");
    json::float(geo.latitude, out);
    out.extend_from_slice(b",\"longitude\":");
    json::float(geo.longitude, out);
    out.extend_from_slice(b",\"time_zone\":");
    json::string(geo.time_zone, out);
    out.extend_from_slice(b"}}");
}

fn network(record: &Transaction<'_>, out: &mut Vec<u8>) {
    let network = &record.network;
    out.extend_from_slice(b"{\"open_connections\":");
    json::int(network.open_connections, out);
    out.extend_from_slice(b",\"closed_connections\":");
    json::int(network.closed_connections, out);
    out.extend_from_slice(b",\"bytes_in\":");
    json::int(network.bytes_in, out);
    out.extend_from_slice(b",\"bytes_out\":");
    json::int(network.bytes_out, out);
    out.push(b'}');
}

fn latency(record: &Transaction<'_>, out: &mut Vec<u8>) {
    let latency = &record.latency;
    out.extend_from_slice(b"{\"total\":");
    json::int(latency.total, out);
    out.extend_from_slice(b",\"upstream\":");
    json::int(latency.upstream, out);
    out.extend_from_slice(b",\"gateway\":");
    json::int(latency.gateway, out);
    out.push(b'}');
}

fn graphql(record: &Transaction<'_>, out: &mut Vec<u8>) {
    let graphql = &record.graphql_stats;
    out.extend_from_slice(b"{\"Variables\":");
    json::string(graphql.variables, out);
    out.extend_from_slice(b",\"RootFields\":");
    json::list(graphql.root_fields, out);
    out.extend_from_slice(b",\"Types\":");
    json::list_map(graphql.types, out);
    out.extend_from_slice(b",\"Errors\":");
    json::errors(graphql.errors, out);
    out.extend_from_slice(b",\"OperationType\":");
    json::int(graphql.operation_type, out);
    out.extend_from_slice(b",\"HasErrors\":");
    json::bool(graphql.has_errors, out);
    out.extend_from_slice(b",\"IsGraphQL\":");
    json::bool(graphql.is_graphql, out);
    out.push(b'}');
}

fn mcp(record: &Transaction<'_>, out: &mut Vec<u8>) {
    let mcp = &record.mcp_stats;
    out.extend_from_slice(b"{\"is_mcp\":");
    json::bool(mcp.is_mcp, out);
    out.extend_from_slice(b",\"jsonrpc_method\":");
    json::string(mcp.jsonrpc_method, out);
    out.extend_from_slice(b",\"primitive_type\":");
    json::string(mcp.primitive_type, out);
    out.extend_from_slice(b",\"primitive_name\":");
    json::string(mcp.primitive_name, out);
    out.push(b'}');
}

fn uptime(record: &Uptime<'_>, additions: &Additions, out: &mut Vec<u8>) {
    let members = Members::begin(out);
    let out = &mut *members.out;
    let omitted = record.omitted;
    macro_rules! member {
        ($field:ident, $name:literal, $write:expr) => {
            if !omitted.has(UptimeField::$field) {
                out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
                $write;
            }
        };
    }
    member!(Url, "url", json::string(record.url, out));
    member!(RequestTime, "request_time", json::int(record.request_time, out));
    member!(ResponseCode, "response_code", json::int(record.response_code, out));
    member!(TcpError, "tcp_error", json::bool(record.tcp_error, out));
    member!(ServerError, "server_error", json::bool(record.server_error, out));
    member!(Day, "day", json::int(record.day, out));
    member!(Month, "month", json::int(record.month, out));
    member!(Year, "year", json::int(record.year, out));
    member!(Hour, "hour", json::int(record.hour, out));
    member!(Minute, "minute", json::int(record.minute, out));
    member!(Timestamp, "timestamp", json::time(record.timestamp, &Zone::UTC, out));
    member!(ExpireAt, "ExpireAt", json::time(record.expire_at, &Zone::UTC, out));
    member!(ApiId, "api_id", json::string(record.api_id, out));
    member!(OrgId, "org_id", json::string(record.org_id, out));
    members.end(additions);
}

fn object(object: Object<'_>, additions: &Additions, out: &mut Vec<u8>) {
    if additions.members().is_empty() {
        return valid(object.bytes(), out);
    }
    let members = Members::begin(out);
    for member in object.members() {
        if !additions.names().any(|name| member.is_named(name)) {
            members.out.push(b',');
            valid(member.name, members.out);
            members.out.push(b':');
            valid(member.value, members.out);
        }
    }
    members.end(additions);
}

/// Appends sound JSON on one line; what is no UTF-8 in its strings becomes U+FFFD.
fn valid(json: &[u8], out: &mut Vec<u8>) {
    if std::str::from_utf8(json).is_ok() {
        return json::compact(json, out);
    }
    json::tokens(json, |token| {
        for part in token.utf8_chunks() {
            out.extend_from_slice(part.valid().as_bytes());
            for _ in part.invalid() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    });
}
