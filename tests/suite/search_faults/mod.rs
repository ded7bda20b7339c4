//! Faults on every side of a search server: on the way to it, in what it says of records, and in the
//! pump. Whatever fails and for however long, in the end every record is there once.

mod disk_log;
mod items;
mod kills;
mod way;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use pump_testing::{RedisServer, SearchServer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::PumpProcess;
use crate::redis_list::assert_balanced;

/// A record as small as those of most gateways, in bytes.
const SMALL: usize = 1_100;
/// In one request, so that there are many.
const PER_BATCH: u64 = 250;
/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A gateway's Redis, a search server and an index of its own in it.
struct Scene {
    redis: RedisServer,
    search: Arc<SearchServer>,
    folder: TempDir,
    index: &'static str,
    /// The section of the pipeline file.
    log: &'static str,
}

/// The search server of all tests that run now: it takes longer to start than they take.
fn shared() -> Arc<SearchServer> {
    static SHARED: Mutex<Weak<SearchServer>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(SearchServer::opensearch());
        *shared = Arc::downgrade(&server);
        server
    })
}

impl Scene {
    fn new(index: &'static str) -> Self {
        let folder = TempDir::new().expect("a folder");
        Self { redis: RedisServer::start(), search: shared(), folder, index, log: "" }
    }

    fn with_disk_log(index: &'static str) -> Self {
        // The folder of the test may be in memory.
        let log = "log: { type: disk, path: log, ephemeral: true, max_size: 256MiB }\n";
        Self { log, ..Self::new(index) }
    }

    /// From the gateway's lists to a search server at these addresses.
    fn pipeline(&self, endpoints: &[&str]) -> String {
        pipeline(&self.redis, endpoints, self.index) + self.log
    }

    fn start(&self, endpoints: &[&str]) -> PumpProcess {
        PumpProcess::start(self.folder.path(), "only", &self.pipeline(endpoints), &[])
    }

    fn push(&self, from: u64, to: u64) {
        crate::gateway::push(&self.redis.url(), from, to, SMALL);
    }

    /// Asks the server itself; it must agree.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, reply) = self.search.request(method, path, body);
        assert!(status < 300, "{method} {path}: {status} {reply}");
        reply
    }

    /// How many documents there are.
    fn count(&self) -> u64 {
        self.ask("POST", &format!("/{}/_refresh", self.index), &Value::Null);
        let counted = self.ask("GET", &format!("/{}/_count", self.index), &Value::Null);
        counted["count"].as_u64().expect("a number")
    }

    /// How often each record is in the index, by its number.
    fn documents(&self) -> BTreeMap<u64, u32> {
        let index = self.index;
        self.ask("POST", &format!("/{index}/_refresh"), &Value::Null);
        let query = json!({ "size": 10_000, "_source": ["alias"], "sort": ["_doc"] });
        let mut page = self.ask("POST", &format!("/{index}/_search?scroll=1m"), &query);
        let mut seen = BTreeMap::new();
        loop {
            let hits = page["hits"]["hits"].as_array().expect("hits");
            if hits.is_empty() {
                return seen;
            }
            for hit in hits {
                let alias = hit["_source"]["alias"].as_str().expect("a record has an alias");
                let number = alias[1..].split('-').next().and_then(|digits| digits.parse().ok());
                *seen.entry(number.expect("the alias has a number")).or_default() += 1;
            }
            let next = json!({ "scroll": "1m", "scroll_id": page["_scroll_id"] });
            page = self.ask("POST", "/_search/scroll", &next);
        }
    }

    /// All numbers below `count` are there once, and no others.
    fn assert_each_is_there_once(&self, count: u64) {
        let seen = self.documents();
        let missing: Vec<_> = (0..count).filter(|number| !seen.contains_key(number)).take(10).collect();
        assert!(missing.is_empty(), "{} of {count} are there, without {missing:?}", seen.len());
        let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).take(10).collect();
        assert!(twice.is_empty(), "there more than once: {twice:?}");
        assert_eq!(seen.len() as u64, count, "there are records that nobody pushed");
    }

    /// What was given up, line by line.
    fn letters(&self) -> Vec<Value> {
        let files = std::fs::read_dir(self.folder.path().join("letters")).into_iter().flatten();
        let texts = files.map(|file| std::fs::read_to_string(file.expect("it can be read").path()));
        let text: String = texts.map(|text| text.expect("it is text")).collect();
        text.lines().map(|line| serde_json::from_str(line).expect("a letter is JSON")).collect()
    }
}

fn pipeline(redis: &RedisServer, endpoints: &[&str], index: &str) -> String {
    format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\n    lease: 2s\n\
         sinks:\n  search:\n    type: elasticsearch\n    endpoints: {endpoints:?}\n    index: {index}\n    \
         kinds: [transaction]\n    timeout: 2s\n    install_template: true\n    \
         batch: {{ max_records: {PER_BATCH}, max_age: 100ms }}\n    retry: {{ initial: 50ms, max: 300ms }}\n\
         dead_letters: {{ path: letters }}\n",
        redis.url()
    )
}

fn counted(status: &Value, column: &str) -> u64 {
    status["lanes"][0]["records"][column].as_u64().unwrap_or_default()
}

/// Waits until each of so many records has its outcome and is gone from Redis. The books agree at every
/// moment until then.
fn wait_until_all_is_answered(pump: &PumpProcess, count: u64) -> Value {
    pump.wait_until(LIMIT, "everything is answered", |status| {
        if status.is_object() {
            assert_balanced(status);
        }
        counted(status, "accepted") >= count
            && counted(status, "pending") == 0
            && status["sources"][0]["records"]["backlog"] == 0
    });
    let status = pump.status();
    assert_balanced(&status);
    assert_eq!(counted(&status, "accepted"), count, "{status}");
    status
}

/// Waits until `/readyz` gives this reason.
fn wait_for_reason(pump: &PumpProcess, reason: &str) {
    wait(&format!("{reason} in /readyz"), || {
        let (code, reasons) = pump.get("/readyz");
        code == 503 && reasons.contains(reason)
    });
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
