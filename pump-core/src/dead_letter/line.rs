//! A dead letter as a line of JSON: what every store keeps.
//!
//! `v` is the version of the line, `at` when the record was given up, `body` the bytes as they came, in
//! base64. Reading is strict: a line with members that this release does not know is no letter of its
//! own, and whoever cannot read a letter must leave it where it is.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::DeadLetter;
use crate::record::{Codec, Kind, Timestamp};

/// The version of a stored line.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    v: u64,
    at: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sink: Option<Cow<'a, str>>,
    reason: Cow<'a, str>,
    detail: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    source: Cow<'a, str>,
    partition: Cow<'a, str>,
    position: u64,
    kind: Kind,
    codec: Codec,
    received: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

/// Why a line is no letter that can be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Another release wrote it.
    #[error("it is a letter of version {0}; this release of pump reads version {VERSION}")]
    Version(u64),
    /// It is torn, or was never a letter.
    #[error("it is no dead letter: {0}")]
    Malformed(Box<str>),
}

impl DeadLetter {
    /// One line of JSON, without its newline. `at` is when the record was given up.
    pub fn to_line(&self, at: Timestamp) -> Vec<u8> {
        let line = Line {
            v: VERSION,
            at: at.to_string().into(),
            sink: self.sink.as_deref().map(Cow::Borrowed),
            reason: Cow::Borrowed(&self.reason),
            detail: Cow::Borrowed(&self.detail),
            id: self.id.map(|id| id.to_string().into()),
            source: Cow::Borrowed(&self.source),
            partition: Cow::Borrowed(&self.partition),
            position: self.position,
            kind: self.kind,
            codec: self.codec,
            received: self.received.to_string().into(),
            body: STANDARD.encode(&self.body).into(),
        };
        serde_json::to_vec(&line).expect("texts and numbers always become JSON")
    }

    /// The way back from [`Self::to_line`]: the letter, and when the record was given up.
    pub fn from_line(line: &[u8]) -> Result<(Self, Timestamp), LineError> {
        let read = serde_json::from_slice::<Line<'_>>(line);
        let line = match read {
            Ok(line) if line.v == VERSION => line,
            Ok(line) => return Err(LineError::Version(line.v)),
            Err(error) => return Err(version_of(line).map_or_else(|| malformed(error), LineError::Version)),
        };
        let letter = Self {
            sink: line.sink.map(|sink| (*sink).into()),
            reason: Cow::Owned(line.reason.into_owned()),
            detail: (*line.detail).into(),
            id: line.id.map(|id| id.parse().map_err(malformed)).transpose()?,
            source: (*line.source).into(),
            partition: (*line.partition).into(),
            position: line.position,
            kind: line.kind,
            codec: line.codec,
            received: line.received.parse().map_err(malformed)?,
            body: STANDARD.decode(&*line.body).map_err(malformed)?.into(),
        };
        Ok((letter, line.at.parse().map_err(malformed)?))
    }
}

/// Another version than ours, when the line has one.
fn version_of(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    let line: Versioned = serde_json::from_slice(line).ok()?;
    (line.v != VERSION).then_some(line.v)
}

fn malformed(error: impl std::fmt::Display) -> LineError {
    LineError::Malformed(error.to_string().into())
}
