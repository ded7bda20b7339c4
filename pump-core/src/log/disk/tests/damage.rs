//! What the disk spoils. A log that lost what was safe is not opened, unless it is told to go on without
//! it; then exactly what is lost is counted, and everything else is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::world::{BOTH, End, Key, Known, World, keys};
use super::{block_on, settings};
use crate::log::disk::segment::first_place;
use crate::log::disk::{DiskSettings, Gap, OpenError, Storage, inspect};
use crate::testing::{Call, Loss, SimulatedStorage};

/// The most records of a chunk.
const MAX_RECORDS: usize = 11;

/// A log of some segments that nobody has taken anything of.
struct Whole {
    disk: SimulatedStorage,
    appended: BTreeMap<Key, u64>,
    places: BTreeMap<(Key, u64), u64>,
}

impl Whole {
    async fn new(seed: usize) -> Self {
        let mut world = World::new(SimulatedStorage::new(0), settings(), &[BOTH]).await;
        for round in 0..6 {
            for (number, key) in keys().enumerate() {
                assert!(world.append(key, (seed + 5 * round + 3 * number) % (MAX_RECORDS + 1)).await);
                if (seed + number).is_multiple_of(2) {
                    world.wait(Duration::from_millis(10)).await;
                }
            }
        }
        world.wait(Duration::from_millis(10)).await;
        while world.read(0).await {}
        world.process.log.close();
        (&mut world.process.run).await.expect("no panic").expect("nothing failed");
        let Known { appended, places, .. } = std::mem::take(&mut world.known);
        Self { disk: world.disk.kill(), appended, places }
    }

    fn segments(&self) -> Vec<(String, u64)> {
        self.disk.files().into_iter().filter(|(name, _)| first_place(name).is_some()).collect()
    }

    async fn open(&self, disk: &SimulatedStorage, accept_gap: bool) -> Result<World, OpenError> {
        let known =
            Known { appended: self.appended.clone(), places: self.places.clone(), ..Known::default() };
        World::open(disk.clone(), DiskSettings { accept_gap, ..settings() }, &[BOTH], known).await
    }

    /// The places of which a lane is given nothing.
    async fn missing(&self, world: &mut World) -> BTreeSet<u64> {
        while world.read(0).await {}
        let given = keys().flat_map(|key| {
            world.process.lanes[0].given_of(key).into_iter().map(move |position| (key, position))
        });
        let given: BTreeSet<_> = given.collect();
        let missing = self.places.iter().filter(|(record, _)| !given.contains(record));
        missing.map(|(_, place)| *place).collect()
    }

    /// Opens a damaged log. Returns what it lost.
    async fn check(&self, disk: &SimulatedStorage) -> BTreeSet<u64> {
        let before = disk.files();
        let report = inspect(disk).await.expect("a look finds what a start finds");
        assert_eq!(disk.files(), before, "a look changes nothing");
        let found: BTreeSet<u64> = report.damages.iter().flat_map(|damage| damage.from..damage.to).collect();
        assert_eq!(report.records() + found.len() as u64, self.places.len() as u64, "{report:?}");
        let gaps = match self.open(disk, false).await {
            Ok(mut world) => {
                assert!(self.missing(&mut world).await.is_empty(), "it says that nothing is missing");
                assert!(found.is_empty(), "a look says that something is");
                return BTreeSet::new();
            }
            Err(OpenError::Damaged(gaps)) => gaps,
            Err(other) => panic!("{other}"),
        };
        let lost = places_of(&gaps);
        assert_eq!(found, lost, "a look finds what a start finds");
        assert_eq!(lost.len() as u64, gaps.iter().map(Gap::records).sum::<u64>(), "{gaps:?} overlap");
        disk.record();
        self.check_accepted(disk, &lost).await;
        // Whoever accepts the gaps may lose power at any time, and do it again.
        let history = disk.history();
        let mut replay = history.replay();
        loop {
            for loss in [Loss::All, Loss::Some] {
                self.check_accepted(&replay.disk(loss, replay.steps() as u64), &lost).await;
            }
            if !replay.advance() {
                break;
            }
        }
        lost
    }

    async fn check_accepted(&self, disk: &SimulatedStorage, lost: &BTreeSet<u64>) {
        let mut world = self.open(disk, true).await.expect("it was told to accept the gaps");
        assert_eq!(self.missing(&mut world).await, *lost, "what is missing is what was said");
        // What was accepted need not be accepted again, and the log goes on.
        world.settings.accept_gap = false;
        // Its sources may still have what is lost, so they are asked for all of it again.
        world.known.safe.clear();
        world.restart(End::Power(Loss::All), &[BOTH]).await.expect("it is sound again");
        assert_eq!(self.missing(&mut world).await, *lost);
        world.close(0, usize::MAX);
        world.wait(Duration::from_secs(5)).await;
        world.process.next.extend(self.appended.clone());
        assert!(world.append((0, 0), 3).await);
        world.wait(Duration::from_millis(10)).await;
        world.known.safe.clear();
        world.restart(End::Kill, &[BOTH]).await.expect("it is sound still");
        assert!(world.read(0).await);
        assert_eq!(world.process.lanes[0].given_of((0, 0)).len(), 3);
    }
}

fn places_of(gaps: &[Gap]) -> BTreeSet<u64> {
    gaps.iter().flat_map(|gap| gap.from..gap.to).collect()
}

#[derive(Debug, Clone)]
enum Damage {
    Flip { at: prop::sample::Index, bit: u8 },
    Fill { at: prop::sample::Index, len: usize, byte: u8 },
    Truncate { at: prop::sample::Index },
    Vanish,
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let at = any::<prop::sample::Index>;
    let damage = prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        2 => (at(), 1..600usize, prop::sample::select(vec![0, 0xff, b'p'])).prop_map(|(at, len, byte)| Damage::Fill { at, len, byte }),
        1 => at().prop_map(|at| Damage::Truncate { at }),
        1 => Just(Damage::Vanish),
    ];
    (at(), damage)
}

async fn spoil(disk: &SimulatedStorage, (name, len): &(String, u64), damage: &Damage) {
    let is_there = disk.files().iter().any(|(own, _)| own == name);
    match damage {
        _ if !is_there => {}
        Damage::Flip { at, bit } => drop(disk.flip_bit(name, at.index(*len as usize) as u64, *bit)),
        Damage::Fill { at, len: size, byte } => {
            let at = at.index(*len as usize);
            let content = Bytes::from(vec![*byte; (*size).min(*len as usize - at)]);
            disk.write(name, at as u64, vec![content]).await.expect("no fault");
            disk.sync(name).await.expect("no fault");
        }
        Damage::Truncate { at } => {
            disk.truncate(name, at.index(*len as usize) as u64).await.expect("no fault");
        }
        Damage::Vanish => drop(disk.vanish(name)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_spoiled_what_is_lost_is_counted_and_the_rest_is_delivered(
        seed in 0..24usize,
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        block_on(async {
            let whole = Whole::new(seed).await;
            let segments = whole.segments();
            for (segment, damage) in &damages {
                spoil(&whole.disk, &segments[segment.index(segments.len())], damage).await;
            }
            whole.check(&whole.disk).await;
        });
    }
}

/// Of every byte one bit: a part of one chunk is damaged, so one chunk is lost, and no more.
#[tokio::test(start_paused = true)]
async fn a_flipped_bit_costs_one_chunk() {
    let whole = Whole::new(1).await;
    let mut costs = BTreeSet::new();
    for (name, len) in whole.segments() {
        for at in (0..len).step_by(13) {
            let disk = whole.disk.kill();
            assert!(disk.flip_bit(&name, at, (at % 8) as u8));
            let lost = match whole.open(&disk, false).await {
                Ok(_) => BTreeSet::new(),
                Err(OpenError::Damaged(gaps)) => places_of(&gaps),
                Err(other) => panic!("{other}"),
            };
            assert!(lost.len() <= MAX_RECORDS, "byte {at} of {name} costs {lost:?}");
            let mut world = whole.open(&disk, true).await.expect("it was told to accept the gap");
            assert_eq!(whole.missing(&mut world).await, lost, "byte {at} of {name}");
            costs.insert(lost.len());
        }
    }
    assert!(costs.len() > 5, "{costs:?}");
}

/// What was written last, nobody says to have been durable: after a crash it may be torn, and is not refused.
#[tokio::test(start_paused = true)]
async fn what_is_spoiled_at_the_end_after_a_crash_is_a_torn_tail() {
    let mut world = World::new(SimulatedStorage::new(0), settings(), &[BOTH]).await;
    for _ in 0..2 {
        assert!(world.append((0, 0), 4).await);
        world.wait(Duration::from_millis(10)).await;
    }
    let left = world.disk.crash(Loss::All);
    let (name, _) = left.files().swap_remove(0);
    let content = left.read(&name, 0, usize::MAX).await.expect("it is there");
    let end = content.iter().rposition(|byte| *byte != 0).expect("something was written");
    for at in end / 2 + 10..end {
        let disk = left.kill();
        assert!(disk.flip_bit(&name, at as u64, 1));
        let known = Known { appended: world.known.appended.clone(), ..Known::default() };
        let mut found = World::open(disk, settings(), &[BOTH], known).await.expect("a tail may be torn");
        assert_eq!(found.process.held((0, 0)), 4, "byte {at} of {end}");
        // The source gives it again.
        assert!(found.append((0, 0), 4).await);
        found.wait(Duration::from_millis(10)).await;
        while found.read(0).await {}
        assert_eq!(found.process.lanes[0].given_of((0, 0)), (0..8).collect::<Vec<_>>());
    }
}

/// What a source was told to be safe a moment before a crash, nothing else on the disk says to have been durable. A
/// disk that once does not give it has not lost it.
#[tokio::test(start_paused = true)]
async fn what_the_disk_does_not_give_at_the_end_is_not_thrown_away() {
    let mut world = World::new(SimulatedStorage::new(0), settings(), &[BOTH]).await;
    assert!(world.append((0, 0), 4).await);
    world.wait(Duration::from_millis(10)).await;
    for accept_gap in [false, true] {
        let disk = world.disk.crash(Loss::All);
        let settings = DiskSettings { accept_gap, ..settings() };
        let known = || Known { appended: world.known.appended.clone(), ..Known::default() };
        // The state file is read before the segment.
        let has_state = disk.files().iter().any(|(name, _)| name == "state");
        disk.fail(Call::Read, usize::from(has_state), ErrorKind::Other);
        let opened = World::open(disk.clone(), settings, &[BOTH], known()).await;
        if !accept_gap {
            let Err(OpenError::Damaged(gaps)) = opened else { panic!("it may be lost") };
            assert_eq!((gaps.len(), places_of(&gaps).len()), (1, 0));
        }
        let mut again = World::open(disk.kill(), settings, &[BOTH], known()).await.expect("it reads now");
        while again.read(0).await {}
        assert_eq!(again.process.lanes[0].given_of((0, 0)), (0..4).collect::<Vec<_>>());
    }
}

/// Damage does not count what is sound between it and a torn end.
#[tokio::test(start_paused = true)]
async fn damage_before_a_torn_tail_costs_one_chunk() {
    let mut world = World::new(SimulatedStorage::new(0), settings(), &[BOTH]).await;
    for _ in 0..4 {
        assert!(world.append((0, 0), 4).await);
        world.wait(Duration::from_millis(10)).await;
    }
    let disk = world.disk.crash(Loss::All);
    let name = disk.files().into_iter().map(|(name, _)| name).find(|name| first_place(name) == Some(0));
    let name = name.expect("the first segment is there");
    let content = disk.read(&name, 0, usize::MAX).await.expect("it is there");
    let end = content.iter().rposition(|byte| *byte != 0).expect("something was written");
    assert!(disk.flip_bit(&name, 0, 1) && disk.flip_bit(&name, end as u64, 1));
    let opened = World::open(disk, settings(), &[BOTH], Known::default()).await;
    let Err(OpenError::Damaged(gaps)) = opened else { panic!("what was safe is lost") };
    assert_eq!(places_of(&gaps), (0..4).collect());
}

/// Cursors and positions are lost with it, and no record.
#[tokio::test(start_paused = true)]
async fn a_spoiled_state_file_costs_repeats_and_no_record() {
    let whole = Whole::new(2).await;
    let (name, len) = whole.disk.files().pop().expect("the state file comes last");
    assert_eq!(name, "state");
    for at in 0..=len {
        let disk = whole.disk.kill();
        assert_eq!(disk.flip_bit(&name, at, 2), at < len);
        if at == len {
            assert!(disk.vanish(&name));
        }
        let mut world = whole.open(&disk, false).await.expect("no record is missing");
        assert!(whole.missing(&mut world).await.is_empty());
        assert_eq!(
            keys().map(|key| (key, world.process.held(key))).collect::<BTreeMap<_, _>>(),
            whole.appended
        );
    }
}
