//! How many batches are on their way at once: a number, or `auto`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use super::text_value::{TextError, TextValue};

/// How many batches are on their way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxInFlight {
    /// As many as the destination has a use for.
    Auto,
    /// That many, at least one.
    Fixed(u8),
}

impl MaxInFlight {
    /// The largest number that can be set.
    pub const MOST: u8 = 64;
}

impl TextValue for MaxInFlight {
    const FORMAT: &'static str = "pump-in-flight";
    const EXPECTED: &'static str = "`auto`, or an integer from 1 to 64";
    const PATTERN: &'static str = "^auto$";
    const UNIT: Option<&'static str> = None;
}

/// The one word that it can be.
impl FromStr for MaxInFlight {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "auto" => Ok(Self::Auto),
            _ if text.parse::<u64>().is_ok() => Err(TextError::new("a number stands without quotes")),
            _ => Err(TextError::new("there is no other word")),
        }
    }
}

impl<'de> Deserialize<'de> for MaxInFlight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrNumber;
        impl Visitor<'_> for WordOrNumber {
            type Value = MaxInFlight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(MaxInFlight::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MaxInFlight, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<MaxInFlight, E> {
                let number =
                    u8::try_from(number).ok().filter(|number| (1..=MaxInFlight::MOST).contains(number));
                let expected = || E::custom(format!("expected {}", MaxInFlight::EXPECTED));
                number.map(MaxInFlight::Fixed).ok_or_else(expected)
            }
        }
        deserializer.deserialize_any(WordOrNumber)
    }
}

impl Serialize for MaxInFlight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(number) => serializer.serialize_u8(*number),
        }
    }
}

impl JsonSchema for MaxInFlight {
    fn schema_name() -> Cow<'static, str> {
        "MaxInFlight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The bounds hold for numbers only, the pattern for texts only.
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": Self::MOST,
            "format": Self::FORMAT,
            "pattern": Self::PATTERN,
            "description": Self::EXPECTED,
        })
    }
}
