//! The time zone that a record was written in, which only protobuf keeps.

use std::cell::RefCell;

use jiff::tz::TimeZone;

use super::{Text, Timestamp};

/// Where a clock on the wall stands at some point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of Greenwich.
    pub offset: i32,
    /// The short name, such as `EET`; filled up with zeros.
    name: [u8; Self::MAX_NAME],
}

impl Zone {
    const MAX_NAME: usize = 8;
    /// Coordinated universal time.
    pub const UTC: Self = Self { offset: 0, name: *b"UTC\0\0\0\0\0" };

    /// The zone of that name in the IANA database, as it was at `time`. No name, `UTC`, `Local` (which
    /// tells nothing elsewhere) and unknown names are UTC.
    #[inline]
    pub fn at(name: Text<'_>, time: Timestamp) -> Self {
        match name.bytes() {
            b"" | b"UTC" | b"Local" => Self::UTC,
            name => look_up(name, time),
        }
    }

    /// The short name, such as `EET`.
    pub fn name(&self) -> &[u8] {
        let length = self.name.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX_NAME);
        &self.name[..length]
    }
}

/// Records that follow one another come from gateways in one zone, so each thread keeps the last one.
fn look_up(name: &[u8], time: Timestamp) -> Zone {
    thread_local! {
        static LAST: RefCell<(Vec<u8>, Option<TimeZone>)> = const { RefCell::new((Vec::new(), None)) };
    }
    LAST.with_borrow_mut(|(last, zone)| {
        if last != name {
            last.clear();
            last.extend_from_slice(name);
            *zone = std::str::from_utf8(name).ok().and_then(|name| TimeZone::get(name).ok());
        }
        let (Some(zone), Ok(time)) = (zone, jiff::Timestamp::new(time.seconds, time.nanos as i32)) else {
            return Zone::UTC;
        };
        let info = zone.to_offset_info(time);
        let mut found = Zone { offset: info.offset().seconds(), name: [0; Zone::MAX_NAME] };
        let letters = info.abbreviation().as_bytes();
        let length = letters.len().min(Zone::MAX_NAME);
        found.name[..length].copy_from_slice(&letters[..length]);
        found
    })
}
