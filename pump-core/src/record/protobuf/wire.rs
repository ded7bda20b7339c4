//! A place in a protobuf message, and the fields that can be read there.
//!
//! A message is a run of fields, each a number, a wire type and a payload; what a payload means only
//! the schema knows. A field that the schema does not have, or that comes with another wire type than
//! it says, is skipped. Format: <https://protobuf.dev/programming-guides/encoding/>.

use super::super::{DecodeError, MAX_DEPTH};

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Truncated,
    LongVarint,
    FieldNumber,
    WireType,
    EndGroup,
    TooDeep,
    Utf8,
}

impl Fault {
    /// The same for people and metrics.
    pub(crate) fn at(self, at: usize) -> DecodeError {
        let (code, detail) = match self {
            Self::Truncated => ("truncated", "the message ends inside a field"),
            Self::LongVarint => ("malformed", "a variable-length number has more than 64 bits"),
            Self::FieldNumber => ("malformed", "a field has a number that protobuf does not allow"),
            Self::WireType => ("malformed", "a field has a wire type that protobuf does not have"),
            Self::EndGroup => ("malformed", "a group ends that did not begin"),
            Self::TooDeep => ("too_deep", "groups nest deeper than 32 levels"),
            Self::Utf8 => ("invalid_utf8", "a string is not valid UTF-8"),
        };
        DecodeError { code, detail, at }
    }
}

/// What a field carries, by its wire type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// Four bytes, or a group: no field of a record has them.
    Other,
}

/// The bytes of a message that are still to be read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wire<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Wire<'a> {
    #[inline]
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next field; `None` at the message's end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Payload<'a>)>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let payload = match wire_type {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Fault::Truncated)?;
                let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
                self.rest = rest;
                Payload::Bytes(taken)
            }
            3 => {
                self.skip_group(number)?;
                Payload::Other
            }
            4 => return Err(Fault::EndGroup),
            5 => {
                self.array::<4>()?;
                Payload::Other
            }
            _ => return Err(Fault::WireType),
        };
        Ok(Some((number, payload)))
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Fault> {
        const MAX_NUMBER: u64 = (1 << 29) - 1;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MAX_NUMBER {
            return Err(Fault::FieldNumber);
        }
        Ok((number as u32, (tag & 7) as u8))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Fault> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            if index == 9 && byte > 1 {
                return Err(Fault::LongVarint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Fault::Truncated)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Goes past a group, an old way to nest messages; no gateway writes one.
    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<(), Fault> {
        let mut open = [0; MAX_DEPTH];
        open[0] = number;
        let mut level = 1;
        while level > 0 {
            let (number, wire_type) = self.tag()?;
            match wire_type {
                0 => {
                    self.varint()?;
                }
                1 => {
                    self.array::<8>()?;
                }
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| Fault::Truncated)?;
                    self.rest = self.rest.get(length..).ok_or(Fault::Truncated)?;
                }
                3 => {
                    *open.get_mut(level).ok_or(Fault::TooDeep)? = number;
                    level += 1;
                }
                4 if open[level - 1] == number => level -= 1,
                4 => return Err(Fault::EndGroup),
                5 => {
                    self.array::<4>()?;
                }
                _ => return Err(Fault::WireType),
            }
        }
        Ok(())
    }
}

/// How many messages deep a list or a map lies at most.
const MAX_PATH: usize = 3;

/// The payloads of one field, wherever it occurs: in a message, or in messages within messages, each of
/// which may occur several times (to protobuf the pieces are one message).
#[derive(Debug, Clone)]
pub(crate) struct Occurrences<'a> {
    path: &'static [u32],
    open: [Wire<'a>; MAX_PATH],
    level: usize,
}

impl<'a> Occurrences<'a> {
    /// `path` has at least one number, and at most three.
    pub(crate) fn new(message: &'a [u8], path: &'static [u32]) -> Self {
        let mut open = [Wire::default(); MAX_PATH];
        open[0] = Wire::new(message);
        Self { path: &path[..path.len().min(MAX_PATH)], open, level: 0 }
    }
}

impl<'a> Iterator for Occurrences<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let wanted = *self.path.get(self.level)?;
            match self.open[self.level].field() {
                Ok(Some((number, Payload::Bytes(bytes)))) if number == wanted => {
                    if self.level + 1 == self.path.len() {
                        return Some(bytes);
                    }
                    self.level += 1;
                    self.open[self.level] = Wire::new(bytes);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => self.level = self.level.checked_sub(1)?,
            }
        }
    }
}

/// The key and the value in an entry of a map; empty where they are absent.
pub(crate) fn map_entry(entry: &[u8]) -> (&[u8], &[u8]) {
    let mut pair: (&[u8], &[u8]) = (&[], &[]);
    let mut wire = Wire::new(entry);
    while let Ok(Some((number, payload))) = wire.field() {
        match (number, payload) {
            (1, Payload::Bytes(bytes)) => pair.0 = bytes,
            (2, Payload::Bytes(bytes)) => pair.1 = bytes,
            _ => {}
        }
    }
    pair
}
