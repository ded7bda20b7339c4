use pump_core::record::{Chunk, ChunkHead, Codec, Kind, Partition, Timestamp, View};

use super::traffic::Traffic;

fn made(seed: u64, count: u64) -> Chunk {
    let mut traffic = Traffic::new(seed, Some(count));
    let mut bytes = Vec::new();
    let now = Timestamp { seconds: 1_764_000_000, nanos: 5 };
    let entries: Vec<_> = (0..count)
        .map(|position| {
            let start = bytes.len();
            traffic.write(now, "", &mut bytes);
            (position, start..bytes.len())
        })
        .collect();
    let head = ChunkHead {
        source: "demo".into(),
        partition: Partition::new("demo"),
        kind: Kind::Transaction,
        codec: Codec::Msgpack,
        received: now,
    };
    let parsed = Chunk::parse(head, bytes.into(), 0..count, entries);
    assert!(parsed.undecodable.is_empty(), "{:?}", parsed.undecodable.first());
    parsed.chunk
}

#[test]
fn made_up_records_are_what_a_gateway_would_write() {
    let chunk = made(1, 2_000);
    let mut stolen = 0;
    let mut detailed = 0;
    for record in chunk.records() {
        let View::Transaction(transaction) = record.view() else { panic!("a transaction") };
        stolen += usize::from(
            transaction.response_code == 401 && transaction.ip_address.bytes() == b"203.0.113.66",
        );
        detailed += usize::from(!transaction.raw_request.is_empty());
        assert!(!transaction.api_id.is_empty());
    }
    assert!(stolen > 50, "{stolen}");
    assert!(detailed > 100, "{detailed}");
}

#[test]
fn the_same_seed_gives_the_same_traffic() {
    let bodies = |chunk: &Chunk| chunk.records().map(|record| record.body().to_vec()).collect::<Vec<_>>();
    assert_eq!(bodies(&made(7, 100)), bodies(&made(7, 100)));
    assert_ne!(bodies(&made(7, 100)), bodies(&made(8, 100)));
}
