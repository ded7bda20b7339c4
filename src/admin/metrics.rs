//! `/metrics`: Prometheus text, written from one snapshot of the books.
//!
//! Names and labels are a contract (`docs/metrics.md`). Labels come from the pipeline file or from
//! closed sets, never from records.

use std::fmt::{Display, Write};

use pump_core::accounting::Books;
use pump_core::engine::Monitor;
use pump_core::record::Timestamp;
use pump_core::statistics::{Histogram, LaneState};

use super::Facts;
use super::status::lag_seconds;

/// All metrics.
pub(super) fn render(monitor: &Monitor, facts: &Facts) -> String {
    let books = monitor.books();
    let mut page = Page(String::with_capacity(8 << 10));
    sources(monitor, &books, &mut page);
    page.family("pump_log_bytes", "gauge", "What the log holds.");
    page.sample("pump_log_bytes", &[], monitor.log_size());
    lanes(monitor, &books, &mut page);
    let letters = monitor.statistics().dead_letters();
    page.family("pump_dead_letters_total", "counter", "Records given up; without a sink: not decodable.");
    for ((sink, reason), count) in &letters.counts {
        page.sample("pump_dead_letters_total", &[("sink", sink), ("reason", reason)], count);
    }
    let name = "pump_config_last_reload_success";
    page.family(name, "gauge", "1 if the last reload was applied, 0 if it changed nothing.");
    page.sample(name, &[], u8::from(facts.is_last_reload_good()));
    page.0
}

fn sources(monitor: &Monitor, books: &Books, page: &mut Page) {
    let sources: Vec<_> = monitor.sources.iter().zip(&books.sources).collect();
    page.family("pump_source_records_total", "counter", "Records given to the log.");
    for (name, source) in &sources {
        for (kind, count) in &source.by_kind {
            page.sample("pump_source_records_total", &[("source", name), ("kind", kind.name())], count);
        }
    }
    page.family("pump_source_lag_seconds", "gauge", "Age of the newest record when it was read.");
    for (name, source) in &sources {
        if let Some(lag) = source.lag_seconds {
            page.sample("pump_source_lag_seconds", &[("source", name)], lag);
        }
    }
    page.family("pump_source_backlog_records", "gauge", "Records that wait in the buffer.");
    for (name, source) in &sources {
        if let Some(backlog) = source.backlog {
            page.sample("pump_source_backlog_records", &[("source", name)], backlog);
        }
    }
    page.family("pump_source_expired_records_total", "counter", "Records that left the buffer unread.");
    for (name, source) in &sources {
        page.sample("pump_source_expired_records_total", &[("source", name)], source.expired);
    }
}

fn lanes(monitor: &Monitor, books: &Books, page: &mut Page) {
    let now = Timestamp::now();
    let lanes: Vec<_> = monitor
        .lanes()
        .zip(&books.lanes)
        .map(|((id, label), books)| (label.name, books, monitor.statistics().lane(id)))
        .collect();
    page.family("pump_sink_records_total", "counter", "What became of the records of a sink.");
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
            page.sample("pump_sink_records_total", &[("sink", name), ("outcome", outcome)], count);
        }
    }
    page.family("pump_sink_bytes_total", "counter", "Bodies in batches that a sink has answered.");
    for (name, _, statistics) in &lanes {
        page.sample("pump_sink_bytes_total", &[("sink", name)], statistics.bytes);
    }
    page.family("pump_sink_retries_total", "counter", "Batches, or parts of one, that were sent again.");
    for (name, _, statistics) in &lanes {
        for (reason, count) in &statistics.retries {
            page.sample("pump_sink_retries_total", &[("sink", name), ("reason", reason)], count);
        }
    }
    page.family("pump_sink_in_flight", "gauge", "Deliveries under way.");
    for (name, _, statistics) in &lanes {
        page.sample("pump_sink_in_flight", &[("sink", name)], statistics.in_flight);
    }
    page.family("pump_sink_max_in_flight", "gauge", "Deliveries that may be under way.");
    for (name, _, statistics) in &lanes {
        page.sample("pump_sink_max_in_flight", &[("sink", name)], statistics.max_in_flight);
    }
    page.family("pump_lane_lag_records", "gauge", "Records without an outcome.");
    for (name, lane, _) in &lanes {
        page.sample("pump_lane_lag_records", &[("sink", name)], lane.pending());
    }
    page.family("pump_lane_lag_seconds", "gauge", "Age of the oldest record without an outcome.");
    for (name, _, statistics) in &lanes {
        let lag = lag_seconds(statistics.oldest_pending, now);
        page.sample("pump_lane_lag_seconds", &[("sink", name)], lag);
    }
    page.family("pump_lane_state", "gauge", "1 for the state that the lane is in.");
    for (name, _, statistics) in &lanes {
        for state in LaneState::ALL {
            let value = u8::from(statistics.state == state);
            page.sample("pump_lane_state", &[("sink", name), ("state", state.name())], value);
        }
    }
    page.family("pump_sink_delivery_duration_seconds", "histogram", "From an attempt to its answers.");
    for (name, _, statistics) in &lanes {
        page.histogram("pump_sink_delivery_duration_seconds", name, &statistics.delivery);
    }
    page.family("pump_end_to_end_duration_seconds", "histogram", "From a record's time to its delivery.");
    for (name, _, statistics) in &lanes {
        page.histogram("pump_end_to_end_duration_seconds", name, &statistics.end_to_end);
    }
}

/// Prometheus's text format, version 0.0.4. Writing into a string cannot fail.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            // Label values are names of sections and words from closed sets: nothing to escape.
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, name: &str, sink: &str, histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            self.sample(&bucket, &[("sink", sink), ("le", &bound.to_string())], count);
        }
        self.sample(&bucket, &[("sink", sink), ("le", "+Inf")], histogram.count);
        self.sample(&format!("{name}_sum"), &[("sink", sink)], histogram.sum);
        self.sample(&format!("{name}_count"), &[("sink", sink)], histogram.count);
    }
}
