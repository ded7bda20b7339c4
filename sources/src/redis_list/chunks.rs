//! From a reply of Redis to chunks: the reply's buffer is shared, not copied.

use pump_core::plugin::{Permit, Port};
use pump_core::record::{Chunk, ChunkHead, Partition, Timestamp};

use super::keys::ListKeys;
use super::server::Reply;

/// About the size of a chunk in bytes: lanes work on one while the next waits, and its room is free as
/// soon as it is settled.
const CHUNK_SIZE: usize = 1 << 20;

/// Gives the records of a reply to the log.
pub(super) async fn hand_over(
    port: &Port,
    mut permit: Permit,
    keys: &ListKeys,
    partition: &Partition,
    reply: Reply,
) {
    let Reply { first, sizes, records } = reply;
    let received = Timestamp::now();
    let (mut position, mut start) = (first, 0);
    let mut sizes = &sizes[..];
    while !sizes.is_empty() {
        let mut size = 0;
        let fits = |own: &&u32| {
            size += **own as usize;
            size <= CHUNK_SIZE
        };
        // At least one, however large.
        let count = sizes.iter().take_while(fits).count().max(1);
        let (own, rest) = sizes.split_at(count);
        let length: usize = own.iter().map(|size| *size as usize).sum();
        let head = ChunkHead {
            source: port.name().clone(),
            partition: partition.clone(),
            kind: keys.kind,
            codec: keys.codec,
            received,
        };
        let positions = position..position + count as u64;
        let mut at = 0;
        let entries = own.iter().zip(positions.clone()).map(|(size, position)| {
            let entry = (position, at..at + *size as usize);
            at += *size as usize;
            entry
        });
        let parsed = Chunk::parse(head, records.slice(start..start + length), positions, entries);
        if let Some(time) = parsed.chunk.records().last().and_then(|record| record.view().time(received)) {
            port.account().lag(received.seconds_since(time).max(0.0));
        }
        permit.append(parsed).await;
        (position, start, sizes) = (position + count as u64, start + length, rest);
    }
}
