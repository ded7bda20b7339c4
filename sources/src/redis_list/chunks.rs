//! From a reply of Redis to a chunk.

use pump_core::plugin::Port;
use pump_core::record::{Chunk, ChunkHead, Parsed, Partition, Timestamp};

use super::calls::Reply;
use super::keys::ListKeys;

/// The records of a reply as a chunk, with what is not sound beside it; `None` when there are none.
pub(super) fn parse(port: &Port, keys: &ListKeys, partition: &Partition, reply: Reply) -> Option<Parsed> {
    let Reply { first, sizes, records } = reply;
    if sizes.is_empty() {
        return None;
    }
    let received = Timestamp::now();
    let head = ChunkHead {
        source: port.name().clone(),
        partition: partition.clone(),
        kind: keys.kind,
        codec: keys.codec,
        received,
    };
    let mut at = 0;
    let entries = sizes.iter().zip(first..).map(|(size, position)| {
        let entry = (position, at..at + *size as usize);
        at += *size as usize;
        entry
    });
    let parsed = Chunk::parse(head, records, first..first + sizes.len() as u64, entries);
    if let Some(time) = parsed.chunk.records().last().and_then(|record| record.view().time(received)) {
        port.account().lag(received.seconds_since(time).max(0.0));
    }
    Some(parsed)
}
