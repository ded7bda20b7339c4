//! Values that are written as text in a form of their own, such as sizes and durations.
//!
//! Each implements [`TextValue`] and gets its serde and schema code from one macro, so that the
//! check of the tree, the deserializer and the published schema cannot disagree.

use std::fmt::{Display, Write};
use std::str::FromStr;

use super::address::{HostPort, ListenAddress};
use super::byte_size::ByteSize;
use super::duration::{ConfigDuration, MaxAge};
use super::http_url::HttpUrl;
use super::in_flight::MaxInFlight;
use super::rate::Rate;
use super::redis_url::RedisUrl;
use super::statsd::{StatsdAddress, StatsdPrefix};

/// Why a text is none of these values. Never holds the text itself, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(pub(super) String);

impl TextError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A value with a written form.
pub(super) trait TextValue: FromStr<Err = TextError> {
    /// The `format` in the schema, by which the check finds the type again.
    const FORMAT: &'static str;
    /// What is expected, such as ``a size with its unit, such as `64KiB` ``.
    const EXPECTED: &'static str;
    /// The written form as a regular expression, for editors.
    const PATTERN: &'static str;
    /// The unit to advise when a bare number was written.
    const UNIT: Option<&'static str>;
}

/// What the check of a tree knows of such a type.
pub(super) struct Form {
    pub(super) expected: &'static str,
    pub(super) unit: Option<&'static str>,
    pub(super) check: fn(&str) -> Result<(), TextError>,
}

/// The type behind a `format` of a schema.
pub(super) fn form(format: &str) -> Option<Form> {
    fn of<T: TextValue>(format: &str) -> Option<Form> {
        let form = Form { expected: T::EXPECTED, unit: T::UNIT, check: |text| text.parse::<T>().map(drop) };
        (format == T::FORMAT).then_some(form)
    }
    of::<ByteSize>(format)
        .or_else(|| of::<ConfigDuration>(format))
        .or_else(|| of::<MaxAge>(format))
        .or_else(|| of::<Rate>(format))
        .or_else(|| of::<ListenAddress>(format))
        .or_else(|| of::<HostPort>(format))
        .or_else(|| of::<RedisUrl>(format))
        .or_else(|| of::<HttpUrl>(format))
        .or_else(|| of::<MaxInFlight>(format))
        .or_else(|| of::<StatsdAddress>(format))
        .or_else(|| of::<StatsdPrefix>(format))
}

/// Splits `64KiB` into 64 and `KiB`; `None` when it does not begin with a number that fits.
pub(super) fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// Writes the number in the largest unit that leaves no rest. `units` begins with the largest.
pub(super) fn write_in_largest_unit(
    f: &mut impl Write,
    number: u64,
    units: &[(&str, u64)],
    zero: impl Display,
) -> std::fmt::Result {
    match units.iter().find(|(_, size)| number > 0 && number.is_multiple_of(*size)) {
        Some((unit, size)) => write!(f, "{}{unit}", number / size),
        None => write!(f, "{zero}"),
    }
}

/// `Deserialize`, and `JsonSchema` with format, pattern and description.
macro_rules! deserialize_text_value {
    ($type:ident) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(<$type as $crate::config::text_value::TextValue>::EXPECTED)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::config::text_value::TextValue;
                schemars::json_schema!({
                    "type": "string",
                    "format": <$type>::FORMAT,
                    "pattern": <$type>::PATTERN,
                    "description": <$type>::EXPECTED,
                })
            }
        }
    };
}

/// `Serialize` through `Display`: how defaults get into schemas and documents.
macro_rules! serialize_text_value {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

pub(super) use {deserialize_text_value, serialize_text_value};
