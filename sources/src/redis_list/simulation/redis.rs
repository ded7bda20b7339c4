//! Redis, as pumps and gateways meet it: the model behind a way on which calls are lost before they arrive, answers on
//! their way back, and which a client goes twice; a server that is silent for a while; and one that fails over to a
//! replica that is behind.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::bugs::{self, Bug};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis::{RedisError, RedisResult};
use tokio::time::{Instant, sleep, sleep_until};

use super::super::calls::{Ack, Acked, Calls, ListState, Memory, Reply};
use super::super::keys::ListKeys;
use super::super::redis_model::RedisModel;
use super::super::server::{Looks, Search};
use super::ledger::{Ledger, Pushed};
use super::plan::CallFaults;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The server. A handle.
#[derive(Clone)]
pub(super) struct SimulatedRedis {
    state: Arc<Mutex<State>>,
    ledger: Ledger,
    began: Instant,
}

struct State {
    model: RedisModel,
    /// What the replica has; `None`: all that the server has.
    replica: Option<RedisModel>,
    silent_until: Instant,
}

impl SimulatedRedis {
    pub(super) fn new(ledger: &Ledger) -> Self {
        let (model, silent_until) = (RedisModel::default(), Instant::now());
        let state = State { model, replica: None, silent_until };
        Self { state: Arc::new(Mutex::new(state)), ledger: ledger.clone(), began: Instant::now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let expired = state.model.advance_to(self.began.elapsed());
        if !expired.is_empty() {
            self.ledger.lost(&expired);
            self.ledger.note(format_args!("{} records expire", expired.len()));
        }
        state
    }

    /// A gateway pushes, and hears that it has.
    pub(super) fn push(&self, list: &str, records: Vec<(Bytes, bool)>, ttl: Option<Duration>) {
        let mut state = self.state();
        self.ledger.note(format_args!("{} records are pushed", records.len()));
        {
            let mut ledger = self.ledger.state();
            ledger.pushed.extend(
                records.iter().map(|(body, is_sound)| {
                    (body.clone(), Pushed { is_sound: *is_sound, ..Pushed::default() })
                }),
            );
        }
        state.model.push(list, records.into_iter().map(|(body, _)| body), ttl);
    }

    /// Says nothing for so long.
    pub(super) fn be_silent(&self, time: Duration) {
        self.state().silent_until = Instant::now() + time;
    }

    /// From now on the replica gets nothing any more.
    pub(super) fn lag(&self) {
        let mut state = self.state();
        state.replica = Some(state.model.clone());
    }

    /// Whether the replica is behind.
    pub(super) fn is_lagging(&self) -> bool {
        self.state().replica.is_some()
    }

    /// The replica gets all that it has not.
    pub(super) fn catch_up(&self) {
        self.state().replica = None;
    }

    /// The replica takes over. What is in the server and not in it is lost, and nobody can be blamed; what pumps have
    /// removed since then comes again.
    pub(super) fn fail_over(&self) {
        let mut state = self.state();
        let Some(replica) = state.replica.take() else { return };
        let kept: BTreeSet<_> = replica.records().cloned().collect();
        let lost: Vec<_> = state.model.records().filter(|body| !kept.contains(*body)).cloned().collect();
        let in_lists: BTreeSet<_> = state.model.in_lists().collect();
        self.ledger.unsealed(replica.in_lists().filter(|body| !in_lists.contains(body)));
        self.ledger.lost(&lost);
        self.ledger.mishap(format_args!("failover: {} records are lost", lost.len()), &kept);
        state.model = replica;
        drop(state);
        // What the replica has and should have expired by now.
        drop(self.state());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().model.is_empty()
    }

    /// How many records are in it.
    pub(super) fn left(&self) -> usize {
        self.state().model.records().count()
    }

    /// A pump's way to the server.
    pub(super) fn client(&self, name: String, faults: CallFaults, seed: u64) -> Client {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        Client { redis: self.clone(), name, faults, random, heard: Mutex::default() }
    }
}

/// A pump's way to the server.
pub(super) struct Client {
    redis: SimulatedRedis,
    name: String,
    faults: CallFaults,
    random: Mutex<StdRng>,
    /// Up to where Redis is known to have trimmed each segment: only [`Bug::RelativeTrim`] asks.
    heard: Mutex<BTreeMap<String, u64>>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Good,
    LostBefore,
    LostAfter,
    /// The client sends it again by itself, and hears the second answer.
    Twice,
}

impl Client {
    fn draw(&self) -> (Way, Duration, Duration) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let CallFaults { lost_before, lost_after, twice } = self.faults;
        let draw: f64 = random.random();
        let way = match draw {
            _ if self.redis.ledger.is_calm() => Way::Good,
            draw if draw < lost_before => Way::LostBefore,
            draw if draw < lost_before + lost_after => Way::LostAfter,
            draw if draw < lost_before + lost_after + twice => Way::Twice,
            _ => Way::Good,
        };
        let mut delay = || Duration::from_micros(random.random_range(100..3_000));
        (way, delay(), delay())
    }

    /// Makes one call. Dropped before its end it has had its effect or not.
    async fn call<T>(&self, mut effect: impl FnMut(&mut RedisModel) -> T) -> Result<T, RedisError> {
        let (way, before, after) = self.draw();
        sleep(before).await;
        let given_up_at = Instant::now() + PATIENCE;
        loop {
            let silent_until = self.redis.state().silent_until;
            if silent_until <= Instant::now() {
                break;
            }
            if given_up_at <= Instant::now() {
                return Err(broken(ErrorKind::TimedOut));
            }
            sleep_until(silent_until.min(given_up_at)).await;
        }
        if way == Way::LostBefore {
            return Err(broken(ErrorKind::ConnectionReset));
        }
        let mut answer = effect(&mut self.redis.state().model);
        if way == Way::Twice {
            answer = effect(&mut self.redis.state().model);
        }
        sleep(after).await;
        match way {
            Way::LostAfter => Err(broken(ErrorKind::ConnectionReset)),
            _ => Ok(answer),
        }
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.redis.ledger.note(format_args!("{} {what}", self.name));
    }

    /// What a pump would say that tells Redis how many records are settled, and not up to which offset.
    fn offset_of(&self, ack: &Ack<'_>) -> u64 {
        if !bugs::is(Bug::RelativeTrim) {
            return ack.offset;
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        ack.offset - heard.get(ack.segment).copied().unwrap_or_default().min(ack.offset)
    }

    fn heard(&self, segment: &str, offset: u64) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(segment.into(), offset);
    }
}

fn bodies(reply: &Reply) -> impl Iterator<Item = Bytes> {
    let mut rest = reply.records.clone();
    reply.sizes.iter().map(move |size| rest.split_to(*size as usize))
}

fn broken(kind: ErrorKind) -> RedisError {
    io::Error::new(kind, "the way to the server is broken").into()
}

#[async_trait]
impl Calls for Client {
    async fn ping(&self) -> Result<(), RedisError> {
        self.call(|_| ()).await
    }

    async fn look(&self, looks: &Looks) -> Result<Vec<RedisResult<ListState>>, RedisError> {
        self.call(|model| looks.lists.iter().map(|keys| Ok(model.state(keys))).collect()).await
    }

    async fn segments(&self, looks: &Looks) -> Result<Vec<RedisResult<Vec<String>>>, RedisError> {
        self.call(|model| looks.lists.iter().map(|keys| Ok(model.segments(keys))).collect()).await
    }

    async fn backlog(&self, lists: &[String]) -> Result<u64, RedisError> {
        self.call(|model| lists.iter().map(|name| model.length(name)).sum()).await
    }

    async fn seal(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Result<Option<u64>, RedisError> {
        self.call(|model| {
            let length = model.seal(keys, segment, token, lease);
            self.note(format_args!("seals {segment}: {length:?}"));
            length
        })
        .await
    }

    async fn steal(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Result<Option<Range<u64>>, RedisError> {
        let found = self.call(|model| {
            let found = model.steal(keys, segment, token, lease);
            if found.is_some() {
                let what = format_args!("{} takes over {segment}: {found:?}", self.name);
                self.redis.ledger.mishap(what, model.records_of(keys, segment));
            }
            found
        });
        let found = found.await?;
        if let Some(offsets) = &found {
            self.heard(segment, offsets.start);
        }
        Ok(found)
    }

    async fn read(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        offset: u64,
        max_bytes: u64,
    ) -> Result<Option<Reply>, RedisError> {
        // Small replies, so that a segment is seldom read in one piece.
        let bounds = (20, max_bytes);
        self.call(|model| {
            let reply = model.read(keys, segment, token, offset, bounds);
            let read = reply.as_ref().map(|reply| (reply.first, reply.sizes.len()));
            self.note(format_args!("reads {segment}: {read:?}"));
            if let Some(reply) = &reply {
                self.redis.ledger.read(&self.name, segment, bodies(reply));
            }
            reply
        })
        .await
    }

    async fn ack(&self, acks: &[Ack<'_>]) -> Result<Vec<RedisResult<Acked>>, RedisError> {
        let answers = self.call(|model| {
            let answers = acks.iter().map(|ack| {
                let (answer, gone) = model.ack(&Ack { offset: self.offset_of(ack), ..ack.clone() });
                self.note(format_args!("acks {} to {}: {} go", ack.segment, ack.offset, gone.len()));
                self.redis.ledger.acked(&gone);
                Ok(answer)
            });
            answers.collect()
        });
        let answers = answers.await?;
        acks.iter().for_each(|ack| self.heard(ack.segment, ack.offset));
        Ok(answers)
    }

    async fn register_lost(&self, _: &[ListKeys], search: &mut Search) -> Result<usize, RedisError> {
        // Scripts are replicated whole, so no segment here is ever without its index.
        search.end();
        self.call(|_| 0).await
    }

    async fn memory(&self) -> Result<Memory, RedisError> {
        self.call(|_| Memory::default()).await
    }

    async fn has_seen_tyk_pump(&self) -> Result<bool, RedisError> {
        self.call(|_| false).await
    }
}
