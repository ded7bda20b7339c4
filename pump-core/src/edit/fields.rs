//! Fields of transactions and health checks, to be written by name.

use crate::record::{
    Field, Geo, GraphqlStats, Latency, McpStats, Network, Text, TextList, Timestamp, Transaction, Uptime,
    UptimeField,
};

/// The place of a text field; `None` for a field that is not text.
pub(super) fn text_mut<'t, 'a>(
    transaction: &'t mut Transaction<'a>,
    field: Field,
) -> Option<&'t mut Text<'a>> {
    Some(match field {
        Field::Method => &mut transaction.method,
        Field::Host => &mut transaction.host,
        Field::Path => &mut transaction.path,
        Field::RawPath => &mut transaction.raw_path,
        Field::UserAgent => &mut transaction.user_agent,
        Field::ApiKey => &mut transaction.api_key,
        Field::ApiVersion => &mut transaction.api_version,
        Field::ApiName => &mut transaction.api_name,
        Field::ApiId => &mut transaction.api_id,
        Field::OrgId => &mut transaction.org_id,
        Field::OauthId => &mut transaction.oauth_id,
        Field::RawRequest => &mut transaction.raw_request,
        Field::RawResponse => &mut transaction.raw_response,
        Field::IpAddress => &mut transaction.ip_address,
        Field::Alias => &mut transaction.alias,
        Field::ApiSchema => &mut transaction.api_schema,
        Field::OriginalPath => &mut transaction.original_path,
        Field::ListenPath => &mut transaction.listen_path,
        Field::ContentLength
        | Field::Day
        | Field::Month
        | Field::Year
        | Field::Hour
        | Field::ResponseCode
        | Field::Timestamp
        | Field::RequestTime
        | Field::Geo
        | Field::Network
        | Field::Latency
        | Field::Tags
        | Field::TrackPath
        | Field::ExpireAt
        | Field::GraphqlStats
        | Field::McpStats => return None,
    })
}

/// Makes a field what it is when the gateway did not write it.
pub(super) fn clear(transaction: &mut Transaction<'_>, field: Field) {
    match field {
        Field::ContentLength => transaction.content_length = 0,
        Field::Day => transaction.day = 0,
        Field::Month => transaction.month = 0,
        Field::Year => transaction.year = 0,
        Field::Hour => transaction.hour = 0,
        Field::ResponseCode => transaction.response_code = 0,
        Field::Timestamp => transaction.timestamp = Timestamp::ZERO,
        Field::RequestTime => transaction.request_time = 0,
        Field::Geo => transaction.geo = Geo::default(),
        Field::Network => transaction.network = Network::default(),
        Field::Latency => transaction.latency = Latency::default(),
        Field::Tags => transaction.tags = TextList::Nil,
        Field::TrackPath => transaction.track_path = false,
        Field::ExpireAt => transaction.expire_at = Timestamp::ZERO,
        Field::GraphqlStats => transaction.graphql_stats = GraphqlStats::default(),
        Field::McpStats => transaction.mcp_stats = McpStats::default(),
        text => {
            if let Some(text) = text_mut(transaction, text) {
                *text = Text::default();
            }
        }
    }
}

/// The place of a health check's text field; `None` for a field that is not text.
pub(super) fn uptime_text_mut<'u, 'a>(
    uptime: &'u mut Uptime<'a>,
    field: UptimeField,
) -> Option<&'u mut Text<'a>> {
    match field {
        UptimeField::Url => Some(&mut uptime.url),
        UptimeField::ApiId => Some(&mut uptime.api_id),
        UptimeField::OrgId => Some(&mut uptime.org_id),
        _ => None,
    }
}

/// Makes a health check's field what it is when the gateway did not write it.
pub(super) fn clear_uptime(uptime: &mut Uptime<'_>, field: UptimeField) {
    match field {
        UptimeField::Url => uptime.url = Text::default(),
        UptimeField::RequestTime => uptime.request_time = 0,
        UptimeField::ResponseCode => uptime.response_code = 0,
        UptimeField::TcpError => uptime.tcp_error = false,
        UptimeField::ServerError => uptime.server_error = false,
        UptimeField::Day => uptime.day = 0,
        UptimeField::Month => uptime.month = 0,
        UptimeField::Year => uptime.year = 0,
        UptimeField::Hour => uptime.hour = 0,
        UptimeField::Minute => uptime.minute = 0,
        UptimeField::Timestamp => uptime.timestamp = Timestamp::ZERO,
        UptimeField::ExpireAt => uptime.expire_at = Timestamp::ZERO,
        UptimeField::ApiId => uptime.api_id = Text::default(),
        UptimeField::OrgId => uptime.org_id = Text::default(),
    }
}
