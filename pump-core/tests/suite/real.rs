//! A real gateway's records against decoders that other people wrote.

use prost::Message;
use pump_core::encode::FullEncoder;
use pump_core::record::{Codec, Kind};
use serde_json::{Map, Value, json};

use crate::fixture::{differences, encode, entries, json as parse_json};

/// The names of a transaction's fields on the wire and in JSON.
const NAMES: &str = "Method method Host host Path path RawPath raw_path ContentLength content_length \
    UserAgent user_agent Day day Month month Year year Hour hour ResponseCode response_code APIKey api_key \
    TimeStamp timestamp APIVersion api_version APIName api_name APIID api_id OrgID org_id OauthID oauth_id \
    RequestTime request_time RawRequest raw_request RawResponse raw_response IPAddress ip_address Geo geo \
    Country country ISOCode iso_code City city GeoNameID geoname_id Names names Location location \
    Latitude latitude Longitude longitude TimeZone time_zone Network network OpenConnections open_connections \
    ClosedConnection closed_connections BytesIn bytes_in BytesOut bytes_out Latency latency Total total \
    Upstream upstream Gateway gateway Tags tags Alias alias TrackPath track_path ExpireAt expireAt \
    ApiSchema api_schema OriginalPath original_path ListenPath listen_path GraphQLStats graphql_stats \
    MCPStats mcp_stats IsMCP is_mcp JSONRPCMethod jsonrpc_method PrimitiveType primitive_type \
    PrimitiveName primitive_name URL url TCPError tcp_error ServerError server_error Minute minute";

fn name(wire: &str) -> String {
    let words: Vec<_> = NAMES.split_whitespace().collect();
    let known = words.chunks(2).find(|pair| pair[0] == wire).map(|pair| pair[1]);
    known.unwrap_or(wire).to_owned()
}

/// A msgpack value as JSON, with times and names as Tyk Pump writes them.
fn from_msgpack(value: &rmpv::Value) -> Value {
    match value {
        rmpv::Value::Map(pairs) => {
            let member = |(key, value): &(rmpv::Value, rmpv::Value)| {
                let key = key.as_str().expect("keys are text");
                match (key, value) {
                    ("CollectionName", _) => None,
                    ("TimeStamp" | "ExpireAt", rmpv::Value::Array(parts)) => Some((name(key), time(parts))),
                    _ => Some((name(key), from_msgpack(value))),
                }
            };
            Value::Object(pairs.iter().filter_map(member).collect())
        }
        rmpv::Value::Array(items) => items.iter().map(from_msgpack).collect(),
        rmpv::Value::String(text) => String::from_utf8_lossy(text.as_bytes()).into(),
        rmpv::Value::Integer(number) => number.as_i64().expect("it fits").into(),
        // Go writes whole floats without a fraction.
        rmpv::Value::F64(number) if number.fract() == 0.0 => (*number as i64).into(),
        rmpv::Value::F64(number) => (*number).into(),
        rmpv::Value::Boolean(value) => (*value).into(),
        rmpv::Value::Nil => Value::Null,
        other => panic!("a gateway writes no {other:?}"),
    }
}

fn time(parts: &[rmpv::Value]) -> Value {
    let part = |index: usize| parts[index].as_i64().expect("a number");
    timestamp(part(0), part(1) as i32)
}

fn timestamp(seconds: i64, nanos: i32) -> Value {
    // Times before year 0 do not occur; jiff writes what RFC 3339 says.
    jiff::Timestamp::new(seconds, nanos).expect("a time").to_string().into()
}

#[test]
fn two_thousand_msgpack_records_have_every_field() {
    let entries = entries("transactions.msgpack.lp");
    assert_eq!(entries.len(), 2_000);
    for entry in &entries {
        let actual = parse_json(&encode(&FullEncoder, Kind::Transaction, Codec::Msgpack, entry));
        let expected = from_msgpack(&rmpv::decode::read_value(&mut &entry[..]).expect("sound msgpack"));
        assert_eq!(differences(&actual, &expected), Vec::<String>::new());
    }
}

#[test]
fn fifteen_uptime_records_have_every_field() {
    let entries = entries("uptime.msgpack.lp");
    assert_eq!(entries.len(), 15);
    for entry in &entries {
        let actual = parse_json(&encode(&FullEncoder, Kind::Uptime, Codec::Msgpack, entry));
        let expected = from_msgpack(&rmpv::decode::read_value(&mut &entry[..]).expect("sound msgpack"));
        assert_eq!(differences(&actual, &expected), Vec::<String>::new());
    }
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
    #[prost(string, tag = "34")]
    original_path: String,
    #[prost(string, tag = "35")]
    listen_path: String,
}

#[test]
fn seventy_seven_protobuf_records_have_every_field() {
    let entries = entries("transactions.protobuf.lp");
    assert_eq!(entries.len(), 77);
    for entry in &entries {
        let actual = parse_json(&encode(&FullEncoder, Kind::Transaction, Codec::Protobuf, entry));
        let record = Record::decode(&entry[..]).expect("sound protobuf");
        let latency = record.latency.unwrap_or_default();
        let time = |time: Option<Time>| time.map(|time| timestamp(time.seconds, time.nanos));
        assert!(["UTC", "Local", ""].contains(&record.time_zone.as_str()), "{}", record.time_zone);
        let expected = json!({
            "host": record.host, "method": record.method, "path": record.path, "raw_path": record.raw_path,
            "content_length": record.content_length, "user_agent": record.user_agent, "day": record.day,
            "month": record.month, "year": record.year, "hour": record.hour,
            "response_code": record.response_code, "api_key": record.api_key, "api_version": record.api_version,
            "api_name": record.api_name, "api_id": record.api_id, "org_id": record.org_id,
            "request_time": record.request_time, "raw_request": record.raw_request,
            "raw_response": record.raw_response, "ip_address": record.ip_address, "alias": record.alias,
            "track_path": record.track_path, "oauth_id": record.oauth_id, "api_schema": record.api_schema,
            "original_path": record.original_path, "listen_path": record.listen_path,
            "latency": { "total": latency.total, "upstream": latency.upstream, "gateway": 0 },
            "tags": record.tags, "timestamp": time(record.timestamp), "expireAt": time(record.expire_at),
        });
        let actual: Map<_, _> = match actual {
            Value::Object(members) => {
                members.into_iter().filter(|(name, _)| expected.get(name).is_some()).collect()
            }
            other => panic!("{other}"),
        };
        assert_eq!(differences(&Value::Object(actual), &expected), Vec::<String>::new());
    }
}
