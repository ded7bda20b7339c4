//! The calls on a real Redis server. Everything that changes something is a script, whole or not at all.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use memmap2::MmapMut;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value, cmd, pipe};

use super::calls::{Ack, Acked, Calls, ListState, Memory, Reply};
use super::config::RedisListConfig;
use super::keys::ListKeys;
use super::scripts::{ScriptTexts, Scripts};
use crate::connection::{Connection, Primary};
use crate::redis_target::Target;

/// Records in one reply. More small ones than this take Lua longer than their bytes are worth.
const MAX_RECORDS: u64 = 10_000;

/// Bytes of records in one reply, where `max_reply` allows it and a record is not larger: larger replies
/// take both sides longer, by what they move through their caches.
const WANTED_REPLY: u64 = 2 << 20;

/// Keys that one step of a search through all keys visits: a fraction of a millisecond of the server's time.
const SCANNED: usize = 1_000;

/// A connection that is made anew when it breaks.
pub(super) struct Server {
    connection: Connection,
    scripts: Scripts,
}

/// The questions that are asked about the same lists again and again, made once.
pub(super) struct Looks {
    pub(super) lists: Vec<ListKeys>,
    states: Pipeline,
    segments: Pipeline,
}

impl Looks {
    pub(super) fn new<'k>(lists: impl IntoIterator<Item = &'k ListKeys>) -> Self {
        let mut looks = Self { lists: Vec::new(), states: pipe(), segments: pipe() };
        // One key that is no list must not hide the others: each answer is judged by itself.
        looks.states.ignore_errors();
        looks.segments.ignore_errors();
        looks.states.cmd("TIME");
        for keys in lists {
            looks.lists.push(keys.clone());
            looks.states.cmd("LLEN").arg(&*keys.list);
            looks.states.cmd("PTTL").arg(&*keys.list);
            looks.states.cmd("ZRANGE").arg(&*keys.idx).arg(0).arg(0).arg("WITHSCORES");
            looks.segments.cmd("ZRANGE").arg(&*keys.idx).arg(0).arg(-1);
        }
        looks
    }
}

/// How far a search through all keys has come.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The servers that are left, the one where it is last; `None` until they are known.
    primaries: Option<Vec<Primary>>,
    cursor: u64,
    /// Something was found that could not be registered.
    pub(super) was_refused: bool,
}

impl Search {
    /// There is nothing left to look through.
    #[cfg(test)]
    pub(super) fn end(&mut self) {
        self.primaries = Some(Vec::new());
    }

    pub(super) fn is_over(&self) -> bool {
        self.primaries.as_ref().is_some_and(Vec::is_empty)
    }
}

impl Memory {
    fn of(info: &str) -> Self {
        let value = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        Self {
            used: value("used_memory").parse().unwrap_or_default(),
            max: value("maxmemory").parse().unwrap_or_default(),
            policy: value("maxmemory_policy").to_owned(),
        }
    }

    /// Whether it may evict what nobody has read, and how full it is in percent (0: no limit): the larger,
    /// the more the operator must hear of it.
    fn danger(&self) -> (bool, u64) {
        let is_evicting = self.max > 0 && self.policy.starts_with("allkeys");
        (is_evicting, (self.used * 100).checked_div(self.max).unwrap_or_default())
    }
}

impl Server {
    pub(super) fn new(config: &RedisListConfig) -> Result<Self, RedisError> {
        Ok(Self::over(Connection::new(Target::new(&config.redis())?), &ScriptTexts::default()))
    }

    #[cfg(test)]
    pub(super) fn with_scripts(client: redis::Client, texts: &ScriptTexts) -> Self {
        Self::over(Connection::new(Target::of(&client)), texts)
    }

    fn over(connection: Connection, texts: &ScriptTexts) -> Self {
        Self { connection, scripts: Scripts::new(texts) }
    }

    /// The pipeline ignores errors: each answer has its own.
    async fn ask_each(&self, pipeline: &Pipeline) -> Result<Vec<RedisResult<Value>>, RedisError> {
        pipeline.query_async(&mut self.connection.get().await?).await
    }
}

#[async_trait]
impl Calls for Server {
    async fn ping(&self) -> Result<(), RedisError> {
        cmd("PING").query_async(&mut self.connection.get().await?).await
    }

    async fn look(&self, looks: &Looks) -> Result<Vec<RedisResult<ListState>>, RedisError> {
        let mut answers = self.ask_each(&looks.states).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        // Without the time only what was given back by its holder is known to be free.
        let now = match of_one_list(next())? {
            Ok(time) => redis::from_redis_value(time)
                .map(|(seconds, micros): (u64, u64)| seconds * 1_000 + micros / 1_000)?,
            Err(_) => 0,
        };
        let states = looks.lists.iter().map(|_| {
            // All three are taken, whatever the first of them says.
            let (length, ttl, oldest) = (next(), next(), next());
            let ttl: i64 = redis::from_redis_value(ttl?)?;
            let oldest: Vec<(String, f64)> = redis::from_redis_value(oldest?)?;
            let due = oldest.into_iter().find(|(_, deadline)| *deadline <= now as f64);
            Ok(ListState {
                length: redis::from_redis_value(length?)?,
                ttl: u64::try_from(ttl).ok().map(Duration::from_millis),
                due_segment: due.map(|(segment, _)| segment.into()),
            })
        });
        states.map(of_one_list).collect()
    }

    async fn segments(&self, looks: &Looks) -> Result<Vec<RedisResult<Vec<String>>>, RedisError> {
        let answers = self.ask_each(&looks.segments).await?.into_iter();
        answers
            .map(|answer| of_one_list(answer.and_then(|names| Ok(redis::from_redis_value(names)?))))
            .collect()
    }

    async fn backlog(&self, lists: &[String]) -> Result<u64, RedisError> {
        let mut total = 0;
        // Thousands of segments are asked for in portions, so that nobody else waits long.
        for lists in lists.chunks(1_000) {
            let mut ask = pipe();
            ask.ignore_errors();
            for list in lists {
                ask.cmd("LLEN").arg(list);
            }
            for answer in self.ask_each(&ask).await? {
                if let Ok(length) = of_one_list(answer)? {
                    total += redis::from_redis_value::<u64>(length)?;
                }
            }
        }
        Ok(total)
    }

    async fn seal(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Result<Option<u64>, RedisError> {
        let mut call = self.scripts.seal.prepare_invoke();
        call.key(&*keys.list).key(&*keys.idx).key(&*keys.own).key(&*keys.base).key(segment);
        call.arg(token).arg(lease.as_millis() as u64);
        let length: i64 = call.invoke_async(&mut self.connection.get().await?).await?;
        Ok(u64::try_from(length).ok().filter(|length| *length > 0))
    }

    async fn steal(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        lease: Duration,
    ) -> Result<Option<Range<u64>>, RedisError> {
        let mut call = self.scripts.steal.prepare_invoke();
        call.key(&*keys.idx).key(&*keys.own).key(&*keys.base).key(segment);
        call.arg(token).arg(lease.as_millis() as u64);
        let found: Option<(u64, u64)> = call.invoke_async(&mut self.connection.get().await?).await?;
        Ok(found.map(|(base, left)| base..base + left))
    }

    async fn read(
        &self,
        keys: &ListKeys,
        segment: &str,
        token: &str,
        offset: u64,
        max_bytes: u64,
    ) -> Result<Option<Reply>, RedisError> {
        let mut call = self.scripts.read.prepare_invoke();
        call.key(segment).key(&*keys.own).key(&*keys.base);
        call.arg(token).arg(offset).arg(MAX_RECORDS).arg(max_bytes.min(WANTED_REPLY));
        let reply: Option<(u64, Vec<Bytes>)> = call.invoke_async(&mut self.connection.get().await?).await?;
        let Some((first, parts)) = reply else { return Ok(None) };
        let sizes: Vec<u32> = parts.iter().map(|part| part.len() as u32).collect();
        Ok(Some(Reply { first, sizes, records: joined(&parts) }))
    }

    async fn ack(&self, acks: &[Ack<'_>]) -> Result<Vec<RedisResult<Acked>>, RedisError> {
        let mut ask = pipe();
        ask.ignore_errors();
        for Ack { keys, segment, token, offset, lease } in acks {
            let mut call = Cmd::new();
            call.arg("EVALSHA").arg(self.scripts.ack.get_hash()).arg(4);
            call.arg(&*keys.idx).arg(&*keys.own).arg(&*keys.base).arg(*segment);
            call.arg(*token).arg(*offset).arg(lease.as_millis() as u64);
            ask.add_command(call);
        }
        let mut answers = self.ask_each(&ask).await?;
        let is_unknown = |answer: &RedisResult<Value>| {
            answer.as_ref().is_err_and(|error| error.code() == Some("NOSCRIPT"))
        };
        if answers.iter().any(is_unknown) {
            self.scripts.ack.prepare_invoke().load_async(&mut self.connection.get().await?).await?;
            // What was done already is done again without harm.
            answers = self.ask_each(&ask).await?;
        }
        let acked = answers.into_iter().map(|answer| {
            let left: i64 = redis::from_redis_value(answer?)?;
            Ok(u64::try_from(left).map_or(Acked::Stale, Acked::Left))
        });
        acked.map(of_one_list).collect()
    }

    async fn register_lost(&self, lists: &[ListKeys], search: &mut Search) -> Result<usize, RedisError> {
        let mut connection = self.connection.get().await?;
        let primaries = match &mut search.primaries {
            Some(primaries) => primaries,
            None => search.primaries.insert(connection.primaries().await?),
        };
        let Some(primary) = primaries.last() else { return Ok(0) };
        let mut scan = cmd("SCAN");
        scan.arg(search.cursor).arg("MATCH").arg("*:pump:seg:*").arg("COUNT").arg(SCANNED);
        scan.arg("TYPE").arg("list");
        let (next, names): (u64, Vec<String>) = connection.ask(primary, &scan).await?;
        let mut found = 0;
        for name in names {
            let Some(keys) = lists.iter().find(|keys| name.starts_with(&*keys.segments)) else { continue };
            let known = cmd("ZSCORE").arg(&*keys.idx).arg(&name).query_async(&mut connection).await;
            // What cannot be told or mended now, such as on a server that is full, is looked for again.
            if let Ok(None::<f64>) = of_one_list(known)? {
                let mut add = cmd("ZADD");
                add.arg(&*keys.idx).arg("NX").arg(0).arg(&name);
                match of_one_list(add.query_async::<usize>(&mut connection).await)? {
                    Ok(added) => found += added,
                    Err(_) => search.was_refused = true,
                }
            }
        }
        search.cursor = next;
        if next == 0 {
            primaries.pop();
        }
        Ok(found)
    }

    /// From INFO: CONFIG is often forbidden.
    async fn memory(&self) -> Result<Memory, RedisError> {
        let mut connection = self.connection.get().await?;
        let mut worst = Memory::default();
        for primary in connection.primaries().await? {
            let info: String = connection.ask(&primary, cmd("INFO").arg("memory")).await?;
            let memory = Memory::of(&info);
            if memory.danger() >= worst.danger() {
                worst = memory;
            }
        }
        Ok(worst)
    }

    async fn has_seen_tyk_pump(&self) -> Result<bool, RedisError> {
        cmd("EXISTS").arg("version-check-pump").query_async(&mut self.connection.get().await?).await
    }
}

/// The parts one after the other, in pages of their own: they wait in the log for as long as the slowest
/// sink needs, and must leave no hole between what lives shorter when they go.
fn joined(parts: &[Bytes]) -> Bytes {
    let length = parts.iter().map(Bytes::len).sum();
    let Ok(mut pages) = MmapMut::map_anon(length) else { return parts.concat().into() };
    let mut at = 0;
    for part in parts {
        pages[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    Bytes::from_owner(pages)
}

/// Sets apart what a server said no to, which concerns the keys of that command (in a Cluster another server
/// may be sound), from a way to the server that is broken, which concerns all.
pub(super) fn of_one_list<T>(answer: RedisResult<T>) -> RedisResult<RedisResult<T>> {
    match answer {
        Err(error) if error.code().is_none() => Err(error),
        answer => Ok(answer),
    }
}
