//! Which segments this pump holds, what is read and settled of each, and what is to be done next.
//!
//! A segment belongs to whoever holds its current token, and Redis is the judge: nothing here decides
//! by the local clock that a lease is lost, since another pump takes a segment over only when Redis
//! gives it a new token. The local clock only says when to extend. After a pause longer than the lease
//! the extension comes before any further read, and tells whether the segment is still ours.
//!
//! No I/O and no clock of its own: methods take the time and what happened, and say what to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pump_core::record::Partition;
use tokio::time::Instant;

use super::calls::{Acked, ListState};

/// How many segments of one list are held at once. Each is extended at a third of the lease, so this
/// bounds what holding costs.
pub(super) const MAX_HELD: usize = 64;

/// A list of so many records is taken at once.
const MANY: u64 = 1_000;

/// A segment that this pump holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) segment: Arc<str>,
    pub(super) token: Arc<str>,
    pub(super) partition: Partition,
    /// The offset to read next.
    pub(super) next: u64,
    /// The offset after the last record: a sealed segment never grows.
    pub(super) end: u64,
    /// All below is safe.
    pub(super) settled: u64,
    /// What Redis has heard of that.
    acked: u64,
    /// When the lease was last granted, at the latest.
    extended: Instant,
    /// Redis would not hear of it: not to be asked again before.
    not_before: Option<Instant>,
}

impl Held {
    /// Whether Redis must hear of it now: something was settled, or the lease is a third over.
    pub(super) fn is_due(&self, now: Instant, lease: Duration) -> bool {
        let has_news = self.settled > self.acked || now >= self.extended + lease / 3;
        has_news && self.not_before.is_none_or(|at| now >= at)
    }
}

/// What was granted by a seal or a take-over.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) segment: Arc<str>,
    pub(super) token: Arc<str>,
    pub(super) partition: Partition,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// What to do about a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// Take over this segment, which nobody holds any more.
    Steal(Arc<str>),
    /// Take the list as a segment of our own.
    Seal,
    /// Take the list out of reach of the gateway's TTL, for anybody: we have enough to do.
    Shelter,
}

/// What an answer to an ack means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is ours, with records left.
    Kept,
    /// All its records are settled and gone.
    Emptied,
    /// Somebody else has it: what of it is not delivered is theirs to deliver.
    Lost(Partition),
}

/// The segments held of one list, in the order in which they were granted.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: VecDeque<Held>,
    /// The longest TTL seen on the list: about what the gateway sets.
    longest_ttl: Duration,
    sealed_at: Option<Instant>,
}

impl Leases {
    /// What to do about a list that looks like this now. Records gather for `interval` before they are
    /// taken, unless there are many; nothing is taken while other lists keep us busy.
    pub(super) fn wish(
        &mut self,
        now: Instant,
        state: &ListState,
        interval: Duration,
        may_seal: bool,
        is_busy: bool,
    ) -> Wish {
        if let Some(ttl) = state.ttl {
            self.longest_ttl = self.longest_ttl.max(ttl);
        }
        let has_enough = is_busy || self.has_unread() || self.held.len() >= MAX_HELD;
        let is_ripe = state.length >= MANY
            || self.sealed_at.is_none_or(|sealed| now.saturating_duration_since(sealed) >= interval);
        // A quarter of the TTL has passed: whatever else there is to do, the list must not expire.
        let is_threatened = state.ttl.is_some_and(|ttl| ttl * 4 < self.longest_ttl * 3);
        // Our own lease may have passed while we slept: then it is extended, not taken over.
        let is_ours = |segment: &Arc<str>| self.held.iter().any(|held| &held.segment == segment);
        let due = state.due_segment.as_ref().filter(|segment| !is_ours(segment));
        match (state.length, due) {
            (_, Some(segment)) if !has_enough => Wish::Steal(segment.clone()),
            (0, _) => Wish::Nothing,
            _ if !may_seal => Wish::Nothing,
            _ if !has_enough && (is_ripe || is_threatened) => Wish::Seal,
            _ if is_threatened => Wish::Shelter,
            _ => Wish::Nothing,
        }
    }

    /// The list was taken at this moment.
    pub(super) fn sealed(&mut self, now: Instant) {
        self.sealed_at = Some(now);
    }

    /// Whether a segment that is held was not read to its end.
    pub(super) fn has_unread(&self) -> bool {
        self.held.iter().any(|held| held.next < held.end)
    }

    /// A segment is ours since `at`, the moment before Redis was asked.
    pub(super) fn granted(&mut self, at: Instant, grant: Grant) {
        let Grant { segment, token, partition, first, end } = grant;
        let held = Held {
            segment,
            token,
            partition,
            next: first,
            end,
            settled: first,
            acked: first,
            extended: at,
            not_before: None,
        };
        self.held.push_back(held);
    }

    /// The segment to read from: the oldest that has something to read and whose lease is fresh.
    pub(super) fn to_read(&self, now: Instant, lease: Duration) -> Option<&Held> {
        let may_ask = |held: &&Held| held.not_before.is_none_or(|at| now >= at);
        let is_fresh = |held: &&Held| now.saturating_duration_since(held.extended) < lease;
        self.held.iter().filter(may_ask).filter(is_fresh).find(|held| held.next < held.end)
    }

    /// Records up to `next` were read. Nothing more than that is there if `is_end`, whatever the
    /// segment's length was said to be.
    pub(super) fn read(&mut self, segment: &str, next: u64, is_end: bool) {
        if let Some(held) = self.find(segment) {
            held.next = held.next.max(next);
            if is_end {
                held.end = held.next;
            }
        }
    }

    /// All positions of the partition below this are safe. Whether the partition is one of ours.
    pub(super) fn settled(&mut self, partition: &Partition, position: u64) -> bool {
        match self.held.iter_mut().find(|held| &held.partition == partition) {
            Some(held) => {
                held.settled = held.settled.max(position);
                true
            }
            None => false,
        }
    }

    /// When the next lease is a third over.
    pub(super) fn extend_at(&self, lease: Duration) -> Option<Instant> {
        let at = |held: &Held| (held.extended + lease / 3).max(held.not_before.unwrap_or(held.extended));
        self.held.iter().map(at).min()
    }

    /// Redis was asked at `at` to settle up to `offset`, and has answered.
    pub(super) fn acked(&mut self, at: Instant, segment: &str, offset: u64, answer: Acked) -> Option<Fate> {
        let held = self.find(segment)?;
        held.not_before = None;
        let is_all = offset == held.end;
        match answer {
            Acked::Left(left) if left > 0 => {
                held.acked = held.acked.max(offset);
                held.extended = held.extended.max(at);
                Some(Fate::Kept)
            }
            // When everything was settled, a stale token means that an ack before this one emptied the
            // segment and its answer was lost.
            Acked::Stale if !is_all => Some(Fate::Lost(self.remove(segment)?.partition)),
            Acked::Left(_) | Acked::Stale => {
                self.remove(segment);
                Some(Fate::Emptied)
            }
        }
    }

    /// Redis would not have it asked about this segment, though it answers otherwise.
    pub(super) fn failed(&mut self, segment: &str, again_at: Instant) {
        if let Some(held) = self.find(segment) {
            held.not_before = Some(again_at);
        }
    }

    /// A read was refused: the token is stale.
    pub(super) fn refused(&mut self, segment: &str) -> Option<Partition> {
        self.remove(segment).map(|held| held.partition)
    }

    /// All that is held.
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    fn find(&mut self, segment: &str) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| &*held.segment == segment)
    }

    fn remove(&mut self, segment: &str) -> Option<Held> {
        let index = self.held.iter().position(|held| &*held.segment == segment)?;
        self.held.remove(index)
    }
}
