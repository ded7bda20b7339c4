//! Rates: `20000/s`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::text_value::{
    TextError, TextValue, deserialize_text_value, number_and_unit, serialize_text_value,
};

/// Records a second; never zero, which would be a sink that takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(NonZeroU32);

impl Rate {
    /// That many records a second; `None` for zero.
    pub fn per_second(count: u32) -> Option<Self> {
        NonZeroU32::new(count).map(Self)
    }

    /// How many records a second.
    pub const fn get(self) -> NonZeroU32 {
        self.0
    }
}

impl TextValue for Rate {
    const FORMAT: &'static str = "rate";
    const EXPECTED: &'static str = "a rate in records a second, such as `20000/s`";
    const PATTERN: &'static str = "^[0-9]+/s$";
    const UNIT: Option<&'static str> = Some("/s");
}

impl FromStr for Rate {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (number, unit) =
            number_and_unit(text).ok_or_else(|| TextError::new("a rate is a whole number and `/s`"))?;
        if unit != "/s" {
            return Err(TextError::new("the unit of a rate is `/s`"));
        }
        let number = u32::try_from(number).map_err(|_| TextError::new("the rate is too large"))?;
        Self::per_second(number).ok_or_else(|| TextError::new("a rate is at least `1/s`"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

deserialize_text_value!(Rate);
serialize_text_value!(Rate);
