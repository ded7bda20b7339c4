//! `full`: every field under its own name, in the form that its type in the mapping wants.
//!
//! It differs from `full` elsewhere where a search engine would refuse or misread the value: empty
//! texts, lists and structures are left out, as are times that cannot be written, and a place is
//! `geo.location` with `lat` and `lon`, its time zone `geo.time_zone`.

use pump_core::encode::{Additions, Encoder, FullEncoder, json};
use pump_core::record::{
    Field, Geo, GraphqlStats, Latency, McpStats, Network, Object, Record, Text, Timestamp, Transaction,
    Uptime, UptimeField, View, Zone,
};

use super::{Members, stream_time};

/// Writes every field.
#[derive(Debug, Clone, Copy)]
pub(in crate::elasticsearch) struct FullDocument {
    /// With an `@timestamp`, which a data stream wants.
    pub(in crate::elasticsearch) is_stream: bool,
}

impl Encoder for FullDocument {
    fn key(&self) -> &str {
        if self.is_stream { "elasticsearch-full-stream" } else { "elasticsearch-full" }
    }

    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        let stream_time = self.is_stream.then(|| stream_time(view, record.received()));
        match view {
            View::Transaction(transaction) => {
                let mut members = Members::begin(out);
                stream_member(stream_time, &mut members);
                self::transaction(transaction, &mut members);
                members.end(additions);
            }
            View::Uptime(uptime) => {
                let mut members = Members::begin(out);
                stream_member(stream_time, &mut members);
                self::uptime(uptime, &mut members);
                members.end(additions);
            }
            View::Object(object) => {
                FullEncoder.encode(record, view, additions, out);
                let has_own = object.members().any(|member| member.is_named("@timestamp"));
                if let Some(time) = stream_time.filter(|_| !has_own) {
                    append_stream_time(*object, additions, time, out);
                }
            }
        }
    }
}

fn stream_member(time: Option<Timestamp>, members: &mut Members<'_>) {
    if let Some(time) = time {
        members.time("@timestamp", time, &Zone::UTC);
    }
}

/// Puts the time before the closing brace of an object that is written.
fn append_stream_time(object: Object<'_>, additions: &Additions, time: Timestamp, out: &mut Vec<u8>) {
    let is_empty = object.members().next().is_none() && additions.members().is_empty();
    out.pop();
    out.extend_from_slice(if is_empty { b"\"@timestamp\":" } else { b",\"@timestamp\":" });
    json::time(time, &Zone::UTC, out);
    out.push(b'}');
}

fn transaction(record: &Transaction<'_>, members: &mut Members<'_>) {
    let omitted = record.omitted;
    macro_rules! member {
        ($method:ident, $field:ident, $name:literal, $($value:expr),*) => {
            if !omitted.has(Field::$field) {
                members.$method($name, $($value),*);
            }
        };
    }
    macro_rules! text {
        ($field:ident, $name:literal, $value:expr) => {
            member!(some_text, $field, $name, $value)
        };
    }
    text!(Method, "method", record.method);
    text!(Host, "host", record.host);
    text!(Path, "path", record.path);
    text!(RawPath, "raw_path", record.raw_path);
    member!(int, ContentLength, "content_length", record.content_length);
    text!(UserAgent, "user_agent", record.user_agent);
    member!(int, Day, "day", record.day);
    member!(int, Month, "month", record.month);
    member!(int, Year, "year", record.year);
    member!(int, Hour, "hour", record.hour);
    member!(int, ResponseCode, "response_code", record.response_code);
    text!(ApiKey, "api_key", record.api_key);
    member!(some_time, Timestamp, "timestamp", record.timestamp, record.time_zone);
    text!(ApiVersion, "api_version", record.api_version);
    text!(ApiName, "api_name", record.api_name);
    text!(ApiId, "api_id", record.api_id);
    text!(OrgId, "org_id", record.org_id);
    text!(OauthId, "oauth_id", record.oauth_id);
    member!(int, RequestTime, "request_time", record.request_time);
    text!(RawRequest, "raw_request", record.raw_request);
    text!(RawResponse, "raw_response", record.raw_response);
    text!(IpAddress, "ip_address", record.ip_address);
    member!(object, Geo, "geo", |members| geo(&record.geo, members));
    member!(object, Network, "network", |members| network(&record.network, members));
    member!(object, Latency, "latency", |members| latency(&record.latency, members));
    if !omitted.has(Field::Tags) && !record.tags.is_empty() {
        json::list(record.tags, members.value("tags"));
    }
    text!(Alias, "alias", record.alias);
    member!(bool, TrackPath, "track_path", record.track_path);
    member!(some_time, ExpireAt, "expireAt", record.expire_at, record.time_zone);
    text!(ApiSchema, "api_schema", record.api_schema);
    text!(OriginalPath, "original_path", record.original_path);
    text!(ListenPath, "listen_path", record.listen_path);
    member!(object, GraphqlStats, "graphql_stats", |members| graphql(&record.graphql_stats, members));
    member!(object, McpStats, "mcp_stats", |members| mcp(&record.mcp_stats, members));
}

impl Members<'_> {
    /// A time, unless its year has not four digits.
    fn some_time(&mut self, name: &'static str, time: Timestamp, zone: Text<'_>) {
        let zone = Zone::at(zone, time);
        if (0..=9999).contains(&time.civil_at(zone.offset).year) {
            self.time(name, time, &zone);
        }
    }
}

fn geo(geo: &Geo<'_>, members: &mut Members<'_>) {
    members.object("country", |members| members.some_text("iso_code", geo.iso_code));
    members.object("city", |members| {
        if geo.geoname_id != 0 {
            members.int("geoname_id", geo.geoname_id);
        }
        if geo.names.iter().next().is_some() {
            json::map(geo.names, members.value("names"));
        }
    });
    // A gateway writes zeros for a place that it does not know.
    let is_known = geo.latitude != 0.0 || geo.longitude != 0.0;
    if is_known && geo.latitude.is_finite() && geo.longitude.is_finite() {
        members.object("location", |members| {
            json::float(geo.latitude, members.value("lat"));
            json::float(geo.longitude, members.value("lon"));
        });
    }
    members.some_text("time_zone", geo.time_zone);
}

fn network(network: &Network, members: &mut Members<'_>) {
    members.int("open_connections", network.open_connections);
    members.int("closed_connections", network.closed_connections);
    members.int("bytes_in", network.bytes_in);
    members.int("bytes_out", network.bytes_out);
}

fn latency(latency: &Latency, members: &mut Members<'_>) {
    members.int("total", latency.total);
    members.int("upstream", latency.upstream);
    members.int("gateway", latency.gateway);
}

/// Only for a request that was GraphQL, or where a gateway wrote something all the same.
fn graphql(graphql: &GraphqlStats<'_>, members: &mut Members<'_>) {
    members.some_text("Variables", graphql.variables);
    if !graphql.root_fields.is_empty() {
        json::list(graphql.root_fields, members.value("RootFields"));
    }
    if graphql.types.iter().next().is_some() {
        json::list_map(graphql.types, members.value("Types"));
    }
    if graphql.errors.iter().next().is_some() {
        json::errors(graphql.errors, members.value("Errors"));
    }
    if graphql.is_graphql || graphql.has_errors || graphql.operation_type != 0 || !members.is_empty() {
        members.int("OperationType", graphql.operation_type);
        members.bool("HasErrors", graphql.has_errors);
        members.bool("IsGraphQL", graphql.is_graphql);
    }
}

fn mcp(mcp: &McpStats<'_>, members: &mut Members<'_>) {
    members.some_text("jsonrpc_method", mcp.jsonrpc_method);
    members.some_text("primitive_type", mcp.primitive_type);
    members.some_text("primitive_name", mcp.primitive_name);
    if mcp.is_mcp || !members.is_empty() {
        members.bool("is_mcp", mcp.is_mcp);
    }
}

fn uptime(record: &Uptime<'_>, members: &mut Members<'_>) {
    let omitted = record.omitted;
    macro_rules! member {
        ($method:ident, $field:ident, $name:literal, $($value:expr),*) => {
            if !omitted.has(UptimeField::$field) {
                members.$method($name, $($value),*);
            }
        };
    }
    member!(some_text, Url, "url", record.url);
    member!(int, RequestTime, "request_time", record.request_time);
    member!(int, ResponseCode, "response_code", record.response_code);
    member!(bool, TcpError, "tcp_error", record.tcp_error);
    member!(bool, ServerError, "server_error", record.server_error);
    member!(int, Day, "day", record.day);
    member!(int, Month, "month", record.month);
    member!(int, Year, "year", record.year);
    member!(int, Hour, "hour", record.hour);
    member!(int, Minute, "minute", record.minute);
    member!(some_time, Timestamp, "timestamp", record.timestamp, Text::default());
    member!(some_time, ExpireAt, "ExpireAt", record.expire_at, Text::default());
    member!(some_text, ApiId, "api_id", record.api_id);
    member!(some_text, OrgId, "org_id", record.org_id);
}
