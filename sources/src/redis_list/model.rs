//! The state of leases against a model of Redis, with everything that can go wrong between them; and
//! what a real Redis says through the typed calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use pump_core::record::{Codec, Kind, Partition};
use tokio::time::Instant;

use super::keys::{ListKeys, lists};
use super::lease::{Fate, Grant, Leases, MAX_HELD, Wish};
use super::server::{Acked, ListState};

const LEASE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(200);
const PUMPS: usize = 3;
/// What the gateway gives its list.
const TTL: Duration = Duration::from_secs(4);

/// One list and its segments, as the scripts treat them.
struct Redis {
    now: Instant,
    list: Vec<u64>,
    expires: Option<Instant>,
    segments: BTreeMap<Arc<str>, Segment>,
    tokens: u64,
    expired: BTreeSet<u64>,
}

struct Segment {
    records: VecDeque<u64>,
    base: u64,
    token: Arc<str>,
    deadline: Instant,
}

impl Redis {
    fn new(now: Instant) -> Self {
        Self {
            now,
            list: Vec::new(),
            expires: None,
            segments: BTreeMap::new(),
            tokens: 0,
            expired: BTreeSet::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.expires.is_some_and(|at| at <= self.now) {
            self.expired.extend(self.list.drain(..));
            self.expires = None;
        }
        if !self.list.is_empty() {
            self.expires.get_or_insert(self.now + TTL);
        }
    }

    fn state(&self) -> ListState {
        ListState {
            length: self.list.len() as u64,
            ttl: self.expires.map(|at| at - self.now),
            due_segment: self.due().cloned(),
        }
    }

    fn due(&self) -> Option<&Arc<str>> {
        self.segments.iter().find(|(_, segment)| segment.deadline <= self.now).map(|(name, _)| name)
    }

    fn token(&mut self) -> Arc<str> {
        self.tokens += 1;
        self.tokens.to_string().into()
    }

    fn seal(&mut self, lease: Duration) -> Option<Grant> {
        if self.list.is_empty() {
            return None;
        }
        let token = self.token();
        let name: Arc<str> = format!("segment-{token}").into();
        let records: VecDeque<_> = self.list.drain(..).collect();
        self.expires = None;
        let end = records.len() as u64;
        let segment = Segment { records, base: 0, token: token.clone(), deadline: self.now + lease };
        self.segments.insert(name.clone(), segment);
        Some(Grant { partition: Partition::new(&*name), segment: name, token, first: 0, end })
    }

    fn steal(&mut self, name: &Arc<str>, lease: Duration) -> Option<Grant> {
        let (now, token) = (self.now, self.token());
        let segment = self.segments.get_mut(name).filter(|segment| segment.deadline <= now)?;
        segment.token = token.clone();
        segment.deadline = now + lease;
        let (first, end) = (segment.base, segment.base + segment.records.len() as u64);
        Some(Grant { partition: Partition::new(&**name), segment: name.clone(), token, first, end })
    }

    fn read(&self, name: &str, token: &str, offset: u64, most: usize) -> Option<(u64, Vec<u64>)> {
        let segment = self.segments.get(name).filter(|segment| &*segment.token == token)?;
        let first = offset.max(segment.base);
        let skip = (first - segment.base) as usize;
        Some((first, segment.records.iter().copied().skip(skip).take(most).collect()))
    }

    /// Returns the answer and the records that went.
    fn ack(&mut self, name: &str, token: &str, offset: u64, lease: Duration) -> (Acked, Vec<u64>) {
        let now = self.now;
        let Some(segment) = self.segments.get_mut(name).filter(|segment| &*segment.token == token) else {
            return (Acked::Stale, Vec::new());
        };
        let count = (offset.saturating_sub(segment.base) as usize).min(segment.records.len());
        let gone = segment.records.drain(..count).collect();
        segment.base += count as u64;
        segment.deadline = now + lease;
        let left = segment.records.len() as u64;
        if left == 0 {
            self.segments.remove(name);
        }
        (Acked::Left(left), gone)
    }
}

/// One pump: its leases, and what it has read and not delivered.
#[derive(Default)]
struct Pump {
    leases: Leases,
    /// Per partition, in order: the offset and the record.
    undelivered: Vec<(Partition, VecDeque<(u64, u64)>)>,
}

#[derive(Debug, Clone, Copy)]
enum Reply {
    Heard,
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
    Poll(usize, Reply),
    Read(usize, u8),
    Deliver(usize, u8),
    Ack(usize, Reply),
    Crash(usize),
    Pass(u16),
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![4 => Just(Reply::Heard), 1 => Just(Reply::LostBefore), 1 => Just(Reply::LostAfter), 1 => Just(Reply::Twice)]
}

fn action() -> impl Strategy<Value = Action> {
    let pump = 0..PUMPS;
    prop_oneof![
        3 => (1..20u8).prop_map(Action::Push),
        4 => (pump.clone(), reply()).prop_map(|(pump, reply)| Action::Poll(pump, reply)),
        4 => (pump.clone(), 1..30u8).prop_map(|(pump, most)| Action::Read(pump, most)),
        4 => (pump.clone(), 1..30u8).prop_map(|(pump, most)| Action::Deliver(pump, most)),
        4 => (pump.clone(), reply()).prop_map(|(pump, reply)| Action::Ack(pump, reply)),
        1 => pump.prop_map(Action::Crash),
        2 => prop_oneof![1..400u16, 1_000..20_000u16].prop_map(Action::Pass),
    ]
}

/// The whole world, with what has been delivered by whom how often.
struct World {
    redis: Redis,
    pumps: Vec<Pump>,
    pushed: u64,
    delivered: BTreeMap<u64, u32>,
    /// Crashes, take-overs and lost answers: what may cause repeats.
    mishaps: u32,
}

impl World {
    fn new() -> Self {
        Self {
            redis: Redis::new(Instant::now()),
            pumps: (0..PUMPS).map(|_| Pump::default()).collect(),
            pushed: 0,
            delivered: BTreeMap::new(),
            mishaps: 0,
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Push(count) => {
                self.redis.list.extend(self.pushed..self.pushed + u64::from(count));
                self.pushed += u64::from(count);
                self.redis.expires.get_or_insert(self.redis.now + TTL);
            }
            Action::Pass(milliseconds) => self.redis.pass(Duration::from_millis(milliseconds.into())),
            Action::Crash(pump) => {
                self.pumps[pump] = Pump::default();
                self.mishaps += 1;
            }
            Action::Poll(pump, reply) => self.poll(pump, reply),
            Action::Read(pump, most) => self.read(pump, most.into()),
            Action::Deliver(pump, most) => self.deliver(pump, most.into()),
            Action::Ack(pump, reply) => self.ack(pump, reply),
        }
    }

    fn poll(&mut self, pump: usize, reply: Reply) {
        let (now, state) = (self.redis.now, self.redis.state());
        let wish = self.pumps[pump].leases.wish(now, &state, INTERVAL, true, false);
        if matches!(reply, Reply::LostBefore) {
            return;
        }
        self.mishaps += u32::from(matches!(wish, Wish::Steal(_)) || !matches!(reply, Reply::Heard));
        let grant = match wish {
            Wish::Nothing => None,
            Wish::Steal(segment) => self.redis.steal(&segment, LEASE),
            Wish::Seal => {
                self.pumps[pump].leases.sealed(now);
                self.redis.seal(LEASE)
            }
            Wish::Shelter => {
                self.redis.seal(Duration::ZERO);
                None
            }
        };
        // A grant that nobody heard of lies there until its lease has passed.
        if let Some(grant) = grant
            && !matches!(reply, Reply::LostAfter)
        {
            self.pumps[pump].leases.granted(now, grant);
        }
    }

    fn read(&mut self, pump: usize, most: usize) {
        let pump = &mut self.pumps[pump];
        let Some(held) = pump.leases.to_read(self.redis.now, LEASE) else { return };
        let (segment, partition, offset) = (held.segment.clone(), held.partition.clone(), held.next);
        match self.redis.read(&segment, &held.token, offset, most) {
            None => {
                let lost = pump.leases.refused(&segment).expect("it was held");
                pump.undelivered.retain(|(partition, _)| *partition != lost);
            }
            Some((first, records)) => {
                pump.leases.read(&segment, first + records.len() as u64, records.is_empty());
                let read = (first..).zip(records);
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

    fn ack(&mut self, pump: usize, reply: Reply) {
        let now = self.redis.now;
        let due: Vec<_> = self.pumps[pump]
            .leases
            .held()
            .filter(|held| held.is_due(now, LEASE))
            .map(|held| (held.segment.clone(), held.token.clone(), held.settled))
            .collect();
        for (segment, token, offset) in due {
            if matches!(reply, Reply::LostBefore) {
                continue;
            }
            let (mut answer, gone) = self.redis.ack(&segment, &token, offset, LEASE);
            for record in gone {
                assert!(self.delivered.contains_key(&record), "record {record} was removed undelivered");
            }
            match reply {
                Reply::LostAfter => continue,
                Reply::Twice => (answer, _) = self.redis.ack(&segment, &token, offset, LEASE),
                Reply::Heard | Reply::LostBefore => {}
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
            if self.redis.list.is_empty() && self.redis.segments.is_empty() {
                return;
            }
            for pump in 0..PUMPS {
                self.poll(pump, Reply::Heard);
                self.read(pump, 100);
                self.deliver(pump, 100);
                self.ack(pump, Reply::Heard);
            }
            self.redis.pass(INTERVAL);
        }
        panic!("it never comes to rest: {} segments", self.redis.segments.len());
    }

    fn judge(&self) {
        for record in 0..self.pushed {
            let times = self.delivered.get(&record).copied().unwrap_or_default();
            let is_expired = self.redis.expired.contains(&record);
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
            world.poll(0, Reply::Heard);
            if reads {
                world.read(0, 3);
            }
            world.ack(0, Reply::Heard);
        }
        prop_assert_eq!(world.redis.expired.len(), 0);
        world.come_to_rest();
        world.judge();
    }
}

#[test]
fn the_model_notices_a_pump_that_removes_what_it_did_not_deliver() {
    let mut world = World::new();
    world.act(&Action::Push(10));
    world.poll(0, Reply::Heard);
    let held = world.pumps[0].leases.held().next().expect("it was sealed");
    let (segment, token) = (held.segment.clone(), held.token.clone());
    let (_, gone) = world.redis.ack(&segment, &token, 5, LEASE);
    assert!(gone.iter().any(|record| !world.delivered.contains_key(record)));
    world.come_to_rest();
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.judge()));
    assert!(judged.is_err());
}

#[test]
fn after_a_pause_longer_than_the_lease_nothing_is_read_before_the_extension() {
    let mut world = World::new();
    world.act(&Action::Push(10));
    world.poll(0, Reply::Heard);
    world.read(0, 3);
    world.redis.pass(LEASE * 3);
    assert!(world.pumps[0].leases.to_read(world.redis.now, LEASE).is_none());
    world.ack(0, Reply::Heard);
    assert!(world.pumps[0].leases.to_read(world.redis.now, LEASE).is_some());
}

#[test]
fn a_stale_answer_to_the_last_ack_means_done_and_not_lost() {
    let mut world = World::new();
    world.act(&Action::Push(4));
    world.poll(0, Reply::Heard);
    world.read(0, 10);
    world.deliver(0, 10);
    world.ack(0, Reply::LostAfter);
    world.ack(0, Reply::Heard);
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
