//! Sizes: `512B`, `64KiB`, `8MiB`, `1GB`.

use std::fmt;
use std::str::FromStr;

use super::text_value::{
    TextError, TextValue, deserialize_text_value, number_and_unit, serialize_text_value,
    write_in_largest_unit,
};

/// A number of bytes, written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// That many KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// That many MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// That many GiB.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// As a number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The units that are written, largest first.
const BINARY: &[(&str, u64)] =
    &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// The units of a thousand, read only. `KB` is no unit of SI, but everyone knows what is meant.
const DECIMAL: &[(&str, u64)] =
    &[("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("KB", 1_000)];

impl TextValue for ByteSize {
    const FORMAT: &'static str = "byte-size";
    const EXPECTED: &'static str = "a size with its unit, such as `64KiB`, `8MiB` or `1GB`";
    const PATTERN: &'static str = "^[0-9]+(B|[KMGT]iB|[kKMGT]B)$";
    const UNIT: Option<&'static str> = Some("MiB");
}

impl FromStr for ByteSize {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (number, unit) =
            number_and_unit(text).ok_or_else(|| TextError::new("a size is a whole number and a unit"))?;
        if unit.is_empty() {
            return Err(TextError::new("the unit of the size is missing"));
        }
        let (_, size) = BINARY.iter().chain(DECIMAL).find(|(name, _)| *name == unit).ok_or_else(|| {
            TextError::new("the unit of a size is one of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB")
        })?;
        number.checked_mul(*size).map(Self).ok_or_else(|| TextError::new("the size is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_in_largest_unit(f, self.0, BINARY, "0B")
    }
}

deserialize_text_value!(ByteSize);
serialize_text_value!(ByteSize);
