//! `Retry-After` (RFC 9110, 10.2.3): how long a server asks to wait.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// A server that asks for more is not believed: a lane would stand still by a slip of its clock.
const LONGEST: Duration = Duration::from_secs(300);

/// From the header's value, seconds or a date.
pub(crate) fn retry_after(value: &str) -> Option<Duration> {
    at(value.trim(), Timestamp::now())
}

fn at(value: &str, now: Timestamp) -> Option<Duration> {
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is longer than the longest.
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let date = DateTimeParser::new().parse_timestamp(value).ok()?;
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_nonsense_is_not() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        let wait = |value| at(value, now);
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!(wait("Tue, 24 Nov 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Tue, 24 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999999999999999"), Some(LONGEST));
        for nonsense in ["", "-1", "soon", "1.5", "24 Nov"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }
}
