//! The transaction record in protobuf: `AnalyticsRecord` of the package `normalproto`.
//!
//! With `CHECK` strings have to be valid UTF-8, as proto3 demands, and the entries of lists and maps are
//! looked at too. Without it, only what a walked record can still hold is read.

use super::super::{
    Geo, GraphqlErrors, GraphqlStats, Latency, McpStats, Network, Text, TextList, TextListMap, TextMap,
    Timestamp, Transaction,
};
use super::wire::{Fault, Payload, Wire};
use Payload::{Bytes, Fixed64, Varint};

/// Seconds and nanoseconds as they come; an absent time is the epoch, as it is to the gateway's library.
#[derive(Debug, Clone, Copy, Default)]
struct Time {
    seconds: i64,
    nanos: i32,
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self::from_parts(time.seconds, i64::from(time.nanos))
    }
}

/// Reads the whole message; on a fault says where in it the faulty field begins.
pub(super) fn read<'a, const CHECK: bool>(
    body: &'a [u8],
    to: &mut Transaction<'a>,
) -> Result<(), (Fault, usize)> {
    let mut wire = Wire::new(body);
    let mut times = [Time::default(); 2];
    let result = loop {
        let message = wire.rest;
        match field::<CHECK>(&mut wire, to, &mut times) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(fault) => break Err((fault, body.len() - message.len())),
        }
    };
    to.timestamp = times[0].into();
    to.expire_at = times[1].into();
    result
}

/// Reads one field; false at the end. Lists and maps keep the rest of the message from their first
/// occurrence on, in which all others lie.
fn field<'a, const CHECK: bool>(
    wire: &mut Wire<'a>,
    to: &mut Transaction<'a>,
    times: &mut [Time; 2],
) -> Result<bool, Fault> {
    let message = wire.rest;
    let Some(field) = wire.field()? else { return Ok(false) };
    match field {
        (1, Bytes(bytes)) => to.host = text::<CHECK>(bytes)?,
        (2, Bytes(bytes)) => to.method = text::<CHECK>(bytes)?,
        (3, Bytes(bytes)) => to.path = text::<CHECK>(bytes)?,
        (4, Bytes(bytes)) => to.raw_path = text::<CHECK>(bytes)?,
        (5, Varint(value)) => to.content_length = value as i64,
        (6, Bytes(bytes)) => to.user_agent = text::<CHECK>(bytes)?,
        (7, Varint(value)) => to.day = int32(value),
        (8, Varint(value)) => to.month = int32(value),
        (9, Varint(value)) => to.year = int32(value),
        (10, Varint(value)) => to.hour = int32(value),
        (11, Varint(value)) => to.response_code = int32(value),
        (12, Bytes(bytes)) => to.api_key = text::<CHECK>(bytes)?,
        (13, Bytes(bytes)) => time(bytes, &mut times[0])?,
        (14, Bytes(bytes)) => to.api_version = text::<CHECK>(bytes)?,
        (15, Bytes(bytes)) => to.api_name = text::<CHECK>(bytes)?,
        (16, Bytes(bytes)) => to.api_id = text::<CHECK>(bytes)?,
        (17, Bytes(bytes)) => to.org_id = text::<CHECK>(bytes)?,
        (18, Varint(value)) => to.request_time = value as i64,
        (19, Bytes(bytes)) => latency(bytes, &mut to.latency)?,
        (20, Bytes(bytes)) => to.raw_request = text::<CHECK>(bytes)?,
        (21, Bytes(bytes)) => to.raw_response = text::<CHECK>(bytes)?,
        (22, Bytes(bytes)) => to.ip_address = text::<CHECK>(bytes)?,
        (23, Bytes(bytes)) => geo::<CHECK>(bytes, message, &mut to.geo)?,
        (24, Bytes(bytes)) => network(bytes, &mut to.network)?,
        (25, Bytes(bytes)) => {
            text::<CHECK>(bytes)?;
            if let TextList::Nil = to.tags {
                to.tags = TextList::Protobuf { message, path: &[25] };
            }
        }
        (26, Bytes(bytes)) => to.alias = text::<CHECK>(bytes)?,
        (27, Varint(value)) => to.track_path = value != 0,
        (28, Bytes(bytes)) => time(bytes, &mut times[1])?,
        (29, Bytes(bytes)) => to.oauth_id = text::<CHECK>(bytes)?,
        (30, Bytes(bytes)) => to.time_zone = text::<CHECK>(bytes)?,
        (31, Bytes(bytes)) => to.api_schema = text::<CHECK>(bytes)?,
        (32, Bytes(bytes)) => graphql_stats::<CHECK>(bytes, message, &mut to.graphql_stats)?,
        (33, Bytes(bytes)) => mcp_stats::<CHECK>(bytes, &mut to.mcp_stats)?,
        (34, Bytes(bytes)) => to.original_path = text::<CHECK>(bytes)?,
        (35, Bytes(bytes)) => to.listen_path = text::<CHECK>(bytes)?,
        _ => {}
    }
    Ok(true)
}

#[inline]
fn text<const CHECK: bool>(bytes: &[u8]) -> Result<Text<'_>, Fault> {
    if CHECK && std::str::from_utf8(bytes).is_err() {
        return Err(Fault::Utf8);
    }
    Ok(Text(bytes))
}

/// A number of 32 bits: those above are dropped.
fn int32(value: u64) -> i64 {
    i64::from(value as i32)
}

fn time(bytes: &[u8], to: &mut Time) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Varint(value)) => to.seconds = value as i64,
            (2, Varint(value)) => to.nanos = value as i32,
            _ => {}
        }
    }
    Ok(())
}

fn latency(bytes: &[u8], to: &mut Latency) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Varint(value)) => to.total = value as i64,
            (2, Varint(value)) => to.upstream = value as i64,
            _ => {}
        }
    }
    Ok(())
}

fn network(bytes: &[u8], to: &mut Network) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Varint(value)) => to.open_connections = value as i64,
            (2, Varint(value)) => to.closed_connections = value as i64,
            (3, Varint(value)) => to.bytes_in = value as i64,
            (4, Varint(value)) => to.bytes_out = value as i64,
            _ => {}
        }
    }
    Ok(())
}

fn geo<'a, const CHECK: bool>(bytes: &'a [u8], message: &'a [u8], to: &mut Geo<'a>) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Bytes(bytes)) => country::<CHECK>(bytes, to)?,
            (2, Bytes(bytes)) => city::<CHECK>(bytes, message, to)?,
            (3, Bytes(bytes)) => location::<CHECK>(bytes, to)?,
            _ => {}
        }
    }
    Ok(())
}

fn country<'a, const CHECK: bool>(bytes: &'a [u8], to: &mut Geo<'a>) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        if let (1, Bytes(bytes)) = field {
            to.iso_code = text::<CHECK>(bytes)?;
        }
    }
    Ok(())
}

fn city<'a, const CHECK: bool>(bytes: &'a [u8], message: &'a [u8], to: &mut Geo<'a>) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Bytes(entry)) => {
                if CHECK {
                    check_entry(entry, |value| text::<true>(value).map(|_| ()))?;
                }
                if let TextMap::Nil = to.names {
                    to.names = TextMap::Protobuf { message, path: &[23, 2, 1] };
                }
            }
            (2, Varint(value)) => to.geoname_id = i64::from(value as u32),
            _ => {}
        }
    }
    Ok(())
}

fn location<'a, const CHECK: bool>(bytes: &'a [u8], to: &mut Geo<'a>) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Fixed64(bits)) => to.latitude = f64::from_bits(bits),
            (2, Fixed64(bits)) => to.longitude = f64::from_bits(bits),
            (3, Bytes(bytes)) => to.time_zone = text::<CHECK>(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

fn graphql_stats<'a, const CHECK: bool>(
    bytes: &'a [u8],
    message: &'a [u8],
    to: &mut GraphqlStats<'a>,
) -> Result<(), Fault> {
    // A gateway writes this message only for GraphQL requests: then there are maps and lists, if empty.
    if let TextListMap::Nil = to.types {
        to.types = TextListMap::Protobuf { message, path: &[32, 2] };
        to.errors = GraphqlErrors::Protobuf { message, path: &[32, 7] };
    }
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Varint(value)) => to.is_graphql = value != 0,
            (2, Bytes(entry)) if CHECK => check_entry(entry, check_texts)?,
            (3, Varint(value)) => to.operation_type = int32(value),
            (4, Bytes(bytes)) => to.variables = text::<CHECK>(bytes)?,
            (5, Bytes(bytes)) => {
                text::<CHECK>(bytes)?;
                if let TextList::Nil = to.root_fields {
                    to.root_fields = TextList::Protobuf { message, path: &[32, 5] };
                }
            }
            (6, Varint(value)) => to.has_errors = value != 0,
            (7, Bytes(bytes)) => {
                text::<CHECK>(bytes)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn mcp_stats<'a, const CHECK: bool>(bytes: &'a [u8], to: &mut McpStats<'a>) -> Result<(), Fault> {
    let mut wire = Wire::new(bytes);
    while let Some(field) = wire.field()? {
        match field {
            (1, Varint(value)) => to.is_mcp = value != 0,
            (2, Bytes(bytes)) => to.jsonrpc_method = text::<CHECK>(bytes)?,
            (3, Bytes(bytes)) => to.primitive_type = text::<CHECK>(bytes)?,
            (4, Bytes(bytes)) => to.primitive_name = text::<CHECK>(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks an entry of a map from text; `check_value` checks each value.
fn check_entry(entry: &[u8], check_value: impl Fn(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut wire = Wire::new(entry);
    while let Some(field) = wire.field()? {
        match field {
            (1, Bytes(bytes)) => {
                text::<true>(bytes)?;
            }
            (2, Bytes(bytes)) => check_value(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks a message whose only field is a list of texts.
fn check_texts(message: &[u8]) -> Result<(), Fault> {
    let mut wire = Wire::new(message);
    while let Some(field) = wire.field()? {
        if let (1, Bytes(bytes)) = field {
            text::<true>(bytes)?;
        }
    }
    Ok(())
}
