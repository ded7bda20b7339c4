//! A place in msgpack bytes, and the values that can be read there.
//!
//! The bytes come from outside: every read is checked, no length that they claim is believed before
//! that many bytes are seen, nothing is allocated, and nesting is followed with counters instead of
//! recursion. What counts as a text, a number or a time is what the msgpack library of the gateway
//! takes for one. Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use super::super::{DecodeError, MAX_DEPTH, Text, Timestamp};

/// What is wrong at a place. One byte, so that a result stays in two registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Truncated,
    NotText,
    NotInt,
    NotFloat,
    NotBool,
    NotTime,
    NotStruct,
    NotList,
    NotMap,
    Reserved,
    Extension,
    UnfitKey,
    TooDeep,
}

impl Fault {
    /// The same for people and metrics.
    pub(crate) fn at(self, at: usize) -> DecodeError {
        let (code, detail) = match self {
            Self::Truncated => ("truncated", "the entry ends inside a value"),
            Self::NotText => ("wrong_type", "there is no string where one belongs"),
            Self::NotInt => ("wrong_type", "there is no whole number where one belongs"),
            Self::NotFloat => ("wrong_type", "there is no number where one belongs"),
            Self::NotBool => ("wrong_type", "there is no boolean where one belongs"),
            Self::NotTime => ("wrong_type", "there is no time where one belongs"),
            Self::NotStruct => ("wrong_type", "there is no map or array where a structure belongs"),
            Self::NotList => ("wrong_type", "there is no array where one belongs"),
            Self::NotMap => ("wrong_type", "there is no map where one belongs"),
            Self::Reserved => ("malformed", "a value begins with the byte that msgpack never uses"),
            Self::Extension => ("wrong_type", "an extension type stands where only plain values may"),
            Self::UnfitKey => ("wrong_type", "a map's key is neither a string nor a number"),
            Self::TooDeep => ("too_deep", "values nest deeper than 32 levels"),
        };
        DecodeError { code, detail, at }
    }
}

/// What a structure is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As nil: all its fields are zero.
    Nil,
    /// As so many pairs of a key and a value.
    Map(u32),
    /// As so many values, in the order of its fields.
    Array(u32),
}

/// A value that may be of any type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Any<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float32(f32),
    Float64(f64),
    Text(Text<'a>),
    Binary(&'a [u8]),
    /// So many values follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
    /// An extension type's payload.
    Extension,
}

/// The bytes that are still to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Goes past `expected` if it comes next.
    #[inline(always)]
    pub(crate) fn eat<const N: usize>(&mut self, expected: &[u8; N]) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        let (&first, rest) = self.rest.split_first().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A string; also binary data, and nil for the empty one.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Text<'a>, Fault> {
        let marker = self.byte()?;
        if marker & 0xe0 == 0xa0 {
            return self.bytes(usize::from(marker & 0x1f)).map(Text);
        }
        self.long_text(marker)
    }

    fn long_text(&mut self, marker: u8) -> Result<Text<'a>, Fault> {
        let count = match marker {
            0xc0 => return Ok(Text::default()),
            0xd9 | 0xc4 => usize::from(self.byte()?),
            0xda | 0xc5 => usize::from(u16::from_be_bytes(self.array()?)),
            0xdb | 0xc6 => u32::from_be_bytes(self.array()?) as usize,
            _ => return Err(Fault::NotText),
        };
        self.bytes(count).map(Text)
    }

    /// A whole number of any width, and nil for zero. One beyond [`i64::MAX`] wraps around, as a
    /// conversion does in Go.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i64, Fault> {
        let marker = self.byte()?;
        if marker < 0x80 {
            return Ok(i64::from(marker));
        }
        self.wide_int(marker)
    }

    fn wide_int(&mut self, marker: u8) -> Result<i64, Fault> {
        Ok(match marker {
            0xe0.. => i64::from(marker as i8),
            0xc0 => 0,
            0xcc => i64::from(self.byte()?),
            0xcd => i64::from(u16::from_be_bytes(self.array()?)),
            0xce => i64::from(u32::from_be_bytes(self.array()?)),
            0xcf | 0xd3 => i64::from_be_bytes(self.array()?),
            0xd0 => i64::from(self.byte()? as i8),
            0xd1 => i64::from(i16::from_be_bytes(self.array()?)),
            0xd2 => i64::from(i32::from_be_bytes(self.array()?)),
            _ => return Err(Fault::NotInt),
        })
    }

    /// A number, whole or not, and nil for zero.
    pub(crate) fn float(&mut self) -> Result<f64, Fault> {
        match self.byte()? {
            0xca => Ok(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => Ok(f64::from_be_bytes(self.array()?)),
            marker if marker < 0x80 => Ok(f64::from(marker)),
            marker => match self.wide_int(marker) {
                Ok(int) => Ok(int as f64),
                Err(Fault::NotInt) => Err(Fault::NotFloat),
                Err(fault) => Err(fault),
            },
        }
    }

    /// A boolean, and nothing else.
    #[inline]
    pub(crate) fn bool(&mut self) -> Result<bool, Fault> {
        match self.byte()? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(Fault::NotBool),
        }
    }

    /// A time: an array of exactly two numbers, seconds and nanoseconds, in its shortest form.
    #[inline]
    pub(crate) fn time(&mut self) -> Result<Timestamp, Fault> {
        if self.byte()? != 0x92 {
            return Err(Fault::NotTime);
        }
        Ok(Timestamp::from_parts(self.int()?, self.int()?))
    }

    /// The head of a structure.
    #[inline]
    pub(crate) fn structure(&mut self) -> Result<Shape, Fault> {
        Ok(match self.byte()? {
            0xc0 => Shape::Nil,
            marker @ 0x80..0x90 => Shape::Map(u32::from(marker & 0x0f)),
            marker @ 0x90..0xa0 => Shape::Array(u32::from(marker & 0x0f)),
            0xde => Shape::Map(u32::from(u16::from_be_bytes(self.array()?))),
            0xdf => Shape::Map(u32::from_be_bytes(self.array()?)),
            0xdc => Shape::Array(u32::from(u16::from_be_bytes(self.array()?))),
            0xdd => Shape::Array(u32::from_be_bytes(self.array()?)),
            _ => return Err(Fault::NotStruct),
        })
    }

    /// The head of a list; `None` for nil.
    #[inline]
    pub(crate) fn list(&mut self) -> Result<Option<u32>, Fault> {
        match self.structure() {
            Ok(Shape::Array(count)) => Ok(Some(count)),
            Ok(Shape::Nil) => Ok(None),
            Ok(Shape::Map(_)) | Err(Fault::NotStruct) => Err(Fault::NotList),
            Err(fault) => Err(fault),
        }
    }

    /// The head of a map; `None` for nil. The gateway's library lets the head of an extension type
    /// stand before it and does not look into that.
    pub(crate) fn map(&mut self) -> Result<Option<u32>, Fault> {
        let length = match self.rest.first() {
            Some(0xd4..=0xd8) => Some(0),
            Some(0xc7) => Some(1),
            Some(0xc8) => Some(2),
            Some(0xc9) => Some(4),
            _ => None,
        };
        if let Some(length) = length {
            self.bytes(1 + 1 + length)?;
        }
        match self.structure() {
            Ok(Shape::Map(count)) => Ok(Some(count)),
            Ok(Shape::Nil) => Ok(None),
            Ok(Shape::Array(_)) | Err(Fault::NotStruct) => Err(Fault::NotMap),
            Err(fault) => Err(fault),
        }
    }

    /// A value of any type; of an array or a map, its head only.
    pub(crate) fn any(&mut self) -> Result<Any<'a>, Fault> {
        let before = *self;
        let marker = self.byte()?;
        Ok(match marker {
            0x00..0x80 => Any::Uint(u64::from(marker)),
            0xe0.. => Any::Int(i64::from(marker as i8)),
            0xa0..0xc0 | 0xd9..=0xdb => {
                *self = before;
                Any::Text(self.text()?)
            }
            0xc4..=0xc6 => {
                *self = before;
                Any::Binary(self.text()?.bytes())
            }
            0x80..0xa0 | 0xdc..=0xdf => {
                *self = before;
                match self.structure()? {
                    Shape::Array(count) => Any::Array(count),
                    Shape::Map(count) => Any::Map(count),
                    Shape::Nil => Any::Nil,
                }
            }
            0xc0 => Any::Nil,
            0xc1 => return Err(Fault::Reserved),
            0xc2 => Any::Bool(false),
            0xc3 => Any::Bool(true),
            0xca => Any::Float32(f32::from_be_bytes(self.array()?)),
            0xcb => Any::Float64(f64::from_be_bytes(self.array()?)),
            0xcc..=0xcf => Any::Uint(self.wide_int(marker)? as u64),
            0xd0..=0xd3 => Any::Int(self.wide_int(marker)?),
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xc7 => {
                let length = usize::from(self.byte()?);
                self.extension(length)?
            }
            0xc8 => {
                let length = usize::from(u16::from_be_bytes(self.array()?));
                self.extension(length)?
            }
            0xc9 => {
                let length = u32::from_be_bytes(self.array()?) as usize;
                self.extension(length)?
            }
        })
    }

    /// Goes past an extension's type and payload. The gateway's library forgets the type's byte when
    /// it skips one, and then reads on in the middle of a value; we read what the format says.
    fn extension(&mut self, length: usize) -> Result<Any<'a>, Fault> {
        self.byte()?;
        self.bytes(length)?;
        Ok(Any::Extension)
    }

    /// Goes past one value of any type, which lies inside `depth` containers.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<(), Fault> {
        self.skip_value::<false>(depth)
    }

    /// Goes past one value that the gateway's library can hold without knowing its type: there is no
    /// extension in it, and no key of a map is itself a list, a map or binary data.
    pub(crate) fn skip_plain(&mut self, depth: usize) -> Result<(), Fault> {
        self.skip_value::<true>(depth)
    }

    fn skip_value<const PLAIN: bool>(&mut self, depth: usize) -> Result<(), Fault> {
        // Of each open container: how many values are to come, and whether it is a map.
        let mut open = [(0_u64, false); MAX_DEPTH];
        let mut level = 0;
        let mut is_key = false;
        loop {
            let container = match self.any()? {
                Any::Array(count) => Some((u64::from(count), false)),
                Any::Map(count) => Some((2 * u64::from(count), true)),
                Any::Extension if PLAIN => return Err(Fault::Extension),
                Any::Binary(_) if PLAIN && is_key => return Err(Fault::UnfitKey),
                _ => None,
            };
            if let Some(container) = container {
                if PLAIN && is_key {
                    return Err(Fault::UnfitKey);
                }
                if depth + level >= MAX_DEPTH {
                    return Err(Fault::TooDeep);
                }
                open[level] = container;
                level += 1;
            }
            while level > 0 && open[level - 1].0 == 0 {
                level -= 1;
            }
            if level == 0 {
                return Ok(());
            }
            let (left, is_map) = &mut open[level - 1];
            *left -= 1;
            is_key = *is_map && *left % 2 == 1;
        }
    }
}
