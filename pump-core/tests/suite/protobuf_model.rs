//! A plain reader of protobuf records: messages of prost.
//!
//! It says what JSON a record becomes, or `None` when the record has to be refused.

use std::collections::HashMap;

use prost::Message;
use serde_json::{Value, json};

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(string, tag = "3")]
    path: String,
    #[prost(string, tag = "4")]
    raw_path: String,
    #[prost(int64, tag = "5")]
    content_length: i64,
    #[prost(string, tag = "6")]
    user_agent: String,
    #[prost(int32, tag = "7")]
    day: i32,
    #[prost(int32, tag = "8")]
    month: i32,
    #[prost(int32, tag = "9")]
    year: i32,
    #[prost(int32, tag = "10")]
    hour: i32,
    #[prost(int32, tag = "11")]
    response_code: i32,
    #[prost(string, tag = "12")]
    api_key: String,
    #[prost(message, tag = "13")]
    timestamp: Option<Time>,
    #[prost(string, tag = "14")]
    api_version: String,
    #[prost(string, tag = "15")]
    api_name: String,
    #[prost(string, tag = "16")]
    api_id: String,
    #[prost(string, tag = "17")]
    org_id: String,
    #[prost(int64, tag = "18")]
    request_time: i64,
    #[prost(message, tag = "19")]
    latency: Option<Latency>,
    #[prost(string, tag = "20")]
    raw_request: String,
    #[prost(string, tag = "21")]
    raw_response: String,
    #[prost(string, tag = "22")]
    ip_address: String,
    #[prost(message, tag = "23")]
    geo: Option<Geo>,
    #[prost(message, tag = "24")]
    network: Option<Network>,
    #[prost(string, repeated, tag = "25")]
    tags: Vec<String>,
    #[prost(string, tag = "26")]
    alias: String,
    #[prost(bool, tag = "27")]
    track_path: bool,
    #[prost(message, tag = "28")]
    expire_at: Option<Time>,
    #[prost(string, tag = "29")]
    oauth_id: String,
    #[prost(string, tag = "30")]
    time_zone: String,
    #[prost(string, tag = "31")]
    api_schema: String,
    #[prost(message, tag = "32")]
    graphql_stats: Option<GraphqlStats>,
    #[prost(message, tag = "33")]
    mcp_stats: Option<McpStats>,
    #[prost(string, tag = "34")]
    original_path: String,
    #[prost(string, tag = "35")]
    listen_path: String,
}

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Latency {
    #[prost(int64, tag = "1")]
    total: i64,
    #[prost(int64, tag = "2")]
    upstream: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Geo {
    #[prost(message, tag = "1")]
    country: Option<Country>,
    #[prost(message, tag = "2")]
    city: Option<City>,
    #[prost(message, tag = "3")]
    location: Option<Location>,
}

#[derive(Clone, PartialEq, Message)]
struct Country {
    #[prost(string, tag = "1")]
    iso_code: String,
}

#[derive(Clone, PartialEq, Message)]
struct City {
    #[prost(map = "string, string", tag = "1")]
    names: HashMap<String, String>,
    #[prost(uint32, tag = "2")]
    geoname_id: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(double, tag = "1")]
    latitude: f64,
    #[prost(double, tag = "2")]
    longitude: f64,
    #[prost(string, tag = "3")]
    time_zone: String,
}

#[derive(Clone, PartialEq, Message)]
struct Network {
    #[prost(int64, tag = "1")]
    open_connections: i64,
    #[prost(int64, tag = "2")]
    closed_connections: i64,
    #[prost(int64, tag = "3")]
    bytes_in: i64,
    #[prost(int64, tag = "4")]
    bytes_out: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphqlStats {
    #[prost(bool, tag = "1")]
    is_graphql: bool,
    #[prost(map = "string, message", tag = "2")]
    types: HashMap<String, Texts>,
    #[prost(int32, tag = "3")]
    operation_type: i32,
    #[prost(string, tag = "4")]
    variables: String,
    #[prost(string, repeated, tag = "5")]
    root_fields: Vec<String>,
    #[prost(bool, tag = "6")]
    has_error: bool,
    #[prost(string, repeated, tag = "7")]
    errors: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct McpStats {
    #[prost(bool, tag = "1")]
    is_mcp: bool,
    #[prost(string, tag = "2")]
    jsonrpc_method: String,
    #[prost(string, tag = "3")]
    primitive_type: String,
    #[prost(string, tag = "4")]
    primitive_name: String,
}

/// The JSON of a transaction.
pub(crate) fn transaction(body: &[u8]) -> Option<Value> {
    let record = Record::decode(body).ok()?;
    let time = |time: Option<Time>| {
        let time = time.unwrap_or_default();
        rfc_3339(time.seconds, i64::from(time.nanos), &record.time_zone)
    };
    let (timestamp, expire_at) = (time(record.timestamp.clone()), time(record.expire_at.clone()));
    let latency = record.latency.unwrap_or_default();
    let network = record.network.unwrap_or_default();
    let geo = record.geo.unwrap_or_default();
    let city = geo.city.unwrap_or_default();
    let location = geo.location.unwrap_or_default();
    let mcp = record.mcp_stats.unwrap_or_default();
    let graphql = record.graphql_stats.map_or_else(
        || {
            json!({
                "Variables": "", "RootFields": null, "Types": null, "Errors": null,
                "OperationType": 0, "HasErrors": false, "IsGraphQL": false,
            })
        },
        |stats| {
            let mut types: Vec<_> = stats.types.into_iter().collect();
            types.sort_by(|left, right| left.0.cmp(&right.0));
            let types = types.into_iter().map(|(name, fields)| (name, nullable(fields.texts)));
            let errors = stats.errors.into_iter().map(|message| json!({"message": message, "path": null}));
            json!({
                "Variables": stats.variables, "RootFields": nullable(stats.root_fields),
                "Types": Value::Object(types.collect()), "Errors": errors.collect::<Vec<_>>(),
                "OperationType": stats.operation_type, "HasErrors": stats.has_error,
                "IsGraphQL": stats.is_graphql,
            })
        },
    );
    let mut names: Vec<_> = city.names.into_iter().collect();
    names.sort();
    let names = (!names.is_empty())
        .then(|| Value::Object(names.into_iter().map(|(language, name)| (language, name.into())).collect()));
    Some(json!({
        "method": record.method, "host": record.host, "path": record.path, "raw_path": record.raw_path,
        "content_length": record.content_length, "user_agent": record.user_agent,
        "day": record.day, "month": record.month, "year": record.year, "hour": record.hour,
        "response_code": record.response_code, "api_key": record.api_key, "timestamp": timestamp,
        "api_version": record.api_version, "api_name": record.api_name, "api_id": record.api_id,
        "org_id": record.org_id, "oauth_id": record.oauth_id, "request_time": record.request_time,
        "raw_request": record.raw_request, "raw_response": record.raw_response,
        "ip_address": record.ip_address,
        "geo": {
            "country": {"iso_code": geo.country.unwrap_or_default().iso_code},
            "city": {"geoname_id": city.geoname_id, "names": names},
            "location": {
                "latitude": location.latitude, "longitude": location.longitude,
                "time_zone": location.time_zone,
            },
        },
        "network": {
            "open_connections": network.open_connections, "closed_connections": network.closed_connections,
            "bytes_in": network.bytes_in, "bytes_out": network.bytes_out,
        },
        "latency": {"total": latency.total, "upstream": latency.upstream, "gateway": 0},
        "tags": nullable(record.tags), "alias": record.alias, "track_path": record.track_path,
        "expireAt": expire_at, "api_schema": record.api_schema, "original_path": record.original_path,
        "listen_path": record.listen_path, "graphql_stats": graphql,
        "mcp_stats": {
            "is_mcp": mcp.is_mcp, "jsonrpc_method": mcp.jsonrpc_method,
            "primitive_type": mcp.primitive_type, "primitive_name": mcp.primitive_name,
        },
    }))
}

/// A time as Go writes it, by way of jiff, which ends two hours before the year 9999 does.
pub(crate) fn rfc_3339(seconds: i64, nanos: i64, zone: &str) -> Value {
    let seconds = seconds.saturating_add(nanos.div_euclid(1_000_000_000));
    let nanos = nanos.rem_euclid(1_000_000_000) as i32;
    let Ok(time) = jiff::Timestamp::new(seconds, nanos) else {
        // A negative year, one of five digits, or the last day of all.
        let last_day = 253_402_207_200..253_402_300_800;
        return if last_day.contains(&seconds) { json!("unknown") } else { Value::Null };
    };
    let offset = match zone {
        "" | "UTC" | "Local" => jiff::tz::Offset::UTC,
        zone => jiff::tz::TimeZone::get(zone).map_or(jiff::tz::Offset::UTC, |zone| zone.to_offset(time)),
    };
    let local = offset.to_datetime(time);
    if local.year() < 0 {
        return Value::Null;
    }
    let minutes = offset.seconds() / 60;
    let offset = if offset.seconds() == 0 {
        "Z".to_owned()
    } else {
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    };
    json!(format!("{local}{offset}"))
}

fn nullable(texts: Vec<String>) -> Value {
    if texts.is_empty() { Value::Null } else { json!(texts) }
}
