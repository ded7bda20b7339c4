//! JSON as Go's `encoding/json` writes it, straight into a buffer.
//!
//! Dashboards and scripts built on Tyk Pump's output go on working byte for byte: `<`, `>` and `&` are
//! escaped, each byte of invalid UTF-8 is `\ufffd`, floats have as few digits as tell them apart.

use std::io::Write;

use crate::record::{
    GraphqlErrors, GraphqlPath, PathItem, PathPairs, Text, TextList, TextListMap, TextMap, Timestamp, Zone,
    sorted,
};

/// Appends a string with its quotes.
pub fn string(text: Text<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text.bytes(), out);
    out.push(b'"');
}

/// Appends text as it stands between quotes.
pub fn escaped(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let clean = clean_length(text);
        out.extend_from_slice(&text[..clean]);
        text = &text[clean..];
        let Some(byte) = text.first() else { return };
        if byte.is_ascii() {
            escape(*byte, out);
            text = &text[1..];
        } else {
            let length = text.iter().position(u8::is_ascii).unwrap_or(text.len());
            not_ascii(&text[..length], out);
            text = &text[length..];
        }
    }
}

/// How many bytes at the start can be copied as they are.
fn clean_length(text: &[u8]) -> usize {
    /// So many bytes are looked at together, without a branch for each.
    const BLOCK: usize = 32;
    let is_special =
        |byte: u8| !(0x20..0x80).contains(&byte) || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let clean =
        blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | is_special(*byte)));
    let length = clean.count() * BLOCK;
    let rest = &text[length..];
    length + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn not_ascii(text: &[u8], out: &mut Vec<u8>) {
    for part in text.utf8_chunks() {
        let mut valid = part.valid();
        // Line and paragraph separator end a line in JavaScript.
        while let Some(at) = valid.find(['\u{2028}', '\u{2029}']) {
            let (before, rest) = valid.split_at(at);
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(if rest.starts_with('\u{2028}') { b"\\u2028" } else { b"\\u2029" });
            valid = &rest['\u{2028}'.len_utf8()..];
        }
        out.extend_from_slice(valid.as_bytes());
        for _ in part.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Appends a whole number.
pub fn int(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `true` or `false`.
pub fn bool(is_true: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if is_true { b"true" } else { b"false" });
}

/// Appends a number; `null` for what JSON cannot say.
pub fn float(number: f64, out: &mut Vec<u8>) {
    let (size, at) = (number.abs(), out.len());
    // Writing into memory does not fail.
    let _ = if !number.is_finite() {
        out.write_all(b"null")
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    };
    plus_sign(at, out);
}

fn float32(number: f32, out: &mut Vec<u8>) {
    let (size, at) = (number.abs(), out.len());
    let _ = if !number.is_finite() {
        out.write_all(b"null")
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    };
    plus_sign(at, out);
}

/// Go writes `1e+21` where Rust writes `1e21`.
fn plus_sign(from: usize, out: &mut Vec<u8>) {
    if let Some(at) = out[from..].iter().position(|byte| *byte == b'e')
        && out.get(from + at + 1).is_some_and(u8::is_ascii_digit)
    {
        out.insert(from + at + 1, b'+');
    }
}

/// Appends a time in quotes; `null` when RFC 3339 cannot write its year.
pub fn time(time: Timestamp, zone: &Zone, out: &mut Vec<u8>) {
    out.push(b'"');
    if time.write_rfc3339(zone, out) {
        out.push(b'"');
    } else {
        out.pop();
        out.extend_from_slice(b"null");
    }
}

/// Appends an array of strings, or `null`.
pub fn list(list: TextList<'_>, out: &mut Vec<u8>) {
    if list.is_nil() {
        return out.extend_from_slice(b"null");
    }
    array(list.iter(), out, string);
}

/// Appends an object of strings with its keys sorted, or `null`.
pub fn map(map: TextMap<'_>, out: &mut Vec<u8>) {
    if map.is_nil() {
        return out.extend_from_slice(b"null");
    }
    let mut object = Braces::begin(out);
    sorted(map.iter(), |key, value| {
        string(key, object.next());
        object.out.push(b':');
        string(value, object.out);
    });
    object.end();
}

/// Appends an object of arrays with its keys sorted, or `null`.
pub fn list_map(map: TextListMap<'_>, out: &mut Vec<u8>) {
    if map.is_nil() {
        return out.extend_from_slice(b"null");
    }
    let mut object = Braces::begin(out);
    sorted(map.iter(), |key, value| {
        string(key, object.next());
        object.out.push(b':');
        list(value, object.out);
    });
    object.end();
}

/// Appends the errors of a GraphQL answer, or `null`.
pub fn errors(errors: GraphqlErrors<'_>, out: &mut Vec<u8>) {
    if errors.is_nil() {
        return out.extend_from_slice(b"null");
    }
    array(errors.iter(), out, |error, out| {
        out.extend_from_slice(b"{\"message\":");
        string(error.message, out);
        out.extend_from_slice(b",\"path\":");
        path(error.path, out);
        out.push(b'}');
    });
}

fn path(path: GraphqlPath<'_>, out: &mut Vec<u8>) {
    if path.is_nil() {
        return out.extend_from_slice(b"null");
    }
    array(path.iter(), out, item);
}

fn item(value: PathItem<'_>, out: &mut Vec<u8>) {
    match value {
        PathItem::Nil => out.extend_from_slice(b"null"),
        PathItem::Bool(value) => bool(value, out),
        PathItem::Int(value) => int(value, out),
        PathItem::Uint(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        PathItem::Float32(value) => float32(value, out),
        PathItem::Float64(value) => float(value, out),
        PathItem::Text(text) => string(text, out),
        PathItem::Binary(bytes) => {
            // Go's JSON writes binary data in base64. It stands in an error's path, so nearly never.
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            string(Text(text.as_bytes()), out);
        }
        PathItem::List(list) => path(list, out),
        PathItem::Map(pairs) => object(pairs, out),
    }
}

/// An object with whatever keys it has, as text, in the order of the wire.
fn object(pairs: PathPairs<'_>, out: &mut Vec<u8>) {
    let mut object = Braces::begin(out);
    for (key, value) in pairs.iter() {
        let out = object.next();
        match key {
            PathItem::Text(text) => string(text, out),
            other => {
                out.push(b'"');
                item(other, out);
                out.push(b'"');
            }
        }
        out.push(b':');
        item(value, out);
    }
    object.end();
}

fn array<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// An object that is being written, which need not know whether a member is its first.
struct Braces<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Braces<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Where the next member's name goes.
    fn next(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends JSON that is known to be sound, without the white space between its tokens.
pub fn compact(json: &[u8], out: &mut Vec<u8>) {
    tokens(json, |token| out.extend_from_slice(token));
}

/// Calls `each` for the runs of bytes of sound JSON that are no white space between tokens.
pub fn tokens(json: &[u8], mut each: impl FnMut(&[u8])) {
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, byte) in json.iter().enumerate() {
        if is_quoted {
            is_quoted = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            each(&json[start..at]);
            start = at + 1;
        } else {
            is_quoted = *byte == b'"';
        }
    }
    each(&json[start..]);
}
