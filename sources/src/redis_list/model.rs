//! The state of leases against a model of Redis, with everything that can go wrong between them; and
//! what a real Redis says through the typed calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use pump_core::record::{Codec, Kind, Partition};
use tokio::time::Instant;

use super::calls::{Ack, Reply};
use super::keys::{ListKeys, lists};
use super::lease::{Fate, Grant, Leases, MAX_HELD, Wish};
use super::redis_model::RedisModel;

const LEASE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(200);
const PUMPS: usize = 3;
/// What the gateway gives its list.
const TTL: Duration = Duration::from_secs(4);

/// One pump: its leases, and what it has read and not delivered.
#[derive(Default)]
struct Pump {
    leases: Leases,
    /// Per partition, in order: the offset and the record.
    undelivered: Vec<(Partition, VecDeque<(u64, u64)>)>,
}

#[derive(Debug, Clone, Copy)]
enum Heard {
    Well,
    /// The call never arrived.
    LostBefore,
    /// The call had its effect, and nobody heard.
    LostAfter,
    /// Sent twice because the first answer was late.
    Twice,
}

#[derive(Debug, Clone)]
enum Action {
    Push(u8),
    Poll(usize, Heard),
    Read(usize, u8),
    Deliver(usize, u8),
    Ack(usize, Heard),
    Crash(usize),
    Pass(u16),
}

fn heard() -> impl Strategy<Value = Heard> {
    prop_oneof![4 => Just(Heard::Well), 1 => Just(Heard::LostBefore), 1 => Just(Heard::LostAfter), 1 => Just(Heard::Twice)]
}

fn action() -> impl Strategy<Value = Action> {
    let pump = 0..PUMPS;
    prop_oneof![
        3 => (1..20u8).prop_map(Action::Push),
        4 => (pump.clone(), heard()).prop_map(|(pump, heard)| Action::Poll(pump, heard)),
        4 => (pump.clone(), 1..30u8).prop_map(|(pump, most)| Action::Read(pump, most)),
        4 => (pump.clone(), 1..30u8).prop_map(|(pump, most)| Action::Deliver(pump, most)),
        4 => (pump.clone(), heard()).prop_map(|(pump, heard)| Action::Ack(pump, heard)),
        1 => pump.prop_map(Action::Crash),
        2 => prop_oneof![1..400u16, 1_000..20_000u16].prop_map(Action::Pass),
    ]
}

/// The number that is in a body.
fn number_of(body: &[u8]) -> u64 {
    body.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The whole world, with what has been delivered by whom how often.
struct World {
    began: Instant,
    redis: RedisModel,
    keys: ListKeys,
    pumps: Vec<Pump>,
    tokens: u64,
    pushed: u64,
    expired: BTreeSet<u64>,
    delivered: BTreeMap<u64, u32>,
    /// Crashes, take-overs and lost answers: what may cause repeats.
    mishaps: u32,
}

impl World {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            redis: RedisModel::default(),
            keys: ListKeys::new("analytics-tyk-system-analytics", Kind::Transaction, Codec::Msgpack),
            pumps: (0..PUMPS).map(|_| Pump::default()).collect(),
            tokens: 0,
            pushed: 0,
            expired: BTreeSet::new(),
            delivered: BTreeMap::new(),
            mishaps: 0,
        }
    }

    fn now(&self) -> Instant {
        self.began + self.redis.now()
    }

    fn pass(&mut self, time: Duration) {
        let expired = self.redis.advance_to(self.redis.now() + time);
        self.expired.extend(expired.iter().map(|body| number_of(body)));
    }

    /// Takes the list, or takes over a segment, with a new token.
    fn take(&mut self, segment: Option<&Arc<str>>, lease: Duration) -> Option<Grant> {
        self.tokens += 1;
        let token: Arc<str> = self.tokens.to_string().into();
        let new: Arc<str> = format!("segment-{token}").into();
        let offsets = match segment {
            Some(segment) => self.redis.steal(&self.keys, segment, &token, lease)?,
            None => 0..self.redis.seal(&self.keys, &new, &token, lease)?,
        };
        let segment = segment.unwrap_or(&new).clone();
        let partition = Partition::new(&*segment);
        Some(Grant { partition, segment, token, first: offsets.start, end: offsets.end })
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Push(count) => {
                let numbers = self.pushed..self.pushed + u64::from(count);
                let bodies = numbers.map(|number| Bytes::copy_from_slice(&number.to_be_bytes()));
                self.redis.push(&self.keys.list, bodies, Some(TTL));
                self.pushed += u64::from(count);
            }
            Action::Pass(milliseconds) => self.pass(Duration::from_millis(milliseconds.into())),
            Action::Crash(pump) => {
                self.pumps[pump] = Pump::default();
                self.mishaps += 1;
            }
            Action::Poll(pump, heard) => self.poll(pump, heard),
            Action::Read(pump, most) => self.read(pump, most.into()),
            Action::Deliver(pump, most) => self.deliver(pump, most.into()),
            Action::Ack(pump, heard) => self.ack(pump, heard),
        }
    }

    fn poll(&mut self, pump: usize, heard: Heard) {
        let (now, state) = (self.now(), self.redis.state(&self.keys));
        let wish = self.pumps[pump].leases.wish(now, &state, INTERVAL, true, false);
        if matches!(heard, Heard::LostBefore) {
            return;
        }
        self.mishaps += u32::from(matches!(wish, Wish::Steal(_)) || !matches!(heard, Heard::Well));
        let grant = match wish {
            Wish::Nothing => None,
            Wish::Steal(segment) => self.take(Some(&segment), LEASE),
            Wish::Seal => {
                self.pumps[pump].leases.sealed(now);
                self.take(None, LEASE)
            }
            Wish::Shelter => {
                self.take(None, Duration::ZERO);
                None
            }
        };
        // A grant that nobody heard of lies there until its lease has passed.
        if let Some(grant) = grant
            && !matches!(heard, Heard::LostAfter)
        {
            self.pumps[pump].leases.granted(now, grant);
        }
    }

    fn read(&mut self, pump: usize, most: usize) {
        let now = self.now();
        let pump = &mut self.pumps[pump];
        let Some(held) = pump.leases.to_read(now, LEASE) else { return };
        let (segment, partition, offset) = (held.segment.clone(), held.partition.clone(), held.next);
        let bounds = (u64::MAX, (most * size_of::<u64>()) as u64);
        match self.redis.read(&self.keys, &segment, &held.token, offset, bounds) {
            None => {
                let lost = pump.leases.refused(&segment).expect("it was held");
                pump.undelivered.retain(|(partition, _)| *partition != lost);
            }
            Some(Reply { first, records, .. }) => {
                let numbers: Vec<_> = records.chunks(size_of::<u64>()).map(number_of).collect();
                pump.leases.read(&segment, first + numbers.len() as u64, numbers.is_empty());
                let read = (first..).zip(numbers);
                match pump.undelivered.iter_mut().find(|(own, _)| *own == partition) {
                    Some((_, waiting)) => waiting.extend(read),
                    None => pump.undelivered.push((partition, read.collect())),
                }
            }
        }
    }

    /// Delivers and settles some of what waits, of one partition after the other.
    fn deliver(&mut self, pump: usize, most: usize) {
        let pump = &mut self.pumps[pump];
        let index = pump.undelivered.iter().position(|(_, waiting)| !waiting.is_empty());
        let Some((partition, waiting)) = index.map(|index| &mut pump.undelivered[index]) else { return };
        for _ in 0..most {
            let Some((offset, record)) = waiting.pop_front() else { break };
            *self.delivered.entry(record).or_default() += 1;
            assert!(
                pump.leases.settled(partition, offset + 1),
                "what waits belongs to a segment that is held"
            );
        }
    }

    fn ack(&mut self, pump: usize, heard: Heard) {
        let now = self.now();
        let due: Vec<_> = self.pumps[pump]
            .leases
            .held()
            .filter(|held| held.is_due(now, LEASE))
            .map(|held| (held.segment.clone(), held.token.clone(), held.settled))
            .collect();
        for (segment, token, offset) in due {
            if matches!(heard, Heard::LostBefore) {
                continue;
            }
            let ack = Ack { keys: &self.keys, segment: &segment, token: &token, offset, lease: LEASE };
            let (mut answer, gone) = self.redis.ack(&ack);
            for record in gone.iter().map(|body| number_of(body)) {
                assert!(self.delivered.contains_key(&record), "record {record} was removed undelivered");
            }
            match heard {
                Heard::LostAfter => continue,
                Heard::Twice => (answer, _) = self.redis.ack(&ack),
                Heard::Well | Heard::LostBefore => {}
            }
            let pump = &mut self.pumps[pump];
            if let Some(Fate::Lost(lost)) = pump.leases.acked(now, &segment, offset, answer) {
                pump.undelivered.retain(|(partition, _)| *partition != lost);
            }
        }
    }

    /// Lets all pumps work in peace until nothing is left.
    fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            if self.redis.is_empty() {
                return;
            }
            for pump in 0..PUMPS {
                self.poll(pump, Heard::Well);
                self.read(pump, 100);
                self.deliver(pump, 100);
                self.ack(pump, Heard::Well);
            }
            self.pass(INTERVAL);
        }
        panic!("it never comes to rest: {} segments", self.redis.segments(&self.keys).len());
    }

    fn judge(&self) {
        for record in 0..self.pushed {
            let times = self.delivered.get(&record).copied().unwrap_or_default();
            let is_expired = self.expired.contains(&record);
            assert!(times > 0 || is_expired, "record {record} is lost");
            assert!(
                times <= 1 || self.mishaps > 0,
                "record {record} is repeated although nothing went wrong"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever is lost, late, repeated or dead: what leaves Redis was delivered, and in the end all is.
    #[test]
    fn no_record_is_lost_between_redis_and_pumps(actions in prop::collection::vec(action(), 0..120)) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
            for pump in &world.pumps {
                prop_assert!(pump.leases.held().count() <= MAX_HELD);
            }
        }
        world.come_to_rest();
        world.judge();
    }

    /// A pump that looks in time lets nothing expire, however much it has to do already.
    #[test]
    fn nothing_expires_under_a_pump_that_looks(
        pushes in prop::collection::vec((0..20u8, 1..900u16), 1..80),
        reads in any::<bool>(),
    ) {
        let mut world = World::new();
        for (count, pause) in pushes {
            if count > 0 {
                world.act(&Action::Push(count));
            }
            world.act(&Action::Pass(pause));
            world.poll(0, Heard::Well);
            if reads {
                world.read(0, 3);
            }
            world.ack(0, Heard::Well);
        }
        prop_assert_eq!(world.expired.len(), 0);
        world.come_to_rest();
        world.judge();
    }
}

#[test]
fn the_model_notices_a_pump_that_removes_what_it_did_not_deliver() {
    let mut world = World::new();
    world.act(&Action::Push(10));
    world.poll(0, Heard::Well);
    let held = world.pumps[0].leases.held().next().expect("it was sealed");
    let (segment, token) = (held.segment.clone(), held.token.clone());
    let ack = Ack { keys: &world.keys, segment: &segment, token: &token, offset: 5, lease: LEASE };
    let (_, gone) = world.redis.ack(&ack);
    assert!(gone.iter().any(|record| !world.delivered.contains_key(&number_of(record))));
    world.come_to_rest();
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.judge()));
    assert!(judged.is_err());
}

#[test]
fn after_a_pause_longer_than_the_lease_nothing_is_read_before_the_extension() {
    let mut world = World::new();
    world.act(&Action::Push(10));
    world.poll(0, Heard::Well);
    world.read(0, 3);
    world.pass(LEASE * 3);
    assert!(world.pumps[0].leases.to_read(world.now(), LEASE).is_none());
    world.ack(0, Heard::Well);
    assert!(world.pumps[0].leases.to_read(world.now(), LEASE).is_some());
}

#[test]
fn a_stale_answer_to_the_last_ack_means_done_and_not_lost() {
    let mut world = World::new();
    world.act(&Action::Push(4));
    world.poll(0, Heard::Well);
    world.read(0, 10);
    world.deliver(0, 10);
    world.ack(0, Heard::LostAfter);
    world.ack(0, Heard::Well);
    assert_eq!(world.pumps[0].leases.held().count(), 0);
    assert!(world.pumps[0].undelivered.iter().all(|(_, waiting)| waiting.is_empty()));
}

#[test]
fn side_keys_lie_in_the_slot_of_their_list() {
    let keys = ListKeys::new("analytics-tyk-system-analytics", Kind::Transaction, Codec::Msgpack);
    assert_eq!(&*keys.idx, "{analytics-tyk-system-analytics}:pump:idx");
    let tagged = ListKeys::new("analytics-{eu}-x", Kind::Transaction, Codec::Msgpack);
    assert_eq!(&*tagged.idx, "analytics-{eu}-x:pump:idx");
    // An empty tag is none: Redis hashes the whole key.
    assert_eq!(&*ListKeys::new("a{}b", Kind::Transaction, Codec::Msgpack).idx, "{a{}b}:pump:idx");
}

#[test]
fn a_gateway_has_22_lists_and_the_uptime_list() {
    let all = lists("analytics-", None, None);
    assert_eq!(all.len(), 23);
    let count = |kind, codec| all.iter().filter(|keys| (keys.kind, keys.codec) == (kind, codec)).count();
    assert_eq!(count(Kind::Transaction, Codec::Msgpack), 11);
    assert_eq!(count(Kind::Transaction, Codec::Protobuf), 11);
    assert_eq!(count(Kind::Uptime, Codec::Msgpack), 1);
    assert!(all.iter().any(|keys| &*keys.list == "analytics-tyk-system-analytics_9_protobuf"));
    assert!(all.iter().any(|keys| &*keys.list == "host-checker:tyk-uptime-analytics"));
}
