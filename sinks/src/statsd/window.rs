//! A window: the records of one batch, folded into counts and times per series.
//!
//! Times are whole milliseconds, so many records share one: equal ones of a series are kept once, with their number.
//! Nothing is rounded. What a window takes is bounded by its series, and by the records of its batch.

use std::collections::HashMap;

use pump_core::record::{Field, Kind, Transaction, UptimeField, View};
use tokio::time::Instant;

use super::config::TimeField;
use super::datagrams::Datagrams;
use super::known::KnownSeries;
use super::names::Names;

/// How many values all series of a window may have together; the more series, the fewer each.
const MAX_VALUES: u64 = 50_000;
/// How many each may have at the least.
const LEAST_VALUES: u64 = 5;
/// What a line has at the most beside prefix and series: kind, field, a value with its rate, the signs between them.
const BESIDE_SERIES: usize = 128;
/// After so many times equal ones are put together.
const FOLD_AFTER: usize = 1 << 15;

/// What is counted of a batch.
#[derive(Debug)]
pub(super) struct Window<'a> {
    names: &'a Names,
    fields: &'a [TimeField],
    /// A byte for the kind, then the series as [`Names`] writes it; its number.
    numbers: HashMap<Box<[u8]>, u32>,
    /// Records, by the number of their series.
    counts: Vec<u64>,
    times: Vec<Time>,
    fold_at: usize,
    /// How long a series may be, in bytes.
    max_series_size: usize,
    max_datagram: usize,
    key: Vec<u8>,
    scratch: Vec<u8>,
}

/// A time of a series, and how often it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Time {
    series: u32,
    /// Index into the fields.
    field: u8,
    time: i64,
    count: u64,
}

impl<'a> Window<'a> {
    /// An empty one, which will be sent in datagrams of that size.
    pub(super) fn new(names: &'a Names, fields: &'a [TimeField], max_datagram: usize) -> Self {
        Self {
            names,
            fields,
            numbers: HashMap::new(),
            counts: Vec::new(),
            times: Vec::new(),
            fold_at: FOLD_AFTER,
            max_series_size: max_datagram.saturating_sub(names.prefix().len() + BESIDE_SERIES),
            max_datagram,
            key: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes a record in. Allocates only for a series that is new to the window.
    pub(super) fn add(&mut self, view: &View<'_>, known: &mut KnownSeries, now: Instant) {
        let kind = match view {
            View::Transaction(_) => Kind::Transaction,
            View::Uptime(_) => Kind::Uptime,
            // The engine gives none to this sink.
            View::Object(_) => return,
        };
        self.key.clear();
        self.key.push(kind as u8);
        self.names.series(view, &mut self.scratch, &mut self.key);
        let series = self.number(known, now);
        self.counts[series as usize] += 1;
        for (index, field) in self.fields.iter().enumerate() {
            let time = match view {
                View::Transaction(record) => time_of(*field, record),
                View::Uptime(record) if *field == TimeField::RequestTime => {
                    (!record.omitted.has(UptimeField::RequestTime)).then_some(record.request_time)
                }
                View::Uptime(_) | View::Object(_) => None,
            };
            if let Some(time) = time {
                let time = self.names.time(time);
                self.times.push(Time { series, field: index as u8, time, count: 1 });
            }
        }
        if self.times.len() >= self.fold_at {
            self.fold();
            self.fold_at = FOLD_AFTER.max(self.times.len() * 2);
        }
    }

    /// What is sent of it.
    pub(super) fn datagrams(mut self) -> Datagrams {
        self.fold();
        let mut series = vec![&[][..]; self.counts.len()];
        for (key, number) in &self.numbers {
            series[*number as usize] = key;
        }
        let (mut datagrams, mut name) = (Datagrams::new(self.max_datagram), Vec::new());
        if self.names.has_counts() {
            for (key, count) in series.iter().zip(&self.counts) {
                let (kind, series) = split(key);
                datagrams.count(self.names.counter(kind, series, &mut name), count);
            }
        }
        let groups = || self.times.chunk_by(|a, b| (a.series, a.field) == (b.series, b.field));
        let most = (MAX_VALUES / (groups().count() as u64).max(1)).max(LEAST_VALUES);
        let mut runs = Vec::new();
        for group in groups() {
            let Time { series: number, field, .. } = group[0];
            let (kind, series) = split(series[number as usize]);
            runs.clear();
            runs.extend(group.iter().map(|time| (time.time, time.count)));
            let metric = self.names.times(kind, self.fields[usize::from(field)], series, &mut name);
            datagrams.times(metric, self.names.type_of_times(), &runs, 1, most);
        }
        datagrams
    }

    /// The number of the series in `key`; of `other` where there is no room for it.
    fn number(&mut self, known: &mut KnownSeries, now: Instant) -> u32 {
        if let Some(number) = self.numbers.get(&*self.key) {
            return *number;
        }
        // A client could make a name that no datagram carries, and nothing after it would get through.
        if self.key.len() > self.max_series_size || !known.admit(&self.key, now) {
            self.key.truncate(1);
            self.names.other(&mut self.key);
            if let Some(number) = self.numbers.get(&*self.key) {
                return *number;
            }
        }
        let number = self.counts.len() as u32;
        self.numbers.insert(self.key.as_slice().into(), number);
        self.counts.push(0);
        number
    }

    /// Puts equal times together, in order.
    fn fold(&mut self) {
        self.times.sort_unstable();
        self.times.dedup_by(|time, kept| {
            let is_equal = (time.series, time.field, time.time) == (kept.series, kept.field, kept.time);
            if is_equal {
                kept.count += time.count;
            }
            is_equal
        });
    }
}

/// A time of a transaction, in milliseconds; `None` when `omit` took it out.
pub(super) fn time_of(field: TimeField, record: &Transaction<'_>) -> Option<i64> {
    let (of, time) = match field {
        TimeField::RequestTime => (Field::RequestTime, record.request_time),
        TimeField::LatencyTotal => (Field::Latency, record.latency.total),
        TimeField::LatencyUpstream => (Field::Latency, record.latency.upstream),
        TimeField::LatencyGateway => (Field::Latency, record.latency.gateway),
    };
    (!record.omitted.has(of)).then_some(time)
}

/// Kind and series of a key.
fn split(key: &[u8]) -> (Kind, &[u8]) {
    match key.split_first() {
        Some((kind, series)) if *kind == Kind::Uptime as u8 => (Kind::Uptime, series),
        Some((_, series)) => (Kind::Transaction, series),
        None => (Kind::Transaction, key),
    }
}
