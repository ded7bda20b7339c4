//! Tyk Pump's csv: 42 columns, quoted as RFC 4180 and Go's `encoding/csv` have it.
//!
//! Numbers are right where Tyk Pump wraps negative ones and cuts coordinates to whole numbers. An
//! omitted field is an empty cell.

use super::json;
use super::{Additions, Encoder};
use crate::record::{Field, Record, Text, Timestamp, Transaction, View, Zone, sorted};

/// The line of names, with its newline.
pub const CSV_HEADER: &[u8] = b"Method,Host,Path,RawPath,ContentLength,UserAgent,Day,Month,Year,Hour,\
ResponseCode,APIKey,TimeStamp,APIVersion,APIName,APIID,OrgID,OauthID,RequestTime,RawRequest,RawResponse,\
IPAddress,GeoData.Country.ISOCode,GeoData.City.GeoNameID,GeoData.City.Names,GeoData.Location.Latitude,\
GeoData.Location.Longitude,GeoData.Location.TimeZone,NetworkStats.OpenConnections,\
NetworkStats.ClosedConnection,NetworkStats.BytesIn,NetworkStats.BytesOut,Latency.Total,Latency.Upstream,\
Latency.Gateway,Tags,Alias,TrackPath,ExpireAt,ApiSchema,OriginalPath,ListenPath\n";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Writes a row of Tyk Pump's csv, without its newline.
#[derive(Debug, Clone, Copy)]
pub struct CsvEncoder;

impl Encoder for CsvEncoder {
    fn key(&self) -> &str {
        "csv"
    }

    /// Additions have no column: the engine gives none to a sink that takes none.
    fn encode(&self, _: Record<'_>, view: &View<'_>, _: &Additions, out: &mut Vec<u8>) {
        if let View::Transaction(transaction) = view {
            row(transaction, out);
            // Each cell ends with a comma; the last one is too many.
            out.pop();
        }
    }
}

fn row(record: &Transaction<'_>, out: &mut Vec<u8>) {
    let omitted = record.omitted;
    macro_rules! cell {
        ($field:ident, $write:expr) => {
            if !omitted.has(Field::$field) {
                $write;
            }
            out.push(b',');
        };
    }
    macro_rules! text {
        ($field:ident, $value:expr) => {
            cell!($field, quoted(out, |out| out.extend_from_slice($value.bytes())))
        };
    }
    macro_rules! int {
        ($field:ident, $value:expr) => {
            cell!($field, json::int($value, out))
        };
    }
    text!(Method, record.method);
    text!(Host, record.host);
    text!(Path, record.path);
    text!(RawPath, record.raw_path);
    int!(ContentLength, record.content_length);
    text!(UserAgent, record.user_agent);
    int!(Day, record.day);
    cell!(Month, month(record.month, out));
    int!(Year, record.year);
    int!(Hour, record.hour);
    int!(ResponseCode, record.response_code);
    text!(ApiKey, record.api_key);
    cell!(Timestamp, time(record.timestamp, record.time_zone, out));
    text!(ApiVersion, record.api_version);
    text!(ApiName, record.api_name);
    text!(ApiId, record.api_id);
    text!(OrgId, record.org_id);
    text!(OauthId, record.oauth_id);
    int!(RequestTime, record.request_time);
    text!(RawRequest, record.raw_request);
    text!(RawResponse, record.raw_response);
    text!(IpAddress, record.ip_address);
    text!(Geo, record.geo.iso_code);
    int!(Geo, record.geo.geoname_id);
    cell!(Geo, quoted(out, |out| names(record, out)));
    cell!(Geo, json::float(record.geo.latitude, out));
    cell!(Geo, json::float(record.geo.longitude, out));
    text!(Geo, record.geo.time_zone);
    int!(Network, record.network.open_connections);
    int!(Network, record.network.closed_connections);
    int!(Network, record.network.bytes_in);
    int!(Network, record.network.bytes_out);
    int!(Latency, record.latency.total);
    int!(Latency, record.latency.upstream);
    int!(Latency, record.latency.gateway);
    cell!(Tags, quoted(out, |out| tags(record, out)));
    text!(Alias, record.alias);
    cell!(TrackPath, json::bool(record.track_path, out));
    cell!(ExpireAt, time(record.expire_at, record.time_zone, out));
    text!(ApiSchema, record.api_schema);
    text!(OriginalPath, record.original_path);
    text!(ListenPath, record.listen_path);
}

/// Writes a cell and puts it in quotes if it needs them, which few do.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    write(out);
    let cell = &out[begin..];
    if !needs_quotes(cell) {
        return;
    }
    let quotes = cell.iter().filter(|byte| **byte == b'"').count();
    let (mut from, mut to) = (out.len(), out.len() + quotes + 2);
    out.resize(to, 0);
    // From the back, each byte to its place: nothing is overwritten that was not moved.
    to -= 1;
    out[to] = b'"';
    while from > begin {
        from -= 1;
        to -= 1;
        out[to] = out[from];
        if out[from] == b'"' {
            to -= 1;
            out[to] = b'"';
        }
    }
    out[begin] = b'"';
}

fn needs_quotes(cell: &[u8]) -> bool {
    // A backslash and a dot end the data of some databases.
    let is_end_mark = cell == b"\\.";
    let begins_with_space = match cell.first() {
        None => false,
        Some(byte) if byte.is_ascii() => matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r'),
        Some(_) => {
            let head = &cell[..cell.len().min(4)];
            let first = head.utf8_chunks().next().and_then(|part| part.valid().chars().next());
            first.is_some_and(char::is_whitespace)
        }
    };
    is_end_mark
        || begins_with_space
        || cell.iter().fold(false, |any, byte| any | matches!(byte, b',' | b'"' | b'\r' | b'\n'))
}

fn month(month: i64, out: &mut Vec<u8>) {
    let name = usize::try_from(month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    match name {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        // As Go prints a month that is none.
        None => {
            out.extend_from_slice(b"%!Month(");
            json::int(month, out);
            out.push(b')');
        }
    }
}

fn time(time: Timestamp, zone: Text<'_>, out: &mut Vec<u8>) {
    time.write_go(&Zone::at(zone, time), out);
}

fn names(record: &Transaction<'_>, out: &mut Vec<u8>) {
    let mut is_first = true;
    sorted(record.geo.names.iter(), |language, name| {
        if !std::mem::take(&mut is_first) {
            out.push(b';');
        }
        out.extend_from_slice(language.bytes());
        out.push(b':');
        out.extend_from_slice(name.bytes());
    });
}

fn tags(record: &Transaction<'_>, out: &mut Vec<u8>) {
    for (index, tag) in record.tags.iter().enumerate() {
        if index > 0 {
            out.push(b';');
        }
        out.extend_from_slice(tag.bytes());
    }
}
