//! One JSON object: an application log line, an audit entry, an event.
//!
//! Members are found anew in the body at each call: most lanes copy the object as it is, and never
//! ask. Of members with the same name the last one counts, as for the gateway's own decoder.

use std::borrow::Cow;

use super::{Text, Timestamp, escape, json};

/// A sound JSON object.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a>(&'a [u8]);

/// One member of an object: its name and its value as they are written.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The name, with its quotes.
    pub name: &'a [u8],
    /// The value, without white space around it.
    pub value: &'a [u8],
}

impl<'a> Object<'a> {
    /// `body` is what [`json::walk_object`] found sound, or what an edit made of it.
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The whole object as it is written, from brace to brace.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Its members in the order in which they are written, those of the same name included.
    pub fn members(self) -> Members<'a> {
        Members { rest: self.0.strip_prefix(b"{").unwrap_or_default() }
    }

    /// The value of the last member of that name, as it is written.
    pub fn get(self, name: &str) -> Option<Text<'a>> {
        self.member(name).map(|member| Text(member.value))
    }

    /// The value of the last member of that name as text, see [`Member::text`].
    pub fn text(self, name: &str) -> Option<Cow<'a, str>> {
        self.member(name).map(Member::text)
    }

    /// When it happened: the first of `time` (RFC 3339, as the gateway's log has it), `timestamp`
    /// (seconds or milliseconds since 1970, or RFC 3339) and `date` (RFC 1123, as the dashboard's
    /// audit log has it) that can be read.
    pub fn time(self) -> Option<Timestamp> {
        let (mut time, mut timestamp, mut date) = (None, None, None);
        for member in self.members() {
            if member.is_named("time") {
                time = Some(member);
            } else if member.is_named("timestamp") {
                timestamp = Some(member);
            } else if member.is_named("date") {
                date = Some(member);
            }
        }
        time.and_then(rfc_3339)
            .or_else(|| timestamp.and_then(|member| unix(member).or_else(|| rfc_3339(member))))
            .or_else(|| date.and_then(rfc_1123))
    }

    fn member(self, name: &str) -> Option<Member<'a>> {
        self.members().filter(|member| member.is_named(name)).last()
    }
}

impl<'a> Member<'a> {
    /// Whether the name says this once it is unescaped.
    pub fn is_named(self, name: &str) -> bool {
        escape::says(self.name, name.as_bytes())
    }

    /// Whether the value is a string.
    pub fn is_string(self) -> bool {
        self.value.first() == Some(&b'"')
    }

    /// What a string says; any other value as it is written. Allocates only where a string has
    /// escapes or is no UTF-8.
    pub fn text(self) -> Cow<'a, str> {
        if self.is_string() { escape::to_str(self.value) } else { Text(self.value).to_str() }
    }
}

/// The members of an object, in writing order.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    // The body is sound, so only the ends of names and values are looked for. On a body that is not,
    // the members end early; nothing panics.
    fn next(&mut self) -> Option<Member<'a>> {
        let rest = trim_start(self.rest);
        let rest = trim_start(rest.strip_prefix(b",").unwrap_or(rest));
        if rest.first() != Some(&b'"') {
            return None;
        }
        let (name, rest) = rest.split_at(string_end(rest));
        let rest = trim_start(trim_start(rest).strip_prefix(b":")?);
        let (value, rest) = rest.split_at(value_end(rest));
        self.rest = rest;
        Some(Member { name, value })
    }
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !json::is_space(*byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

/// One past the closing quote of the string at the start.
fn string_end(bytes: &[u8]) -> usize {
    let mut is_escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

/// One past the value at the start.
fn value_end(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'"') => string_end(bytes),
        Some(b'{' | b'[') => container_end(bytes),
        _ => {
            let is_after = |byte: &u8| matches!(byte, b',' | b'}' | b']') || json::is_space(*byte);
            bytes.iter().position(is_after).unwrap_or(bytes.len())
        }
    }
}

fn container_end(bytes: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_end(&bytes[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn rfc_3339(member: Member<'_>) -> Option<Timestamp> {
    if !member.is_string() {
        return None;
    }
    member.text().parse().ok()
}

fn rfc_1123(member: Member<'_>) -> Option<Timestamp> {
    static PARSER: jiff::fmt::rfc2822::DateTimeParser = jiff::fmt::rfc2822::DateTimeParser::new();
    if !member.is_string() {
        return None;
    }
    PARSER.parse_timestamp(member.text().as_bytes()).ok().map(from_jiff)
}

/// A number of seconds since 1970; of milliseconds when as seconds it would lie after the year 5138.
fn unix(member: Member<'_>) -> Option<Timestamp> {
    const LARGEST_SECONDS: i64 = 100_000_000_000;
    const MILLI: i64 = 1_000_000;
    if member.is_string() {
        return None;
    }
    let written = std::str::from_utf8(member.value).ok()?;
    if let Ok(whole) = written.parse::<i64>() {
        return Some(if whole > LARGEST_SECONDS {
            Timestamp::from_parts(whole / 1000, whole % 1000 * MILLI)
        } else {
            Timestamp::from_parts(whole, 0)
        });
    }
    let mut seconds = written.parse::<f64>().ok().filter(|number| number.is_finite())?;
    if seconds > LARGEST_SECONDS as f64 {
        seconds /= 1000.0;
    }
    Some(Timestamp::from_parts(seconds.floor() as i64, (seconds.rem_euclid(1.0) * 1e9) as i64))
}

/// Both count nanoseconds forward from whole seconds after [`Timestamp::from_parts`].
fn from_jiff(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_parts(time.as_second(), i64::from(time.subsec_nanosecond()))
}

#[cfg(test)]
mod tests;
