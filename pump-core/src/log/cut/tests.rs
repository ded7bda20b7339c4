//! Cuts of a lane: what replaces, closes and drops them.

#![expect(clippy::single_range_in_vec_init, reason = "a cut may have one run")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn all(places: &Places) -> BTreeSet<u64> {
    places.runs().iter().cloned().flatten().collect()
}

fn some_places() -> impl Strategy<Value = Places> {
    prop::collection::vec((0..60u64, 0..6u64), 0..12)
        .prop_map(|runs| runs.into_iter().map(|(start, len)| start..start + len).collect())
}

proptest! {
    #[test]
    fn places_are_a_set(one in some_places(), other in some_places(), from in 0..70u64, len in 0..30u64) {
        let (own, others) = (all(&one), all(&other));
        let apart = one.runs().windows(2).all(|pair| pair[0].end < pair[1].start);
        prop_assert!(apart, "{:?}", one);
        prop_assert_eq!(one.overlaps(&other), !own.is_disjoint(&others));
        prop_assert_eq!(one.covers(&other, from), others.range(from..).all(|place| own.contains(place)));
        let within: BTreeSet<u64> = one.within(from..from + len).flatten().collect();
        prop_assert_eq!(within, own.range(from..from + len).copied().collect());
        let mut sum = one.clone();
        sum.add(&other);
        prop_assert_eq!(all(&sum), &own | &others);
        sum.remove_below(from);
        prop_assert_eq!(all(&sum), (&own | &others).split_off(&from));
        let json = serde_json::to_string(&sum).expect("numbers can be written");
        prop_assert_eq!(serde_json::from_str::<Places>(&json).expect("they were written"), sum);
    }

    #[test]
    fn whatever_stands_in_a_file_is_runs_or_refused(numbers in prop::collection::vec(
        prop_oneof![0..3u64, Just(u64::MAX), any::<u64>()], 0..9)) {
        if let Ok(places) = Places::try_from(numbers) {
            prop_assert!(places.runs().iter().all(|run| run.start < run.end));
            prop_assert!(places.runs().windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}

#[test]
fn a_cut_is_remembered_until_all_its_places_are_closed() {
    let cut = |runs: &[Range<u64>]| Cut {
        route: "a".into(),
        places: runs.iter().cloned().collect(),
        configuration: 7,
    };
    let mut cuts = Cuts::default();
    cuts.store(cut(&[1..3, 5..6]));
    cuts.store(cut(&[3..5]));
    cuts.close(&[1..3, 5..6].into_iter().collect());
    cuts.pass(0);
    assert_eq!(cuts.cuts, [cut(&[3..5])], "closed above the cursor is closed");
    cuts.store(cut(&[3..4]));
    assert_eq!(cuts.cuts, [cut(&[3..4])], "a record is in one cut");
    cuts.pass(6);
    assert!(cuts.is_empty());
}
