//! The uptime record in msgpack: a map with Go's names of the fields.

use super::super::Uptime;
use super::cursor::{Cursor, Fault};
use super::structure::structure;

/// Reads one record; tells how many of its keys are those of an uptime record.
pub(super) fn read<'a>(cursor: &mut Cursor<'a>, uptime: &mut Uptime<'a>) -> Result<u32, Fault> {
    uptime_fields(cursor, uptime)
}

structure! {
    fn uptime_fields<'a>(cursor, to: Uptime<'a>, depth 1) {
        b"URL" => to.url = cursor.text()?,
        b"RequestTime" => to.request_time = cursor.int()?,
        b"ResponseCode" => to.response_code = cursor.int()?,
        b"TCPError" => to.tcp_error = cursor.bool()?,
        b"ServerError" => to.server_error = cursor.bool()?,
        b"Day" => to.day = cursor.int()?,
        b"Month" => to.month = cursor.int()?,
        b"Year" => to.year = cursor.int()?,
        b"Hour" => to.hour = cursor.int()?,
        b"Minute" => to.minute = cursor.int()?,
        b"TimeStamp" => to.timestamp = cursor.time()?,
        b"ExpireAt" => to.expire_at = cursor.time()?,
        b"APIID" => to.api_id = cursor.text()?,
        b"OrgID" => to.org_id = cursor.text()?,
    }
}
