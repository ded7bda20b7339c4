//! The loop of the source: one task that settles, extends, takes over, seals and reads, in that order.
//! What it does about lists is in `poll`, what it tells Redis of segments in `settle`.
//!
//! Reading waits for room in the log; everything else goes on meanwhile, so that leases do not pass and
//! lists do not expire because a sink is slow.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pump_core::config::RedisMode;
use pump_core::plugin::{Permit, Port, SourceError};
use pump_core::record::Partition;
use redis::{RedisError, RedisResult};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::calls::Calls;
use super::chunks::parse;
use super::config::RedisListConfig;
use super::keys::ListKeys;
use super::lease::Leases;
use super::server::{Looks, Search, of_one_list};
use super::settle::Which;
use super::troubles::Troubles;
use super::watch::Watch;

/// The longest wait after a failure of Redis.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// How long a segment is left alone that Redis would not have asked about.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A running source.
pub(super) struct Running {
    pub(super) config: RedisListConfig,
    pub(super) server: Box<dyn Calls>,
    pub(super) port: Port,
    pub(super) lists: Vec<(ListKeys, Leases)>,
    pub(super) looks: Looks,
    pub(super) watch: Watch,
    pub(super) troubles: Troubles,
    pub(super) may_seal: bool,
    pub(super) poll_at: Instant,
    pub(super) survey_at: Instant,
    pub(super) begin_at: Instant,
    /// Where the search for segments that are in no index goes on; `None`: it is over.
    pub(super) search: Option<Search>,
    /// Where the search for something to read begins, so that no list starves another.
    pub(super) turn: usize,
    /// Seals whose answers were lost. They may have happened.
    pub(super) unsure: Vec<Unsure>,
    failures: u32,
    /// In [`Mode::Drain`](pump_core::plugin::Mode::Drain): the segments that there were at the start and
    /// that are not gone yet; `None` until that is known.
    pub(super) to_drain: Option<HashSet<String>>,
}

/// A seal whose answer was lost.
#[derive(Debug, Clone)]
pub(super) struct Unsure {
    /// The number of the list.
    pub(super) list: usize,
    pub(super) segment: Arc<str>,
    pub(super) token: Arc<str>,
}

/// Why a round did not get to its end.
pub(super) enum Trouble {
    Redis(RedisError),
    Fatal(SourceError),
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Running {
    pub(super) fn new(
        config: RedisListConfig,
        server: Box<dyn Calls>,
        lists: Vec<ListKeys>,
        port: Port,
    ) -> Self {
        let now = Instant::now();
        let looks = Looks::new(&lists);
        Self {
            config,
            server,
            port,
            looks,
            lists: lists.into_iter().map(|keys| (keys, Leases::default())).collect(),
            watch: Watch::default(),
            troubles: Troubles::default(),
            may_seal: true,
            poll_at: now,
            survey_at: now,
            begin_at: now,
            search: None,
            turn: 0,
            unsure: Vec::new(),
            failures: 0,
            to_drain: None,
        }
    }

    /// Runs to the end, as [`Source::run`](pump_core::plugin::Source::run) says.
    pub(super) async fn run(mut self) -> Result<(), SourceError> {
        let mut stopping = Box::pin(self.port.stopping());
        let mut room: Option<Boxed<Permit>> = None;
        let mut permit = None;
        let mut quiet_until = Instant::now();
        // What was read is handed over beside everything else: dead letters in it may have to wait for
        // their store, and leases and lists must not.
        let mut handing: Option<Boxed<()>> = None;
        loop {
            if Instant::now() >= quiet_until {
                match self.round(&mut permit, &mut handing).await {
                    Ok(()) if self.is_drained() => return Ok(()),
                    Ok(()) => {}
                    Err(Trouble::Fatal(error)) => return Err(error),
                    Err(Trouble::Redis(error)) => quiet_until = Instant::now() + self.backoff(&error),
                }
            }
            let is_quiet = Instant::now() < quiet_until;
            let wants_room = !is_quiet && handing.is_none() && self.to_read(Instant::now()).is_some();
            if !wants_room {
                // Whoever reads nothing now holds no room that another source could use.
                (room, permit) = (None, None);
            } else if permit.is_none() && room.is_none() {
                room = Some(Box::pin(self.port.reserve(self.reply_size())));
            }
            let wake_at = if permit.is_some() && wants_room { Instant::now() } else { self.wake_at() };
            tokio::select! {
                biased;
                () = &mut stopping => break,
                safe = self.port.settled() => match safe {
                    Some((partition, position)) => self.settled(&partition, position),
                    None => break,
                },
                got = poll_if(&mut room) => (room, permit) = (None, Some(got)),
                () = poll_if(&mut handing) => handing = None,
                () = sleep_until(wake_at.max(quiet_until)) => {}
            }
        }
        // What is not in the log yet is not settled either: it comes again.
        drop((room, permit, handing));
        self.end().await;
        Ok(())
    }

    /// Everything that is due, once. Only a broken way to the server ends it; what the server says no to is a
    /// trouble, and the rest goes on.
    async fn round(
        &mut self,
        permit: &mut Option<Permit>,
        handing: &mut Option<Boxed<()>>,
    ) -> Result<(), Trouble> {
        while let Some((partition, position)) = self.port.try_settled() {
            self.settled(&partition, position);
        }
        self.ack(Which::Due).await?;
        if Instant::now() >= self.poll_at {
            self.poll().await?;
        }
        // Room is used for one reply and then given back, so that sources take turns.
        if handing.is_none()
            && self.to_read(Instant::now()).is_some()
            && let Some(permit) = permit.take()
        {
            *handing = self.read(permit).await?;
        }
        if self.failures > 0 {
            info!(source = &**self.port.name(), "redis answers again");
            self.failures = 0;
            self.troubles.report_again();
        }
        Ok(())
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.config.mode == RedisMode::Cluster
    }

    /// Sets apart what concerns one list from what concerns all. In a Cluster the way to one server is not the
    /// way to the others.
    pub(super) fn of_one_list<T>(&self, answer: RedisResult<T>) -> RedisResult<RedisResult<T>> {
        if self.is_cluster() { Ok(answer) } else { of_one_list(answer) }
    }

    pub(super) fn settled(&mut self, partition: &Partition, position: u64) {
        let _ = self.lists.iter_mut().any(|(_, leases)| leases.settled(partition, position));
    }

    /// Something is wrong with one list; the others go on.
    pub(super) fn trouble_with(&mut self, list: usize, error: &RedisError) {
        self.troubles.add(Instant::now(), self.lists[list].0.list.clone(), error.to_string());
    }

    /// Redis would not have it asked about this segment: not again at once.
    pub(super) fn segment_failed(&mut self, list: usize, segment: &str, error: &RedisError) {
        self.lists[list].1.failed(segment, Instant::now() + AGAIN_AFTER);
        self.trouble_with(list, error);
    }

    fn reply_size(&self) -> usize {
        self.config.max_reply.bytes() as usize
    }

    /// The list with the next segment to read from.
    fn to_read(&self, now: Instant) -> Option<usize> {
        let count = self.lists.len();
        (0..count)
            .map(|step| (self.turn + step) % count)
            .find(|list| self.lists[*list].1.to_read(now, self.config.lease.get()).is_some())
    }

    pub(super) fn wake_at(&self) -> Instant {
        let extend_at = self.lists.iter().filter_map(|(_, leases)| leases.extend_at(self.config.lease.get()));
        extend_at.chain([self.poll_at]).min().expect("there is at least the next poll")
    }

    pub(super) fn backoff(&mut self, error: &RedisError) -> Duration {
        if self.failures == 0 {
            warn!(source = &**self.port.name(), error = %error, "redis failed, will be asked again");
        }
        self.port.account().trouble(Some(&format!("redis: {error}")));
        self.troubles.report_again();
        let wait = Duration::from_millis(100) * 2u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        wait.min(MAX_BACKOFF)
    }

    /// Reads one reply; what it returns hands it to the log.
    async fn read(&mut self, mut permit: Permit) -> Result<Option<Boxed<()>>, RedisError> {
        let now = Instant::now();
        let Some(list) = self.to_read(now) else { return Ok(None) };
        let (keys, leases) = &self.lists[list];
        let Some(held) = leases.to_read(now, self.config.lease.get()) else { return Ok(None) };
        let (segment, partition) = (held.segment.clone(), held.partition.clone());
        let max_reply = self.config.max_reply.bytes();
        let answer = self.server.read(keys, &segment, &held.token, held.next, max_reply).await;
        let reply = match self.of_one_list(answer)? {
            Ok(reply) => reply,
            Err(error) => {
                self.segment_failed(list, &segment, &error);
                self.turn += 1;
                return Ok(None);
            }
        };
        let (keys, leases) = &mut self.lists[list];
        match reply {
            None => {
                let partition = leases.refused(&segment);
                self.lost(partition, &segment);
                Ok(None)
            }
            Some(reply) => {
                let next = reply.first + reply.sizes.len() as u64;
                leases.read(&segment, next, reply.sizes.is_empty());
                if !leases.has_unread() {
                    // There may be more to take: no need to wait for the next turn of the clock.
                    self.poll_at = Instant::now();
                    self.turn = list + 1;
                }
                let parsed = parse(&self.port, keys, &partition, reply);
                Ok(parsed.map(|parsed| {
                    let handing = async move { permit.append(parsed).await };
                    Box::pin(handing) as Boxed<()>
                }))
            }
        }
    }
}

/// Polls a future that may not be there; then it is pending.
async fn poll_if<T>(future: &mut Option<Boxed<T>>) -> T {
    poll_fn(|context| match future {
        Some(future) => future.as_mut().poll(context),
        None => std::task::Poll::Pending,
    })
    .await
}
