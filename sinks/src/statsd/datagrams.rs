//! Metrics as lines, and lines in datagrams.
//!
//! A line is `name:value|type|@rate|#tags`. Several values of one metric share a line where they can: the etsy
//! daemon's form repeats type and rate (`name:1|ms|@0.5:2|ms|@0.5`), DogStatsD's has them once
//! (`name:1:2|ms|@0.5|#tags`).

use std::fmt::Display;
use std::io::Write;

use super::strata::{self, Stratum};

/// How many values stand for the times of one series, at the most; some more where they do not divide.
const MAX_VALUES: u64 = 100;

/// What a metric is called.
#[derive(Debug, Clone, Copy)]
pub struct Metric<'a> {
    /// The whole name.
    pub name: &'a [u8],
    /// Tags in DogStatsD's form, `a:1,b:2`; `None` where the daemon knows none.
    pub tags: Option<&'a [u8]>,
}

/// Lines in datagrams of a bounded size; one after the other they are what a stream gets.
#[derive(Debug)]
pub struct Datagrams {
    bytes: Vec<u8>,
    /// Where each datagram ends, but for the last.
    ends: Vec<usize>,
    max_size: usize,
    values: Values,
    strata: Vec<Stratum>,
}

/// The values of a line, one after the other.
#[derive(Debug, Default)]
struct Values {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// What follows the last one.
    tail: Vec<u8>,
}

impl Datagrams {
    /// None yet, each of so many bytes at the most. A line with one value is never cut, however long.
    pub fn new(max_size: usize) -> Self {
        let (values, strata) = (Values::default(), Vec::new());
        Self { bytes: Vec::new(), ends: Vec::new(), max_size, values, strata }
    }

    /// A counter that has grown by so much.
    pub fn count(&mut self, metric: Metric<'_>, by: impl Display) {
        self.values.only(metric, format_args!(":{by}|c"));
        self.lines(metric.name);
    }

    /// A gauge.
    pub fn gauge(&mut self, metric: Metric<'_>, value: f64) {
        if value < 0.0 {
            // A sign would change the gauge by the value instead of setting it.
            self.values.only(metric, format_args!(":0|g"));
            self.lines(metric.name);
        }
        self.values.only(metric, format_args!(":{value}|g"));
        self.lines(metric.name);
    }

    /// Times. `kind` is the type of the metric (`ms` or `h`), `runs` are pairs of a time and how often it was seen,
    /// ascending, in parts of a millisecond of which `per_ms` are one.
    pub fn times(&mut self, metric: Metric<'_>, kind: &str, runs: &[(i64, u64)], per_ms: u64, most: u64) {
        strata::cut(runs, most.min(MAX_VALUES), &mut self.strata);
        // Values of the same rate share a line.
        self.strata.sort_by_key(|stratum| stratum.size);
        let mut strata = std::mem::take(&mut self.strata);
        for group in strata.chunk_by(|a, b| a.size == b.size) {
            self.values.of(metric, kind, group, per_ms);
            self.lines(metric.name);
        }
        strata.clear();
        self.strata = strata;
    }

    /// Each with its lines, which newlines stand between.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let last = (!self.bytes.is_empty()).then_some(self.bytes.len());
        let count = self.ends.len() + usize::from(last.is_some());
        let end = move |index: usize| self.ends.get(index).copied().or(last).unwrap_or_default();
        (0..count).map(move |index| {
            let start = if index == 0 { 0 } else { end(index - 1) };
            &self.bytes[start..end(index) - 1]
        })
    }

    /// All lines, each with its newline.
    pub fn stream(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the values as few lines of that name as fit.
    fn lines(&mut self, name: &[u8]) {
        let Values { bytes: values, ends, tail } = &self.values;
        let mut start = 0;
        let mut ends = ends.iter().copied().peekable();
        while let Some(mut end) = ends.next() {
            let begun = self.ends.last().copied().unwrap_or_default();
            let room = self.max_size.saturating_sub(name.len() + tail.len());
            let mut used = self.bytes.len() - begun;
            if used > 0 && used + (end - start) > room {
                self.ends.push(self.bytes.len());
                used = 0;
            }
            while let Some(next) = ends.next_if(|next| used + (next - start) <= room) {
                end = next;
            }
            self.bytes.extend_from_slice(name);
            self.bytes.extend_from_slice(&values[start..end]);
            self.bytes.extend_from_slice(tail);
            self.bytes.push(b'\n');
            start = end;
        }
    }
}

impl Values {
    fn clear(&mut self, tags: Option<&[u8]>, kind_and_rate: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        self.ends.clear();
        self.tail.clear();
        let Some(tags) = tags else { return };
        kind_and_rate(&mut self.tail);
        if !tags.is_empty() {
            self.tail.extend_from_slice(b"|#");
            self.tail.extend_from_slice(tags);
        }
    }

    fn only(&mut self, metric: Metric<'_>, value: impl Display) {
        self.clear(metric.tags, |_| {});
        // Writing into memory does not fail.
        let _ = write!(self.bytes, "{value}");
        self.ends.push(self.bytes.len());
    }

    fn of(&mut self, metric: Metric<'_>, kind: &str, strata: &[Stratum], per_ms: u64) {
        let size = strata.first().map_or(1, |stratum| stratum.size);
        let kind_and_rate = |out: &mut Vec<u8>| {
            let _ = match size {
                1 => write!(out, "|{kind}"),
                _ => write!(out, "|{kind}|@{}", 1.0 / size as f64),
            };
        };
        self.clear(metric.tags, kind_and_rate);
        for stratum in strata {
            self.bytes.push(b':');
            write_quotient(stratum.sum, i128::from(size) * i128::from(per_ms), &mut self.bytes);
            if metric.tags.is_none() {
                kind_and_rate(&mut self.bytes);
            }
            self.ends.push(self.bytes.len());
        }
    }
}

/// A quotient with three digits after the point, or fewer where they are zeros.
fn write_quotient(sum: i128, count: i128, out: &mut Vec<u8>) {
    let (size, count) = (sum.unsigned_abs(), count.unsigned_abs());
    let (mut whole, rest) = (size / count, size % count);
    let mut thousandths = (rest * 1_000 + count / 2) / count;
    if thousandths == 1_000 {
        (whole, thousandths) = (whole + 1, 0);
    }
    if sum < 0 && (whole, thousandths) != (0, 0) {
        out.push(b'-');
    }
    let _ = write!(out, "{whole}");
    if thousandths > 0 {
        let _ = write!(out, ".{thousandths:03}");
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(datagrams: &Datagrams) -> Vec<String> {
        datagrams.iter().map(|datagram| String::from_utf8_lossy(datagram).into_owned()).collect()
    }

    fn plain(name: &str) -> Metric<'_> {
        Metric { name: name.as_bytes(), tags: None }
    }

    fn tagged<'a>(name: &'a str, tags: &'a str) -> Metric<'a> {
        Metric { name: name.as_bytes(), tags: Some(tags.as_bytes()) }
    }

    #[test]
    fn few_times_are_sent_as_they_are() {
        let mut datagrams = Datagrams::new(1_432);
        datagrams.times(plain("a"), "ms", &[(-5, 1), (7, 2)], 1, 100);
        datagrams.times(tagged("a", "b:c"), "h", &[(-5, 1), (7, 2)], 1, 100);
        datagrams.times(tagged("a", ""), "h", &[(7_250, 1)], 1_000, 100);
        datagrams.times(plain("none"), "ms", &[], 1, 100);
        assert_eq!(text(&datagrams), ["a:-5|ms:7|ms:7|ms\na:-5:7:7|h|#b:c\na:7.25|h"]);
    }

    #[test]
    fn many_times_are_sent_as_means_with_a_rate() {
        let mut datagrams = Datagrams::new(1_432);
        datagrams.times(plain("a"), "ms", &[(1, 1_000), (2, 1_010)], 1, 4);
        datagrams.times(tagged("a", "b:c"), "ms", &[(1, 1_000), (2, 1_010)], 1, 4);
        let lines = "a:2|ms|@0.1\n\
            a:1|ms|@0.0125\n\
            a:1|ms|@0.0015625:1.563|ms|@0.0015625:2|ms|@0.0015625\n\
            a:2|ms|@0.1|#b:c\n\
            a:1|ms|@0.0125|#b:c\n\
            a:1:1.563:2|ms|@0.0015625|#b:c";
        assert_eq!(text(&datagrams).join("\n"), lines);
    }

    #[test]
    fn datagrams_are_filled_and_never_larger_than_asked_for() {
        let mut datagrams = Datagrams::new(60);
        let runs: Vec<(i64, u64)> = (1_000..1_050).map(|time| (time, 1)).collect();
        datagrams.count(plain("first"), 1);
        datagrams.times(plain("name"), "ms", &runs, 1, 100);
        datagrams.times(tagged("name", "tag:value"), "ms", &runs, 1, 100);
        let sent = text(&datagrams);
        assert_eq!(sent[0], "first:1|c\nname:1000|ms:1001|ms:1002|ms:1003|ms:1004|ms");
        assert!(sent.iter().all(|datagram| datagram.len() <= 60 && !datagram.ends_with('\n')), "{sent:?}");
        assert!(sent[1..sent.len() - 1].iter().all(|datagram| datagram.len() > 45), "{sent:?}");
        assert_eq!(sent.join("\n") + "\n", String::from_utf8_lossy(datagrams.stream()));
        assert_eq!(sent.join("\n").matches(":1042").count(), 2, "{sent:?}");
    }

    #[test]
    fn a_line_that_fits_nowhere_is_alone() {
        let mut datagrams = Datagrams::new(20);
        datagrams.count(plain("a"), 1);
        datagrams.count(plain(&"b".repeat(40)), 2);
        datagrams.count(plain("c"), 3);
        assert_eq!(text(&datagrams), ["a:1|c".to_owned(), "b".repeat(40) + ":2|c", "c:3|c".to_owned()]);
    }

    #[test]
    fn a_negative_gauge_is_set_and_not_added() {
        let mut datagrams = Datagrams::new(100);
        datagrams.gauge(plain("a"), -2.5);
        datagrams.gauge(tagged("b", "c:d"), 3.0);
        assert_eq!(text(&datagrams), ["a:0|g\na:-2.5|g\nb:3|g|#c:d"]);
    }

    #[test]
    fn quotients_have_three_digits_at_the_most() {
        for (sum, count, expected) in [
            (0, 1, "0"),
            (7, 2, "3.5"),
            (1, 3, "0.333"),
            (2, 3, "0.667"),
            (29_999, 10_000, "3"),
            (-7, 2, "-3.5"),
            (-1, 10_000, "0"),
            (i128::from(i64::MIN), 1, "-9223372036854775808"),
        ] {
            let mut out = Vec::new();
            write_quotient(sum, count, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
