//! Gateways push, a purger gives each list a time to live of one second, and readers crash before and
//! after delivery, stall past their leases and repeat acknowledgements.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pump_core::Randomness;
use pump_core::record::{Codec, Kind};
use pump_testing::RedisServer;
use rand::RngExt;
use tokio::task::JoinSet;

use super::super::calls::{Ack, Acked, Calls};
use super::super::keys::ListKeys;
use super::super::scripts::ScriptTexts;
use super::super::server::{Looks, Server};
use super::full_memory::{without_persist_in_ack, without_persist_in_steal};
use super::lost_lines::without_persist_after_seal;
use super::server;

const LISTS: usize = 2;
const GATEWAYS: usize = 3;
const READERS: usize = 4;
const LEASE: Duration = Duration::from_millis(450);

/// What all tasks of one soak share.
struct Soak {
    redis: RedisServer,
    server: Server,
    lists: Vec<ListKeys>,
    is_pushing: AtomicBool,
    is_over: AtomicBool,
    pushed: AtomicU64,
    crashes: AtomicU64,
    stalls: AtomicU64,
    repeats: AtomicU64,
    stale: AtomicU64,
    /// How often each record was delivered.
    delivered: Mutex<HashMap<u64, u32>>,
}

/// What came of it.
#[derive(Debug)]
struct Report {
    lost: u64,
    delivered_again: u64,
    crashes: u64,
    stalls: u64,
    repeats: u64,
    stale: u64,
    /// Lists that went before anybody sealed them, because the machine was too slow: what was in them
    /// counts as lost.
    expired: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_readers_crash_stall_and_repeat_themselves() {
    let mut attempts = 0;
    let report = loop {
        let report = soak(&ScriptTexts::default(), Duration::from_secs(8)).await;
        attempts += 1;
        // The gateway's own time to live is outside the promise: a run in which it struck shows nothing.
        if report.expired == 0 || attempts == 3 {
            break report;
        }
    };
    assert_eq!((report.lost, report.expired), (0, 0), "{report:?}");
    assert!(report.crashes > 20 && report.stalls > 5 && report.repeats > 20, "{report:?}");
    assert!(report.delivered_again > 0 && report.stale > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soak_notices_segments_that_keep_a_time_to_live() {
    let mut mutant = ScriptTexts::default();
    without_persist_after_seal(&mut mutant);
    // A take-over and an acknowledgement heal what a seal forgot.
    without_persist_in_steal(&mut mutant);
    without_persist_in_ack(&mut mutant);
    // What is lost are segments that a crash left for longer than their time to live: a matter of chance.
    let mut reports = Vec::new();
    while reports.len() < 6 && reports.iter().all(|report: &Report| report.lost == 0) {
        reports.push(soak(&mutant, Duration::from_secs(3)).await);
    }
    assert!(reports.iter().any(|report| report.lost > 0), "{reports:?}");
}

async fn soak(scripts: &ScriptTexts, pushing: Duration) -> Report {
    let redis = RedisServer::start();
    let server = server(&redis, scripts);
    let list = |number| ListKeys::new(&format!("analytics-{number}"), Kind::Transaction, Codec::Msgpack);
    let soak = Arc::new(Soak {
        redis,
        server,
        lists: (0..LISTS).map(list).collect(),
        is_pushing: AtomicBool::new(true),
        is_over: AtomicBool::new(false),
        pushed: AtomicU64::new(0),
        crashes: AtomicU64::new(0),
        stalls: AtomicU64::new(0),
        repeats: AtomicU64::new(0),
        stale: AtomicU64::new(0),
        delivered: Mutex::default(),
    });
    let (mut others, mut gateways) = (JoinSet::new(), JoinSet::new());
    others.spawn(soak.clone().purge());
    for _ in 0..READERS {
        others.spawn(soak.clone().read());
    }
    for _ in 0..GATEWAYS {
        gateways.spawn(soak.clone().push());
    }
    tokio::time::sleep(pushing).await;
    soak.is_pushing.store(false, Ordering::Relaxed);
    gateways.join_all().await;
    let begin = Instant::now();
    while !soak.is_drained().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "the segments are not drained");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    soak.is_over.store(true, Ordering::Relaxed);
    others.join_all().await;
    soak.report()
}

fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Soak {
    /// A gateway: pipelines of single pushes, each to a list of its choice.
    async fn push(self: Arc<Self>) {
        let client = redis::Client::open(self.redis.url()).expect("an address");
        let mut redis = client.get_multiplexed_async_connection().await.expect("redis answers");
        while self.is_pushing.load(Ordering::Relaxed) {
            let (count, list) = (rand::random_range(1..60), rand::random_range(0..LISTS));
            let first = self.pushed.fetch_add(count, Ordering::Relaxed);
            let mut pipeline = redis::pipe();
            for number in first..first + count {
                pipeline.rpush(&*self.lists[list].list, number).ignore();
            }
            pipeline.exec_async(&mut redis).await.expect("redis takes it");
            tokio::time::sleep(Duration::from_millis(rand::random_range(1..20))).await;
        }
    }

    /// A gateway's other habit, more often than the once a second of gateways, so that few lists are
    /// sealed before they have a time to live.
    async fn purge(self: Arc<Self>) {
        let client = redis::Client::open(self.redis.url()).expect("an address");
        let mut redis = client.get_multiplexed_async_connection().await.expect("redis answers");
        while !self.is_over.load(Ordering::Relaxed) {
            for keys in &self.lists {
                let mut expire = redis::cmd("PEXPIRE");
                expire.arg(&*keys.list).arg(1_000).arg("NX");
                expire.exec_async(&mut redis).await.expect("redis answers");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A pump in its smallest form.
    async fn read(self: Arc<Self>) {
        while !self.is_over.load(Ordering::Relaxed) {
            let keys = &self.lists[rand::random_range(0..LISTS)];
            match self.grant(keys).await {
                Some((segment, token, base)) => self.consume(keys, &segment, &token, base).await,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Takes over before it seals.
    async fn grant(&self, keys: &ListKeys) -> Option<(Arc<str>, String, u64)> {
        let token = token();
        let state = self.server.look(&Looks::new([keys])).await.expect("redis answers").remove(0);
        let state = state.expect("it is a list");
        if let Some(segment) = state.due_segment {
            let stolen = self.server.steal(keys, &segment, &token, LEASE).await.expect("redis answers");
            return stolen.map(|offsets| (segment, token, offsets.start));
        }
        let segment = keys.new_segment(&Randomness::default());
        let lease = if rand::rng().random_bool(0.8) { LEASE } else { Duration::ZERO };
        let sealed = self.server.seal(keys, &segment, &token, lease).await.expect("redis answers");
        (sealed.is_some() && lease > Duration::ZERO).then_some((segment, token, 0))
    }

    /// Reads, delivers and settles a segment to its end, or to one of its mishaps.
    async fn consume(&self, keys: &ListKeys, segment: &str, token: &str, mut offset: u64) {
        loop {
            let max_bytes = rand::random_range(1..1_000);
            let reply =
                self.server.read(keys, segment, token, offset, max_bytes).await.expect("redis answers");
            let Some(reply) = reply else { return };
            if rand::rng().random_bool(0.05) {
                self.crashes.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if rand::rng().random_bool(0.03) {
                self.stalls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
            }
            let mut at = 0;
            for size in &reply.sizes {
                let text = String::from_utf8_lossy(&reply.records[at..at + *size as usize]).into_owned();
                let number = text.parse().expect("a number");
                *self.delivered.lock().expect("no panic").entry(number).or_default() += 1;
                at += *size as usize;
            }
            if rand::rng().random_bool(0.05) {
                self.crashes.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let settled = reply.first + reply.sizes.len() as u64;
            let ack = |offset| Ack { keys, segment, token, offset, lease: LEASE };
            let mut acks = vec![ack(settled)];
            if rand::rng().random_bool(0.2) {
                self.repeats.fetch_add(1, Ordering::Relaxed);
                // The one before may come late, too.
                acks.extend([ack(settled), ack(offset)]);
            }
            match self.server.ack(&acks).await.expect("redis answers").swap_remove(0).expect("no error") {
                Acked::Left(0) => return,
                Acked::Left(_) => offset = settled,
                Acked::Stale => {
                    self.stale.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    async fn is_drained(&self) -> bool {
        let segments = self.server.segments(&Looks::new(&self.lists)).await.expect("redis answers");
        if segments.iter().any(|segments| !segments.as_ref().expect("an index").is_empty()) {
            return false;
        }
        let lists: Vec<_> = self.lists.iter().map(|keys| keys.list.to_string()).collect();
        self.server.backlog(&lists).await.expect("redis answers") == 0
    }

    fn report(&self) -> Report {
        let stats: String =
            redis::cmd("INFO").arg("stats").query(&mut self.redis.connection()).expect("redis answers");
        let expired = stats.lines().find_map(|line| line.strip_prefix("expired_keys:"));
        let delivered = self.delivered.lock().expect("no panic");
        let pushed = self.pushed.load(Ordering::Relaxed);
        Report {
            lost: (0..pushed).filter(|number| !delivered.contains_key(number)).count() as u64,
            delivered_again: delivered.values().filter(|times| **times > 1).count() as u64,
            crashes: self.crashes.load(Ordering::Relaxed),
            stalls: self.stalls.load(Ordering::Relaxed),
            repeats: self.repeats.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            expired: expired.and_then(|count| count.trim().parse().ok()).unwrap_or_default(),
        }
    }
}
