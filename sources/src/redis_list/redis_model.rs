//! A Redis in memory, as far as the source uses one: what each script does, in one step. A proof beside those of the
//! scripts holds it equal to them, call by call.
//!
//! It is what tests of leases and the simulation run against. A copy of it is what a replica has that is behind.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pump_core::bugs::{self, Bug};

use super::calls::{Ack, Acked, ListState, Reply};
use super::keys::ListKeys;

/// All lists with their segments, and the time.
#[derive(Debug, Clone, Default)]
pub(super) struct RedisModel {
    now: Duration,
    /// By the names of gateways' lists.
    lists: BTreeMap<Arc<str>, List>,
}

#[derive(Debug, Clone, Default)]
struct List {
    records: Vec<Bytes>,
    expires: Option<Duration>,
    segments: BTreeMap<Arc<str>, Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    records: VecDeque<Bytes>,
    base: u64,
    token: Arc<str>,
    deadline: Duration,
}

impl RedisModel {
    /// The time, since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// It is so late now. Returns what gateways' expiry has removed.
    pub(super) fn advance_to(&mut self, now: Duration) -> Vec<Bytes> {
        self.now = self.now.max(now);
        let mut expired = Vec::new();
        for list in self.lists.values_mut() {
            if list.expires.is_some_and(|at| at <= self.now) {
                expired.append(&mut list.records);
                list.expires = None;
            }
        }
        expired
    }

    /// What a gateway does: it appends, and gives a list that has none a time to live.
    pub(super) fn push(
        &mut self,
        list: &str,
        records: impl IntoIterator<Item = Bytes>,
        ttl: Option<Duration>,
    ) {
        let at = ttl.map(|ttl| self.now + ttl);
        let list = self.lists.entry(list.into()).or_default();
        list.records.extend(records);
        list.expires = list.expires.or(at);
    }

    /// All records that are in it.
    pub(super) fn records(&self) -> impl Iterator<Item = &Bytes> {
        self.lists.values().flat_map(|list| {
            list.records.iter().chain(list.segments.values().flat_map(|segment| &segment.records))
        })
    }

    /// What is left in a segment.
    pub(super) fn records_of(&self, keys: &ListKeys, segment: &str) -> impl Iterator<Item = &Bytes> {
        let segment = self.lists.get(&keys.list).and_then(|list| list.segments.get(segment));
        segment.into_iter().flat_map(|segment| &segment.records)
    }

    /// All records that are in no segment yet.
    pub(super) fn in_lists(&self) -> impl Iterator<Item = &Bytes> {
        self.lists.values().flat_map(|list| &list.records)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.lists.values().all(|list| list.records.is_empty() && list.segments.is_empty())
    }

    /// The names of a list's segments, those whose leases end first before the others.
    pub(super) fn segments(&self, keys: &ListKeys) -> Vec<String> {
        let Some(list) = self.lists.get(&keys.list) else { return Vec::new() };
        let mut all: Vec<_> = list.segments.iter().map(|(name, segment)| (segment.deadline, name)).collect();
        all.sort();
        all.into_iter().map(|(_, name)| name.to_string()).collect()
    }

    /// How many records a list or a segment has.
    pub(super) fn length(&self, name: &str) -> u64 {
        let length = |list: &List| list.segments.get(name).map(|segment| segment.records.len());
        let of_segment = || self.lists.values().find_map(length);
        self.lists.get(name).map(|list| list.records.len()).or_else(of_segment).unwrap_or_default() as u64
    }

    pub(super) fn state(&self, keys: &ListKeys) -> ListState {
        let Some(list) = self.lists.get(&keys.list) else {
            return ListState { length: 0, ttl: None, due_segment: None };
        };
        let oldest = list.segments.iter().min_by_key(|(name, segment)| (segment.deadline, *name));
        ListState {
            length: list.records.len() as u64,
            ttl: list.expires.map(|at| at - self.now),
            due_segment: oldest
                .filter(|(_, segment)| segment.deadline <= self.now)
                .map(|(name, _)| name.clone()),
        }
    }

    pub(super) fn seal(
        &mut self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Option<u64> {
        let deadline = self.now + lease;
        let list = self.lists.get_mut(&keys.list)?;
        if let Some(there) = list.segments.get(segment) {
            return (&*there.token == token).then_some(there.records.len() as u64);
        }
        if list.records.is_empty() {
            return None;
        }
        let records: VecDeque<_> = std::mem::take(&mut list.records).into();
        list.expires = None;
        let length = records.len() as u64;
        list.segments.insert(segment.into(), Segment { records, base: 0, token: token.into(), deadline });
        Some(length)
    }

    pub(super) fn steal(
        &mut self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Option<Range<u64>> {
        let now = self.now;
        let there = self.lists.get_mut(&keys.list)?.segments.get_mut(segment)?;
        if there.deadline > now && &*there.token != token {
            return None;
        }
        there.deadline = now + lease;
        there.token = token.into();
        Some(there.base..there.base + there.records.len() as u64)
    }

    /// `max_bytes` and `max_records` bound the reply as in the script.
    pub(super) fn read(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        offset: u64,
        (max_records, max_bytes): (u64, u64),
    ) -> Option<Reply> {
        let there = self.lists.get(&keys.list)?.segments.get(segment)?;
        if &*there.token != token {
            return None;
        }
        let first = offset.max(there.base);
        let mut rest = there.records.iter().skip((first - there.base) as usize);
        let (mut sizes, mut records) = (Vec::new(), Vec::new());
        let mut room = i64::try_from(max_bytes).unwrap_or(i64::MAX);
        let mut largest = room.max(1);
        // As the script has it, in slices: what a reply holds at its very edge depends on them.
        'all: while (sizes.len() as u64) < max_records {
            let most = max_records - sizes.len() as u64;
            let want = (room / largest).min(most as i64).clamp(1, 64) as usize;
            let slice: Vec<_> = rest.by_ref().take(want).collect();
            for record in &slice {
                let size = record.len() as i64;
                if size > room && !sizes.is_empty() {
                    break 'all;
                }
                room -= size;
                sizes.push(size as u32);
                records.extend_from_slice(record);
                if sizes.len() == 1 || size > largest {
                    largest = size.max(1);
                }
            }
            if slice.len() < want || room <= 0 {
                break;
            }
        }
        Some(Reply { first, sizes, records: records.into() })
    }

    /// Returns the answer and the records that went.
    pub(super) fn ack(&mut self, ack: &Ack<'_>) -> (Acked, Vec<Bytes>) {
        let now = self.now;
        let Some(list) = self.lists.get_mut(&ack.keys.list) else { return (Acked::Stale, Vec::new()) };
        let Some(there) = list.segments.get_mut(ack.segment).filter(|there| &*there.token == ack.token)
        else {
            return (Acked::Stale, Vec::new());
        };
        let settled =
            if bugs::is(Bug::RelativeTrim) { ack.offset } else { ack.offset.saturating_sub(there.base) };
        let count = (settled as usize).min(there.records.len());
        let gone = there.records.drain(..count).collect();
        there.base += count as u64;
        there.deadline = now + ack.lease;
        let left = there.records.len() as u64;
        if left == 0 {
            list.segments.remove(ack.segment);
        }
        (Acked::Left(left), gone)
    }
}
