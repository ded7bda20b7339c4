//! What gateways do to Redis: push records, and give their lists a TTL each second.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pump_core::record::Timestamp;
use pump_sources::demo::Traffic;

/// A gateway's own key, without a number.
pub(crate) const KEY: &str = "analytics-tyk-system-analytics";
/// Records in one pipeline, as a busy gateway flushes them.
const PER_PUSH: usize = 200;

/// Pushes records numbered `from..to` over eleven keys, as fast as Redis takes them. Each carries its
/// number in `alias`, padded so that a record is at least `size` bytes.
pub(crate) fn push(url: &str, from: u64, to: u64, size: usize) {
    let client = redis::Client::open(url).expect("an address");
    let mut connection = client.get_connection().expect("Redis answers");
    for (key, bodies) in batches(from, to, size) {
        let mut pipeline = redis::pipe();
        for body in bodies {
            pipeline.rpush(&key, body).ignore();
        }
        pipeline.query::<()>(&mut connection).expect("Redis takes it");
    }
}

/// As [`push`], one command a batch, over a connection of any kind.
pub(crate) fn push_over(connection: &mut dyn redis::ConnectionLike, from: u64, to: u64, size: usize) {
    for (key, bodies) in batches(from, to, size) {
        redis::cmd("RPUSH").arg(key).arg(bodies).query::<()>(connection).expect("Redis takes it");
    }
}

/// What a gateway pushes at once: the key, and the records.
pub(crate) fn batches(from: u64, to: u64, size: usize) -> impl Iterator<Item = (String, Vec<Vec<u8>>)> {
    let mut traffic = Traffic::new(from, Some(to - from));
    (from..to).step_by(PER_PUSH).enumerate().map(move |(turn, first)| {
        let key = match turn % 11 {
            0 => KEY.to_owned(),
            number => format!("{KEY}_{}", number - 1),
        };
        let bodies = (first..to.min(first + PER_PUSH as u64)).map(|number| {
            let mut body = Vec::with_capacity(size + 64);
            traffic.write(Timestamp::now(), &label(number, 0), &mut body);
            if body.len() < size {
                let padding = size - body.len();
                body.clear();
                traffic.write(Timestamp::now(), &label(number, padding), &mut body);
            }
            body
        });
        (key, bodies.collect())
    })
}

fn label(number: u64, padding: usize) -> String {
    // The digits differ from record to record, so that padding does not compress to nothing.
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let digits: String =
        (0..padding.div_ceil(16)).map(|turn| format!("{:016x}", seed.rotate_left(turn as u32))).collect();
    format!("n{number}-{}", &digits[..padding])
}

/// A thread that gives every gateway list without a TTL one of a second, each second, until dropped.
pub(crate) struct Purger {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Purger {
    pub(crate) fn start(url: &str, ttl: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (told, url) = (is_over.clone(), url.to_owned());
        let thread = thread::spawn(move || {
            let client = redis::Client::open(url).expect("an address");
            while !told.load(Ordering::Relaxed) {
                if let Ok(mut connection) = client.get_connection() {
                    for number in 0..11 {
                        let key = if number == 0 { KEY.to_owned() } else { format!("{KEY}_{}", number - 1) };
                        let mut ask = redis::cmd("PTTL");
                        if let Ok(-1) = ask.arg(&key).query::<i64>(&mut connection) {
                            let mut expire = redis::cmd("PEXPIRE");
                            let _ =
                                expire.arg(&key).arg(ttl.as_millis() as u64).query::<i64>(&mut connection);
                        }
                    }
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Purger {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How often each number stands in the ndjson files of a folder. A line that is no whole JSON object
/// fails the test: files end whole.
pub(crate) fn numbers_in(folder: &Path) -> BTreeMap<u64, u32> {
    let mut seen = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let name = path.to_string_lossy();
        // What was set aside was answered to nobody, and need not be whole.
        if !name.contains(".ndjson") || name.ends_with(".torn") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it is text");
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in a torn line", path.display());
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()));
            let alias = record["alias"].as_str().expect("a record has an alias");
            let number = alias[1..].split('-').next().and_then(|digits| digits.parse().ok());
            *seen.entry(number.expect("the alias has a number")).or_default() += 1;
        }
    }
    seen
}

/// Checks that every number below `count` is there; returns how many stand there more than once.
pub(crate) fn repeats(folder: &Path, count: u64) -> u64 {
    let seen = numbers_in(folder);
    let missing: Vec<u64> = (0..count).filter(|number| !seen.contains_key(number)).collect();
    assert!(
        missing.is_empty(),
        "{} of {count} records are lost, such as {:?}",
        missing.len(),
        &missing[..missing.len().min(10)]
    );
    assert_eq!(seen.len() as u64, count, "there are records that nobody pushed");
    seen.values().map(|times| u64::from(times - 1)).sum()
}
