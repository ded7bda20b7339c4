//! Durations: `200ms`, `1s`, `5m`, `1h`, `90d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text_value::{
    TextError, TextValue, deserialize_text_value, number_and_unit, serialize_text_value,
    write_in_largest_unit,
};

/// A span of time in whole milliseconds, written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigDuration(Duration);

impl ConfigDuration {
    /// That many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// That many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// As a [`Duration`].
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<ConfigDuration> for Duration {
    fn from(duration: ConfigDuration) -> Self {
        duration.0
    }
}

/// The units, largest first, in milliseconds.
const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl TextValue for ConfigDuration {
    const FORMAT: &'static str = "pump-duration";
    const EXPECTED: &'static str = "a duration with its unit, such as `200ms`, `1s` or `5m`";
    const PATTERN: &'static str = "^[0-9]+(ms|s|m|h|d)$";
    const UNIT: Option<&'static str> = Some("s");
}

impl FromStr for ConfigDuration {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        /// Far beyond any use, and far from where adding to a clock overflows.
        const LONGEST: u64 = 36_500 * 86_400_000;
        let (number, unit) =
            number_and_unit(text).ok_or_else(|| TextError::new("a duration is a whole number and a unit"))?;
        if unit.is_empty() {
            return Err(TextError::new("the unit of the duration is missing"));
        }
        let (_, millis) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| TextError::new("a duration has one unit of ms, s, m, h, d"))?;
        number
            .checked_mul(*millis)
            .filter(|total| *total <= LONGEST)
            .map(Self::millis)
            .ok_or_else(|| TextError::new("the duration is longer than a hundred years"))
    }
}

impl fmt::Display for ConfigDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write_in_largest_unit(f, millis, UNITS, "0s")
    }
}

deserialize_text_value!(ConfigDuration);
serialize_text_value!(ConfigDuration);

/// How long a record is tried again before it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxAge {
    /// For ever.
    Never,
    /// Until this long after its first attempt.
    After(Duration),
}

impl TextValue for MaxAge {
    const FORMAT: &'static str = "pump-max-age";
    const EXPECTED: &'static str = "`never`, or a duration with its unit, such as `24h`";
    const PATTERN: &'static str = "^(never|[0-9]+(ms|s|m|h|d))$";
    const UNIT: Option<&'static str> = Some("s");
}

impl FromStr for MaxAge {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "never" => Ok(Self::Never),
            _ => text.parse().map(|duration: ConfigDuration| Self::After(duration.get())),
        }
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(duration) => ConfigDuration(*duration).fmt(f),
        }
    }
}

deserialize_text_value!(MaxAge);
serialize_text_value!(MaxAge);
