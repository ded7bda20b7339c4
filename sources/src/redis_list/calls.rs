//! What the source asks of Redis: the few calls that it knows. A real server answers them ([`Server`](super::server)),
//! and in simulations a model of one.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{RedisError, RedisResult};

use super::keys::ListKeys;
use super::server::{Looks, Search};

/// The calls. An error without a code means that the way to the server is broken, and a call that changes something
/// may have been done or not; one with a code is the server's no.
#[async_trait]
pub(super) trait Calls: Send + Sync + 'static {
    /// Whether it answers and lets us in.
    async fn ping(&self) -> Result<(), RedisError>;

    /// Looks at all lists in one round trip. Each has its own answer: one that is forbidden or no list
    /// must not hide the others.
    async fn look(&self, looks: &Looks) -> Result<Vec<RedisResult<ListState>>, RedisError>;

    /// The segments of each list that are in its index, in one round trip; an error for a list of which that
    /// cannot be told.
    async fn segments(&self, looks: &Looks) -> Result<Vec<RedisResult<Vec<String>>>, RedisError>;

    /// How many records wait in these lists, also those in segments.
    async fn backlog(&self, lists: &[String]) -> Result<u64, RedisError>;

    /// Takes the whole list; `None` when it is empty, or when the segment's name is taken.
    async fn seal(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Result<Option<u64>, RedisError>;

    /// Takes over a segment whose lease has passed: the offsets of what is left in it. `None` when
    /// somebody else was faster.
    async fn steal(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Result<Option<Range<u64>>, RedisError>;

    /// Reads from an offset on; `None` when the token is stale.
    async fn read(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        offset: u64,
        max_bytes: u64,
    ) -> Result<Option<Reply>, RedisError>;

    /// Removes what is settled and extends leases, many segments in one round trip, each with its own
    /// answer.
    async fn ack(&self, acks: &[Ack<'_>]) -> Result<Vec<RedisResult<Acked>>, RedisError>;

    /// Goes on looking through all keys for segments that are in no index, as a failover can leave them, and
    /// registers them; anybody may take them over then. Returns how many were found in this step.
    async fn register_lost(&self, lists: &[ListKeys], search: &mut Search) -> Result<usize, RedisError>;

    /// Memory and eviction. In a Cluster, of the server that is worst off.
    async fn memory(&self) -> Result<Memory, RedisError>;

    /// Whether Tyk Pump has left its mark.
    async fn has_seen_tyk_pump(&self) -> Result<bool, RedisError>;
}

/// What one list looks like now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListState {
    pub(super) length: u64,
    /// Until the gateway's expiry; `None`: it has none.
    pub(super) ttl: Option<Duration>,
    /// A segment of it whose lease has passed.
    pub(super) due_segment: Option<Arc<str>>,
}

/// Records as they came in one reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// The offset of the first one in its segment.
    pub(super) first: u64,
    /// Their sizes in bytes.
    pub(super) sizes: Vec<u32>,
    /// One after the other.
    pub(super) records: Bytes,
}

/// What to tell Redis of one segment.
#[derive(Debug, Clone)]
pub(super) struct Ack<'a> {
    pub(super) keys: &'a ListKeys,
    pub(super) segment: &'a str,
    pub(super) token: &'a str,
    /// All below is settled.
    pub(super) offset: u64,
    pub(super) lease: Duration,
}

/// What Redis says to an [`Ack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acked {
    /// That many records are left; the lease is extended.
    Left(u64),
    /// Somebody else holds the segment, or it is gone.
    Stale,
}

/// What the server says of itself.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) used: u64,
    /// 0: no limit.
    pub(super) max: u64,
    pub(super) policy: String,
}
