//! The columns: each field of a transaction under the name that `format: full` has for it, of its own type.
//!
//! A structure's fields are columns of their own, such as `latency_total`. What has names of its own in it, and so
//! would be another schema each time, is JSON in a text column.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::Result;
use parquet::schema::types::{Type, TypePtr};
use pump_core::record::{Field, RecordId, Transaction};

use super::rows::{Cell, Json, Rows};

/// What a column holds. Every one may be null: `omit` takes fields out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// UTF-8.
    Text,
    /// 64 bits, signed.
    Int,
    /// 64 bits.
    Float,
    Bool,
    /// Microseconds since 1970, UTC.
    Time,
    /// A list of texts.
    List,
    /// JSON as text.
    Json,
}

macro_rules! columns {
    (|$record:ident| $($name:literal $shape:ident of $field:ident: $value:expr,)*) => {
        const COLUMNS: &[(&str, Shape)] = &[("id", Shape::Text), $(($name, Shape::$shape)),*];

        /// Adds a row.
        pub(super) fn fill(id: RecordId, $record: &Transaction<'_>, rows: &mut Rows) {
            rows.begin();
            rows.put(Some(Cell::Id(id)));
            $(rows.put((!$record.omitted.has(Field::$field)).then_some(Cell::$shape($value)));)*
        }
    };
}

columns! {
    |record|
    "method" Text of Method: record.method,
    "host" Text of Host: record.host,
    "path" Text of Path: record.path,
    "raw_path" Text of RawPath: record.raw_path,
    "content_length" Int of ContentLength: record.content_length,
    "user_agent" Text of UserAgent: record.user_agent,
    "day" Int of Day: record.day,
    "month" Int of Month: record.month,
    "year" Int of Year: record.year,
    "hour" Int of Hour: record.hour,
    "response_code" Int of ResponseCode: record.response_code,
    "api_key" Text of ApiKey: record.api_key,
    "timestamp" Time of Timestamp: record.timestamp,
    "api_version" Text of ApiVersion: record.api_version,
    "api_name" Text of ApiName: record.api_name,
    "api_id" Text of ApiId: record.api_id,
    "org_id" Text of OrgId: record.org_id,
    "oauth_id" Text of OauthId: record.oauth_id,
    "request_time" Int of RequestTime: record.request_time,
    "raw_request" Text of RawRequest: record.raw_request,
    "raw_response" Text of RawResponse: record.raw_response,
    "ip_address" Text of IpAddress: record.ip_address,
    "geo_country" Text of Geo: record.geo.iso_code,
    "geo_city_id" Int of Geo: record.geo.geoname_id,
    "geo_city_names" Json of Geo: Json::Map(record.geo.names),
    "geo_latitude" Float of Geo: record.geo.latitude,
    "geo_longitude" Float of Geo: record.geo.longitude,
    "geo_time_zone" Text of Geo: record.geo.time_zone,
    "network_open_connections" Int of Network: record.network.open_connections,
    "network_closed_connections" Int of Network: record.network.closed_connections,
    "network_bytes_in" Int of Network: record.network.bytes_in,
    "network_bytes_out" Int of Network: record.network.bytes_out,
    "latency_total" Int of Latency: record.latency.total,
    "latency_upstream" Int of Latency: record.latency.upstream,
    "latency_gateway" Int of Latency: record.latency.gateway,
    "tags" List of Tags: record.tags,
    "alias" Text of Alias: record.alias,
    "track_path" Bool of TrackPath: record.track_path,
    "expireAt" Time of ExpireAt: record.expire_at,
    "api_schema" Text of ApiSchema: record.api_schema,
    "original_path" Text of OriginalPath: record.original_path,
    "listen_path" Text of ListenPath: record.listen_path,
    "graphql_is_graphql" Bool of GraphqlStats: record.graphql_stats.is_graphql,
    "graphql_has_errors" Bool of GraphqlStats: record.graphql_stats.has_errors,
    "graphql_operation_type" Int of GraphqlStats: record.graphql_stats.operation_type,
    "graphql_variables" Text of GraphqlStats: record.graphql_stats.variables,
    "graphql_root_fields" List of GraphqlStats: record.graphql_stats.root_fields,
    "graphql_types" Json of GraphqlStats: Json::Lists(record.graphql_stats.types),
    "graphql_errors" Json of GraphqlStats: Json::Errors(record.graphql_stats.errors),
    "mcp_is_mcp" Bool of McpStats: record.mcp_stats.is_mcp,
    "mcp_jsonrpc_method" Text of McpStats: record.mcp_stats.jsonrpc_method,
    "mcp_primitive_type" Text of McpStats: record.mcp_stats.primitive_type,
    "mcp_primitive_name" Text of McpStats: record.mcp_stats.primitive_name,
}

/// What each column holds, in order.
pub(super) fn shapes() -> impl Iterator<Item = Shape> {
    COLUMNS.iter().map(|(_, shape)| *shape)
}

/// The columns as the file has them.
pub(super) fn schema() -> Result<TypePtr> {
    let fields = COLUMNS.iter().map(|(name, shape)| field(name, *shape)).collect::<Result<_>>()?;
    Ok(Arc::new(Type::group_type_builder("record").with_fields(fields).build()?))
}

fn field(name: &str, shape: Shape) -> Result<TypePtr> {
    let (physical, logical) = match shape {
        Shape::Text | Shape::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Shape::Int => (Physical::INT64, None),
        Shape::Float => (Physical::DOUBLE, None),
        Shape::Bool => (Physical::BOOLEAN, None),
        Shape::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Shape::List => return list(name),
    };
    let built = Type::primitive_type_builder(name, physical).with_logical_type(logical);
    Ok(Arc::new(built.with_repetition(Repetition::OPTIONAL).build()?))
}

/// Three levels, as the format's specification has lists.
fn list(name: &str) -> Result<TypePtr> {
    let element = Type::primitive_type_builder("element", Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::String))
        .with_repetition(Repetition::REQUIRED)
        .build()?;
    let items = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    let list = Type::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(items)])
        .build()?;
    Ok(Arc::new(list))
}
