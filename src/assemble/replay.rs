//! A pump of some of a pipeline's sinks and of other sources than its own.

use std::sync::Arc;

use pump_core::Randomness;
use pump_core::config::OWN_SOURCE;
use pump_core::engine::{Blueprint, SourceBlueprint};
use pump_core::plugin::Mode;

use super::{Plan, dead_letters, log};

impl Plan {
    /// A pump that gives records again to the sinks of these names, and ends. Each is waited for, although it may
    /// be best effort; none is given the news of a pump that only sends again.
    pub(crate) async fn open_for_sinks(
        self,
        names: &[String],
        sources: Vec<SourceBlueprint>,
    ) -> anyhow::Result<Blueprint> {
        let mut lanes = Vec::new();
        for planned in self.sinks.into_iter().filter(|sink| names.iter().any(|name| **name == *sink.name)) {
            let mut lane = super::open(planned).await?;
            lane.is_required = true;
            lane.sources.get_or_insert_default().retain(|name: &Arc<str>| **name != *OWN_SOURCE);
            lanes.push(lane);
        }
        Ok(Blueprint {
            sources,
            lanes,
            log: log::in_memory(&self.pipeline.log),
            dead_letters: dead_letters(&self.pipeline.dead_letters, None)?,
            id_key: self.id_key,
            mode: Mode::Drain,
            shutdown_timeout: self.pipeline.shutdown_timeout.get(),
            randomness: Randomness::default(),
        })
    }
}
