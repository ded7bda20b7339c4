//! Text as a gateway recorded it: meant to be UTF-8, but an attacker decides what is in it.

use std::borrow::Cow;
use std::fmt;

/// A string borrowed from a record's body; may be invalid UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// The bytes as they are.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// As UTF-8, with U+FFFD for each byte that begins no valid sequence, as Go's JSON writes it.
    pub fn to_str(self) -> Cow<'a, str> {
        match std::str::from_utf8(self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                let mut text = String::with_capacity(self.0.len() + 8);
                for part in self.0.utf8_chunks() {
                    text.push_str(part.valid());
                    text.extend(part.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
                }
                Cow::Owned(text)
            }
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}
