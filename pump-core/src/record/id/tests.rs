use std::collections::HashSet;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{Chunk, ChunkHead, Codec, Partition, Timestamp};
use super::*;

fn events(source: &str, partition: &str, bodies: &[&str]) -> Chunk {
    let head = ChunkHead {
        source: source.into(),
        partition: Partition::new(partition),
        kind: Kind::Event,
        codec: Codec::Json,
        received: Timestamp::EPOCH,
    };
    let mut bytes = Vec::new();
    let mut entries = Vec::new();
    for (position, body) in (7..).zip(bodies) {
        entries.push((position, bytes.len()..bytes.len() + body.len()));
        bytes.extend_from_slice(body.as_bytes());
    }
    Chunk::parse(head, Bytes::from(bytes), 7..7 + bodies.len() as u64, entries).chunk
}

// These ids are at destinations already. If this test fails, the code is wrong, not the test: other
// ids make every record that is delivered again a new one.
#[test]
fn ids_never_change() {
    let published = IdKey::new(None);
    let secret = IdKey::new(Some(b"correct horse"));
    let ids = [
        published.of_body(Kind::Transaction, b""),
        published.of_body(Kind::Transaction, b"body"),
        published.of_body(Kind::Uptime, b"body"),
        published.of_place(Kind::AppLog, "logs", "0", 7, b"{}"),
        published.of_place(Kind::Audit, "logs", "0", 7, b"{}"),
        published.of_place(Kind::Event, "logs", "0", 7, b"{}"),
        secret.of_body(Kind::Transaction, b"body"),
        secret.of_place(Kind::Event, "logs", "0", 7, b"{}"),
    ];
    let expected = [
        "044667d0ec481e1c76e5596f2d4fedbc",
        "cf485e67ab9188240d67dd609c053d76",
        "c2d280eb1e47f2376743bc45785cf71c",
        "3fef93f08861ba98f47f472fdb0b3922",
        "a44aed6cfa1b2a70f89fc3b899bd00e9",
        "8cf3a41e8ee163ca8f65c67e4236a33e",
        "518dbd4a96d861bcfa21f50db87b1e89",
        "5ce8eabfe9ff2506e201191cbe4f56d3",
    ];
    assert_eq!(ids.map(|id| id.to_string()), expected);
    assert_eq!(published.hash_value(Text(b"my key")), 0xd4da146416334a93);
}

#[test]
fn an_id_reads_back_as_it_is_written() {
    let id = RecordId::uuid_v7();
    assert_eq!(id.to_string().parse(), Ok(id));
    let mut bytes = [0; 16];
    bytes[15] = 0xab;
    assert_eq!(RecordId(bytes).to_string(), "000000000000000000000000000000ab");
    for text in ["", "00", "+0000000000000000000000000000000", "0000000000000000000000000000000g"] {
        assert_eq!(text.parse::<RecordId>(), Err(RecordIdError), "{text}");
    }
}

#[test]
fn a_uuid_is_version_7_and_new_each_time() {
    let (first, second) = (RecordId::uuid_v7(), RecordId::uuid_v7());
    assert_ne!(first, second);
    assert_eq!(first.0[6] >> 4, 7);
}

#[test]
fn every_part_of_a_place_matters_and_none_runs_into_the_next() {
    let key = IdKey::new(None);
    let places = [
        (Kind::Event, "ab", "c", 1, "x"),
        (Kind::AppLog, "ab", "c", 1, "x"),
        (Kind::Event, "a", "bc", 1, "x"),
        (Kind::Event, "abc", "", 1, "x"),
        (Kind::Event, "", "abc", 1, "x"),
        (Kind::Event, "ab", "c", 2, "x"),
        (Kind::Event, "ab", "c", 1, "y"),
        (Kind::Event, "ab", "c", 1, ""),
    ];
    let ids: HashSet<_> = places
        .iter()
        .map(|(kind, source, partition, position, body)| {
            key.of_place(*kind, source, partition, *position, body.as_bytes())
        })
        .collect();
    assert_eq!(ids.len(), places.len());
}

#[test]
fn the_key_matters_and_is_not_shown() {
    let published = IdKey::default();
    let (short, long) = (IdKey::new(Some(b"s")), IdKey::new(Some(&[7; 100])));
    let ids = [&published, &short, &long].map(|key| key.of_body(Kind::Transaction, b"body"));
    assert_eq!(HashSet::from(ids).len(), 3);
    assert_eq!(format!("{short:?}"), "IdKey(..)");
}

#[test]
fn equal_events_at_two_positions_are_two_records() {
    let key = IdKey::default();
    let chunk = events("hooks", "p", &["{}", "{}"]);
    assert_ne!(chunk.record(0).id(&key), chunk.record(1).id(&key));
    let again = events("hooks", "p", &["{}", "\n{}\n"]);
    assert_eq!(chunk.record(0).id(&key), again.record(0).id(&key));
    assert_eq!(chunk.record(1).id(&key), again.record(1).id(&key), "white space around it is not the record");
}

#[test]
fn ids_that_came_along_are_kept() {
    let ids = [RecordId([1; 16]), RecordId([2; 16])];
    let chunk = events("hooks", "p", &["{}", "{}"]).with_ids(ids);
    assert_eq!(chunk.records().map(|record| record.id(&IdKey::default())).collect::<Vec<_>>(), ids);
    assert_eq!(chunk.ids(), Some(&ids[..]));
}

proptest! {
    #[test]
    fn two_tuples_never_frame_to_the_same_bytes(
        left in ("[ab]{0,3}", "[ab]{0,3}", 0..3u64, "[ab]{0,3}"),
        right in ("[ab]{0,3}", "[ab]{0,3}", 0..3u64, "[ab]{0,3}"),
    ) {
        let key = IdKey::default();
        let id = |place: &(String, String, u64, String)| {
            key.of_place(Kind::Event, &place.0, &place.1, place.2, place.3.as_bytes())
        };
        prop_assert_eq!(id(&left) == id(&right), left == right);
    }
}
