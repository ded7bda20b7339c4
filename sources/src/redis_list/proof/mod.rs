//! The scripts on a real Redis: what they promise, what each line of them is good for, and a soak.

mod full_memory;
mod lost_lines;
mod model;
mod promises;
mod soak;

use std::time::Duration;

use pump_core::Randomness;
use pump_core::record::{Codec, Kind};
use pump_testing::RedisServer;
use redis::Client;

use super::calls::{Ack, Acked, Calls};
use super::keys::ListKeys;
use super::scripts::ScriptTexts;
use super::server::Server;

const LEASE: Duration = Duration::from_secs(30);
const LIST: &str = "analytics-tyk-system-analytics";

/// A server, a list in it, and the calls on it.
struct Bench {
    redis: RedisServer,
    server: Server,
    keys: ListKeys,
}

impl Bench {
    fn new() -> Self {
        Self::with(&ScriptTexts::default())
    }

    fn with(texts: &ScriptTexts) -> Self {
        let redis = RedisServer::start();
        let server = server(&redis, texts);
        Self { redis, server, keys: ListKeys::new(LIST, Kind::Transaction, Codec::Msgpack) }
    }

    fn push(&self, records: &[&str]) -> redis::RedisResult<()> {
        redis::cmd("RPUSH").arg(LIST).arg(records).exec(&mut self.redis.connection())
    }

    async fn seal(&self, segment: &str, token: &str, lease: Duration) -> Option<u64> {
        self.server.seal(&self.keys, segment, token, lease).await.expect("redis answers")
    }

    /// Pushes records and seals them with the token `first`.
    async fn sealed(&self, records: &[&str]) -> String {
        self.push(records).expect("redis takes them");
        let segment = self.keys.new_segment(&Randomness::default()).to_string();
        assert_eq!(self.seal(&segment, "first", LEASE).await, Some(records.len() as u64));
        segment
    }

    async fn steal(&self, segment: &str, token: &str) -> Option<std::ops::Range<u64>> {
        self.server.steal(&self.keys, segment, token, LEASE).await.expect("redis answers")
    }

    /// The offset of the first record and the records; `None` when the token is stale.
    async fn read(&self, segment: &str, token: &str, offset: u64) -> Option<(u64, Vec<String>)> {
        self.read_within(segment, token, offset, 8 << 20).await
    }

    async fn read_within(
        &self,
        segment: &str,
        token: &str,
        offset: u64,
        bytes: u64,
    ) -> Option<(u64, Vec<String>)> {
        let reply =
            self.server.read(&self.keys, segment, token, offset, bytes).await.expect("redis answers")?;
        let mut at = 0;
        let texts = reply.sizes.iter().map(|size| {
            let range = at..at + *size as usize;
            at = range.end;
            String::from_utf8_lossy(&reply.records[range]).into_owned()
        });
        Some((reply.first, texts.collect()))
    }

    async fn ack(&self, segment: &str, token: &str, offset: u64, lease: Duration) -> Acked {
        self.try_ack(segment, token, offset, lease).await.expect("redis answers")
    }

    async fn try_ack(
        &self,
        segment: &str,
        token: &str,
        offset: u64,
        lease: Duration,
    ) -> redis::RedisResult<Acked> {
        let ack = Ack { keys: &self.keys, segment, token, offset, lease };
        self.server.ack(&[ack]).await?.swap_remove(0)
    }
}

fn server(redis: &RedisServer, texts: &ScriptTexts) -> Server {
    Server::with_scripts(Client::open(redis.url()).expect("an address"), texts)
}

/// A script's text with one piece changed; fails where the piece does not stand exactly once.
fn changed(text: &str, piece: &str, by: &str) -> String {
    assert_eq!(text.matches(piece).count(), 1, "`{piece}` stands once in the script");
    text.replace(piece, by)
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
