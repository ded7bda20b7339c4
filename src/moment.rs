//! A point in time on the command line.

use std::str::FromStr;

use pump_core::config::ConfigDuration;
use pump_core::record::Timestamp;

/// A point in time as the command line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ago) = text.parse::<ConfigDuration>() {
            let (now, ago) = (Timestamp::now(), ago.get());
            let seconds = now.seconds - ago.as_secs() as i64;
            return Ok(Self(Timestamp::from_parts(
                seconds,
                i64::from(now.nanos) - i64::from(ago.subsec_nanos()),
            )));
        }
        text.parse().map(Self).map_err(|_| {
            "a time is written as `2026-11-24T08:15:00Z`, or as a duration ago, such as `2h`".to_owned()
        })
    }
}
