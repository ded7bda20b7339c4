//! What a message says, held to what Tyk Pump sends.

use std::fs;
use std::path::Path;

use pump_core::encode::Additions;
use pump_core::record::{Chunk, ChunkHead, Codec, Field, FieldSet, Partition, Timestamp, View};
use sha2::{Digest, Sha256};

use super::*;

fn golden(name: &str) -> Option<Vec<u8>> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tyk").join(name)).ok()
}

fn chunk(kind: Kind, codec: Codec, body: &[u8]) -> Chunk {
    let (source, partition) = ("test".into(), Partition::new("test"));
    let head = ChunkHead { source, partition, kind, codec, received: Timestamp::now() };
    Chunk::parse(head, body.to_vec().into(), 0..1, [(0, 0..body.len())]).chunk
}

fn encode(encoder: &dyn Encoder, chunk: &Chunk, additions: &Additions) -> String {
    let (mut out, record) = (Vec::new(), chunk.record(0));
    encoder.encode(record, &record.view(), additions, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn every_message_is_the_one_that_tyk_pump_sends() {
    for number in 1..=30 {
        let body = golden(&format!("{number:03}.msgpack")).expect("it is there");
        let chunk = chunk(Kind::Transaction, Codec::Msgpack, &body);
        let message = encode(&TykMessage, &chunk, &Additions::default());
        match golden(&format!("{number:03}.kafka.json")) {
            Some(expected) => {
                assert_eq!(message, String::from_utf8(expected).expect("JSON is UTF-8").trim(), "{number}");
            }
            // A file too large to keep is there as its digest and length.
            None => {
                let hash = golden(&format!("{number:03}.kafka.json.sha256")).expect("it is kept as a hash");
                let digest: String =
                    Sha256::digest(&message).iter().map(|byte| format!("{byte:02x}")).collect();
                let hash = String::from_utf8(hash).expect("text");
                assert_eq!(format!("{digest} {}", message.len()), hash.trim(), "{number}");
            }
        }
    }
}

#[test]
fn additions_stand_at_the_end_and_omitted_fields_nowhere() {
    let body = golden("003.msgpack").expect("it is there");
    let chunk = chunk(Kind::Transaction, Codec::Msgpack, &body);
    let message = encode(&TykMessage, &chunk, &Additions::new([("cluster", "eu1")]));
    assert!(
        message.ends_with("\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"cluster\":\"eu1\"}"),
        "{message}"
    );
    let record = chunk.record(0);
    let View::Transaction(mut transaction) = record.view() else { panic!("it is a transaction") };
    transaction.omitted = Field::ALL.iter().fold(FieldSet::EMPTY, |set, field| set.with(*field));
    let mut out = Vec::new();
    TykMessage.encode(record, &View::Transaction(transaction), &Additions::default(), &mut out);
    assert_eq!(out, b"{}");
}

#[test]
fn other_kinds_are_written_full() {
    let body = golden("u01.msgpack").expect("it is there");
    let chunk = chunk(Kind::Uptime, Codec::Msgpack, &body);
    let additions = Additions::new([("cluster", "eu1")]);
    assert_eq!(encode(&TykMessage, &chunk, &additions), encode(&FullEncoder, &chunk, &additions));
}

#[test]
fn wire_messages_are_the_bytes_as_they_came() {
    let body = golden("003.msgpack").expect("it is there");
    let chunk = chunk(Kind::Transaction, Codec::Msgpack, &body);
    let (mut out, record) = (Vec::new(), chunk.record(0));
    WireMessage.encode(record, &record.view(), &Additions::default(), &mut out);
    assert_eq!(out, body);
}
