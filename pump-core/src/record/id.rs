//! The id of a record.
//!
//! A record that is sent twice carries the same id twice, so sinks that can drop repeats do. Ids are
//! therefore a hash over what identifies the record, equal on every replica and after every restart.
//! The hash is keyed (HighwayHash, 128 bits, <https://arxiv.org/abs/1612.06257>): who chooses part of
//! a body must not be able to make two records meet. With the published default key only the length
//! of the hash stands in the way of that; a secret key closes it.

use std::fmt;
use std::str::FromStr;

use highway::{HighwayHash, HighwayHasher, Key};

use super::{Kind, Record, Text};

/// 16 bytes that are the same for the same record on every replica and after every restart.
///
/// Written as 32 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub [u8; 16]);

impl RecordId {
    /// A new id that sorts by time (RFC 9562, version 7): for a source without stable positions,
    /// which makes it at receipt and stores it with the record.
    pub fn uuid_v7() -> Self {
        Self(uuid::Uuid::now_v7().into_bytes())
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for RecordId {
    type Err = RecordIdError;

    fn from_str(text: &str) -> Result<Self, RecordIdError> {
        // The standard library's parser takes a sign as well, which is no part of an id.
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(RecordIdError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| RecordIdError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// A text that is no record id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record id is 32 hexadecimal digits")]
pub struct RecordIdError;

/// The key of the hash that makes ids, and of the one that stands in for redacted values.
#[derive(Clone)]
pub struct IdKey(Key);

/// What is used where no secret is set, in ASCII "pump record id key, v1". Changing it changes every id
/// that is computed with it.
const PUBLISHED: Key = Key([0x7075_6d70_2072_6563, 0x6f72_6420_6964_206b, 0x6579_2c20_7631_0000, 0]);

/// What a hash is over; the first byte hashed, so that no two domains ever hash the same bytes.
/// These numbers must never change.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Domain {
    Value = 0,
    Transaction = 1,
    Uptime = 2,
    AppLog = 3,
    Audit = 4,
    Event = 5,
}

impl From<Kind> for Domain {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Transaction => Self::Transaction,
            Kind::Uptime => Self::Uptime,
            Kind::AppLog => Self::AppLog,
            Kind::Audit => Self::Audit,
            Kind::Event => Self::Event,
        }
    }
}

impl IdKey {
    /// From a secret of any length; without one, the published key. All replicas that deliver to the
    /// same destination need the same.
    pub fn new(secret: Option<&[u8]>) -> Self {
        match secret {
            Some(secret) => Self(Key(HighwayHasher::new(PUBLISHED).hash256(secret))),
            None => Self(PUBLISHED),
        }
    }

    pub(super) fn id(&self, record: Record<'_>) -> RecordId {
        let head = record.chunk().head();
        match head.kind {
            Kind::Transaction | Kind::Uptime => self.of_body(head.kind, record.body()),
            Kind::AppLog | Kind::Audit | Kind::Event => self.of_place(
                head.kind,
                &head.source,
                head.partition.name(),
                record.position(),
                record.body(),
            ),
        }
    }

    /// What stands in for a redacted value: equal for equal values, so they can still be counted.
    /// Whoever knows the key can try values; without a secret, everybody does.
    pub(crate) fn hash_value(&self, value: Text<'_>) -> u64 {
        let mut hasher = self.hasher(Domain::Value);
        hasher.append(value.bytes());
        hasher.finalize64()
    }

    /// Transactions and health checks say enough of themselves that equal bodies are one record, also
    /// when a gateway pushed it to two lists.
    fn of_body(&self, kind: Kind, body: &[u8]) -> RecordId {
        let mut hasher = self.hasher(kind.into());
        hasher.append(body);
        finish(hasher)
    }

    /// Other kinds often repeat themselves: only their place tells two records from one sent twice.
    fn of_place(&self, kind: Kind, source: &str, partition: &str, position: u64, body: &[u8]) -> RecordId {
        let mut hasher = self.hasher(kind.into());
        // Each part's length is hashed before it, and the last runs to the end: so no two tuples hash
        // the same bytes.
        for part in [source, partition] {
            hasher.append(&(part.len() as u64).to_le_bytes());
            hasher.append(part.as_bytes());
        }
        hasher.append(&position.to_le_bytes());
        hasher.append(body);
        finish(hasher)
    }

    fn hasher(&self, domain: Domain) -> HighwayHasher {
        let mut hasher = HighwayHasher::new(self.0);
        hasher.append(&[domain as u8]);
        hasher
    }
}

impl Default for IdKey {
    fn default() -> Self {
        Self::new(None)
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(..)")
    }
}

fn finish(hasher: HighwayHasher) -> RecordId {
    let [low, high] = hasher.finalize128();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&low.to_le_bytes());
    id[8..].copy_from_slice(&high.to_le_bytes());
    RecordId(id)
}

#[cfg(test)]
mod tests;
