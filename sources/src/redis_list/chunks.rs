//! From a reply of Redis to a chunk.

use pump_core::plugin::{Permit, Port};
use pump_core::record::{Chunk, ChunkHead, Partition, Timestamp};

use super::keys::ListKeys;
use super::server::Reply;

/// Gives the records of a reply to the log.
pub(super) async fn hand_over(
    port: &Port,
    mut permit: Permit,
    keys: &ListKeys,
    partition: &Partition,
    reply: Reply,
) {
    let Reply { first, sizes, records } = reply;
    if sizes.is_empty() {
        return;
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
    permit.append(parsed).await;
}
