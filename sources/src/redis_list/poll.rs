//! Looking at the lists, several times a second: what each wants, and what the operator must be told.
//!
//! Each list is judged by itself. What a server says no to, be it a missing permission or a full memory, is
//! told and tried again; only a broken way to the server ends the round. Questions about the server as a
//! whole, such as how full it is, end nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pump_core::Randomness;
use pump_core::plugin::Mode;
use pump_core::record::Partition;
use redis::RedisError;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::calls::{Ack, Acked, ListState};
use super::keys::ListKeys;
use super::lease::{Grant, Wish};
use super::run::{Running, Trouble, Unsure};
use super::server::Search;

/// How often lists are looked at, however seldom they are sealed: their TTL must not be missed.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often at most, however often they are to be sealed.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Lists from which something is held that was not read: one to read from, and one to read from next. What
/// is waiting besides is for other pumps, if there are any.
const MAX_UNREAD: usize = 2;
/// How often the backlog and the server's memory are looked at.
const SURVEY_INTERVAL: Duration = Duration::from_secs(1);
/// How often segments are looked for that are in no index.
const BEGIN_INTERVAL: Duration = Duration::from_secs(3_600);
/// How soon that search is made again after a seal, or what it found itself, was refused.
const SEARCH_AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// How soon after trouble the server is asked again.
const AFTER_TROUBLE: Duration = Duration::from_secs(2);
/// Steps of that search between two looks at the lists, which must not wait for its end: with ten
/// million keys it takes minutes.
const SEARCH_STEPS: usize = 10;

impl Running {
    /// Looks at all lists and does what each wants.
    pub(super) async fn poll(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        self.poll_at = now + self.config.seal_interval.get().clamp(MIN_POLL_INTERVAL, POLL_INTERVAL);
        if now >= self.begin_at {
            if let Err(trouble) = self.begin().await {
                let Trouble::Redis(error) = trouble else { return Err(trouble) };
                self.go_on_after(error)?;
                self.begin_at = Instant::now() + AFTER_TROUBLE;
            } else {
                self.begin_at = now + BEGIN_INTERVAL;
                self.search = Some(Search::default());
            }
        }
        let is_whole = self.look().await?;
        if Instant::now() >= self.survey_at {
            let answer = self.survey().await;
            self.survey_at = Instant::now() + SURVEY_INTERVAL;
            if let Err(error) = answer {
                self.go_on_after(error)?;
                self.survey_at = Instant::now() + AFTER_TROUBLE;
            }
        }
        if let Err(error) = self.search().await {
            self.go_on_after(error)?;
        }
        // What is to be drained is known once no segment is hidden any more, and no list left out.
        if self.port.mode() == Mode::Drain && self.search.is_none() && (is_whole || self.to_drain.is_some()) {
            self.look_at_drain().await?;
        }
        self.tell();
        Ok(())
    }

    /// A question about the server as a whole has no answer. Lists go on where another server, or this one,
    /// may still answer for them.
    fn go_on_after(&mut self, error: RedisError) -> Result<(), RedisError> {
        if error.code().is_none() && !self.is_cluster() {
            return Err(error);
        }
        self.troubles.add_of_server(Instant::now(), error.to_string());
        Ok(())
    }

    /// Looks at each list; whether all could be looked at and got what they wanted.
    async fn look(&mut self) -> Result<bool, RedisError> {
        self.resolve_unsure().await?;
        let states = self.server.look(&self.looks).await?;
        // Whose turn it is to be read is first to be taken, too.
        let mut states: Vec<_> = states.into_iter().enumerate().collect();
        states.rotate_left(self.turn % self.lists.len().max(1));
        let mut is_whole = true;
        for (list, state) in states {
            let answer = match state {
                Ok(state) => {
                    let answer = self.look_at(list, &state).await;
                    self.of_one_list(answer)?
                }
                Err(error) => Err(error),
            };
            if let Err(error) = answer {
                is_whole = false;
                self.trouble_with(list, &error);
            }
        }
        Ok(is_whole)
    }

    async fn look_at(&mut self, list: usize, state: &ListState) -> Result<(), RedisError> {
        let now = Instant::now();
        let keys = self.lists[list].0.clone();
        let expired = self.watch.list(now, &keys, state, &self.port);
        if expired > 0 {
            self.port.account().expired(expired);
        }
        let is_first_of_drain = self.port.mode() == Mode::Drain && self.to_drain.is_none();
        // In a drain, what comes after its begin is for somebody else.
        let may_seal = self.may_seal && self.port.mode() == Mode::Follow;
        let wish = if is_first_of_drain && state.length > 0 {
            Wish::Shelter
        } else {
            // What cannot be read now, because its server is away, keeps nobody busy.
            let lease = self.config.lease.get();
            let to_read = self.lists.iter().filter(|(_, leases)| leases.to_read(now, lease).is_some());
            let is_busy = to_read.count() >= MAX_UNREAD;
            self.lists[list].1.wish(now, state, self.config.seal_interval.get(), may_seal, is_busy)
        };
        self.fulfil(list, &keys, state.length, wish).await
    }

    async fn fulfil(
        &mut self,
        list: usize,
        keys: &ListKeys,
        length: u64,
        wish: Wish,
    ) -> Result<(), RedisError> {
        let (now, token) = (Instant::now(), new_token(self.port.randomness()));
        let lease = self.config.lease.get();
        match wish {
            Wish::Nothing => {}
            // A drain takes over what may hide a segment of its own, and nothing once it has them all.
            Wish::Steal(_) if self.has_drained() => {}
            // First it must be known what became of the seal before.
            Wish::Seal | Wish::Shelter if self.unsure.iter().any(|unsure| unsure.list == list) => {}
            Wish::Steal(segment) => {
                if let Some(offsets) = self.server.steal(keys, &segment, &token, lease).await? {
                    self.granted(list, now, segment, token, offsets);
                }
            }
            Wish::Seal => {
                let segment = keys.new_segment(self.port.randomness());
                match self.server.seal(keys, &segment, &token, lease).await {
                    Ok(None) => {}
                    Ok(Some(length)) => {
                        self.watch.sealed(keys);
                        self.lists[list].1.sealed(now);
                        self.granted(list, now, segment, token, 0..length);
                    }
                    Err(error) => {
                        if self.seal_failed(keys, &error) {
                            self.unsure.push(Unsure { list, segment, token });
                        }
                        return Err(error);
                    }
                }
            }
            Wish::Shelter => {
                let segment = keys.new_segment(self.port.randomness());
                match self.server.seal(keys, &segment, &token, Duration::ZERO).await {
                    Ok(_) => {
                        self.watch.sealed(keys);
                        debug!(
                            list = &*keys.list,
                            records = length,
                            "a list was taken out of the TTL's reach"
                        );
                    }
                    Err(error) => {
                        self.seal_failed(keys, &error);
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a seal without a good answer may have happened.
    fn seal_failed(&mut self, keys: &ListKeys, error: &RedisError) -> bool {
        if error.code().is_none() {
            // What was there cannot be told any more from what expired.
            self.watch.sealed(keys);
            return true;
        }
        // A script that was stopped on its way, by a command that is not allowed, may have left a segment
        // that is in no index.
        self.begin_at = self.begin_at.min(Instant::now() + SEARCH_AFTER_REFUSAL);
        false
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
        if self.unsure.is_empty() {
            return Ok(());
        }
        let (now, lease) = (Instant::now(), self.config.lease.get());
        let asks = self.unsure.iter().map(|Unsure { list, segment, token }| Ack {
            keys: &self.lists[*list].0,
            segment,
            token,
            offset: 0,
            lease,
        });
        let answers = self.server.ack(&asks.collect::<Vec<_>>()).await?;
        for (unsure, answer) in std::mem::take(&mut self.unsure).into_iter().zip(answers) {
            match answer {
                Ok(Acked::Left(left)) if left > 0 => {
                    self.granted(unsure.list, now, unsure.segment, unsure.token, 0..left);
                }
                Ok(_) => {}
                Err(error) => {
                    self.trouble_with(unsure.list, &error);
                    self.unsure.push(unsure);
                }
            }
        }
        Ok(())
    }

    /// At the start and from time to time: what the server is like.
    async fn begin(&mut self) -> Result<(), Trouble> {
        let memory = self.server.memory().await?;
        let has_seen_tyk_pump = self.server.has_seen_tyk_pump().await?;
        let source = self.port.name();
        self.watch.settings(&memory, has_seen_tyk_pump, &self.config, source).map_err(Trouble::Fatal)
    }

    /// Goes on looking for segments that are in no index.
    async fn search(&mut self) -> Result<(), RedisError> {
        let Some(search) = &mut self.search else { return Ok(()) };
        let keys: Vec<_> = self.lists.iter().map(|(keys, _)| keys.clone()).collect();
        for _ in 0..SEARCH_STEPS {
            let segments = self.server.register_lost(&keys, search).await?;
            if segments > 0 {
                let source = &**self.port.name();
                warn!(source, segments, "segments that were in no index were registered again");
            }
            if search.is_over() {
                if search.was_refused {
                    self.begin_at = self.begin_at.min(Instant::now() + SEARCH_AFTER_REFUSAL);
                }
                self.search = None;
                break;
            }
        }
        Ok(())
    }

    async fn survey(&mut self) -> Result<(), RedisError> {
        let memory = self.server.memory().await?;
        self.may_seal = self.watch.memory(&memory, &self.config, self.port.name());
        let segments = self.server.segments(&self.looks).await?;
        let mut all: Vec<String> = segments.into_iter().flatten().flatten().collect();
        all.extend(self.lists.iter().map(|(keys, _)| keys.list.to_string()));
        self.port.account().backlog(self.server.backlog(&all).await?);
        Ok(())
    }

    async fn look_at_drain(&mut self) -> Result<(), RedisError> {
        let (mut there, mut silent) = (HashSet::new(), Vec::new());
        for (list, segments) in self.server.segments(&self.looks).await?.into_iter().enumerate() {
            match segments {
                Ok(segments) => there.extend(segments),
                Err(error) => {
                    silent.push(self.lists[list].0.segments.clone());
                    self.trouble_with(list, &error);
                }
            }
        }
        match &mut self.to_drain {
            Some(left) => left.retain(|segment| {
                there.contains(segment) || silent.iter().any(|segments| segment.starts_with(&**segments))
            }),
            None if silent.is_empty() => self.to_drain = Some(there),
            None => {}
        }
        Ok(())
    }

    /// Whether all that there was at the start is gone, and so is what was taken over besides.
    pub(super) fn is_drained(&self) -> bool {
        self.has_drained() && self.lists.iter().all(|(_, leases)| leases.held().next().is_none())
    }

    fn has_drained(&self) -> bool {
        self.to_drain.as_ref().is_some_and(HashSet::is_empty)
    }

    /// Tells the operator what is wrong with single lists.
    fn tell(&mut self) {
        let Some(trouble) = self.troubles.news(Instant::now(), self.lists.len()) else { return };
        let source = &**self.port.name();
        match &trouble {
            Some(reason) => warn!(source, reason, "trouble with a list"),
            None => info!(source, "all lists can be read"),
        }
        self.port.account().trouble(trouble.as_deref());
    }
}

/// 128 random bits: a counter could be given out twice after a failover.
fn new_token(randomness: &Randomness) -> Arc<str> {
    format!("{:032x}", randomness.bits()).into()
}
