//! A lane's batches over crashes, against a destination that names objects by their records.

#![expect(clippy::single_range_in_vec_init, reason = "a cut may have one run")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::super::batcher::Batcher;
use super::super::tests::placed;
use super::super::tracker::Tracker;
use super::*;
use crate::log::{Cut, Places};
use crate::plugin::BatchDefaults;

const CONFIGURATION: u64 = 7;
const SIZE: usize = 10;

fn limits(max_span: usize, max_held: usize) -> Limits {
    let batch = BatchDefaults { max_records: 7, max_bytes: 7 * SIZE, max_age: Duration::MAX };
    Limits { batch, max_span, max_held }
}

fn places(batch: &CutBatch) -> Places {
    let runs = batch.parts.iter().flat_map(|part| {
        let first = part.placed.first;
        part.runs.iter().map(move |run| first + u64::from(run.start)..first + u64::from(run.end))
    });
    runs.collect()
}

fn cut(runs: impl IntoIterator<Item = Range<u64>>) -> Cut {
    Cut { route: "a".into(), places: runs.into_iter().collect(), configuration: CONFIGURATION }
}

/// A log of chunks, each record with its route.
struct World {
    chunks: Vec<(Placed, Vec<u8>)>,
    /// What was there at some time, by its records.
    objects: HashSet<Vec<Range<u64>>>,
    /// What survives: cursor and cuts.
    durable: (u64, Cuts),
}

/// What a crash ends.
struct Process {
    batcher: Batcher,
    tracker: Tracker,
    cuts: Cuts,
    closed_before: Places,
    cursor: u64,
    next_chunk: usize,
    in_flight: Vec<(Places, u8)>,
}

impl Process {
    fn start(world: &World) -> Self {
        let (cursor, cuts) = world.durable.clone();
        let mut batcher = Batcher::new(limits(3_000, 10 * 7 * SIZE));
        batcher.repeat(Repeats::new(cuts.clone(), CONFIGURATION));
        let next_chunk = world.chunks.iter().position(|(placed, _)| placed.end() > cursor);
        Self {
            batcher,
            tracker: Tracker::default(),
            closed_before: cuts.closed.clone(),
            cuts,
            cursor,
            next_chunk: next_chunk.unwrap_or(world.chunks.len()),
            in_flight: Vec::new(),
        }
    }

    fn read(&mut self, world: &World) {
        let Some((placed, routes)) = world.chunks.get(self.next_chunk) else { return };
        self.next_chunk += 1;
        let skip = self.cursor.saturating_sub(placed.first) as usize;
        self.tracker.read(&placed.clone().skipping(skip));
        let closed: BTreeSet<u64> = self.closed_before.within(placed.first..placed.end()).flatten().collect();
        closed.iter().for_each(|place| {
            self.tracker.close(*place);
        });
        self.batcher.begin_chunk(placed.chunk().size());
        for (index, route) in routes.iter().enumerate().skip(skip) {
            if !closed.contains(&(placed.first + index as u64)) {
                let item = Item { placed, encoded: None, index: index as u32, size: SIZE };
                self.batcher.push(Instant::now(), &route.to_string(), item);
            }
        }
        self.batcher.end_chunk(placed);
        self.cursor = self.cursor.max(self.tracker.cursor());
        if self.next_chunk == world.chunks.len() {
            self.batcher.end_repeats();
        }
    }

    fn save(&mut self, world: &mut World) {
        self.cuts.pass(self.cursor);
        world.durable = (self.cursor, self.cuts.clone());
    }

    fn begin(&mut self, world: &mut World) {
        if self.in_flight.len() >= 4 {
            return;
        }
        let Some(batch) = self.batcher.pop() else { return };
        let route = batch.route.parse().expect("they are numbers");
        self.store(places(&batch), route, batch.is_stored, world);
    }

    fn store(&mut self, places: Places, route: u8, is_stored: bool, world: &mut World) {
        if !is_stored {
            let route = route.to_string().into();
            self.cuts.store(Cut { route, places: places.clone(), configuration: CONFIGURATION });
            self.save(world);
        }
        self.in_flight.push((places, route));
    }

    fn arrive(&self, index: usize, world: &mut World) {
        if let Some((places, _)) = self.in_flight.get(index) {
            world.objects.insert(places.runs().to_vec());
        }
    }

    fn answer(&mut self, index: usize, world: &mut World) {
        self.arrive(index, world);
        if index < self.in_flight.len() {
            let (places, _) = self.in_flight.remove(index);
            places.runs().iter().cloned().flatten().for_each(|place| {
                assert!(self.tracker.close(place), "{place} was closed twice");
            });
            self.cuts.close(&places);
            self.cursor = self.cursor.max(self.tracker.cursor());
        }
    }

    /// What is too large is at the destination in parts only.
    fn halve(&mut self, index: usize, world: &mut World) {
        let Some((places, route)) = self.in_flight.get(index).cloned() else { return };
        let all: Vec<u64> = places.runs().iter().cloned().flatten().collect();
        if world.objects.contains(places.runs()) || all.len() < 2 {
            return;
        }
        self.in_flight.remove(index);
        for half in [&all[..all.len() / 2], &all[all.len() / 2..]] {
            self.store(half.iter().map(|place| *place..place + 1).collect(), route, false, world);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Read,
    Begin,
    Arrive(usize),
    Answer(usize),
    Halve(usize),
    CutAll,
    Save,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Read),
        6 => Just(Step::Begin),
        3 => (0..4usize).prop_map(Step::Arrive),
        3 => (0..4usize).prop_map(Step::Answer),
        1 => (0..4usize).prop_map(Step::Halve),
        1 => Just(Step::CutAll),
        1 => Just(Step::Save),
        2 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Wherever processes crash, each record is at the destination in one object and no other.
    #[test]
    fn no_record_is_in_two_objects_and_none_in_none(
        chunks in prop::collection::vec(prop::collection::vec(0..3u8, 1..12), 1..12),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut end = 0;
        let chunks = chunks.into_iter().map(|routes| {
            let placed = placed(end, routes.len());
            end = placed.end();
            (placed, routes)
        });
        let chunks = chunks.collect();
        let mut world = World { chunks, objects: HashSet::new(), durable: (0, Cuts::default()) };
        let mut process = Process::start(&world);
        for step in steps {
            match step {
                Step::Read => process.read(&world),
                Step::Begin => process.begin(&mut world),
                Step::Arrive(index) => process.arrive(index, &mut world),
                Step::Answer(index) => process.answer(index, &mut world),
                Step::Halve(index) => process.halve(index, &mut world),
                // A lane cuts everything only once it has read everything.
                Step::CutAll if process.next_chunk == world.chunks.len() => process.batcher.cut_all(),
                Step::CutAll => {}
                Step::Save => process.save(&mut world),
                Step::Crash => process = Process::start(&world),
            }
        }
        while process.cursor < end {
            process.read(&world);
            if process.next_chunk == world.chunks.len() {
                process.batcher.cut_all();
            }
            process.begin(&mut world);
            process.answer(0, &mut world);
        }
        let mut object_of = BTreeMap::new();
        for object in &world.objects {
            for place in object.iter().cloned().flatten() {
                let other = object_of.insert(place, object);
                prop_assert!(other.is_none(), "{} is in {:?} and in {:?}", place, other, object);
            }
        }
        prop_assert!(object_of.keys().copied().eq(0..end));
        process.save(&mut world);
        prop_assert!(world.durable.1.is_empty(), "what is passed is forgotten: {:?}", world.durable);
    }
}

/// Reads chunks of ten records each, all but those at some places; what comes out, and whether it is whole.
fn repeated(cuts: Cuts, limits: Limits, chunks: u64, missing: &[u64]) -> Vec<(Vec<Range<u64>>, bool)> {
    let mut batcher = Batcher::new(limits);
    batcher.repeat(Repeats::new(cuts, CONFIGURATION));
    for number in 0..chunks {
        let placed = placed(number * 10, 10);
        batcher.begin_chunk(placed.chunk().size());
        for index in (0..10).filter(|index| !missing.contains(&(number * 10 + u64::from(*index)))) {
            let item = Item { placed: &placed, encoded: None, index, size: SIZE };
            batcher.push(Instant::now(), "a", item);
        }
        batcher.end_chunk(&placed);
    }
    batcher.cut_all();
    let mut out = Vec::new();
    while let Some(batch) = batcher.pop() {
        out.push((places(&batch).runs().to_vec(), batch.is_stored));
    }
    out
}

fn stored(cuts: impl IntoIterator<Item = Cut>) -> Cuts {
    Cuts { cuts: cuts.into_iter().collect(), closed: Places::default() }
}

fn has(out: &[(Vec<Range<u64>>, bool)], runs: &[Range<u64>], is_whole: bool) -> bool {
    out.iter().any(|(own, own_is_whole)| own == runs && *own_is_whole == is_whole)
}

#[test]
fn a_cut_is_formed_again_over_chunks_and_what_lies_between_goes_the_usual_way() {
    let out = repeated(stored([cut([3..5, 18..21])]), limits(1 << 20, 1 << 20), 3, &[]);
    assert!(has(&out, &[0..3, 5..9], false), "{out:?}");
    assert!(has(&out, &[3..5, 18..21], true), "{out:?}");
    assert_eq!(out.iter().flat_map(|(runs, _)| runs.iter().cloned().flatten()).count(), 30);
}

#[test]
fn a_cut_of_which_a_record_is_missing_is_dropped_and_its_records_are_not() {
    let out = repeated(stored([cut([3..5, 18..21])]), limits(1 << 20, 1 << 20), 3, &[18]);
    assert!(has(&out, &[3..5], false), "{out:?}");
    assert!(out.iter().all(|(_, is_whole)| !is_whole));
    assert_eq!(out.iter().flat_map(|(runs, _)| runs.iter().cloned().flatten()).count(), 29);
}

#[test]
fn a_cut_that_ends_behind_the_log_is_dropped_once_everything_is_read() {
    let out = repeated(stored([cut([28..32])]), limits(1 << 20, 1 << 20), 3, &[]);
    assert!(has(&out, &[28..30], false), "{out:?}");
}

#[test]
fn a_cut_of_another_configuration_or_closed_in_part_is_not_formed_again() {
    let other = Cut { configuration: CONFIGURATION + 1, ..cut([3..5]) };
    let in_part = Cuts { closed: std::iter::once(8..9).collect(), ..stored([cut([8..10])]) };
    for cuts in [stored([other]), in_part] {
        let out = repeated(cuts, limits(1 << 20, 1 << 20), 1, &[]);
        assert!(out.iter().all(|(_, is_whole)| !is_whole), "{out:?}");
    }
}

#[test]
fn cuts_take_no_more_room_than_a_lane_has() {
    let apart = || stored([cut([0..1, 80..81])]);
    assert!(has(&repeated(apart(), limits(1 << 20, 1 << 20), 9, &[]), &[0..1, 80..81], true));
    let span = 3 * placed(0, 10).chunk().size();
    assert!(has(&repeated(apart(), limits(span, 1 << 20), 9, &[]), &[0..1], false));
    let many = || stored([cut([0..5, 10..11]), cut([5..10, 11..12])]);
    assert!(has(&repeated(many(), limits(1 << 20, 100), 2, &[]), &[0..5, 10..11], true));
    let out = repeated(many(), limits(1 << 20, 99), 2, &[]);
    assert!(has(&out, &[0..5], false) && has(&out, &[5..10, 11..12], true), "{out:?}");
}
