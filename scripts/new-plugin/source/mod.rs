//! The `__name__` source: hands over the events of its section, once.
// FILL IN: where it reads, and when records leave that place. Until then it hands over what its section says, so that
// all around it can be seen to work.

mod config;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use pump_core::plugin::{Mode, PlanError, Port, Source, SourceContext, SourceError, SourcePlan};
use pump_core::record::{Chunk, ChunkHead, Codec, Kind, Partition, RecordId, Timestamp};

pub use config::__Name__Config;

/// Hands over the events of its section.
pub struct __Name__Source {
    // FILL IN: the client of the buffer.
    events: Vec<String>,
}

#[async_trait]
impl Source for __Name__Source {
    const NAME: &'static str = "__name__";
    type Config = __Name__Config;

    fn plan(_: &__Name__Config) -> Result<SourcePlan, PlanError> {
        // FILL IN: refuse keys that contradict each other: `PlanError::new("key", "what to write instead")`. Name the
        // kinds it can give, and the addresses that it will contact. `pump check` calls this: contact nobody.
        Ok(SourcePlan { kinds: vec![Kind::Event], ..SourcePlan::default() })
    }

    async fn open(config: __Name__Config, _: SourceContext) -> Result<Self, SourceError> {
        // FILL IN: build the client, and contact nobody.
        Ok(Self { events: config.events })
    }

    async fn probe(&self) -> Result<(), SourceError> {
        // FILL IN: whether the buffer can be reached and read.
        Ok(())
    }

    async fn run(self, mut port: Port) -> Result<(), SourceError> {
        let mut stopping = Box::pin(port.stopping());
        // Room first, then records: while the log is full, nothing is read.
        let size = self.events.iter().map(String::len).sum();
        let mut permit = tokio::select! {
            permit = port.reserve(size) => permit,
            () = &mut stopping => return Ok(()),
        };
        // FILL IN: a loop that reserves, reads and hands over. Positions are those of the buffer, and rise within a
        // partition; what is read again after a crash has the same ones, or else ids of its own.
        let head = ChunkHead {
            source: port.name().clone(),
            partition: Partition::new(RecordId::uuid_v7().to_string()),
            kind: Kind::Event,
            codec: Codec::Json,
            received: Timestamp::now(),
        };
        let (mut entries, mut end) = (Vec::with_capacity(self.events.len()), 0);
        for (position, event) in (0..).zip(&self.events) {
            entries.push((position, end..end + event.len()));
            end += event.len();
        }
        let count = entries.len() as u64;
        permit.append(Chunk::parse(head, self.events.concat().into(), 0..count, entries)).await;
        drop(permit);
        // What is safe comes back: all positions below the one that is told.
        let (mut is_stopping, mut safe) = (false, 0);
        while port.mode() == Mode::Follow || safe < count {
            tokio::select! {
                settled = port.settled() => match settled {
                    // FILL IN: take it out of the buffer, or store the position. Never before it is told here.
                    Some((_, position)) => safe = position,
                    None => return Ok(()),
                },
                // FILL IN: read no more from here on, and go on settling until `settled` says None.
                () = &mut stopping, if !is_stopping => is_stopping = true,
            }
        }
        Ok(())
    }
}
