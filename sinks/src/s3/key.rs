//! Keys of objects: `PREFIX DIGEST ENDING`.
//!
//! The prefix is the batch's route, made of the records' own time and fields. The digest is over exactly which
//! records are in the object, so a key that is taken says that they are there. Nothing in it tells when it was
//! delivered: an object that is tried again has the same key.

use pump_core::plugin::BatchDigest;
use pump_core::template::Template;

use super::config::{Compression, Encoding};

/// The longest key that stores take, in bytes.
const MAX_KEY: usize = 1_024;
/// Digest and ending, in bytes at the most.
const MAX_NAME: usize = 32 + ".ndjson.zst".len();
/// The longest date (`undated`, or some conversions) or value of a field that a template gives, in bytes.
const MAX_GAP: usize = 128;

/// What is wrong with a template for prefixes, if something is.
pub(super) fn check(prefix: &Template) -> Result<(), String> {
    // A sign that no key may have, so that it stands for dates and fields only.
    const GAP: char = '\u{0}';
    let pattern = prefix.pattern(GAP);
    if pattern.starts_with('/') {
        return Err(
            "a key that begins with `/` has a folder without a name before it: leave it out".to_owned()
        );
    }
    if pattern.split('/').any(|part| matches!(part, "." | "..")) {
        return Err("`.` and `..` are no folders of a bucket: leave them out".to_owned());
    }
    let is_odd = |c: char| c != GAP && (c.is_control() || c == '\\');
    if pattern.contains(is_odd) {
        return Err("a key has no control characters and no `\\`: leave them out".to_owned());
    }
    let longest = pattern.len() + prefix.gaps() * (MAX_GAP - 1) + MAX_NAME;
    if longest > MAX_KEY {
        return Err(format!("keys could have {longest} bytes, and {MAX_KEY} is the most: shorten it"));
    }
    Ok(())
}

/// The key of an object with these records.
pub(super) fn key(route: &str, digest: BatchDigest, ending: &str) -> String {
    format!("{route}{digest}{ending}")
}

/// What keys end with.
pub(super) fn ending(encoding: Encoding, compression: Compression) -> &'static str {
    match (encoding, compression) {
        (Encoding::Ndjson, Compression::None) => ".ndjson",
        (Encoding::Ndjson, Compression::Gzip) => ".ndjson.gz",
        (Encoding::Ndjson, Compression::Zstd) => ".ndjson.zst",
        (Encoding::Parquet, _) => ".parquet",
    }
}

/// What the store is told of the content.
pub(super) fn media_type(encoding: Encoding, compression: Compression) -> &'static str {
    match (encoding, compression) {
        (Encoding::Ndjson, Compression::None) => "application/x-ndjson",
        (Encoding::Ndjson, Compression::Gzip) => "application/gzip",
        (Encoding::Ndjson, Compression::Zstd) => "application/zstd",
        (Encoding::Parquet, _) => "application/vnd.apache.parquet",
    }
}

/// A key under the prefix at which nothing is ever written, to ask whether it could be.
pub(super) fn probe(prefix: &Template) -> String {
    format!("{}probe", prefix.pattern('0'))
}
