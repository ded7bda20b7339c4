use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::Part;
use super::*;
use crate::log::Placed;
use crate::record::{Chunk, ChunkHead, Codec, Kind, Partition, Timestamp};

/// A record by what identifies it: partition, position, which of its entry.
type Identity = (u8, u64, u64);

/// An uptime record in msgpack, `{"URL": ""}`; an entry may hold several.
const RECORD: &[u8] = b"\x81\xa3URL\xa0";

/// Entries of a partition, each with so many records.
fn chunk(partition: &str, entries: &[(u64, usize)]) -> Chunk {
    let head = ChunkHead {
        source: "gateway".into(),
        partition: Partition::new(partition),
        kind: Kind::Uptime,
        codec: Codec::Msgpack,
        received: Timestamp::EPOCH,
    };
    let total: usize = entries.iter().map(|(_, records)| records).sum();
    let mut start = 0;
    let entries: Vec<_> = entries
        .iter()
        .map(|(position, records)| {
            let end = start + records * RECORD.len();
            (*position, std::mem::replace(&mut start, end)..end)
        })
        .collect();
    let first = entries.first().map_or(0, |(position, _)| *position);
    let end = entries.last().map_or(0, |(position, _)| position + 1);
    let parsed = Chunk::parse(head, RECORD.repeat(total).into(), first..end, entries);
    assert!(parsed.undecodable.is_empty(), "{:?}", parsed.undecodable);
    assert_eq!(parsed.chunk.len(), total);
    parsed.chunk
}

fn batch(parts: impl IntoIterator<Item = (Chunk, Vec<u32>)>) -> Batch {
    let mut first = 0;
    let parts = parts.into_iter().map(|(chunk, indices)| {
        let placed = Placed::new(first, chunk);
        first = placed.end();
        let mut part = Part { placed, encoded: None, runs: Vec::new() };
        indices.into_iter().for_each(|index| part.push(index));
        part
    });
    let parts: Vec<Part> = parts.collect();
    let len = parts.iter().map(Part::len).sum();
    Batch { parts, len, size: 0, route: "".into(), edits: Arc::default(), id_key: Arc::default(), late: None }
}

fn whole(chunk: Chunk) -> (Chunk, Vec<u32>) {
    let indices = (0..chunk.len() as u32).collect();
    (chunk, indices)
}

// Objects have these names already. If this test fails, the code is wrong, not the test.
#[test]
fn digests_never_change() {
    let digests = [
        batch([whole(chunk("0", &[(7, 1)]))]).digest(),
        batch([whole(chunk("0", &[(7, 1), (8, 1), (9, 1)]))]).digest(),
        batch([whole(chunk("0", &[(7, 2)]))]).digest(),
        batch([(chunk("0", &[(7, 2)]), vec![1])]).digest(),
        batch([whole(chunk("1", &[(7, 1)])), whole(chunk("0", &[(7, 1)]))]).digest(),
    ];
    insta::assert_snapshot!(digests.map(|digest| digest.to_string()).join("\n"));
}

#[test]
fn how_records_lay_in_chunks_is_not_seen() {
    let together = batch([whole(chunk("0", &[(7, 1), (8, 2), (9, 1)]))]);
    let apart = batch([whole(chunk("0", &[(7, 1), (8, 2)])), whole(chunk("0", &[(9, 1), (10, 1)]))]);
    let apart = apart.subset(|number| number < 4).expect("there are some");
    assert_eq!(together.digest(), apart.digest());
}

proptest! {
    /// Equal digests are equal records, and the other way round, whatever is chosen of which entries.
    #[test]
    fn a_digest_is_of_exactly_these_records(
        batches in prop::collection::vec(prop::collection::vec(
            (0..2u8, prop::collection::vec((1..4usize, any::<u8>()), 1..5)), 1..4), 1..30),
    ) {
        let mut seen: HashMap<BatchDigest, Vec<Identity>> = HashMap::new();
        for parts in batches {
            let (mut chosen, mut identities) = (Vec::new(), Vec::new());
            for (partition, entries) in parts {
                let (mut indices, mut index) = (Vec::new(), 0);
                let mut shape = Vec::new();
                for (position, (records, mask)) in entries.into_iter().enumerate() {
                    shape.push((position as u64, records));
                    for ordinal in 0..records {
                        if mask & (1 << ordinal) != 0 {
                            indices.push(index);
                            identities.push((partition, position as u64, ordinal as u64));
                        }
                        index += 1;
                    }
                }
                if !indices.is_empty() {
                    chosen.push((chunk(&partition.to_string(), &shape), indices));
                }
            }
            if identities.is_empty() {
                continue;
            }
            let known = seen.entry(batch(chosen).digest()).or_insert_with(|| identities.clone());
            prop_assert_eq!(&*known, &identities);
        }
        let mut all: Vec<_> = seen.values().collect();
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), seen.len(), "the same records had two digests");
    }
}
