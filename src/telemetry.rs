//! The pump's own metrics to a StatsD daemon: the figures of `/metrics`, every ten seconds and at the end.
//!
//! Counters are sent as what they have grown by since the last time that got through, gauges as they are. Of
//! histograms the new observations are sent as times, each as the middle of its bucket.
//!
//! A daemon that is dead costs one attempt each ten seconds and two log lines: when it begins and when it ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pump_core::config::{StatsdTags, StatsdTelemetry};
use pump_core::engine::Monitor;
use pump_core::plugin::{Deadline, SinkError};
use pump_core::statistics::Histogram;
use pump_sinks::statsd::{Daemon, Datagrams, Metric, push_safe};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::admin::{Facts, Family, Figure, FigureKind, FigureValue, figures};

/// How often figures are sent.
const EVERY: Duration = Duration::from_secs(10);
/// How long that may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take at the end, when somebody waits for the pump to stop.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);
/// As in the sink: what every network carries in one piece.
const MAX_DATAGRAM: usize = 1_432;

/// Sends figures until it is told to end.
pub(crate) struct Telemetry {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Telemetry {
    /// Begins, on the runtime that this is called on.
    pub(crate) fn start(config: StatsdTelemetry, monitor: Monitor, facts: Arc<Facts>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(Sender::new(config), monitor, facts, stopped));
        Self { task, stop }
    }

    /// Sends what there is at the end, and ends.
    pub(crate) async fn finish(self) {
        let _ = self.stop.send(());
        // Each attempt has its own limit: this ends.
        let _ = self.task.await;
    }
}

async fn run(mut sender: Sender, monitor: Monitor, facts: Arc<Facts>, mut stopped: oneshot::Receiver<()>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is at once: nothing has happened yet.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => break,
        }
        let families = figures(&monitor, &facts);
        tokio::select! {
            () = sender.send(&families, TIMEOUT) => {}
            _ = &mut stopped => break,
        }
    }
    sender.send(&figures(&monitor, &facts), LAST_TIMEOUT).await;
}

struct Sender {
    daemon: Daemon,
    address: String,
    prefix: String,
    tags: StatsdTags,
    /// What got through of counters and histograms, by their whole names.
    sent: HashMap<Vec<u8>, FigureValue>,
    is_in_trouble: bool,
}

impl Sender {
    fn new(config: StatsdTelemetry) -> Self {
        Self {
            address: config.address.to_string(),
            prefix: config.prefix.with_dot(),
            tags: config.tags,
            daemon: Daemon::new(config.address),
            sent: HashMap::new(),
            is_in_trouble: false,
        }
    }

    async fn send(&mut self, families: &[Family], limit: Duration) {
        let (datagrams, growth) = self.datagrams(families);
        let outcome = timeout(limit, self.daemon.send(&datagrams, Deadline::after(limit))).await;
        match outcome.unwrap_or_else(|elapsed| Err(SinkError::retry("the daemon took too long", elapsed))) {
            Ok(()) => {
                self.sent.extend(growth);
                if std::mem::take(&mut self.is_in_trouble) {
                    info!(address = self.address, "the pump's own metrics are sent again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_in_trouble, true) {
                    warn!(address = self.address, error = %error, "the pump's own metrics are not sent: they come later");
                }
            }
        }
    }

    /// What is to be sent, and what will have been sent then.
    fn datagrams(&self, families: &[Family]) -> (Datagrams, Vec<(Vec<u8>, FigureValue)>) {
        let (mut datagrams, mut growth) = (Datagrams::new(MAX_DATAGRAM), Vec::new());
        for family in families {
            for figure in &family.figures {
                let (name, tags) = self.name(family, figure);
                let metric = Metric { name: &name, tags: (self.tags != StatsdTags::None).then_some(&tags) };
                let key = [&name[..], b"#", &tags].concat();
                let before = self.sent.get(&key);
                match (&figure.value, before) {
                    (FigureValue::Whole(now), before) if family.kind == FigureKind::Counter => {
                        let before = if let Some(FigureValue::Whole(before)) = before { *before } else { 0 };
                        datagrams.count(metric, now.saturating_sub(before));
                        growth.push((key, figure.value.clone()));
                    }
                    (FigureValue::Whole(now), _) => datagrams.gauge(metric, *now as f64),
                    (FigureValue::Number(now), _) => datagrams.gauge(metric, *now),
                    (FigureValue::Histogram(now), before) => {
                        let none = Histogram::default();
                        let before =
                            if let Some(FigureValue::Histogram(before)) = before { before } else { &none };
                        let runs = observations(before, now);
                        datagrams.times(metric, "ms", &runs, MICROS_PER_MS, u64::MAX);
                        growth.push((key, figure.value.clone()));
                    }
                }
            }
        }
        (datagrams, growth)
    }

    /// `pump_sink_records_total` of `{sink="a",outcome="delivered"}` is `pump.sink_records_total.a.delivered`, or has
    /// these as tags. Times are in milliseconds here, so their names do not say seconds.
    fn name(&self, family: &Family, figure: &Figure) -> (Vec<u8>, Vec<u8>) {
        let name = family.name.strip_prefix("pump_").unwrap_or(family.name);
        let name = match family.kind {
            FigureKind::Histogram => name.strip_suffix("_seconds").unwrap_or(name),
            FigureKind::Counter | FigureKind::Gauge => name,
        };
        let (mut name, mut tags) = ([self.prefix.as_bytes(), name.as_bytes()].concat(), Vec::new());
        for (label, value) in &figure.labels {
            match self.tags {
                StatsdTags::None => {
                    name.push(b'.');
                    push_safe(value.as_bytes(), self.tags, &mut name);
                }
                StatsdTags::Dogstatsd => {
                    if !tags.is_empty() {
                        tags.push(b',');
                    }
                    tags.extend_from_slice(label.as_bytes());
                    tags.push(b':');
                    push_safe(value.as_bytes(), self.tags, &mut tags);
                }
            }
        }
        (name, tags)
    }
}

const MICROS_PER_MS: u64 = 1_000;

/// What was observed since, in microseconds: the middle of each bucket, and how often. What lies over the last bound
/// is sent as that.
fn observations(before: &Histogram, now: &Histogram) -> Vec<(i64, u64)> {
    let micros = |seconds: f64| (seconds * 1e6) as i64;
    let (mut runs, mut lower, mut below) = (Vec::new(), 0.0, 0);
    for ((bound, now), (_, before)) in now.cumulative().zip(before.cumulative()) {
        let count = now - before - below;
        if count > 0 {
            runs.push((micros((lower + bound) / 2.0), count));
        }
        (lower, below) = (bound, now - before);
    }
    let over = now.count - before.count - below;
    if over > 0 {
        runs.push((micros(lower), over));
    }
    runs
}

#[cfg(test)]
mod tests;
