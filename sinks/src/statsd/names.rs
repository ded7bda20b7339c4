//! What metrics are called: the series that a record belongs to, and the names and tags of its metrics.
//!
//! A series is known by bytes that come straight from the record: the end of a name (`.a1.GET.200`), or tags
//! (`api_id:a1,method:GET`). They are written once per record into a buffer that is used again.

use pump_core::config::StatsdTags as Tags;
use pump_core::plugin::PlanError;
use pump_core::record::{Kind, View};

use super::config::{Naming, StatsdConfig, TimeField};
use super::datagrams::Metric;
use super::safe::SafeNames;
use super::tyk::{TykNames, TykTags};

/// How metrics are named; made once.
#[derive(Debug)]
pub(super) struct Names {
    /// With its dot.
    prefix: Box<str>,
    style: Style,
    tags: Tags,
}

#[derive(Debug)]
enum Style {
    Safe(SafeNames),
    Tyk(TykNames),
    TykDogstatsd(TykTags),
}

impl Names {
    /// From settings, each checked.
    pub(super) fn new(config: &StatsdConfig) -> Result<Self, PlanError> {
        let by = config.by.as_deref();
        if config.separated_method && (config.naming, config.tags) != (Naming::Tyk, Tags::None) {
            let message = "only `naming: tyk` with `tags: none` puts the method into `path`: take it out";
            return Err(PlanError::new("separated_method", message));
        }
        let style = match (config.naming, config.tags) {
            (Naming::Safe, tags) => SafeNames::new(by, tags).map(Style::Safe),
            (Naming::Tyk, Tags::None) => TykNames::new(by, config.separated_method).map(Style::Tyk),
            (Naming::Tyk, Tags::Dogstatsd) => TykTags::new(by).map(Style::TykDogstatsd),
        };
        let style = style.map_err(|message| PlanError::new("by", message))?;
        Ok(Self { prefix: config.prefix.with_dot().into(), style, tags: config.tags })
    }

    /// What every name begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The kinds of records that have names.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        match self.style {
            Style::Safe(_) => vec![Kind::Transaction, Kind::Uptime],
            Style::Tyk(_) | Style::TykDogstatsd(_) => vec![Kind::Transaction],
        }
    }

    /// Whether records are counted beside their times.
    pub(super) fn has_counts(&self) -> bool {
        matches!(self.style, Style::Safe(_))
    }

    /// The type of the metrics that are times.
    pub(super) fn type_of_times(&self) -> &'static str {
        if matches!(self.style, Style::TykDogstatsd(_)) { "h" } else { "ms" }
    }

    /// A time as it is sent. A gateway's clock may run backwards, and daemons refuse what took less than nothing.
    pub(super) fn time(&self, time: i64) -> i64 {
        if matches!(self.style, Style::Safe(_)) { time.max(0) } else { time }
    }

    /// Appends the series of a record. Called once per record; allocates nothing beside the buffers.
    pub(super) fn series(&self, view: &View<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        match (&self.style, view) {
            (Style::Safe(names), _) => names.series(view, out),
            (Style::Tyk(names), View::Transaction(record)) => names.series(record, scratch, out),
            (Style::TykDogstatsd(tags), View::Transaction(record)) => tags.series(record, out),
            // Of other kinds the engine gives none to these.
            (Style::Tyk(_) | Style::TykDogstatsd(_), _) => {}
        }
    }

    /// Appends the series of those that have none of their own.
    pub(super) fn other(&self, out: &mut Vec<u8>) {
        match &self.style {
            Style::Safe(names) => names.other(out),
            Style::Tyk(names) => names.other(out),
            Style::TykDogstatsd(tags) => tags.other(out),
        }
    }

    /// The counter of a series.
    pub(super) fn counter<'b>(&self, kind: Kind, series: &'b [u8], name: &'b mut Vec<u8>) -> Metric<'b> {
        self.metric(kind, "count", series, name)
    }

    /// One of the times of a series.
    pub(super) fn times<'b>(
        &self,
        kind: Kind,
        field: TimeField,
        series: &'b [u8],
        name: &'b mut Vec<u8>,
    ) -> Metric<'b> {
        self.metric(kind, field.name(), series, name)
    }

    fn metric<'b>(&self, kind: Kind, what: &str, series: &'b [u8], name: &'b mut Vec<u8>) -> Metric<'b> {
        name.clear();
        name.extend_from_slice(self.prefix.as_bytes());
        if matches!(self.style, Style::Safe(_)) {
            name.extend_from_slice(kind.name().as_bytes());
            name.push(b'.');
        }
        name.extend_from_slice(what.as_bytes());
        match self.tags {
            Tags::None => {
                name.extend_from_slice(series);
                Metric { name, tags: None }
            }
            Tags::Dogstatsd => Metric { name, tags: Some(series) },
        }
    }
}
