//! Reads fixtures and encodes records in one line.

use std::fs;
use std::path::{Path, PathBuf};

use pump_core::encode::{Additions, Encoder, FullEncoder};
use pump_core::record::{Chunk, ChunkHead, Codec, Kind, Parsed, Partition, Record, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// A golden file; `None` when there is no such file.
pub(crate) fn golden(name: &str) -> Option<Vec<u8>> {
    fs::read(folder("tyk").join(name)).ok()
}

/// Numbers of the golden records: 001, 002, …
pub(crate) fn numbers() -> Vec<String> {
    let names = fs::read_dir(folder("tyk")).expect("the fixtures are there");
    let names = names.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned());
    let mut numbers: Vec<_> = names
        .filter_map(|name| name.strip_suffix(".msgpack").map(str::to_owned))
        .filter(|name| name.chars().all(|c| c.is_ascii_digit()))
        .collect();
    numbers.sort();
    assert_eq!(numbers.len(), 30);
    numbers
}

/// A file of the fixtures.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = folder(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Entries of a file in which each is preceded by its length, u32 big endian.
pub(crate) fn entries(name: &str) -> Vec<Vec<u8>> {
    let bytes = fixture(name);
    let (mut rest, mut entries) = (&bytes[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let (entry, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry.to_vec());
        rest = after;
    }
    entries
}

/// When these tests got their records.
pub(crate) const RECEIVED: Timestamp = Timestamp { seconds: 1_764_000_000, nanos: 0 };

/// A chunk of one entry.
pub(crate) fn parse(kind: Kind, codec: Codec, body: &[u8]) -> Parsed {
    let head = ChunkHead {
        source: "test".into(),
        partition: Partition::new("test"),
        kind,
        codec,
        received: RECEIVED,
    };
    Chunk::parse(head, body.to_vec().into(), 0..1, [(0, 0..body.len())])
}

/// What an encoder makes of a sound entry with one record.
pub(crate) fn encode(encoder: &dyn Encoder, kind: Kind, codec: Codec, body: &[u8]) -> Vec<u8> {
    let parsed = parse(kind, codec, body);
    assert!(parsed.undecodable.is_empty(), "{}", parsed.undecodable[0].error);
    assert_eq!(parsed.chunk.len(), 1);
    encode_first(encoder, &parsed.chunk)
}

/// What an encoder makes of a chunk's first record.
pub(crate) fn encode_first(encoder: &dyn Encoder, chunk: &Chunk) -> Vec<u8> {
    let record = chunk.record(0);
    let mut out = Vec::new();
    encoder.encode(record, &record.view(), &Additions::default(), &mut out);
    out
}

/// Each record of an entry as an encoder writes it; `None` when the entry is refused.
pub(crate) fn encoded(encoder: &dyn Encoder, kind: Kind, codec: Codec, body: &[u8]) -> Option<Vec<String>> {
    let parsed = parse(kind, codec, body);
    if !parsed.undecodable.is_empty() {
        return None;
    }
    let encode = |record: Record<'_>| {
        let mut out = Vec::new();
        encoder.encode(record, &record.view(), &Additions::default(), &mut out);
        // Only csv copies bytes that are not UTF-8, and no such bytes are compared as text.
        String::from_utf8_lossy(&out).into_owned()
    };
    Some(parsed.chunk.records().map(encode).collect())
}

/// Each record of an entry in `full` JSON, parsed.
pub(crate) fn full(kind: Kind, codec: Codec, body: &[u8]) -> Option<Vec<Value>> {
    let records = encoded(&FullEncoder, kind, codec, body)?;
    Some(records.iter().map(|text| json(text.as_bytes())).collect())
}

pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// Holds bytes to a golden file, or to its hash where it is too large to keep.
pub(crate) fn assert_golden(name: &str, actual: &[u8]) {
    if let Some(expected) = golden(name) {
        let expected = expected.strip_suffix(b"\n").unwrap_or(&expected);
        assert_eq!(String::from_utf8_lossy(actual), String::from_utf8_lossy(expected), "{name}");
        return;
    }
    let hash = golden(&format!("{name}.sha256")).unwrap_or_else(|| panic!("there is no {name}"));
    let hash = String::from_utf8(hash).expect("text");
    let with_newline = [actual, b"\n"].concat();
    let matches = [actual, &with_newline[..]].iter().any(|bytes| {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        hash.trim() == format!("{digest} {}", bytes.len())
    });
    assert!(matches, "{name} is another file than its hash says");
}

/// The places, as JSON pointers, at which two values differ.
pub(crate) fn differences(left: &Value, right: &Value) -> Vec<String> {
    fn visit(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
        match (left, right) {
            (Value::Object(left), Value::Object(right)) => {
                for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                    let null = Value::String("(absent)".into());
                    let (left, right) = (left.get(key).unwrap_or(&null), right.get(key).unwrap_or(&null));
                    visit(&format!("{path}/{key}"), left, right, found);
                }
            }
            (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
                for (index, (left, right)) in left.iter().zip(right).enumerate() {
                    visit(&format!("{path}/{index}"), left, right, found);
                }
            }
            // JSON does not tell a whole number from one with a fraction of zero, and the parser may miss
            // the last bit.
            (Value::Number(left), Value::Number(right)) if left.is_f64() || right.is_f64() => {
                let (left, right) = (left.as_f64().unwrap_or(f64::NAN), right.as_f64().unwrap_or(f64::NAN));
                let is_same = left == right || (left - right).abs() <= left.abs() * 1e-15;
                if !is_same {
                    found.push(path.to_owned());
                }
            }
            _ if left != right => found.push(path.to_owned()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    visit("", left, right, &mut found);
    found.sort();
    found
}
