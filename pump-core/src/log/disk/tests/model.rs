//! Anything that may happen to a log, in any order: nothing that was safe is lost, nothing is given twice
//! by one process, nothing appears that was not appended, and in the end everything is everywhere and the
//! log is empty.

use std::io::ErrorKind;
use std::time::Duration;

use proptest::prelude::*;

use super::world::{BOTH, End, Key, ONE, PARTITIONS, SOURCES, Spec, World};
use super::{block_on, settings};
use crate::log::disk::DiskSettings;
use crate::testing::{Call, Loss, SimulatedStorage};

const BEST_EFFORT: Spec = Spec { name: "best-effort", is_required: false, ..BOTH };
const LANES: [Spec; 3] = [BOTH, ONE, BEST_EFFORT];

/// What the pipeline file may say at another start.
const PIPELINES: [&[Spec]; 4] = [
    &LANES,
    &[BEST_EFFORT, BOTH],
    &[BOTH, Spec { takes: [true, true], ..ONE }, BEST_EFFORT],
    &[BOTH, Spec { is_required: false, ..ONE }, Spec { is_required: true, ..BEST_EFFORT }],
];

#[derive(Debug, Clone)]
enum Action {
    Append {
        key: Key,
        records: usize,
    },
    Read {
        lane: usize,
        chunks: usize,
    },
    Close {
        lane: usize,
        records: usize,
    },
    Wait {
        ms: u64,
    },
    Repeat {
        key: Key,
        back: u64,
    },
    Restart {
        end: End,
        pipeline: usize,
    },
    Fail {
        call: Call,
        after: usize,
        error: ErrorKind,
    },
    /// The disk has so much room left.
    Fill {
        bytes: u64,
    },
    GiveRoom,
}

fn key() -> impl Strategy<Value = Key> {
    (0..SOURCES, 0..PARTITIONS)
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        2 => Just(End::Stop),
        2 => Just(End::Kill),
        1 => Just(End::Power(Loss::All)),
        1 => Just(End::Power(Loss::Nothing)),
        4 => Just(End::Power(Loss::Some)),
    ]
}

fn pipeline() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 1 => 0..PIPELINES.len()]
}

fn quiet_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (key(), 0..20usize).prop_map(|(key, records)| Action::Append { key, records }),
        5 => (0..LANES.len(), 1..8usize).prop_map(|(lane, chunks)| Action::Read { lane, chunks }),
        5 => (0..LANES.len(), 1..80usize).prop_map(|(lane, records)| Action::Close { lane, records }),
        3 => (0..20u64).prop_map(|ms| Action::Wait { ms }),
        1 => (0..4_000u64).prop_map(|ms| Action::Wait { ms }),
        1 => (key(), 0..40u64).prop_map(|(key, back)| Action::Repeat { key, back }),
        1 => (end(), pipeline()).prop_map(|(end, pipeline)| Action::Restart { end, pipeline }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let call = prop::sample::select(vec![
        Call::Sync,
        Call::Sync,
        Call::Sync,
        Call::Write,
        Call::Create,
        Call::Replace,
        Call::Remove,
        Call::Truncate,
        Call::Read,
        Call::List,
    ]);
    let error = prop::sample::select(vec![ErrorKind::Other, ErrorKind::Other, ErrorKind::StorageFull]);
    prop_oneof![
        24 => quiet_action(),
        1 => (call, 0..3usize, error).prop_map(|(call, after, error)| Action::Fail { call, after, error }),
        1 => (0..3_000u64).prop_map(|bytes| Action::Fill { bytes }),
        1 => Just(Action::GiveRoom),
    ]
}

async fn run(seed: u64, max_delay: u64, segment_size: u64, memory: usize, actions: Vec<Action>) {
    let disk = SimulatedStorage::new(seed);
    let max_delay = Duration::from_millis(max_delay);
    disk.set_max_delay(max_delay);
    let mut world = World::new(disk, DiskSettings { segment_size, memory, ..settings() }, &LANES).await;
    let mut pipeline = 0;
    let mut is_always_there = true;
    for action in actions {
        let lanes = world.process.lanes.len();
        match action {
            Action::Append { key, records } => drop(world.append(key, records).await),
            Action::Read { lane, chunks } if lane < lanes => {
                for _ in 0..chunks {
                    if !world.read(lane).await {
                        break;
                    }
                }
            }
            Action::Close { lane, records } if lane < lanes => world.close(lane, records),
            Action::Read { .. } | Action::Close { .. } => {}
            Action::Wait { ms } => world.wait(Duration::from_millis(ms)).await,
            Action::Repeat { key, back } => world.repeat(key, back),
            Action::Restart { end, pipeline: next } => {
                pipeline = next;
                is_always_there &= pipeline == 0;
                restart(&mut world, end, PIPELINES[pipeline], max_delay).await;
            }
            Action::Fail { call, after, error } => world.disk.fail(call, after, error),
            Action::Fill { bytes } => world.disk.set_capacity(world.disk.size() + bytes),
            Action::GiveRoom => world.disk.set_capacity(u64::MAX),
        }
        if world.process.run.is_finished() {
            restart(&mut world, End::Power(Loss::Some), PIPELINES[pipeline], max_delay).await;
        }
    }
    world.finish(PIPELINES[pipeline]).await;
    // What another lane never takes while it is away is not kept for it.
    for lane in if is_always_there { &LANES[..2] } else { &LANES[..1] } {
        let missing = world.missing(lane);
        assert!(missing.is_empty(), "{} never got {missing:?}", lane.name);
    }
}

async fn restart(world: &mut World, end: End, lanes: &[Spec], max_delay: Duration) {
    world.restart(end, lanes).await.expect("nothing is damaged");
    world.disk.set_max_delay(max_delay);
}

proptest! {
    #[test]
    fn whatever_happens_nothing_that_was_safe_is_lost(
        seed in any::<u64>(),
        max_delay in 0..4u64,
        segment_size in 500..4_000u64,
        memory in 500..6_000usize,
        actions in prop::collection::vec(action(), 0..150),
    ) {
        block_on(run(seed, max_delay, segment_size, memory, actions));
    }
}
