//! Runs of places: those that are lost, and are known to be. They ascend, and no two of them touch.

/// One more run.
pub(crate) fn add(runs: &mut Vec<(u64, u64)>, mut from: u64, mut to: u64) {
    if from >= to {
        return;
    }
    runs.retain(|run| {
        let is_apart = run.1 < from || run.0 > to;
        if !is_apart {
            (from, to) = (from.min(run.0), to.max(run.1));
        }
        is_apart
    });
    let at = runs.partition_point(|run| run.0 < from);
    runs.insert(at, (from, to));
}

/// What of a run is in none of those.
pub(crate) fn rest(runs: &[(u64, u64)], from: u64, to: u64) -> Vec<(u64, u64)> {
    let (mut rest, mut next) = (Vec::new(), from);
    for run in runs.iter().filter(|run| run.1 > from && run.0 < to) {
        if run.0 > next {
            rest.push((next, run.0));
        }
        next = run.1;
    }
    if next < to {
        rest.push((next, to));
    }
    rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn places(runs: &[(u64, u64)]) -> BTreeSet<u64> {
        runs.iter().flat_map(|run| run.0..run.1).collect()
    }

    proptest! {
        #[test]
        fn runs_are_sets_of_places(added in prop::collection::vec((0..40u64, 0..10u64), 0..12), from in 0..50u64, len in 0..30u64) {
            let (mut runs, mut known) = (Vec::new(), BTreeSet::new());
            for (from, len) in added {
                add(&mut runs, from, from + len);
                known.extend(from..from + len);
                assert_eq!(places(&runs), known);
                assert!(runs.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
            let rest = rest(&runs, from, from + len);
            assert_eq!(places(&rest), (from..from + len).filter(|place| !known.contains(place)).collect());
        }
    }
}
