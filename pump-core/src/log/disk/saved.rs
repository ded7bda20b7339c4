//! What the disk log remembers beside its segments: cursors, positions, and how far it was durable.
//!
//! One small file, replaced as a whole about once a second, at the end, and before a segment goes. When it is
//! older than the segments, lanes begin at older cursors: that repeats records, and loses none.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::held::SavedPosition;
use crate::log::Cuts;

/// The file's name.
pub(crate) const FILE: &str = "state";
const VERSION: u32 = 1;

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub(crate) version: u32,
    /// The oldest place that was kept: everything below was passed by every required lane, and removed.
    pub begin: u64,
    /// All places below were durable.
    pub end: u64,
    /// Every lane, required or not, had passed all below.
    #[serde(default)]
    pub passed: u64,
    /// Chunks below this place say nothing of what sources need not give again: a gap was accepted among them.
    #[serde(default)]
    pub held_from: u64,
    /// Each lane's cursor, by the name of its sink.
    pub cursors: BTreeMap<String, u64>,
    /// What is to be remembered of lanes' batches, by the name of the sink; only where there is something.
    #[serde(default)]
    pub(crate) cuts: BTreeMap<String, Cuts>,
    /// What sources need not give again.
    pub held: Vec<SavedPosition>,
    /// Runs of places that are lost, and were accepted as such.
    pub gaps: Vec<(u64, u64)>,
}

/// Why the file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Not what was written.
    #[error("the file `state` is damaged")]
    Damaged,
    /// A newer pump wrote it.
    #[error(
        "the file `state` has version {0}, which this pump cannot read: use the pump that wrote it, or a newer one"
    )]
    Version(u32),
}

impl Saved {
    /// The content of the file: a checksum (CRC32C, hexadecimal), a space, one line of JSON.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let current = Self { version: VERSION, ..self.clone() };
        let json = serde_json::to_string(&current).expect("texts and numbers can be written");
        format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())).into()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SavedError> {
        let text = std::str::from_utf8(bytes).map_err(|_| SavedError::Damaged)?;
        let (crc, json) = text.trim_end().split_once(' ').ok_or(SavedError::Damaged)?;
        if u32::from_str_radix(crc, 16) != Ok(crc32c::crc32c(json.as_bytes())) {
            return Err(SavedError::Damaged);
        }
        let version = serde_json::from_str(json).map(|VersionOnly { version }| version);
        match version {
            Ok(VERSION) => serde_json::from_str(json).map_err(|_| SavedError::Damaged),
            Ok(other) => Err(SavedError::Version(other)),
            Err(_) => Err(SavedError::Damaged),
        }
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}
