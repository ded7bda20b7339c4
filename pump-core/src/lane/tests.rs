//! The lane's state machines against small models.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::batcher::{Batcher, CutBatch, Item, Limits, MAX_ROUTES};
use super::rate::RateLimit;
use super::retry::{Failure, HALVE_AFTER, History, RetrySettings, STUCK_AFTER, Verdict};
use super::tracker::Tracker;
use super::waiting::{Pending, Waiting};
use crate::edit::Edits;
use crate::log::Placed;
use crate::plugin::{Batch, BatchDefaults, Part};
use crate::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Timestamp};

pub(super) fn placed(first: u64, records: usize) -> Placed {
    let bytes = Bytes::from("{}".repeat(records));
    let head = ChunkHead {
        source: "test".into(),
        partition: Partition::new("0"),
        kind: Kind::Event,
        codec: Codec::Json,
        received: Timestamp::EPOCH,
    };
    let entries = (0..records).map(|index| (first + index as u64, index * 2..index * 2 + 2));
    Placed::new(first, Chunk::parse(head, bytes, first..first + records as u64, entries).chunk)
}

#[derive(Debug, Clone)]
enum Step {
    Read(usize),
    Close(usize),
    CloseAgain,
}

proptest! {
    /// The cursor is the lowest place that was read and not closed, and each place closes once.
    #[test]
    fn the_cursor_moves_over_an_unbroken_run_only(steps in prop::collection::vec(prop_oneof![
        (0..200usize).prop_map(Step::Read),
        any::<prop::sample::Index>().prop_map(|index| Step::Close(index.index(1 << 16))),
        Just(Step::CloseAgain),
    ], 0..200)) {
        let mut tracker = Tracker::default();
        let mut open = BTreeSet::new();
        let mut closed = Vec::new();
        let mut end = 0;
        for step in steps {
            match step {
                Step::Read(records) => {
                    let first = end;
                    end += records.max(1) as u64;
                    tracker.read(&placed(first, records));
                    open.extend(first..first + records as u64);
                }
                Step::Close(draw) => {
                    let Some(place) = open.iter().nth(draw % open.len().max(1)).copied() else { continue };
                    open.remove(&place);
                    closed.push(place);
                    prop_assert!(tracker.close(place));
                }
                Step::CloseAgain => {
                    if let Some(place) = closed.last() {
                        prop_assert!(!tracker.close(*place));
                    }
                }
            }
            prop_assert_eq!(tracker.open(), open.len());
            let lowest = open.first().copied().unwrap_or(end);
            // Chunks without records take a place of their own, which is passed with what follows.
            prop_assert!(tracker.cursor() <= lowest);
            prop_assert_eq!(open.range(..tracker.cursor()).next(), None);
            if open.is_empty() {
                prop_assert_eq!(tracker.cursor(), end);
            } else {
                prop_assert_eq!(tracker.cursor(), lowest);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Push {
    Chunk { routes: Vec<u8>, size: usize },
    Wait(u64),
    Pop,
    CutAll,
}

fn limits(max_records: usize, max_bytes: usize, max_span: usize) -> Limits {
    let batch = BatchDefaults { max_records, max_bytes, max_age: Duration::from_millis(100) };
    Limits { batch, max_span, max_held: 4 * max_bytes }
}

/// Takes batches out and checks them against the limits and the order of each route.
struct Collector {
    limits: Limits,
    seen: BTreeMap<String, Vec<u64>>,
}

impl Collector {
    fn take(&mut self, cut: CutBatch) {
        let Limits { batch, .. } = self.limits;
        assert!(cut.len > 0 && cut.len <= batch.max_records);
        assert!(cut.size <= batch.max_bytes || cut.len == 1, "{} of {}", cut.size, batch.max_bytes);
        let places: Vec<u64> = cut
            .parts
            .iter()
            .flat_map(|part| part.indices().map(|index| part.placed.first + u64::from(index)))
            .collect();
        assert_eq!(places.len(), cut.len);
        assert_eq!(cut.parts.iter().map(Part::len).sum::<usize>(), cut.len);
        self.seen.entry(cut.route.to_string()).or_default().extend(places);
    }
}

proptest! {
    /// Every record goes into exactly one batch of its route, in order, within every limit; nothing
    /// open is older than it may be once due batches are cut.
    #[test]
    fn the_batcher_loses_nothing_and_keeps_its_limits(
        pushes in prop::collection::vec(prop_oneof![
            4 => (prop::collection::vec(0..4u8, 0..40), 1..60usize)
                .prop_map(|(routes, size)| Push::Chunk { routes, size }),
            1 => (0..300u64).prop_map(Push::Wait),
            2 => Just(Push::Pop),
            1 => Just(Push::CutAll),
        ], 0..60),
        max_records in 1..30usize,
        max_bytes in 50..400usize,
    ) {
        let limits = limits(max_records, max_bytes, 2_000);
        let mut batcher = Batcher::new(limits);
        let mut collector = Collector { limits, seen: BTreeMap::new() };
        let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut now = Instant::now();
        let mut next = 0;
        for push in pushes {
            match push {
                Push::Wait(milliseconds) => {
                    now += Duration::from_millis(milliseconds);
                    batcher.cut_due(now);
                    prop_assert!(batcher.due_at().is_none_or(|due| due > now));
                }
                Push::Pop => {
                    if let Some(cut) = batcher.pop() {
                        collector.take(cut);
                    }
                }
                Push::CutAll => {
                    batcher.cut_all();
                    prop_assert!(!batcher.is_open());
                }
                Push::Chunk { routes, size } => {
                    let placed = placed(next, routes.len());
                    next += routes.len().max(1) as u64;
                    batcher.begin_chunk(placed.chunk().size());
                    for (index, route) in routes.iter().enumerate() {
                        let route = format!("route-{route}");
                        expected.entry(route.clone()).or_default().push(placed.first + index as u64);
                        let item = Item { placed: &placed, encoded: None, index: index as u32, size };
                        batcher.push(now, &route, item);
                    }
                    batcher.end_chunk(&placed);
                }
            }
        }
        batcher.cut_all();
        while let Some(cut) = batcher.pop() {
            collector.take(cut);
        }
        prop_assert_eq!(collector.seen, expected);
    }
}

#[test]
fn an_open_batch_does_not_span_more_of_the_log_than_it_may() {
    let mut batcher = Batcher::new(limits(1_000_000, 1 << 30, 5_000));
    let now = Instant::now();
    let rare = placed(0, 1);
    batcher.begin_chunk(rare.chunk().size());
    batcher.push(now, "rare", Item { placed: &rare, encoded: None, index: 0, size: 2 });
    batcher.end_chunk(&rare);
    let mut first = 1;
    while !batcher.is_ready() {
        let common = placed(first, 10);
        first += 10;
        batcher.begin_chunk(common.chunk().size());
        batcher.push(now, "common", Item { placed: &common, encoded: None, index: 0, size: 2 });
        batcher.end_chunk(&common);
        assert!(first < 1_000, "the rare batch is never cut");
    }
    assert_eq!(&*batcher.pop().expect("it was cut").route, "rare");
}

#[test]
fn routes_beyond_the_bound_are_crowded_out_but_open_ones_go_on() {
    let mut batcher = Batcher::new(limits(100, 1 << 20, 1 << 20));
    let chunk = placed(0, MAX_ROUTES);
    batcher.begin_chunk(chunk.chunk().size());
    for index in 0..MAX_ROUTES {
        let route = format!("route-{index}");
        assert!(!batcher.is_crowded(&route));
        batcher.push(
            Instant::now(),
            &route,
            Item { placed: &chunk, encoded: None, index: index as u32, size: 2 },
        );
    }
    assert!(batcher.is_crowded("one more"));
    assert!(!batcher.is_crowded("route-7"));
}

fn failure(now: Instant, records: usize, last_delivered: Option<Instant>) -> Failure {
    Failure { now, records, stays_whole: false, wait: None, last_delivered, jitter: 1.0 }
}

#[test]
fn waits_grow_to_their_ceiling_and_a_destinations_wish_is_heard() {
    let settings = RetrySettings::default();
    let mut history = History::default();
    let now = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..12 {
        match settings.judge(&mut history, failure(now, 10, None)) {
            Verdict::Again { at } => waits.push((at - now).as_millis()),
            verdict => panic!("{verdict:?}"),
        }
    }
    assert_eq!(&waits[..4], [200, 400, 800, 1_600]);
    assert_eq!(waits[11], 30_000);
    let wish = Failure { wait: Some(Duration::from_secs(77)), ..failure(now, 10, None) };
    assert_eq!(settings.judge(&mut history, wish), Verdict::Again { at: now + Duration::from_secs(77) });
}

#[test]
fn nothing_is_given_up_while_nothing_gets_through() {
    let settings = RetrySettings::default();
    let mut history = History::default();
    let start = Instant::now();
    let before = Some(start);
    for hours in 0..100 {
        let now = start + Duration::from_secs(3_600 * hours + 1);
        assert!(matches!(settings.judge(&mut history, failure(now, 1, before)), Verdict::Again { .. }));
    }
}

#[test]
fn while_others_get_through_a_batch_is_halved_and_a_record_given_up_as_stuck() {
    let settings = RetrySettings::default();
    let mut history = History::default();
    let start = Instant::now();
    settings.judge(&mut history, failure(start, 8, None));
    let soon = start + HALVE_AFTER;
    assert_eq!(settings.judge(&mut history, failure(soon, 8, Some(soon))), Verdict::Halve);
    let verdict = settings.judge(&mut history, failure(soon + Duration::from_secs(1), 4, Some(soon)));
    assert!(matches!(verdict, Verdict::Again { .. }), "not halved again at once");
    let whole = Failure { stays_whole: true, ..failure(soon + HALVE_AFTER, 4, Some(soon)) };
    assert!(matches!(settings.judge(&mut history, whole), Verdict::Again { .. }), "it may be there as it is");
    let late = start + STUCK_AFTER;
    assert_eq!(settings.judge(&mut history, failure(late, 1, Some(soon))), Verdict::GiveUp("stuck"));
}

proptest! {
    /// Over any stretch the limit lets through what it may, and at most one batch more.
    #[test]
    fn a_rate_limit_lets_no_more_through_than_it_may(
        limit in 1..1_000u32,
        batches in prop::collection::vec((1..500usize, 0..2_000u64), 1..50),
    ) {
        let start = Instant::now();
        let mut rate = RateLimit::new(f64::from(limit), start);
        let (mut now, mut through) = (start, 0.0);
        for (records, pause) in batches {
            now = rate.ready_at(now).max(now) + Duration::from_millis(pause);
            let ready = rate.ready_at(now);
            prop_assert!(ready <= now);
            let allowed = f64::from(limit) * (1.0 + (now - start).as_secs_f64());
            prop_assert!(through <= allowed + 1e-3, "{} of {}", through, allowed);
            rate.take(records, now);
            through += records as f64;
        }
    }
}

#[test]
fn no_setting_and_no_destination_makes_a_lane_spin_or_wait_for_ever() {
    let settings = RetrySettings { initial: Duration::ZERO, max: Duration::ZERO, max_age: None };
    assert_eq!(settings.backoff(1, 1.0), Duration::from_millis(10));
    let now = Instant::now();
    let failure = Failure {
        now,
        records: 1,
        stays_whole: false,
        wait: Some(Duration::MAX),
        last_delivered: None,
        jitter: 0.5,
    };
    let verdict = settings.judge(&mut History::default(), failure);
    assert_eq!(verdict, Verdict::Again { at: now + Duration::from_secs(24 * 3_600) });
}

fn pending(keeps_slot: bool, not_before: Instant) -> Pending {
    let part = Part { placed: placed(0, 1), encoded: None, runs: std::iter::once(0..1).collect() };
    let batch = Batch {
        parts: vec![part],
        len: 1,
        size: 2,
        route: "".into(),
        edits: Arc::new(Edits::default()),
        id_key: Arc::new(IdKey::default()),
        late: None,
    };
    Pending { batch: Arc::new(batch), history: History::default(), not_before, keeps_slot, is_stored: false }
}

#[derive(Debug, Clone, Copy)]
enum Wait {
    Fail { keeps_slot: bool, seconds: u64 },
    New,
    Pop,
    End,
    Pass(u64),
    Slots(usize),
}

proptest! {
    /// However batches fail and wait, and whatever becomes of the number of slots, no delivery starts beyond it, and
    /// with one at a time nothing overtakes what waits.
    #[test]
    fn never_more_in_flight_than_allowed(
        max_in_flight in 1..5usize,
        steps in prop::collection::vec(prop_oneof![
            2 => (any::<bool>(), 0..20u64).prop_map(|(keeps_slot, seconds)| Wait::Fail { keeps_slot, seconds }),
            3 => Just(Wait::New),
            3 => Just(Wait::Pop),
            2 => Just(Wait::End),
            1 => (0..30u64).prop_map(Wait::Pass),
            1 => (1..5usize).prop_map(Wait::Slots),
        ], 0..200),
    ) {
        let mut waiting = Waiting::new(max_in_flight);
        let mut now = Instant::now();
        let (mut in_flight, mut kept) = (0, 0usize);
        let mut slots = max_in_flight;
        for step in steps {
            let before = in_flight;
            match step {
                Wait::Slots(count) if max_in_flight > 1 => {
                    slots = count;
                    waiting.set_slots(count);
                }
                Wait::Fail { keeps_slot, seconds } if in_flight > 0 => {
                    in_flight -= 1;
                    let keeps_slot = keeps_slot || !waiting.has_room_aside();
                    kept += usize::from(keeps_slot);
                    waiting.push(pending(keeps_slot, now + Duration::from_secs(seconds)));
                    if max_in_flight == 1 {
                        prop_assert!(keeps_slot, "with one at a time nothing waits aside");
                    }
                }
                Wait::New if !waiting.is_full(in_flight) => in_flight += 1,
                Wait::Pop => {
                    if let Some(next) = waiting.pop(now, in_flight) {
                        prop_assert!(next.not_before <= now);
                        kept -= usize::from(next.keeps_slot);
                        in_flight += 1;
                    } else {
                        prop_assert!(waiting.next_at(in_flight).is_none_or(|at| at > now));
                    }
                }
                Wait::End => in_flight = in_flight.saturating_sub(1),
                Wait::Pass(seconds) => now += Duration::from_secs(seconds),
                Wait::Fail { .. } | Wait::New | Wait::Slots(_) => {}
            }
            prop_assert!(in_flight <= before || in_flight <= slots);
            prop_assert_eq!(waiting.is_full(in_flight), in_flight + kept >= slots);
        }
    }
}

#[test]
fn a_subset_of_a_batch_holds_what_was_asked_for() {
    let parts =
        [0, 10].map(|first| Part { placed: placed(first, 10), encoded: None, runs: vec![0..3, 5..10] });
    let batch =
        Batch { parts: parts.into(), len: 16, size: 32, ..(*pending(true, Instant::now()).batch).clone() };
    let odd = batch.subset(|number| number % 2 == 1).expect("there are some");
    let places: HashSet<u64> =
        odd.places().map(|(part, index)| part.placed.first + u64::from(index)).collect();
    assert_eq!((odd.len(), odd.size()), (8, 16));
    assert_eq!(places, [1, 5, 7, 9, 11, 15, 17, 19].into());
    assert!(batch.subset(|_| false).is_none());
}
