//! Many times as a few values that any daemon counts right.
//!
//! StatsD knows values and sample rates, no histograms. Daemons agree that a value with the rate `r` stands for
//! `1/r` records when they count, and disagree beyond that: statsd_exporter and DogStatsD weigh quantiles by it,
//! the etsy daemon does not. So all values of a window have to stand for nearly as many records each.
//!
//! The times of a series are sorted and cut into strata of equal size, a hundred at the most. Each stratum is sent
//! as its mean, with the rate that says its size. Then counts are exact, so are sums where values are weighed, and
//! a quantile is that of the records to within one stratum, up or down.
//!
//! Sizes are numbers whose reciprocal is a short decimal (1, 2, 4, 5, 8, 10, 16, 20, 25, …) and gives the size back
//! without a rest. What is left over is cut into smaller strata, spread among the others so that they move no
//! quantile where values are not weighed.

/// Some neighbouring times of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stratum {
    /// Of its times.
    pub(super) sum: i128,
    /// How many there are.
    pub(super) size: u64,
}

/// Cuts times into strata. `runs` are pairs of a time and how often it was seen, ascending.
pub(super) fn cut(runs: &[(i64, u64)], max_strata: u64, strata: &mut Vec<Stratum>) {
    strata.clear();
    let total: u64 = runs.iter().map(|(_, count)| count).sum();
    let mut times = Times { runs, taken: 0 };
    let size = at_least(total.div_ceil(max_strata.max(1)));
    let (whole, rest) = (total / size, total % size);
    let gaps = parts(rest).count() as u64 + 1;
    let mut parts = parts(rest);
    for index in 0..whole {
        // As many parts come first as their share is of what came first.
        if index * gaps / whole > (index.saturating_sub(1)) * gaps / whole {
            strata.extend(parts.next().map(|part| times.take(part)));
        }
        strata.push(times.take(size));
    }
    strata.extend(parts.map(|part| times.take(part)));
}

/// What is left over, in as few sizes as it takes.
fn parts(mut rest: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let part = (rest > 0).then(|| at_most(rest))?;
        rest -= part;
        Some(part)
    })
}

/// What is left of the runs.
struct Times<'a> {
    runs: &'a [(i64, u64)],
    /// Of the first run.
    taken: u64,
}

impl Times<'_> {
    fn take(&mut self, size: u64) -> Stratum {
        let (mut sum, mut missing) = (0, size);
        while let Some(((time, count), rest)) = self.runs.split_first()
            && missing > 0
        {
            let now = missing.min(count - self.taken);
            sum += i128::from(*time) * i128::from(now);
            missing -= now;
            self.taken += now;
            if self.taken == *count {
                (self.runs, self.taken) = (rest, 0);
            }
        }
        Stratum { sum, size }
    }
}

/// Ascending sizes whose reciprocals are short decimals, and come back from them: daemons read the rate as a double
/// and divide, and from 0.00004 they would get 24,999 and a rest.
fn sizes() -> impl Iterator<Item = u64> {
    /// Tenths, of one decade.
    const DECADE: [u64; 9] = [10, 16, 20, 25, 32, 40, 50, 64, 80];
    (0..=16).flat_map(|decade| {
        let of_decade = move |tenths: u64| {
            let tenths = tenths * 10_u64.pow(decade);
            tenths.is_multiple_of(10).then_some(tenths / 10)
        };
        DECADE.into_iter().filter_map(of_decade).filter(|size| 1.0 / (1.0 / *size as f64) == *size as f64)
    })
}

fn at_least(size: u64) -> u64 {
    sizes().find(|own| *own >= size).unwrap_or(size)
}

fn at_most(size: u64) -> u64 {
    sizes().take_while(|own| *own <= size).last().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_size_comes_back_from_its_rate() {
        let mut before = 0;
        for size in sizes() {
            assert!(size > before);
            assert!(before < 2 || (size as f64) <= before as f64 * 2.0);
            before = size;
            let rate = format!("{}", 1.0 / size as f64);
            assert!(rate.len() <= 24 && rate.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
            let read: f64 = rate.parse().expect("it is a number");
            assert_eq!(1.0 / read, size as f64, "{rate}");
        }
    }

    fn of(mut times: Vec<i64>) -> (Vec<i64>, Vec<(i64, u64)>) {
        times.sort_unstable();
        let runs = times.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect();
        (times, runs)
    }

    proptest! {
        #[test]
        fn strata_are_the_times_in_order_and_no_more_than_asked_for(
            times in prop::collection::vec(-50_i64..3_000, 0..2_000),
            max in 5_u64..200,
        ) {
            let (times, runs) = of(times);
            let mut strata = Vec::new();
            cut(&runs, max, &mut strata);
            let mut rest = &times[..];
            for stratum in &strata {
                let (own, after) = rest.split_at(stratum.size as usize);
                prop_assert_eq!(own.iter().map(|time| i128::from(*time)).sum::<i128>(), stratum.sum);
                rest = after;
            }
            prop_assert!(rest.is_empty());
            // What is left over takes a few more.
            prop_assert!(strata.len() as u64 <= max + 6, "{} of {max}", strata.len());
            // Whoever does not weigh values finds each at its place all the same.
            let (mut before, count) = (0, strata.len() as f64);
            for (index, stratum) in strata.iter().enumerate() {
                let place = before as f64 / times.len() as f64;
                prop_assert!((index as f64 / count - place).abs() <= 1.5 / count, "{index}: {strata:?}");
                before += stratum.size;
            }
            if times.len() as u64 <= max {
                prop_assert!(strata.iter().all(|stratum| stratum.size == 1), "few times are sent one by one");
            }
        }
    }
}
