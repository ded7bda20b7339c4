//! Dead letters in a Redis list: for pumps without a disk of their own.
//!
//! Each letter is one element, a line of JSON as in every store. A counter beside the list,
//! `{KEY}:bytes`, holds how large the letters are together: whoever takes letters out lowers it. Both
//! change in one transaction or script, so they agree after any crash; after a lost reply letters may be
//! there twice, with the same id.
//!
//! Pumps append at the end, and only these commands take letters out, so a letter is found at the index
//! where it was read, or before it when another command has taken out some meanwhile. One call takes
//! many out: each is first written over with a mark, then all marks are removed in one go, because a
//! removal by value alone would search the list from its head for each of them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::config::DeadLetterRedisList;
use pump_core::dead_letter::{
    DeadLetter, DeadLetterArchive, DeadLetterStore, Fullness, Portion, StoreError, Walk,
};
use pump_core::record::Timestamp;
use redis::{RedisError, RedisResult, Script};
use uuid::Uuid;

use crate::connection::Connection;
use crate::redis_target::Target;

/// How many bytes of letters are read at once.
const PORTION: u64 = 8 << 20;

/// How many letters are taken out in one step: in the middle of a long list each is looked for from its
/// nearer end, and nobody else is served meanwhile.
const REMOVED_AT_ONCE: usize = 256;

/// ARGV: where to begin, where to end, how many bytes. Gives one element at least. Slices are small,
/// because nobody knows how large an element is before it is read.
const READ: &str = "\
local lines, size, at, stop = {}, 0, tonumber(ARGV[1]), tonumber(ARGV[2])
while at < stop do
    local slice = redis.call('LRANGE', KEYS[1], at, math.min(at + 31, stop - 1))
    if #slice == 0 then break end
    for _, line in ipairs(slice) do
        if size > 0 and size + #line > tonumber(ARGV[3]) then return lines end
        lines[#lines + 1], size = line, size + #line
    end
    at = at + #slice
end
return lines";

/// KEYS: the list, its bytes. ARGV: a mark that nobody else writes, then pairs of an index and what is
/// there. Returns how many were still in the list. An empty list has no bytes, whatever was counted.
/// A script whose first write may need memory is refused when Redis is full; the first one here needs none.
const REMOVE: &str = "\
redis.call('PERSIST', KEYS[1])
local gone, bytes = 0, 0
for pair = 2, #ARGV, 2 do
    local at, line = ARGV[pair], ARGV[pair + 1]
    if redis.call('LINDEX', KEYS[1], at) ~= line then at = redis.call('LPOS', KEYS[1], line) end
    if at then
        redis.call('LSET', KEYS[1], at, ARGV[1])
        gone, bytes = gone + 1, bytes + #line
    end
end
if gone > 0 then
    redis.call('LREM', KEYS[1], 0, ARGV[1])
    local left = redis.call('DECRBY', KEYS[2], bytes)
    if redis.call('EXISTS', KEYS[1]) == 0 or left < 0 then redis.call('DEL', KEYS[2]) end
end
return gone";

/// Dead letters in a list of a Redis server. A handle; clones are the same store.
#[derive(Clone)]
pub struct RedisListStore(Arc<List>);

struct List {
    key: String,
    bytes_key: String,
    max_size: u64,
    connection: Connection,
}

impl RedisListStore {
    /// A store in a list, of at most so many bytes. Contacts nobody.
    pub fn new(config: &DeadLetterRedisList, max_size: u64) -> Result<Self, RedisError> {
        let key = &config.key;
        Ok(Self(Arc::new(List {
            key: key.clone(),
            // A key that has a hash tag keeps it; one without becomes its own, so that both keys lie
            // in one slot of a cluster.
            bytes_key: if key.contains('{') { format!("{key}:bytes") } else { format!("{{{key}}}:bytes") },
            max_size,
            connection: Connection::new(Target::new(&config.redis())?),
        })))
    }
}

impl List {
    async fn push(&self, lines: &[Vec<u8>]) -> Result<(), StoreError> {
        let failed = |error: RedisError| StoreError::Failed(Box::new(error));
        let mut connection = self.connection.get().await.map_err(failed)?;
        let added: u64 = lines.iter().map(|line| line.len() as u64).sum();
        let size = self.size().await.map_err(failed)?;
        if size + added > self.max_size {
            return Err(StoreError::Full { size, max_size: self.max_size });
        }
        let mut transaction = redis::pipe();
        transaction.atomic();
        transaction.rpush(&self.key, lines).ignore().incr(&self.bytes_key, added).ignore();
        transaction.query_async::<()>(&mut connection).await.map_err(failed)
    }

    /// Bytes of all letters.
    async fn size(&self) -> RedisResult<u64> {
        let mut ask = redis::cmd("GET");
        let size: Option<i64> =
            ask.arg(&self.bytes_key).query_async(&mut self.connection.get().await?).await?;
        Ok(size.unwrap_or_default().max(0) as u64)
    }

    async fn length(&self) -> RedisResult<u64> {
        redis::cmd("LLEN").arg(&self.key).query_async(&mut self.connection.get().await?).await
    }

    async fn read(&self, begin: u64, end: u64) -> RedisResult<Vec<Bytes>> {
        let script = Script::new(READ);
        let mut call = script.key(&self.key);
        call.arg(begin).arg(end).arg(PORTION).invoke_async(&mut self.connection.get().await?).await
    }

    async fn remove(&self, lines: impl Iterator<Item = (u64, &[u8])>) -> RedisResult<u64> {
        let script = Script::new(REMOVE);
        let mut call = script.key(&self.key);
        call.key(&self.bytes_key).arg(format!("removed by {}", Uuid::now_v7()));
        for (index, line) in lines {
            call.arg(index).arg(line);
        }
        call.invoke_async(&mut self.connection.get().await?).await
    }
}

#[async_trait]
impl DeadLetterStore for RedisListStore {
    async fn append(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let lines: Vec<_> = letters.iter().map(|letter| letter.to_line(now)).collect();
        self.0.push(&lines).await
    }
}

#[async_trait]
impl DeadLetterArchive for RedisListStore {
    fn place(&self) -> String {
        format!("Redis list {}", self.0.key)
    }

    async fn fullness(&self) -> Result<Fullness, StoreError> {
        let size = self.0.size().await.map_err(unreadable)?;
        Ok(Fullness { size, max_size: self.0.max_size })
    }

    async fn walk(&self) -> Result<Box<dyn Walk>, StoreError> {
        let end = self.0.length().await.map_err(unreadable)?;
        Ok(Box::new(ListWalk { list: self.0.clone(), next: 0, end, last: Vec::new() }))
    }
}

fn unreadable(error: RedisError) -> StoreError {
    StoreError::Unreadable(Box::new(error))
}

/// A walk through the elements that were there when it began.
struct ListWalk {
    list: Arc<List>,
    /// Indexes as they are now.
    next: u64,
    end: u64,
    /// What was read last; it ends before `next`.
    last: Vec<Bytes>,
}

#[async_trait]
impl Walk for ListWalk {
    async fn next(&mut self) -> Result<Option<Portion>, StoreError> {
        self.last = self.list.read(self.next, self.end).await.map_err(unreadable)?;
        if self.last.is_empty() {
            return Ok(None);
        }
        let first = self.next + 1;
        self.next += self.last.len() as u64;
        Ok(Some(Portion { place: format!("Redis list {}", self.list.key), first, lines: self.last.clone() }))
    }

    async fn remove(&mut self, numbers: &[usize]) -> Result<usize, StoreError> {
        let last = std::mem::take(&mut self.last);
        let begin = self.next - last.len() as u64;
        let mut gone = 0;
        for numbers in numbers.chunks(REMOVED_AT_ONCE) {
            let index = |number: usize| (begin + number as u64).saturating_sub(gone);
            let lines = numbers.iter().filter_map(|number| Some((index(*number), &**last.get(*number)?)));
            let removed = self.list.remove(lines).await;
            let removed = removed.map_err(|error| StoreError::Unremovable(Box::new(error)))?;
            gone += removed;
            self.next = self.next.saturating_sub(removed);
            self.end = self.end.saturating_sub(removed);
        }
        Ok(gone as usize)
    }

    fn rewind(&mut self) {
        (self.next, self.last) = (0, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use pump_core::record::{Codec, Kind};
    use pump_testing::RedisServer;

    use super::*;

    const KEY: &str = "letters";

    fn letter(number: usize, size: usize) -> DeadLetter {
        DeadLetter {
            sink: Some("search".into()),
            reason: "odd".into(),
            detail: "refused".into(),
            id: None,
            source: "gateway".into(),
            partition: "0".into(),
            position: number as u64,
            kind: Kind::Transaction,
            codec: Codec::Msgpack,
            received: Timestamp::EPOCH,
            body: vec![b'x'; size].into(),
        }
    }

    async fn store_of(redis: &RedisServer, count: usize, size: usize) -> RedisListStore {
        let config = serde_json::json!({ "url": redis.url(), "key": KEY });
        let config = serde_json::from_value(config).expect("its keys");
        let store = RedisListStore::new(&config, 1 << 30).expect("an address");
        let letters: Vec<_> = (0..count).map(|number| letter(number, size)).collect();
        store.append(&letters).await.expect("kept");
        store
    }

    fn elements(redis: &RedisServer) -> Vec<Vec<u8>> {
        redis::cmd("LRANGE").arg(KEY).arg(0).arg(-1).query(&mut redis.connection()).expect("read")
    }

    fn positions(redis: &RedisServer) -> Vec<u64> {
        let read = |line: Vec<u8>| DeadLetter::from_line(&line).ok().map(|(letter, _)| letter.position);
        elements(redis).into_iter().filter_map(read).collect()
    }

    /// Takes out every letter that is met at a position of which `is_meant` is true.
    async fn remove(walk: &mut dyn Walk, is_meant: impl Fn(u64) -> bool) -> usize {
        let mut removed = 0;
        while let Some(portion) = walk.next().await.expect("read") {
            let position = |line: &Bytes| DeadLetter::from_line(line).map(|(letter, _)| letter.position);
            let is_meant = |number: &usize| position(&portion.lines[*number]).is_ok_and(&is_meant);
            let numbers: Vec<_> = (0..portion.lines.len()).filter(is_meant).collect();
            removed += walk.remove(&numbers).await.expect("removed");
        }
        removed
    }

    async fn assert_counted(store: &RedisListStore, redis: &RedisServer) {
        let size = store.fullness().await.expect("asked").size;
        assert_eq!(size, elements(redis).iter().map(|line| line.len() as u64).sum::<u64>());
    }

    #[tokio::test]
    async fn large_letters_come_in_portions_and_leave_from_anywhere() {
        let redis = RedisServer::start();
        let store = store_of(&redis, 5, 3 << 20).await;
        let mut walk = store.walk().await.expect("begun");
        store.append(&[letter(5, 1)]).await.expect("kept");
        let mut sizes = Vec::new();
        while let Some(portion) = walk.next().await.expect("read") {
            sizes.push((portion.first, portion.lines.len()));
        }
        assert_eq!(sizes, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)], "4 MiB each, in base64");
        walk.rewind();
        assert_eq!(remove(&mut *walk, |position| position % 2 == 0).await, 3);
        assert_eq!(positions(&redis), [1, 3, 5]);
        assert_counted(&store, &redis).await;
    }

    /// When Redis is full, letters can still be taken out, which makes room.
    #[tokio::test]
    async fn letters_leave_a_redis_that_is_full() {
        let redis = RedisServer::start();
        let store = store_of(&redis, 10, 100).await;
        let set = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut redis.connection());
        set.expect("set");
        store.append(&[letter(10, 1)]).await.expect_err("it is full");
        assert_eq!(remove(&mut *store.walk().await.expect("begun"), |_| true).await, 10);
        assert_eq!(elements(&redis), Vec::<Vec<u8>>::new());
    }

    #[tokio::test]
    async fn many_letters_leave_and_the_others_keep_their_order() {
        let redis = RedisServer::start();
        let store = store_of(&redis, 2_000, 10).await;
        assert_eq!(
            remove(&mut *store.walk().await.expect("begun"), |position| position % 3 > 0).await,
            1_333
        );
        assert_eq!(positions(&redis), (0..2_000).step_by(3).collect::<Vec<_>>());
        assert_counted(&store, &redis).await;
        assert_eq!(remove(&mut *store.walk().await.expect("begun"), |_| true).await, 667);
        assert_eq!(redis.keys(), [""; 0], "neither the list nor its count is left");
    }

    #[tokio::test]
    async fn letters_are_found_although_another_command_took_out_some_before_them() {
        let redis = RedisServer::start();
        let store = store_of(&redis, 10, 10).await;
        let mut first = store.walk().await.expect("begun");
        let seen = first.next().await.expect("read").expect("there are some").lines.len();
        assert_eq!(remove(&mut *store.walk().await.expect("begun"), |position| position < 4).await, 4);
        let later: Vec<_> = (2..seen - 1).collect();
        assert_eq!(first.remove(&later).await.expect("removed"), 5, "two of them had gone");
        assert_eq!(positions(&redis), [9]);
        assert_counted(&store, &redis).await;
    }

    #[tokio::test]
    async fn what_others_put_there_stays_and_a_lost_count_does_no_harm() {
        let redis = RedisServer::start();
        let store = store_of(&redis, 3, 10).await;
        for foreign in ["", "removed by nobody", "{\"v\":2}"] {
            redis::cmd("LPUSH").arg(KEY).arg(foreign).query::<u64>(&mut redis.connection()).expect("pushed");
        }
        redis::cmd("DEL").arg("{letters}:bytes").query::<u64>(&mut redis.connection()).expect("deleted");
        assert_eq!(remove(&mut *store.walk().await.expect("begun"), |_| true).await, 3);
        assert_eq!(elements(&redis), [&b"{\"v\":2}"[..], b"removed by nobody", b""]);
        assert_eq!(store.fullness().await.expect("asked").size, 0);
        store.append(&[letter(3, 10)]).await.expect("kept");
    }
}
