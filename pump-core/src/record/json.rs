//! Checks that a body is exactly one JSON object (RFC 8259), once, on the way in.
//!
//! The walk keeps nothing: how containers nest is a bit each in one word, so the depth is bounded and
//! a hostile body costs no stack. Two things that RFC 8259 leaves to the reader are accepted, since
//! gateways log what clients send: bytes in strings that are no UTF-8, and escapes of half a
//! surrogate pair. Readers see U+FFFD for both.

use std::ops::Range;

use super::{DecodeError, MAX_DEPTH};

/// Where the object lies in the body, without the white space around it.
pub(super) fn walk_object(body: &[u8]) -> Result<Range<usize>, DecodeError> {
    let mut walker = Walker { body, at: 0 };
    walker.skip_space();
    let start = walker.at;
    match walker.peek() {
        None => return walker.refuse("empty", "the entry is white space only"),
        Some(b'{') => walker.object()?,
        Some(_) => return walker.refuse("wrong_type", "the entry is not a JSON object"),
    }
    let end = walker.at;
    walker.skip_space();
    if walker.at < body.len() {
        return walker.refuse("malformed", "something follows the object");
    }
    Ok(start..end)
}

/// The containers that are open, innermost in the lowest bit: 1 for an object, 0 for an array.
struct Open {
    objects: u64,
    depth: usize,
}

// The bits of all open containers must fit into the word.
const _: () = assert!(MAX_DEPTH <= u64::BITS as usize);

impl Open {
    fn push(&mut self, is_object: bool) {
        self.objects = self.objects << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// What an element of the innermost container begins with.
    fn element(&self) -> Next {
        if self.in_object() { Next::Name } else { Next::Value }
    }
}

/// What the grammar allows next.
#[derive(Clone, Copy)]
enum Next {
    /// A container was opened: its first element, or its end.
    First,
    Name,
    Value,
    /// A value is complete: a comma, or its container's end.
    After,
}

struct Walker<'a> {
    body: &'a [u8],
    at: usize,
}

impl Walker<'_> {
    /// From an opening brace past its closing one.
    fn object(&mut self) -> Result<(), DecodeError> {
        let mut open = Open { objects: 0, depth: 0 };
        let mut next = Next::Value;
        loop {
            self.skip_space();
            next = match next {
                Next::First if self.close(&mut open) => Next::After,
                Next::First => open.element(),
                Next::Name => self.name()?,
                Next::Value => self.value(&mut open)?,
                Next::After if self.take(b',') => open.element(),
                Next::After if self.close(&mut open) => Next::After,
                Next::After => return self.unexpected("a comma or the end of the container is expected"),
            };
            if open.depth == 0 {
                return Ok(());
            }
        }
    }

    /// Takes the bracket that ends the innermost container, if it is there.
    fn close(&mut self, open: &mut Open) -> bool {
        let is_closed = self.take(if open.in_object() { b'}' } else { b']' });
        if is_closed {
            open.pop();
        }
        is_closed
    }

    fn name(&mut self) -> Result<Next, DecodeError> {
        if self.peek() != Some(b'"') {
            return self.unexpected("a member's name is expected");
        }
        self.string()?;
        self.skip_space();
        if !self.take(b':') {
            return self.unexpected("a colon is expected after a member's name");
        }
        Ok(Next::Value)
    }

    fn value(&mut self, open: &mut Open) -> Result<Next, DecodeError> {
        match self.peek() {
            Some(bracket @ (b'{' | b'[')) => {
                if open.depth == MAX_DEPTH {
                    return self.refuse("too_deep", "values nest deeper than 32 levels");
                }
                open.push(bracket == b'{');
                self.at += 1;
                return Ok(Next::First);
            }
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => return self.unexpected("a value is expected"),
        }
        Ok(Next::After)
    }

    /// From an opening quote past the closing one.
    fn string(&mut self) -> Result<(), DecodeError> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return self.refuse("malformed", "a control character in a string"),
                Some(_) => self.at += 1,
                None => return self.refuse("truncated", "the entry ends within a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), DecodeError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.unexpected("four hexadecimal digits are expected after \\u");
                    }
                    self.at += 1;
                }
            }
            _ => return self.unexpected("an escape that JSON does not know"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), DecodeError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _has_sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return self.unexpected("a digit is expected");
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), DecodeError> {
        for byte in word {
            if !self.take(*byte) {
                return self.unexpected("only true, false and null are words");
            }
        }
        Ok(())
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// The next byte is wrong, or missing.
    fn unexpected<T>(&self, detail: &'static str) -> Result<T, DecodeError> {
        match self.peek() {
            Some(_) => self.refuse("malformed", detail),
            None => self.refuse("truncated", "the entry ends within the object"),
        }
    }

    fn refuse<T>(&self, code: &'static str, detail: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError { code, detail, at: self.at })
    }
}

/// White space as JSON has it.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
