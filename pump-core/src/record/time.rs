//! A point in time as gateways write it: seconds and nanoseconds, also long before 1970.
//!
//! Dates are made by arithmetic of our own, which no value can make overflow: an attacker's clock may
//! say anything. The calendar is Go's: Gregorian at all times, with a year 0 and negative years.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Zone;

/// A point in time, UTC. `nanos` is always below 1,000,000,000 and counts forward from `seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// A point in time as a calendar and a clock on the wall show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it; month and day count from 1")]
pub struct Civil {
    pub year: i64,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };
    /// 0001-01-01T00:00:00Z: the zero value of Go's `time.Time`, which a gateway writes for "no time".
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0 };

    /// The machine's clock now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() }
    }

    /// From parts that need not be normal, as Go's `time.Unix` takes them.
    pub fn from_parts(seconds: i64, nanos: i64) -> Self {
        const SECOND: i64 = 1_000_000_000;
        Self {
            seconds: seconds.saturating_add(nanos.div_euclid(SECOND)),
            nanos: nanos.rem_euclid(SECOND) as u32,
        }
    }

    /// Seconds from `earlier` to this, negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.seconds.saturating_sub(earlier.seconds)) as f64
            + (f64::from(self.nanos) - f64::from(earlier.nanos)) / 1e9
    }

    /// Date and time of day in UTC.
    #[inline]
    pub fn civil(self) -> Civil {
        self.civil_at(0)
    }

    /// Date and time of day so many seconds east of Greenwich.
    pub fn civil_at(self, offset: i32) -> Civil {
        const DAY: i64 = 86_400;
        let local = self.seconds.saturating_add(i64::from(offset));
        let (year, month, day) = date(local.div_euclid(DAY));
        let second = local.rem_euclid(DAY) as u32;
        Civil {
            year,
            month,
            day,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        }
    }

    /// Appends the time as RFC 3339 has it, with as many digits after the second as are not zero.
    /// Writes nothing and returns false for a year that has not four digits.
    pub fn write_rfc3339(self, zone: &Zone, out: &mut Vec<u8>) -> bool {
        let civil = self.civil_at(zone.offset);
        if !(0..=9999).contains(&civil.year) {
            return false;
        }
        let mut text = *b"0000-00-00T00:00:00";
        two_digits(&mut text[0..2], civil.year / 100);
        two_digits(&mut text[2..4], civil.year % 100);
        two_digits(&mut text[5..7], civil.month);
        two_digits(&mut text[8..10], civil.day);
        two_digits(&mut text[11..13], civil.hour);
        two_digits(&mut text[14..16], civil.minute);
        two_digits(&mut text[17..19], civil.second);
        out.extend_from_slice(&text);
        fraction(self.nanos, out);
        if zone.offset == 0 {
            out.push(b'Z');
        } else {
            write_offset(zone.offset, true, out);
        }
        true
    }

    /// Appends the time as Go prints it, such as `2022-11-16 03:01:54.648 +0000 UTC`, in any year.
    pub fn write_go(self, zone: &Zone, out: &mut Vec<u8>) {
        let civil = self.civil_at(zone.offset);
        if civil.year < 0 {
            out.push(b'-');
        }
        let mut year = itoa::Buffer::new();
        let year = year.format(civil.year.unsigned_abs()).as_bytes();
        out.extend(std::iter::repeat_n(b'0', 4_usize.saturating_sub(year.len())));
        out.extend_from_slice(year);
        let mut text = *b"-00-00 00:00:00";
        two_digits(&mut text[1..3], civil.month);
        two_digits(&mut text[4..6], civil.day);
        two_digits(&mut text[7..9], civil.hour);
        two_digits(&mut text[10..12], civil.minute);
        two_digits(&mut text[13..15], civil.second);
        out.extend_from_slice(&text);
        fraction(self.nanos, out);
        out.push(b' ');
        write_offset(zone.offset, false, out);
        out.push(b' ');
        out.extend_from_slice(zone.name());
    }
}

/// Year, month and day of a day counted from 1970-01-01: the algorithm `civil_from_days` by Howard
/// Hinnant, <https://howardhinnant.github.io/date_algorithms.html>. Years begin in March there, so that
/// the leap day is the last; an era is 400 years.
fn date(day: i64) -> (i64, u8, u8) {
    const ERA: i64 = 146_097;
    let day = day + 719_468;
    let era = day.div_euclid(ERA);
    let day_of_era = day.rem_euclid(ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

fn two_digits(place: &mut [u8], value: impl Into<i64>) {
    let value = value.into();
    place[0] = b'0' + (value / 10) as u8;
    place[1] = b'0' + (value % 10) as u8;
}

fn fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let mut text = *b".000000000";
    let mut left = nanos;
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    let zeros = text.iter().rev().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&text[..text.len() - zeros]);
}

/// Hours and minutes; an offset's seconds, which only times before railways have, are dropped as in Go.
fn write_offset(offset: i32, colon: bool, out: &mut Vec<u8>) {
    let minutes = offset.unsigned_abs() / 60;
    let mut text = *b"+00:00";
    if offset <= -60 {
        text[0] = b'-';
    }
    two_digits(&mut text[1..3], minutes / 60);
    two_digits(&mut text[4..6], minutes % 60);
    out.extend_from_slice(&text[..3]);
    out.extend_from_slice(if colon { &text[3..] } else { &text[4..] });
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC; `null` for a year that RFC 3339 cannot write.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::with_capacity(32);
        if !self.write_rfc3339(&Zone::UTC, &mut text) {
            return f.write_str("null");
        }
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// From RFC 3339, with any offset.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Self::from_parts(time.as_second(), i64::from(time.subsec_nanosecond())))
    }
}

/// A text that is no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as RFC 3339 has it, such as `2026-11-24T08:15:00Z`")]
pub struct TimestampError;
