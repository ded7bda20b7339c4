//! One request through the gateway, as borrowed fields. `docs/records.md` says what each means and
//! which gateway release began to write it.

use super::{Field, FieldSet, GraphqlErrors, Text, TextList, TextListMap, TextMap, Timestamp, Value};

/// The fields of one transaction. A field that the gateway did not write is zero, empty or nil.
///
/// `omitted` names the fields that `omit` took out: they are zero here too, and a JSON encoder
/// leaves out their keys.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are described in docs/records.md, one row each")]
pub struct Transaction<'a> {
    pub method: Text<'a>,
    /// The upstream's host.
    pub host: Text<'a>,
    pub path: Text<'a>,
    pub raw_path: Text<'a>,
    /// Bytes; -1 when the body came in chunks.
    pub content_length: i64,
    pub user_agent: Text<'a>,
    /// Day, month, year and hour in the gateway's local time.
    pub day: i64,
    pub month: i64,
    pub year: i64,
    pub hour: i64,
    pub response_code: i64,
    pub api_key: Text<'a>,
    /// The end of the request.
    pub timestamp: Timestamp,
    pub api_version: Text<'a>,
    pub api_name: Text<'a>,
    pub api_id: Text<'a>,
    pub org_id: Text<'a>,
    pub oauth_id: Text<'a>,
    /// Milliseconds.
    pub request_time: i64,
    /// Base64 of the request as it was on the wire; empty without detailed recording.
    pub raw_request: Text<'a>,
    pub raw_response: Text<'a>,
    pub ip_address: Text<'a>,
    pub geo: Geo<'a>,
    pub network: Network,
    pub latency: Latency,
    pub tags: TextList<'a>,
    pub alias: Text<'a>,
    pub track_path: bool,
    pub expire_at: Timestamp,
    /// Base64.
    pub api_schema: Text<'a>,
    pub original_path: Text<'a>,
    pub listen_path: Text<'a>,
    pub graphql_stats: GraphqlStats<'a>,
    pub mcp_stats: McpStats<'a>,
    /// The gateway's time zone, a name of the IANA database; only in protobuf.
    pub time_zone: Text<'a>,
    /// What `omit` took out.
    pub omitted: FieldSet,
}

impl Default for Transaction<'_> {
    fn default() -> Self {
        Self {
            method: Text::default(),
            host: Text::default(),
            path: Text::default(),
            raw_path: Text::default(),
            content_length: 0,
            user_agent: Text::default(),
            day: 0,
            month: 0,
            year: 0,
            hour: 0,
            response_code: 0,
            api_key: Text::default(),
            timestamp: Timestamp::ZERO,
            api_version: Text::default(),
            api_name: Text::default(),
            api_id: Text::default(),
            org_id: Text::default(),
            oauth_id: Text::default(),
            request_time: 0,
            raw_request: Text::default(),
            raw_response: Text::default(),
            ip_address: Text::default(),
            geo: Geo::default(),
            network: Network::default(),
            latency: Latency::default(),
            tags: TextList::Nil,
            alias: Text::default(),
            track_path: false,
            expire_at: Timestamp::ZERO,
            api_schema: Text::default(),
            original_path: Text::default(),
            listen_path: Text::default(),
            graphql_stats: GraphqlStats::default(),
            mcp_stats: McpStats::default(),
            time_zone: Text::default(),
            omitted: FieldSet::EMPTY,
        }
    }
}

/// Where the client was, as far as the gateway's database knew.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "see docs/records.md")]
pub struct Geo<'a> {
    pub iso_code: Text<'a>,
    pub geoname_id: i64,
    /// The city's name by language.
    pub names: TextMap<'a>,
    pub latitude: f64,
    pub longitude: f64,
    pub time_zone: Text<'a>,
}

/// Connections (count) and bytes since the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "see docs/records.md")]
pub struct Network {
    pub open_connections: i64,
    pub closed_connections: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "see docs/records.md")]
pub struct Latency {
    pub total: i64,
    pub upstream: i64,
    pub gateway: i64,
}

/// What the gateway saw of a GraphQL request.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "see docs/records.md")]
pub struct GraphqlStats<'a> {
    /// Base64.
    pub variables: Text<'a>,
    pub root_fields: TextList<'a>,
    pub types: TextListMap<'a>,
    pub errors: GraphqlErrors<'a>,
    pub operation_type: i64,
    pub has_errors: bool,
    pub is_graphql: bool,
}

/// What the gateway saw of a Model Context Protocol request.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "see docs/records.md")]
pub struct McpStats<'a> {
    pub is_mcp: bool,
    pub jsonrpc_method: Text<'a>,
    pub primitive_type: Text<'a>,
    pub primitive_name: Text<'a>,
}

impl<'a> Transaction<'a> {
    /// A field's value by its name in the table of fields.
    pub fn get(&self, field: Field) -> Value<'a> {
        use Value::{Bool, Int, List, Nested, Text, Time};
        match field {
            Field::Method => Text(self.method),
            Field::Host => Text(self.host),
            Field::Path => Text(self.path),
            Field::RawPath => Text(self.raw_path),
            Field::ContentLength => Int(self.content_length),
            Field::UserAgent => Text(self.user_agent),
            Field::Day => Int(self.day),
            Field::Month => Int(self.month),
            Field::Year => Int(self.year),
            Field::Hour => Int(self.hour),
            Field::ResponseCode => Int(self.response_code),
            Field::ApiKey => Text(self.api_key),
            Field::Timestamp => Time(self.timestamp),
            Field::ApiVersion => Text(self.api_version),
            Field::ApiName => Text(self.api_name),
            Field::ApiId => Text(self.api_id),
            Field::OrgId => Text(self.org_id),
            Field::OauthId => Text(self.oauth_id),
            Field::RequestTime => Int(self.request_time),
            Field::RawRequest => Text(self.raw_request),
            Field::RawResponse => Text(self.raw_response),
            Field::IpAddress => Text(self.ip_address),
            Field::Tags => List(self.tags),
            Field::Alias => Text(self.alias),
            Field::TrackPath => Bool(self.track_path),
            Field::ExpireAt => Time(self.expire_at),
            Field::ApiSchema => Text(self.api_schema),
            Field::OriginalPath => Text(self.original_path),
            Field::ListenPath => Text(self.listen_path),
            Field::Geo | Field::Network | Field::Latency | Field::GraphqlStats | Field::McpStats => Nested,
        }
    }
}
