//! What the pump measures, of one moment: figures with names, kinds and labels, whoever they are for.
//!
//! Names and labels are a contract (`docs/metrics.md`). Labels come from the pipeline file or from
//! closed sets, never from records.

use std::sync::Arc;

use pump_core::accounting::Books;
use pump_core::engine::Monitor;
use pump_core::record::Timestamp;
use pump_core::statistics::{Histogram, LaneState};

use super::Facts;
use super::status::lag_seconds;

/// Figures of one name.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: FigureKind,
    pub(crate) help: &'static str,
    pub(crate) figures: Vec<Figure>,
}

/// What a figure does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FigureKind {
    /// Only grows.
    Counter,
    Gauge,
    Histogram,
}

/// A figure and what tells it apart.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) labels: Vec<(&'static str, Arc<str>)>,
    pub(crate) value: FigureValue,
}

#[derive(Debug, Clone)]
pub(crate) enum FigureValue {
    Whole(u64),
    Number(f64),
    Histogram(Box<Histogram>),
}

impl From<u64> for FigureValue {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for FigureValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

/// All figures.
pub(crate) fn figures(monitor: &Monitor, facts: &Facts) -> Vec<Family> {
    let books = monitor.books();
    let mut page = Page::default();
    sources(monitor, &books, &mut page);
    page.family("pump_log_bytes", FigureKind::Gauge, "What the log holds.");
    page.add(&[], monitor.log_size() as u64);
    lanes(monitor, &books, &mut page);
    let letters = monitor.statistics().dead_letters();
    let help = "Records given up; without a sink: not decodable.";
    page.family("pump_dead_letters_total", FigureKind::Counter, help);
    for ((sink, reason), count) in &letters.counts {
        page.add(&[("sink", sink), ("reason", reason)], *count);
    }
    let help = "1 if the last reload was applied, 0 if it changed nothing.";
    page.family("pump_config_last_reload_success", FigureKind::Gauge, help);
    page.add(&[], u64::from(facts.is_last_reload_good()));
    page.0
}

fn sources(monitor: &Monitor, books: &Books, page: &mut Page) {
    let sources: Vec<_> = monitor.sources.iter().zip(&books.sources).collect();
    page.family("pump_source_records_total", FigureKind::Counter, "Records given to the log.");
    for (name, source) in &sources {
        for (kind, count) in &source.by_kind {
            page.add(&[("source", name), ("kind", kind.name())], *count);
        }
    }
    page.family("pump_source_lag_seconds", FigureKind::Gauge, "Age of the newest record when it was read.");
    for (name, source) in &sources {
        if let Some(lag) = source.lag_seconds {
            page.add(&[("source", name)], lag);
        }
    }
    page.family("pump_source_backlog_records", FigureKind::Gauge, "Records that wait in the buffer.");
    for (name, source) in &sources {
        if let Some(backlog) = source.backlog {
            page.add(&[("source", name)], backlog);
        }
    }
    let help = "Records that left the buffer unread.";
    page.family("pump_source_expired_records_total", FigureKind::Counter, help);
    for (name, source) in &sources {
        page.add(&[("source", name)], source.expired);
    }
}

fn lanes(monitor: &Monitor, books: &Books, page: &mut Page) {
    let now = Timestamp::now();
    let lanes: Vec<_> = monitor
        .lanes()
        .zip(&books.lanes)
        .map(|((id, label), books)| (label.name, books, monitor.statistics().lane(id)))
        .collect();
    page.family("pump_sink_records_total", FigureKind::Counter, "What became of the records of a sink.");
    for (name, lane, _) in &lanes {
        let outcomes = [
            ("delivered", lane.delivered),
            ("duplicate", lane.duplicate),
            ("filtered", lane.filtered),
            ("dead_lettered", lane.dead_lettered),
            ("left_behind", lane.left_behind),
            ("revoked", lane.revoked),
        ];
        for (outcome, count) in outcomes {
            page.add(&[("sink", name), ("outcome", outcome)], count);
        }
    }
    let help = "Bodies in batches that a sink has answered.";
    page.family("pump_sink_bytes_total", FigureKind::Counter, help);
    for (name, _, statistics) in &lanes {
        page.add(&[("sink", name)], statistics.bytes);
    }
    let help = "Batches, or parts of one, that were sent again.";
    page.family("pump_sink_retries_total", FigureKind::Counter, help);
    for (name, _, statistics) in &lanes {
        for (reason, count) in &statistics.retries {
            page.add(&[("sink", name), ("reason", reason)], *count);
        }
    }
    page.family("pump_sink_in_flight", FigureKind::Gauge, "Deliveries under way.");
    for (name, _, statistics) in &lanes {
        page.add(&[("sink", name)], statistics.in_flight as u64);
    }
    page.family("pump_sink_max_in_flight", FigureKind::Gauge, "Deliveries that may be under way.");
    for (name, _, statistics) in &lanes {
        page.add(&[("sink", name)], statistics.max_in_flight as u64);
    }
    page.family("pump_lane_lag_records", FigureKind::Gauge, "Records without an outcome.");
    for (name, lane, _) in &lanes {
        page.add(&[("sink", name)], lane.pending());
    }
    page.family("pump_lane_lag_seconds", FigureKind::Gauge, "Age of the oldest record without an outcome.");
    for (name, _, statistics) in &lanes {
        page.add(&[("sink", name)], lag_seconds(statistics.oldest_pending, now));
    }
    page.family("pump_lane_state", FigureKind::Gauge, "1 for the state that the lane is in.");
    for (name, _, statistics) in &lanes {
        for state in LaneState::ALL {
            page.add(&[("sink", name), ("state", state.name())], u64::from(statistics.state == state));
        }
    }
    let help = "From an attempt to its answers.";
    page.family("pump_sink_delivery_duration_seconds", FigureKind::Histogram, help);
    for (name, _, statistics) in &lanes {
        page.add(&[("sink", name)], FigureValue::Histogram(Box::new(statistics.delivery.clone())));
    }
    let help = "From a record's time to its delivery.";
    page.family("pump_end_to_end_duration_seconds", FigureKind::Histogram, help);
    for (name, _, statistics) in &lanes {
        page.add(&[("sink", name)], FigureValue::Histogram(Box::new(statistics.end_to_end.clone())));
    }
}

#[derive(Default)]
struct Page(Vec<Family>);

impl Page {
    fn family(&mut self, name: &'static str, kind: FigureKind, help: &'static str) {
        self.0.push(Family { name, kind, help, figures: Vec::new() });
    }

    /// A figure of the family that was begun last.
    fn add(&mut self, labels: &[(&'static str, &str)], value: impl Into<FigureValue>) {
        let labels = labels.iter().map(|(label, text)| (*label, Arc::from(*text))).collect();
        let figure = Figure { labels, value: value.into() };
        self.0.last_mut().expect("a family is begun first").figures.push(figure);
    }
}
