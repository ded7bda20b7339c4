//! Five sinks of one Redis with the log on disk, each in turn dead for a while: the others go on meanwhile, and at
//! the end everything is everywhere, accounted to the record.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use pump_testing::{
    EtsyStatsd, Fault, FaultyProxy, KafkaOptions, KafkaServer, RedisServer, S3Server, SearchServer, WRITER,
    WRITER_SECRET,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::push;
use crate::process::PumpProcess;
use crate::redis_list::assert_balanced;
use crate::small_disk::SmallDisk;

/// In the order in which they die.
const SINKS: [&str; 5] = ["files", "search", "archive", "stream", "counts"];
/// Pushed while one of them is dead.
const PER_DEATH: u64 = 10_000;
const LIMIT: Duration = Duration::from_secs(240);

struct World {
    redis: RedisServer,
    folder: TempDir,
    /// What the files are on, and what fills it up.
    disk: SmallDisk,
    search: SearchServer,
    way: FaultyProxy,
    store: S3Server,
    kafka: KafkaServer,
    daemon: EtsyStatsd,
}

impl World {
    fn start() -> Self {
        let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
        let (search, store) = (SearchServer::opensearch(), S3Server::start());
        store.create_bucket("archive", "", &["s3:PutObject", "s3:AbortMultipartUpload"]);
        let kafka = KafkaServer::start(&KafkaOptions { makes_topics: true, ..KafkaOptions::default() });
        let disk = SmallDisk::mount(&folder.path().join("files"), 200);
        let way = FaultyProxy::start(search.address());
        Self { redis, folder, disk, search, way, store, kafka, daemon: EtsyStatsd::start() }
    }

    fn pipeline(&self) -> String {
        let Self { redis, way, store, kafka, daemon, .. } = self;
        let retry = "retry: { initial: 50ms, max: 500ms }";
        format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: {}\n\
             log: {{ type: disk, path: log, max_size: 1GiB, ephemeral: true }}\n\
             sinks:\n  \
             files:\n    type: file\n    path: files/records.ndjson\n    {retry}\n  \
             search:\n    type: elasticsearch\n    endpoints: [\"{}\"]\n    index: records\n    {retry}\n  \
             archive:\n    type: s3\n    bucket: archive\n    prefix: \"\"\n    endpoint: {}\n    path_style: true\n    \
             access_key_id: {WRITER}\n    secret_access_key: {WRITER_SECRET}\n    \
             batch: {{ max_age: 2s }}\n    {retry}\n  \
             stream:\n    type: kafka\n    brokers: [\"{}\"]\n    topic: records\n    key: alias\n    timeout: 5s\n    \
             {retry}\n  \
             counts:\n    type: statsd\n    address: tcp://{}\n    batch: {{ max_age: 1s }}\n    {retry}\n\
             dead_letters: {{ path: letters }}\n",
            redis.url(),
            way.url(),
            store.url(),
            kafka.address(),
            daemon.address(),
        )
    }

    fn balloon(&self) -> std::path::PathBuf {
        self.disk.path().join("of-somebody-else")
    }

    fn kill(&mut self, sink: &str) {
        match sink {
            // As much as there is, to the last byte.
            "files" => {
                let _ = std::fs::write(self.balloon(), vec![1; 200 << 20]);
            }
            "search" => self.way.set(Some(Fault::Down)),
            "archive" => self.store.kill(),
            "stream" => self.kafka.stop(),
            // In order: what it has counted is not lost with it.
            "counts" => {
                self.daemon.stop();
            }
            other => unreachable!("{other}"),
        }
    }

    fn revive(&mut self, sink: &str) {
        match sink {
            "files" => std::fs::remove_file(self.balloon()).expect("it is there"),
            "search" => self.way.set(None),
            "archive" => self.store.restart(),
            "stream" => self.kafka.start_again(),
            "counts" => self.daemon.start_again(),
            other => unreachable!("{other}"),
        }
    }
}

/// Records that are at the sink, by what the pump says.
fn arrived(status: &Value, sink: &str) -> u64 {
    let lanes = status["lanes"].as_array().expect("lanes");
    let lane = lanes.iter().find(|lane| lane["name"] == sink).unwrap_or_else(|| panic!("{status}"));
    let count = |outcome: &str| lane["records"][outcome].as_u64().expect("a count");
    count("delivered") + count("duplicate")
}

/// The number that the tests put into `alias`.
fn number(alias: &str) -> u64 {
    let digits = alias.strip_prefix('n').and_then(|rest| rest.split('-').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{alias} is of nobody"))
}

fn in_files(folder: &Path) -> BTreeMap<u64, u64> {
    let mut seen = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let text = std::fs::read_to_string(entry.expect("it can be read").path()).expect("text");
        for line in text.lines() {
            let record: Value = serde_json::from_str(line).expect("a whole line");
            *seen.entry(number(record["alias"].as_str().expect("a text"))).or_default() += 1;
        }
    }
    seen
}

/// Every number below `count` is there, and nothing else; gives how many are there again.
fn repeats(sink: &str, seen: &BTreeMap<u64, u64>, count: u64) -> u64 {
    assert!(seen.keys().copied().eq(0..count), "{sink} has {} of {count}", seen.len());
    seen.values().map(|times| times - 1).sum()
}

#[test]
fn each_of_five_sinks_is_dead_in_turn_and_in_the_end_everything_is_everywhere() {
    let dead = std::env::var("PUMP_TEST_DEAD_SECONDS").map_or(1, |text| text.parse().expect("a number"));
    let mut world = World::start();
    let mut pump = PumpProcess::start(world.folder.path(), "all", &world.pipeline(), &[]);
    let mut pushed = 0;
    for victim in SINKS {
        world.kill(victim);
        push(&world.redis.url(), pushed, pushed + PER_DEATH, 0);
        pushed += PER_DEATH;
        pump.wait_until(LIMIT, "the others have what came meanwhile", |status| {
            SINKS.iter().all(|sink| *sink == victim || arrived(status, sink) == pushed)
        });
        thread::sleep(Duration::from_secs(dead));
        let status = pump.status();
        assert!(arrived(&status, victim) < pushed, "{victim} was not dead: {status}");
        assert_eq!(world.redis.keys(), Vec::<String>::new(), "what is safe in the log is gone from Redis");
        world.revive(victim);
        pump.wait_until(LIMIT, "the one that was dead has everything", |status| {
            arrived(status, victim) == pushed
        });
    }
    let status = pump.status();
    assert_balanced(&status);
    for lane in status["lanes"].as_array().expect("lanes") {
        assert_eq!((&lane["records"]["dead_lettered"], &lane["records"]["pending"]), (&json!(0), &json!(0)));
    }
    pump.stop();

    assert_eq!(repeats("files", &in_files(&world.folder.path().join("files")), pushed), 0);
    assert_eq!(world.search.request("POST", "/records/_refresh", &Value::Null).0, 200);
    let (_, found) = world.search.request("GET", "/records/_count", &Value::Null);
    assert_eq!(found["count"], pushed, "each record has one id, and is there once");
    let numbers: BTreeMap<u64, u64> =
        serde_json::from_value(world.store.client(&["numbers", "archive"])).expect("counts");
    assert_eq!(repeats("archive", &numbers, pushed), 0, "with the log on disk no record is in two objects");
    let mut keys = BTreeMap::new();
    for line in world.kafka.read_keys("records").lines() {
        let key = line.split(' ').next().expect("a key");
        *keys.entry(number(key)).or_default() += 1;
    }
    let again = repeats("stream", &keys, pushed);
    assert!(again < PER_DEATH, "{again} repeats after one death of the broker");
    let counted: f64 = world
        .daemon
        .counters()
        .iter()
        .filter_map(|(name, count)| name.contains("transaction.count.").then_some(*count))
        .sum();
    // A window whose confirmation was lost counts twice; nothing was under way when the daemon ended in order.
    assert_eq!(counted as u64, pushed, "every record is counted");
}
