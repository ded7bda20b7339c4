//! The `statsd` sink: how many records there were and how long they took, per window and series.
//!
//! A batch is a window. It is folded here ([`window`]), so that a million records are a few datagrams; `strata` says
//! what becomes of the times. `docs/sinks/statsd.md` says what a daemon makes of it.

mod config;
mod daemon;
mod datagrams;
mod known;
mod names;
mod safe;
mod strata;
#[cfg(test)]
mod tests;
mod tyk;
mod window;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pump_core::config::ByteSize;
use pump_core::edit::Scratch;
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use pump_core::template::Template;
use tokio::task::yield_now;
use tokio::time::Instant;

pub use config::{Naming, StatsdConfig, TimeField};
pub use daemon::Daemon;
pub use datagrams::{Datagrams, Metric};
use known::KnownSeries;
use names::Names;
pub use safe::push_safe;
use window::Window;

/// Counts and times records.
pub struct StatsdSink {
    names: Names,
    fields: Vec<TimeField>,
    max_datagram: usize,
    daemon: Daemon,
    /// Locked once per slice of a batch.
    known: Mutex<KnownSeries>,
}

#[async_trait]
impl Sink for StatsdSink {
    const NAME: &'static str = "statsd";
    type Config = StatsdConfig;

    fn plan(config: &StatsdConfig, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        if format.is_some() {
            let message =
                "this sink writes no records: take `format` out; `naming: tyk` has Tyk Pump's names";
            return Err(PlanError::new("format", message));
        }
        let names = Names::new(config)?;
        let repeated =
            config.fields.iter().enumerate().find(|(index, field)| config.fields[..*index].contains(field));
        if let Some((_, field)) = repeated {
            return Err(PlanError::new("fields", format!("`{}` stands twice", field.name())));
        }
        if config.fields.is_empty() && !names.has_counts() {
            return Err(PlanError::new(
                "fields",
                "Tyk Pump's names are for times alone: name one at the least",
            ));
        }
        if config.prefix.as_str().len() > StatsdConfig::LONGEST_PREFIX {
            let message = format!("a prefix has {} letters at the most", StatsdConfig::LONGEST_PREFIX);
            return Err(PlanError::new("prefix", message));
        }
        let (least, largest) = (StatsdConfig::LEAST_DATAGRAM, StatsdConfig::LARGEST_DATAGRAM);
        if !(least..=largest).contains(&config.max_datagram) {
            let message = format!("a datagram has {least} to {largest}");
            return Err(PlanError::new("max_datagram", message));
        }
        Ok(SinkPlan {
            kinds: names.kinds(),
            body: None,
            // A window. It ends early where the log is too small for it.
            batch: BatchDefaults {
                max_records: 1_000_000,
                max_bytes: ByteSize::mib(32).bytes() as usize,
                max_age: Duration::from_secs(10),
            },
            route: Template::constant_of(""),
            targets: config.address.target().into_iter().collect(),
            takes_additions: false,
            repeats_batches: false,
        })
    }

    async fn open(config: StatsdConfig, _: SinkContext) -> Result<Self, SinkError> {
        let names = Names::new(&config)
            .map_err(|error| SinkError::unavailable("the settings make no names", error))?;
        Ok(Self {
            names,
            max_datagram: config.max_datagram.bytes() as usize,
            daemon: Daemon::new(config.address),
            known: Mutex::new(KnownSeries::new(config.max_series as usize)),
            fields: config.fields,
        })
    }

    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError> {
        let (mut window, mut scratch) =
            (Window::new(&self.names, &self.fields, self.max_datagram), Scratch::default());
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            {
                // What a panic left of it would still bound the series.
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                for entry in slice.entries() {
                    window.add(&entry.view(&mut scratch), &mut known, now);
                }
            }
            // A window may be large; others want to run, too.
            yield_now().await;
        }
        self.daemon.send(&window.datagrams(), deadline).await?;
        Ok(Answers::delivered(batch.len()))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        self.daemon.probe().await
    }
}
