//! The transaction record in msgpack: a map with Go's names of the fields.

use super::super::{
    Geo, GraphqlError, GraphqlErrors, GraphqlPath, GraphqlStats, Latency, McpStats, Network, Text, TextList,
    TextListMap, TextMap, Transaction,
};
use super::cursor::{Cursor, Fault};
use super::structure::structure;

/// Reads one record; tells how many of its keys are those of a transaction.
pub(super) fn read<'a>(cursor: &mut Cursor<'a>, transaction: &mut Transaction<'a>) -> Result<u32, Fault> {
    transaction_fields(cursor, transaction)
}

/// Reads one error of a GraphQL answer.
pub(crate) fn read_graphql_error<'a>(
    cursor: &mut Cursor<'a>,
    error: &mut GraphqlError<'a>,
) -> Result<(), Fault> {
    error_fields(cursor, error)?;
    Ok(())
}

structure! {
    #[inline]
    fn transaction_fields<'a>(cursor, to: Transaction<'a>, depth 1) {
        b"Method" => to.method = cursor.text()?,
        b"Host" => to.host = cursor.text()?,
        b"Path" => to.path = cursor.text()?,
        b"RawPath" => to.raw_path = cursor.text()?,
        b"ContentLength" => to.content_length = cursor.int()?,
        b"UserAgent" => to.user_agent = cursor.text()?,
        b"Day" => to.day = cursor.int()?,
        b"Month" => to.month = cursor.int()?,
        b"Year" => to.year = cursor.int()?,
        b"Hour" => to.hour = cursor.int()?,
        b"ResponseCode" => to.response_code = cursor.int()?,
        b"APIKey" => to.api_key = cursor.text()?,
        b"TimeStamp" => to.timestamp = cursor.time()?,
        b"APIVersion" => to.api_version = cursor.text()?,
        b"APIName" => to.api_name = cursor.text()?,
        b"APIID" => to.api_id = cursor.text()?,
        b"OrgID" => to.org_id = cursor.text()?,
        b"OauthID" => to.oauth_id = cursor.text()?,
        b"RequestTime" => to.request_time = cursor.int()?,
        b"RawRequest" => to.raw_request = cursor.text()?,
        b"RawResponse" => to.raw_response = cursor.text()?,
        b"IPAddress" => to.ip_address = cursor.text()?,
        b"Geo" => { geo(cursor, &mut to.geo)?; },
        b"Network" => { network(cursor, &mut to.network)?; },
        b"Latency" => { latency(cursor, &mut to.latency)?; },
        b"Tags" => text_list(cursor, &mut to.tags)?,
        b"Alias" => to.alias = cursor.text()?,
        b"TrackPath" => to.track_path = cursor.bool()?,
        b"ExpireAt" => to.expire_at = cursor.time()?,
        b"ApiSchema" => to.api_schema = cursor.text()?,
        b"OriginalPath" => to.original_path = cursor.text()?,
        b"ListenPath" => to.listen_path = cursor.text()?,
        b"GraphQLStats" => { graphql_stats(cursor, &mut to.graphql_stats)?; },
        b"MCPStats" => { mcp_stats(cursor, &mut to.mcp_stats)?; },
        // Always empty; nobody reads it.
        b"CollectionName" => { cursor.text()?; },
    }
}

structure! {
    fn geo<'a>(cursor, to: Geo<'a>, depth 2) {
        b"Country" => { country(cursor, to)?; },
        b"City" => { city(cursor, to)?; },
        b"Location" => { location(cursor, to)?; },
    }
}

/// The parts of a [`Geo`] are structures of their own on the wire. As nil one empties its fields only.
macro_rules! geo_part {
    ($name:ident($cursor:ident, $to:ident: $part:ident) { $($key:literal => $field:ident = $read:expr,)* }) => {
        fn $name<'a>($cursor: &mut Cursor<'a>, geo: &mut Geo<'a>) -> Result<u32, Fault> {
            #[derive(Default)]
            struct $part<'a>(Geo<'a>);
            structure! {
                fn fields<'a>($cursor, $to: $part<'a>, depth 3) {
                    $($key => $to.0.$field = $read,)*
                }
            }
            let mut part = $part(*geo);
            let known = fields($cursor, &mut part)?;
            $(geo.$field = part.0.$field;)*
            Ok(known)
        }
    };
}

geo_part!(country(cursor, to: Country) {
    b"ISOCode" => iso_code = cursor.text()?,
});
geo_part!(city(cursor, to: City) {
    b"GeoNameID" => geoname_id = cursor.int()?,
    b"Names" => names = text_map(cursor)?,
});
geo_part!(location(cursor, to: Location) {
    b"Latitude" => latitude = cursor.float()?,
    b"Longitude" => longitude = cursor.float()?,
    b"TimeZone" => time_zone = cursor.text()?,
});

structure! {
    fn network<'a>(cursor, to: Network, depth 2) {
        b"OpenConnections" => to.open_connections = cursor.int()?,
        b"ClosedConnection" => to.closed_connections = cursor.int()?,
        b"BytesIn" => to.bytes_in = cursor.int()?,
        b"BytesOut" => to.bytes_out = cursor.int()?,
    }
}

structure! {
    fn latency<'a>(cursor, to: Latency, depth 2) {
        b"Total" => to.total = cursor.int()?,
        b"Upstream" => to.upstream = cursor.int()?,
        b"Gateway" => to.gateway = cursor.int()?,
    }
}

structure! {
    fn graphql_stats<'a>(cursor, to: GraphqlStats<'a>, depth 2) {
        b"Variables" => to.variables = cursor.text()?,
        b"RootFields" => text_list(cursor, &mut to.root_fields)?,
        b"Types" => to.types = text_list_map(cursor)?,
        b"Errors" => to.errors = graphql_errors(cursor)?,
        b"OperationType" => to.operation_type = cursor.int()?,
        b"HasErrors" => to.has_errors = cursor.bool()?,
        b"IsGraphQL" => to.is_graphql = cursor.bool()?,
    }
}

structure! {
    fn mcp_stats<'a>(cursor, to: McpStats<'a>, depth 2) {
        b"IsMCP" => to.is_mcp = cursor.bool()?,
        b"JSONRPCMethod" => to.jsonrpc_method = cursor.text()?,
        b"PrimitiveType" => to.primitive_type = cursor.text()?,
        b"PrimitiveName" => to.primitive_name = cursor.text()?,
    }
}

structure! {
    fn error_fields<'a>(cursor, to: GraphqlError<'a>, depth 4) {
        b"Message" => to.message = cursor.text()?,
        b"Path" => to.path = graphql_path(cursor)?,
    }
}

/// A list that is nil leaves the one of an earlier key as it is, as the gateway's library does.
fn text_list<'a>(cursor: &mut Cursor<'a>, list: &mut TextList<'a>) -> Result<(), Fault> {
    if let Some(read) = nilable_text_list(cursor)? {
        *list = read;
    }
    Ok(())
}

/// Reads a list of strings; `None` for nil.
pub(crate) fn nilable_text_list<'a>(cursor: &mut Cursor<'a>) -> Result<Option<TextList<'a>>, Fault> {
    let Some(count) = cursor.list()? else { return Ok(None) };
    let body = cursor.rest;
    for _ in 0..count {
        cursor.text()?;
    }
    Ok(Some(TextList::Msgpack { body, count }))
}

fn text_map<'a>(cursor: &mut Cursor<'a>) -> Result<TextMap<'a>, Fault> {
    let Some(count) = cursor.map()? else { return Ok(TextMap::Nil) };
    let body = cursor.rest;
    for _ in 0..count {
        let _: (Text<'_>, Text<'_>) = (cursor.text()?, cursor.text()?);
    }
    Ok(TextMap::Msgpack { body, count })
}

fn text_list_map<'a>(cursor: &mut Cursor<'a>) -> Result<TextListMap<'a>, Fault> {
    let Some(count) = cursor.map()? else { return Ok(TextListMap::Nil) };
    let body = cursor.rest;
    for _ in 0..count {
        cursor.text()?;
        nilable_text_list(cursor)?;
    }
    Ok(TextListMap::Msgpack { body, count })
}

fn graphql_errors<'a>(cursor: &mut Cursor<'a>) -> Result<GraphqlErrors<'a>, Fault> {
    let Some(count) = cursor.list()? else { return Ok(GraphqlErrors::Nil) };
    let body = cursor.rest;
    for _ in 0..count {
        read_graphql_error(cursor, &mut GraphqlError::default())?;
    }
    Ok(GraphqlErrors::Msgpack { body, count })
}

fn graphql_path<'a>(cursor: &mut Cursor<'a>) -> Result<GraphqlPath<'a>, Fault> {
    const DEPTH: usize = 5;
    let Some(count) = cursor.list()? else { return Ok(GraphqlPath::Nil) };
    let body = cursor.rest;
    for _ in 0..count {
        cursor.skip_plain(DEPTH)?;
    }
    Ok(GraphqlPath::Msgpack { body, count })
}
