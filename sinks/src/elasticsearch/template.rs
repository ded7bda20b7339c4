//! The index template: which type each field has.
//!
//! For `tyk` it is what the servers would guess themselves, with payloads left out of the search and a
//! date that cannot be misread. For `full`, texts are keywords, and a value that does not fit its type
//! stays in the document unsearched instead of having the document refused.

use pump_core::plugin::Format;
use serde_json::{Value, json};

/// Lucene refuses a term over 32,766 bytes; a character has four at most.
const LONGEST_KEYWORD: u32 = 8_191;

/// The body of a template for the indices, or the data stream, of that pattern.
pub(super) fn body(format: Format, pattern: &str, is_data_stream: bool) -> Value {
    let mut mappings = match format {
        Format::Tyk => tyk(),
        Format::Full => full(),
    };
    if is_data_stream {
        // A data stream sorts by it and must be able to read it.
        mappings["properties"]["@timestamp"] = json!({ "type": "date", "ignore_malformed": false });
    }
    let mut body = json!({
        "index_patterns": [pattern],
        // Of two that fit, the narrower counts; servers refuse equals.
        "priority": 200 + pattern.len(),
        "template": {
            // Logs and events have fields of their own, which may change their type.
            "settings": { "index": { "mapping": { "ignore_malformed": true } } },
            "mappings": mappings,
        },
        "_meta": { "managed_by": "pump" },
    });
    if is_data_stream {
        body["data_stream"] = json!({});
    }
    body
}

/// The template's name for a pattern, which has signs that a name in a path should not have.
pub(super) fn name(pattern: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    format!("pump-{}", pattern.trim_end_matches(['*', '-', '_', '.']).chars().map(safe).collect::<String>())
}

fn tyk() -> Value {
    // Both forms, as a guess gives them: dashboards ask for `api_name.keyword`.
    let text = json!({
        "type": "text",
        "fields": { "keyword": { "type": "keyword", "ignore_above": LONGEST_KEYWORD } },
    });
    json!({
        "date_detection": false,
        "dynamic_templates": [{ "texts": { "match_mapping_type": "string", "mapping": text } }],
        "properties": {
            "@timestamp": date(),
            "response_code": long(),
            "request_time_ms": long(),
            "content_length": long(),
            "raw_request": unsearched(),
            "raw_response": unsearched(),
        },
    })
}

fn full() -> Value {
    let mut properties = json!({
        "@timestamp": date(),
        "timestamp": date(),
        "expireAt": date(),
        // The same of a health check.
        "ExpireAt": date(),
        "ip_address": { "type": "ip", "ignore_malformed": true },
        "track_path": boolean(),
        "tcp_error": boolean(),
        "server_error": boolean(),
        "raw_request": unsearched(),
        "raw_response": unsearched(),
        "api_schema": unsearched(),
        "geo": { "properties": {
            "country": { "properties": { "iso_code": keyword() } },
            // One name for each language: as a mapping of their own they would only add fields.
            "city": { "properties": { "geoname_id": long(), "names": unread() } },
            "location": { "type": "geo_point", "ignore_malformed": true },
            "time_zone": keyword(),
        } },
        "network": { "properties": {
            "open_connections": long(), "closed_connections": long(), "bytes_in": long(), "bytes_out": long(),
        } },
        "latency": { "properties": { "total": long(), "upstream": long(), "gateway": long() } },
        // The names in `Types` and the paths of errors are a client's to choose.
        "graphql_stats": { "properties": {
            "Variables": unsearched(), "RootFields": keyword(), "Types": unread(), "Errors": unread(),
            "OperationType": long(), "HasErrors": boolean(), "IsGraphQL": boolean(),
        } },
        "mcp_stats": { "properties": {
            "is_mcp": boolean(), "jsonrpc_method": keyword(), "primitive_type": keyword(),
            "primitive_name": keyword(),
        } },
    });
    for name in [
        "method",
        "host",
        "path",
        "raw_path",
        "user_agent",
        "api_key",
        "api_version",
        "api_name",
        "api_id",
        "org_id",
        "oauth_id",
        "tags",
        "alias",
        "original_path",
        "listen_path",
        "url",
    ] {
        properties[name] = keyword();
    }
    for name in ["content_length", "day", "month", "year", "hour", "minute", "response_code", "request_time"]
    {
        properties[name] = long();
    }
    json!({
        "date_detection": false,
        "dynamic_templates": [{ "texts": { "match_mapping_type": "string", "mapping": keyword() } }],
        "properties": properties,
    })
}

fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": LONGEST_KEYWORD })
}

fn date() -> Value {
    json!({ "type": "date", "ignore_malformed": true })
}

fn long() -> Value {
    json!({ "type": "long" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

/// Kept in the document and nowhere else.
fn unsearched() -> Value {
    json!({ "type": "text", "index": false })
}

/// An object that is kept as it is, whatever is in it.
fn unread() -> Value {
    json!({ "type": "object", "enabled": false })
}
