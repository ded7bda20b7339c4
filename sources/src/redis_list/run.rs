//! The loop of the source: one task that settles, extends, takes over, seals and reads, in that order.
//!
//! Reading waits for room in the log; everything else goes on meanwhile, so that leases do not pass and
//! lists do not expire because a sink is slow.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pump_core::plugin::{Mode, Permit, Port, SourceError};
use pump_core::record::Partition;
use redis::RedisError;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use super::chunks::parse;
use super::config::RedisListConfig;
use super::keys::ListKeys;
use super::lease::{Fate, Grant, Leases, Wish};
use super::server::{Ack, Acked, Looks, Server};
use super::watch::Watch;

/// How often lists are looked at, however seldom they are sealed: their TTL must not be missed.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often the backlog and the server's memory are looked at.
const SURVEY_INTERVAL: Duration = Duration::from_secs(1);
/// How often segments are looked for that are in no index.
const REGISTER_INTERVAL: Duration = Duration::from_secs(3_600);
/// The longest wait after a failure of Redis.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Segments in one round trip.
const MAX_ACKS: usize = 256;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A running source.
pub(super) struct Running {
    config: RedisListConfig,
    server: Server,
    port: Port,
    lists: Vec<(ListKeys, Leases)>,
    looks: Looks,
    watch: Watch,
    may_seal: bool,
    poll_at: Instant,
    survey_at: Instant,
    register_at: Instant,
    /// Where the search for something to read begins, so that no list starves another.
    turn: usize,
    /// Seals whose answers were lost: list, segment, token. They may have happened.
    unsure: Vec<(usize, Arc<str>, Arc<str>)>,
    failures: u32,
    /// A key that is no list, though it has the name of one.
    wrong: Option<Arc<str>>,
    /// In [`Mode::Drain`]: the segments that there were at the start and that are not gone yet; `None`
    /// until that is known.
    to_drain: Option<HashSet<String>>,
}

/// Which segments Redis hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those of which something was settled, and those whose lease is a third over.
    Due,
    /// All, with a lease of nothing: the next pump need not wait for the end of ours.
    All,
}

/// Why a round did not get to its end.
enum Trouble {
    Redis(RedisError),
    Fatal(SourceError),
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Running {
    pub(super) fn new(config: RedisListConfig, server: Server, lists: Vec<ListKeys>, port: Port) -> Self {
        let now = Instant::now();
        let looks = Looks::new(&lists);
        Self {
            config,
            server,
            port,
            looks,
            lists: lists.into_iter().map(|keys| (keys, Leases::default())).collect(),
            watch: Watch::default(),
            may_seal: true,
            poll_at: now,
            survey_at: now,
            register_at: now,
            turn: 0,
            unsure: Vec::new(),
            failures: 0,
            wrong: None,
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
            let wants_room = handing.is_none() && self.to_read(Instant::now()).is_some();
            if wants_room && permit.is_none() && room.is_none() {
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

    /// Everything that is due, once.
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
            self.port.account().trouble(None);
        }
        Ok(())
    }

    fn settled(&mut self, partition: &Partition, position: u64) {
        let _ = self.lists.iter_mut().any(|(_, leases)| leases.settled(partition, position));
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

    fn wake_at(&self) -> Instant {
        let extend_at = self.lists.iter().filter_map(|(_, leases)| leases.extend_at(self.config.lease.get()));
        extend_at.chain([self.poll_at]).min().expect("there is at least the next poll")
    }

    fn backoff(&mut self, error: &RedisError) -> Duration {
        if self.failures == 0 {
            warn!(source = &**self.port.name(), error = %error, "redis failed, will be asked again");
        }
        self.port.account().trouble(Some(&format!("redis: {error}")));
        let wait = Duration::from_millis(100) * 2u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        wait.min(MAX_BACKOFF)
    }

    /// Reads one reply; what it returns hands it to the log.
    async fn read(&mut self, mut permit: Permit) -> Result<Option<Boxed<()>>, RedisError> {
        let now = Instant::now();
        let Some(list) = self.to_read(now) else { return Ok(None) };
        let (keys, leases) = &mut self.lists[list];
        let Some(held) = leases.to_read(now, self.config.lease.get()) else { return Ok(None) };
        let (segment, partition) = (held.segment.clone(), held.partition.clone());
        let max_reply = self.config.max_reply.bytes();
        match self.server.read(keys, &segment, &held.token, held.next, max_reply).await? {
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

    /// Looks at all lists and does what each wants.
    async fn poll(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        self.poll_at = now + self.config.seal_interval.get().min(POLL_INTERVAL);
        if now >= self.register_at {
            self.begin().await?;
            self.register_at = now + REGISTER_INTERVAL;
        }
        if now >= self.survey_at {
            self.survey_at = now + SURVEY_INTERVAL;
            self.survey().await?;
        }
        self.resolve_unsure().await?;
        let states = self.server.look(&self.looks).await?;
        let is_first_of_drain = self.port.mode() == Mode::Drain && self.to_drain.is_none();
        // In a drain, what comes after its begin is for somebody else.
        let may_seal = self.may_seal && self.port.mode() == Mode::Follow;
        let wrong =
            states.iter().position(|state| state.is_wrong).map(|list| self.lists[list].0.list.clone());
        self.report_wrong(wrong);
        for (list, state) in states.into_iter().enumerate() {
            let keys = self.lists[list].0.clone();
            let expired = self.watch.list(now, &keys, &state, &self.port);
            if expired > 0 {
                self.port.account().expired(expired);
            }
            let wish = if is_first_of_drain && state.length > 0 {
                Wish::Shelter
            } else {
                self.lists[list].1.wish(now, &state, self.config.seal_interval.get(), may_seal)
            };
            self.fulfil(list, &keys, state.length, wish).await?;
        }
        if self.port.mode() == Mode::Drain {
            self.look_at_drain().await?;
        }
        Ok(())
    }

    /// A key that is no list is left alone, and the operator hears of it until it is gone.
    fn report_wrong(&mut self, wrong: Option<Arc<str>>) {
        if wrong != self.wrong {
            match &wrong {
                Some(list) => {
                    warn!(source = &**self.port.name(), list = &**list, "not a list in redis: left alone")
                }
                None => info!(source = &**self.port.name(), "all keys are lists again"),
            }
            let text = wrong
                .as_ref()
                .map(|list| format!("the key {list}, or its index, is not of its type in redis: remove it"));
            self.port.account().trouble(text.as_deref());
            self.wrong = wrong;
        }
    }

    async fn fulfil(
        &mut self,
        list: usize,
        keys: &ListKeys,
        length: u64,
        wish: Wish,
    ) -> Result<(), RedisError> {
        let (now, token) = (Instant::now(), new_token());
        let lease = self.config.lease.get();
        match wish {
            Wish::Nothing => {}
            Wish::Steal(segment) => {
                if let Some(offsets) = self.server.steal(keys, &segment, &token, lease).await? {
                    self.granted(list, now, segment, token, offsets);
                }
            }
            Wish::Seal => {
                let segment = keys.new_segment();
                match self.server.seal(keys, &segment, &token, lease).await {
                    Ok(None) => {}
                    Ok(Some(length)) => {
                        self.watch.sealed(keys);
                        self.lists[list].1.sealed(now);
                        self.granted(list, now, segment, token, 0..length);
                    }
                    Err(error) => {
                        self.unsure.push((list, segment, token));
                        return Err(error);
                    }
                }
            }
            Wish::Shelter => {
                self.server.seal(keys, &keys.new_segment(), &token, Duration::ZERO).await?;
                self.watch.sealed(keys);
                tracing::debug!(
                    list = &*keys.list,
                    records = length,
                    "a list was taken out of the TTL's reach"
                );
            }
        }
        Ok(())
    }

    fn granted(
        &mut self,
        list: usize,
        at: Instant,
        segment: Arc<str>,
        token: Arc<str>,
        offsets: std::ops::Range<u64>,
    ) {
        let partition = Partition::new(&*segment);
        let grant = Grant { segment, token, partition, first: offsets.start, end: offsets.end };
        self.lists[list].1.granted(at, grant);
    }

    /// Asks whether seals happened whose answers were lost: the token tells.
    async fn resolve_unsure(&mut self) -> Result<(), RedisError> {
        while let Some((list, segment, token)) = self.unsure.last().cloned() {
            let (now, lease) = (Instant::now(), self.config.lease.get());
            let keys = self.lists[list].0.clone();
            let ack = Ack { keys: &keys, segment: &segment, token: &token, offset: 0, lease };
            let answer = self.server.ack(&[ack]).await?.first().copied();
            self.unsure.pop();
            if let Some(Acked::Left(left)) = answer
                && left > 0
            {
                self.granted(list, now, segment, token, 0..left);
            }
        }
        Ok(())
    }

    /// At the start and from time to time: what the server is like, and what lies about in it.
    async fn begin(&mut self) -> Result<(), Trouble> {
        let memory = self.server.memory().await?;
        let has_seen_tyk_pump = self.server.has_seen_tyk_pump().await?;
        let source = self.port.name().clone();
        self.watch.settings(&memory, has_seen_tyk_pump, &self.config, &source).map_err(Trouble::Fatal)?;
        let keys: Vec<_> = self.lists.iter().map(|(keys, _)| keys.clone()).collect();
        let found = self.server.register_lost(&keys).await?;
        if found > 0 {
            warn!(
                source = &*source,
                segments = found,
                "segments that were in no index were registered again"
            );
        }
        Ok(())
    }

    async fn survey(&mut self) -> Result<(), RedisError> {
        let memory = self.server.memory().await?;
        self.may_seal = self.watch.memory(&memory, &self.config, self.port.name());
        let mut all = self.server.segments(&self.looks).await?;
        all.extend(self.lists.iter().map(|(keys, _)| keys.list.to_string()));
        self.port.account().backlog(self.server.backlog(&all).await?);
        Ok(())
    }

    async fn look_at_drain(&mut self) -> Result<(), RedisError> {
        let there: HashSet<_> = self.server.segments(&self.looks).await?.into_iter().collect();
        match &mut self.to_drain {
            Some(left) => left.retain(|segment| there.contains(segment)),
            None => self.to_drain = Some(there),
        }
        Ok(())
    }

    fn is_drained(&self) -> bool {
        self.to_drain.as_ref().is_some_and(HashSet::is_empty)
    }

    /// Tells Redis of each segment that is due, or gives back all.
    async fn ack(&mut self, which: Which) -> Result<(), RedisError> {
        let (now, mut lease) = (Instant::now(), self.config.lease.get());
        let mut chosen = Vec::new();
        for (list, (keys, leases)) in self.lists.iter().enumerate() {
            let held = leases.held().filter(|held| which == Which::All || held.is_due(now, lease));
            chosen.extend(held.map(|held| (list, keys, held)));
        }
        if which == Which::All {
            lease = Duration::ZERO;
        }
        let chosen: Vec<_> = chosen
            .into_iter()
            .map(|(list, keys, held)| {
                let (segment, token) = (&*held.segment, &*held.token);
                (list, held.segment.clone(), Ack { keys, segment, token, offset: held.settled, lease })
            })
            .collect();
        let mut answers = Vec::with_capacity(chosen.len());
        for some in chosen.chunks(MAX_ACKS) {
            let acks: Vec<_> = some.iter().map(|(.., ack)| ack.clone()).collect();
            let said = self.server.ack(&acks).await?;
            answers.extend(
                some.iter()
                    .zip(said)
                    .map(|((list, segment, ack), answer)| (*list, segment.clone(), ack.offset, answer)),
            );
        }
        drop(chosen);
        for (list, segment, offset, answer) in answers {
            match self.lists[list].1.acked(now, &segment, offset, answer) {
                Some(Fate::Lost(partition)) => self.lost(Some(partition), &segment),
                Some(Fate::Emptied) => {
                    if let Some(left) = &mut self.to_drain {
                        left.remove(&*segment);
                    }
                    self.poll_at = self.poll_at.min(now + Duration::from_millis(1));
                }
                Some(Fate::Kept) | None => {}
            }
        }
        Ok(())
    }

    fn lost(&self, partition: Option<Partition>, segment: &str) {
        let Some(partition) = partition else { return };
        warn!(
            source = &**self.port.name(),
            segment, "lease lost: what is not delivered of it, another pump delivers"
        );
        self.port.revoke(&partition);
        self.port.news().post(
            "lease_lost",
            "another pump took over a segment",
            &[("segment", json!(segment))],
        );
    }

    /// Reads no more; settles until nothing more comes, then gives back what is held.
    async fn end(&mut self) {
        loop {
            match timeout_at(
                self.wake_at().max(Instant::now() + Duration::from_millis(10)),
                self.port.settled(),
            )
            .await
            {
                Ok(None) => break,
                Ok(Some((partition, position))) => self.settled(&partition, position),
                Err(_elapsed) => {}
            }
            self.poll_at = Instant::now() + MAX_BACKOFF;
            if let Err(error) = self.ack(Which::Due).await {
                let wait = self.backoff(&error);
                tokio::time::sleep(wait).await;
            }
        }
        if let Err(error) = self.ack(Which::All).await {
            warn!(source = &**self.port.name(), error = %error, "segments were not given back: others wait for their lease");
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

/// 128 random bits: a counter could be given out twice after a failover.
fn new_token() -> Arc<str> {
    format!("{:032x}", rand::random::<u128>()).into()
}
