//! Entries in a gateway's list.
//!
//! What is refused has a reason and its bytes; what is taken can be read, edited and written in every
//! format, and is the same record wherever it lies.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::edit::{Edits, FieldMode, RedactConfig, Scratch};
use crate::encode::{
    Additions, CSV_HEADER, CsvEncoder, Encoder, FullEncoder, TykRecordEncoder, TykStdoutEncoder,
};
use crate::record::{
    Chunk, ChunkHead, Codec, IdKey, Kind, Parsed, Partition, Record, Timestamp, View, split_msgpack,
};

/// The closed set that [`crate::record::DecodeError::code`] promises.
const CODES: [&str; 7] =
    ["truncated", "wrong_type", "too_deep", "too_large", "invalid_utf8", "malformed", "empty"];
const RECEIVED: Timestamp = Timestamp { seconds: 1_764_000_000, nanos: 0 };

/// What the edits below do to the JSON of any record: see [`edits_hold`].
pub(super) static EDITS: LazyLock<Edits> = LazyLock::new(|| {
    let fields = [("api_key", FieldMode::Mask), ("ip_address", FieldMode::Hash), ("org_id", FieldMode::Hash)];
    let redact = RedactConfig {
        headers: vec!["authorization".into(), "cookie".into()],
        fields: fields.map(|(name, mode)| (name.into(), mode)).into(),
    };
    Edits::new(&["host".into(), "geo".into()], &redact, &IdKey::default()).expect("these fields are text")
});

pub(super) fn msgpack(bytes: &[u8]) {
    entry(Kind::Transaction, Codec::Msgpack, bytes);
    entry(Kind::Uptime, Codec::Msgpack, bytes);
    // As a file of entries: each byte belongs to one of them.
    let mut end = 0;
    for entry in split_msgpack(bytes) {
        assert!(entry.start == end && entry.end > end);
        end = entry.end;
    }
    assert_eq!(end, bytes.len());
}

pub(super) fn protobuf(bytes: &[u8]) {
    entry(Kind::Transaction, Codec::Protobuf, bytes);
}

fn entry(kind: Kind, codec: Codec, body: &[u8]) {
    let Parsed { chunk, undecodable } = parse(kind, codec, body, 0);
    assert!(undecodable.len() <= 1 && undecodable.is_empty() != chunk.is_empty(), "taken, or refused");
    for refused in &undecodable {
        assert!(CODES.contains(&refused.error.code), "{}", refused.error);
        assert!(!refused.error.detail.is_empty() && refused.error.at <= body.len(), "{}", refused.error);
        assert_eq!(refused.body, body, "a dead letter has its bytes");
    }
    let mut end = 0;
    for record in chunk.records() {
        let start = record.body().as_ptr() as usize - chunk.bytes().as_ptr() as usize;
        assert!(start >= end, "records do not overlap");
        end = start + record.body().len();
        sound(record);
    }
    moved(&chunk, body);
}

/// The same entry elsewhere is the same records: nothing around it is read.
fn moved(chunk: &Chunk, body: &[u8]) {
    let key = IdKey::default();
    let elsewhere = parse(chunk.head().kind, chunk.head().codec, body, 3);
    assert_eq!(elsewhere.chunk.len(), chunk.len());
    for (record, same) in chunk.records().zip(elsewhere.chunk.records()) {
        assert_eq!(record.body(), same.body());
        assert_eq!(record.id(&key), same.id(&key), "an id does not depend on the place");
        assert_eq!(encoded(&FullEncoder, record, &record.view()), encoded(&FullEncoder, same, &same.view()));
    }
}

fn parse(kind: Kind, codec: Codec, body: &[u8], before: usize) -> Parsed {
    let partition = Partition::new(format!("{before}"));
    let head = ChunkHead { source: "fuzz".into(), partition, kind, codec, received: RECEIVED };
    let around = vec![0xc1; before];
    let bytes = [&around[..], body, &around].concat();
    let position = before as u64;
    Chunk::parse(head, bytes.into(), position..position + 1, [(position, before..before + body.len())])
}

fn sound(record: Record<'_>) {
    let view = record.view();
    let whole = json(&FullEncoder, record, &view);
    for encoder in [&TykRecordEncoder as &dyn Encoder, &TykStdoutEncoder] {
        json(encoder, record, &view);
    }
    csv(record, &view);
    let mut scratch = Scratch::default();
    let edited = EDITS.apply(record.view(), &mut scratch);
    edits_hold(&whole, &json(&FullEncoder, record, &edited));
    json(&TykStdoutEncoder, record, &edited);
    csv(record, &edited);
}

/// One line, one JSON object.
fn json(encoder: &dyn Encoder, record: Record<'_>, view: &View<'_>) -> Map<String, Value> {
    let line = encoded(encoder, record, view);
    assert!(!line.contains(&b'\n'), "{} has a newline in it", encoder.key());
    match serde_json::from_slice(&line) {
        Ok(object) => object,
        Err(err) => panic!("{}: {err}: {}", encoder.key(), String::from_utf8_lossy(&line)),
    }
}

/// As many cells as the header has names, on one row as RFC 4180 counts; nothing for other kinds.
fn csv(record: Record<'_>, view: &View<'_>) {
    let row = encoded(&CsvEncoder, record, view);
    let (mut is_quoted, mut commas) = (false, 0);
    for byte in &row {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => commas += 1,
            b'\n' | b'\r' => assert!(is_quoted, "a row ends in its middle"),
            _ => {}
        }
    }
    assert!(!is_quoted, "a quote is left open");
    let names = CSV_HEADER.iter().filter(|byte| **byte == b',').count();
    assert_eq!(commas, if record.kind() == Kind::Transaction { names } else { 0 });
}

/// Behind something that is there already, which no encoder may touch.
pub(super) fn encoded(encoder: &dyn Encoder, record: Record<'_>, view: &View<'_>) -> Vec<u8> {
    const BEFORE: &[u8] = b"before,";
    let mut out = BEFORE.to_vec();
    encoder.encode(record, view, &Additions::default(), &mut out);
    out.strip_prefix(BEFORE).expect("an encoder only appends").to_vec()
}

/// Transactions and health checks name these fields alike.
fn edits_hold(whole: &Map<String, Value>, edited: &Map<String, Value>) {
    let text = |object: &Map<String, Value>, name: &str| match object.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        None => None,
        Some(other) => panic!("{name} is {other}"),
    };
    assert!(!edited.contains_key("host") && !edited.contains_key("geo"), "what is omitted is not written");
    for (name, is_hash) in [("api_key", false), ("ip_address", true), ("org_id", true)] {
        let Some(before) = text(whole, name) else { continue };
        let after = text(edited, name).expect("it is replaced and not left out");
        let is_stand_in = match (before.is_empty(), is_hash) {
            (true, _) => after.is_empty(),
            (false, true) => after.len() == 16 && after.bytes().all(|byte| byte.is_ascii_hexdigit()),
            (false, false) => after == "***",
        };
        assert!(is_stand_in, "{name}: {before:?} became {after:?}");
    }
    let touched = ["host", "geo", "api_key", "ip_address", "org_id", "raw_request", "raw_response", "tags"];
    for (name, value) in whole.iter().filter(|(name, _)| !touched.contains(&name.as_str())) {
        assert_eq!(edited.get(name), Some(value), "{name} is nobody's to edit");
    }
}
