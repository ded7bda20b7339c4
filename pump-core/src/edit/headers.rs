//! Headers of a recorded request or response: an HTTP/1 message (RFC 9112) in base64.
//!
//! The gateway records what clients sent, so a client decides how the message looks, and the receiver
//! of a record may read it more loosely than we do. Hence we are strict: lines end in CR LF and hold no
//! other CR, LF or NUL, names are tokens with a colon right after them, the first line is a request or
//! status line, and an empty line ends the headers. Then all readers see the same headers as we do.
//! Anything else is unreadable, and the caller leaves the message out.

use super::Scratch;
use super::scratch::MASK;
use crate::record::Text;

/// The headers whose values are masked.
#[derive(Debug, Clone)]
pub(super) struct Headers {
    /// Lowercase.
    names: Box<[Box<[u8]>]>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is empty, or has none of the headers.
    Unchanged,
    /// The edited message is the scratch's next text.
    Written,
    /// It is not base64 of an HTTP message.
    Unreadable,
}

impl Headers {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        Self { names: names.map(|name| name.as_bytes().into()).collect() }
    }

    /// Masks the headers of one message.
    pub(super) fn edit(&self, message: Text<'_>, scratch: &mut Scratch) -> Outcome {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        if message.is_empty() {
            return Outcome::Unchanged;
        }
        scratch.decoded.clear();
        scratch.edited.clear();
        if STANDARD.decode_vec(message.bytes(), &mut scratch.decoded).is_err() {
            return Outcome::Unreadable;
        }
        match self.mask(&scratch.decoded, &mut scratch.edited) {
            None => Outcome::Unreadable,
            Some(false) => Outcome::Unchanged,
            Some(true) => {
                scratch.write_edited_as_base64();
                Outcome::Written
            }
        }
    }

    /// Copies a message with its headers masked. `None` if it cannot be read, false if there was
    /// nothing to mask, and `out` is then not complete.
    fn mask(&self, message: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let (first, mut rest) = split_line(message)?;
        if !is_first_line(first) {
            return None;
        }
        push_line(first, out);
        // Whether the header that a folded line goes on is masked; `None` before the first header.
        let mut is_masked = None;
        let mut is_changed = false;
        loop {
            let (line, after) = split_line(rest)?;
            rest = after;
            match line {
                [] => break,
                [b' ' | b'\t', ..] => {
                    if !is_masked? {
                        push_line(line, out);
                    }
                }
                _ => {
                    let name = &line[..line.iter().position(|byte| *byte == b':')?];
                    if !is_name(name) {
                        return None;
                    }
                    let is_listed = self.names.iter().any(|own| own.eq_ignore_ascii_case(name));
                    is_masked = Some(is_listed);
                    is_changed |= is_listed;
                    if is_listed {
                        out.extend_from_slice(name);
                        out.extend_from_slice(b": ");
                        push_line(MASK, out);
                    } else {
                        push_line(line, out);
                    }
                }
            }
        }
        if is_changed {
            push_line(b"", out);
            out.extend_from_slice(rest);
        }
        Some(is_changed)
    }
}

/// Whether it is a token, as a header's name and a method are (RFC 9110, 5.6.2).
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(is_token)
}

/// A request line or a status line. The version may be strange: for an answer of its own the gateway
/// records `HTTP/0.0`.
fn is_first_line(line: &[u8]) -> bool {
    let is_version = |text: &[u8]| text.starts_with(b"HTTP/");
    let mut words = line.splitn(3, |byte| *byte == b' ');
    match (words.next(), words.next(), words.next()) {
        (Some(version), Some(_), _) if is_version(version) => true,
        (Some(method), Some(_), Some(version)) => is_name(method) && is_version(version),
        _ => false,
    }
}

/// The first line without its end, and what follows; `None` where another CR, LF or NUL comes first,
/// or none.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0))?;
    let (line, rest) = bytes.split_at(at);
    Some((line, rest.strip_prefix(b"\r\n")?))
}

fn push_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}
