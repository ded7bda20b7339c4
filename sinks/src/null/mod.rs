//! The `null` sink: counts and forgets, for trying and for benches.

mod config;

use async_trait::async_trait;
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use pump_core::record::Kind;
use pump_core::template::Template;

pub use config::NullConfig;

/// Takes everything and keeps nothing.
pub struct NullSink;

#[async_trait]
impl Sink for NullSink {
    const NAME: &'static str = "null";
    type Config = NullConfig;

    fn plan(_: &NullConfig, _: Option<Format>) -> Result<SinkPlan, PlanError> {
        Ok(SinkPlan {
            kinds: Kind::ALL.to_vec(),
            body: None,
            batch: BatchDefaults::default(),
            route: Template::constant_of(""),
            targets: Vec::new(),
            takes_additions: true,
            repeats_batches: false,
        })
    }

    async fn open(_: NullConfig, _: SinkContext) -> Result<Self, SinkError> {
        Ok(Self)
    }

    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        Ok(Answers::delivered(batch.len()))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
