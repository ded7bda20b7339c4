//! `tyk`: the documents of Tyk Pump's elasticsearch pump, so that what is built on them goes on working.

use pump_core::encode::{Additions, Encoder, json};
use pump_core::record::{Field, Record, TextList, Transaction, View, Zone};

use super::{FullDocument, Members, stream_time};

/// Writes a transaction's document as Tyk Pump does; records of other kinds are written `full`.
#[derive(Debug, Clone, Copy)]
pub(in crate::elasticsearch) struct TykDocument {
    /// With recorded requests and responses, and user agents.
    pub(in crate::elasticsearch) is_extended: bool,
    /// A data stream refuses a document whose time is null.
    pub(in crate::elasticsearch) is_stream: bool,
}

impl Encoder for TykDocument {
    fn key(&self) -> &str {
        match (self.is_extended, self.is_stream) {
            (false, false) => "elasticsearch-tyk",
            (true, false) => "elasticsearch-tyk-extended",
            (false, true) => "elasticsearch-tyk-stream",
            (true, true) => "elasticsearch-tyk-extended-stream",
        }
    }

    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        let View::Transaction(transaction) = view else {
            return FullDocument { is_stream: self.is_stream }.encode(record, view, additions, out);
        };
        let mut members = Members::begin(out);
        self.time(record, view, transaction, &mut members);
        self.members(transaction, &mut members);
        members.end(additions);
    }
}

impl TykDocument {
    fn time(
        &self,
        record: Record<'_>,
        view: &View<'_>,
        transaction: &Transaction<'_>,
        members: &mut Members<'_>,
    ) {
        let (time, is_omitted) = (transaction.timestamp, transaction.omitted.has(Field::Timestamp));
        let zone = Zone::at(transaction.time_zone, time);
        let is_writable = (0..=9999).contains(&time.civil_at(zone.offset).year);
        if self.is_stream && (is_omitted || !is_writable) {
            members.time("@timestamp", stream_time(view, record.received()), &Zone::UTC);
        } else if !is_omitted {
            members.time("@timestamp", time, &zone);
        }
    }

    /// In the order of their names, as Go writes a map.
    fn members(&self, record: &Transaction<'_>, members: &mut Members<'_>) {
        let omitted = record.omitted;
        macro_rules! member {
            ($method:ident, $field:ident, $name:literal, $value:expr) => {
                if !omitted.has(Field::$field) {
                    members.$method($name, $value);
                }
            };
        }
        member!(text, Alias, "alias", record.alias);
        member!(text, ApiId, "api_id", record.api_id);
        member!(text, ApiKey, "api_key", record.api_key);
        member!(text, ApiName, "api_name", record.api_name);
        member!(text, ApiVersion, "api_version", record.api_version);
        member!(int, ContentLength, "content_length", record.content_length);
        member!(text, Method, "http_method", record.method);
        member!(text, IpAddress, "ip_address", record.ip_address);
        if record.mcp_stats.is_mcp {
            member!(text, McpStats, "mcp_method", record.mcp_stats.jsonrpc_method);
            member!(text, McpStats, "mcp_primitive_name", record.mcp_stats.primitive_name);
            member!(text, McpStats, "mcp_primitive_type", record.mcp_stats.primitive_type);
        }
        member!(text, OauthId, "oauth_id", record.oauth_id);
        member!(text, OrgId, "org_id", record.org_id);
        if self.is_extended {
            member!(text, RawRequest, "raw_request", record.raw_request);
            member!(text, RawResponse, "raw_response", record.raw_response);
        }
        member!(int, RequestTime, "request_time_ms", record.request_time);
        member!(text, Path, "request_uri", record.path);
        member!(text, RawPath, "request_uri_full", record.raw_path);
        member!(int, ResponseCode, "response_code", record.response_code);
        if !omitted.has(Field::Tags) {
            // Tyk Pump writes an empty list as none.
            let tags = if record.tags.is_empty() { TextList::Nil } else { record.tags };
            json::list(tags, members.value("tags"));
        }
        if self.is_extended {
            member!(text, UserAgent, "user_agent", record.user_agent);
        }
    }
}
