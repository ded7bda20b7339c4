//! The main job on a real Redis with real processes: what a gateway left there reaches files, whatever
//! is killed, stopped or restarted in between.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use pump_testing::{LossyProxy, RedisOptions, RedisServer};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::gateway::{KEY, Purger, push, repeats};
use crate::process::PumpProcess;

/// A record as small as those of most gateways, in bytes.
const SMALL: usize = 1_100;
/// More than the memory log can hold of them: what a crash may repeat.
const LOG_RECORDS: u64 = (32 << 20) / SMALL as u64;

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

/// Redis into ndjson files in `out`, with a short lease.
fn pipeline(redis: &RedisServer) -> String {
    format!(
        "sources:\n  gateway:\n    type: redis_list\n    url: {}\n    lease: 2s\n\
         sinks:\n  files:\n    type: file\n    path: out/records.ndjson\n    kinds: [transaction]\n\
         shutdown_timeout: 10s\n",
        redis.url()
    )
}

fn out(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("out")
}

/// The books of a pump that has ended in order, as it last showed them.
pub(crate) fn assert_balanced(status: &serde_json::Value) {
    for lane in status["lanes"].as_array().expect("there are lanes") {
        let records = &lane["records"];
        let count = |name: &str| records[name].as_u64().unwrap_or_else(|| panic!("{name} in {records}"));
        let outcomes =
            ["delivered", "duplicate", "filtered", "dead_lettered", "left_behind", "revoked", "pending"];
        assert_eq!(count("accepted"), outcomes.iter().map(|name| count(name)).sum::<u64>(), "{lane}");
    }
    for source in status["sources"].as_array().expect("there are sources") {
        let records = &source["records"];
        let count = |name: &str| records[name].as_u64().unwrap_or_else(|| panic!("{name} in {records}"));
        assert_eq!(
            count("read"),
            count("appended") + count("already_held") + count("dead_lettered"),
            "{source}"
        );
    }
}

/// Whatever is left in Redis is taken over and delivered by a pump that drains and ends.
fn drain(folder: &Path, pipeline: &str) {
    let mut pump = PumpProcess::start(folder, "drain", pipeline, &["--drain"]);
    let status = pump.wait(Duration::from_secs(60));
    assert!(status.success(), "the drain ended with {status}");
}

#[test]
fn every_record_reaches_the_file_once_when_nothing_fails() {
    let (redis, folder) = (RedisServer::start(), folder());
    push(&redis.url(), 0, 20_000, SMALL);
    let mut pump = PumpProcess::start(folder.path(), "only", &pipeline(&redis), &[]);
    pump.wait_until(Duration::from_secs(60), "delivered", |status| {
        status["lanes"][0]["records"]["delivered"] == 20_000
            && status["sources"][0]["records"]["backlog"] == 0
    });
    assert_balanced(&pump.status());
    pump.stop();
    assert_eq!(repeats(&out(&folder), 20_000), 0);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

#[test]
fn a_drain_delivers_what_there_was_and_ends() {
    let (redis, folder) = (RedisServer::start(), folder());
    push(&redis.url(), 0, 20_000, SMALL);
    drain(folder.path(), &pipeline(&redis));
    assert_eq!(repeats(&out(&folder), 20_000), 0);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

#[test]
fn kills_at_random_moments_lose_nothing_and_repeat_no_more_than_the_log_held() {
    kill_at_random("", Duration::from_secs(3));
}

/// With the disk log a crash repeats what was in flight and what was closed since cursors were stored last.
#[test]
fn kills_at_random_moments_lose_nothing_of_a_log_on_disk() {
    // A start looks at the whole log first, so it takes a little longer until the lists are safe.
    kill_at_random(
        "log: { type: disk, path: log, ephemeral: true, max_size: 256MiB }\n",
        Duration::from_secs(10),
    );
}

/// Kills at random moments while records flow and the gateway's TTL fires; how often is
/// `PUMP_TEST_KILL_ROUNDS` (3 without it).
fn kill_at_random(log: &str, ttl: Duration) {
    const RECORDS: u64 = 200_000;
    let rounds: u64 =
        std::env::var("PUMP_TEST_KILL_ROUNDS").map_or(3, |rounds| rounds.parse().expect("a number"));
    for round in 0..rounds {
        let pipeline = |redis: &RedisServer| pipeline(redis) + log;
        let (redis, folder) = (RedisServer::start(), folder());
        // Each second; what waits for as long as that while nobody runs is lost by the gateway's will.
        let purger = Purger::start(&redis.url(), ttl);
        let mut pump = PumpProcess::start(folder.path(), "killed", &pipeline(&redis), &[]);
        pump.wait_until(Duration::from_secs(10), "started", |status| status["lanes"].is_array());
        let url = redis.url();
        let pushing = thread::spawn(move || push(&url, 0, RECORDS, SMALL));
        let mut kills = 0;
        let begin = Instant::now();
        while !pushing.is_finished() || kills < 3 {
            // Not a random number: the process's own pace is random enough, and this can be told.
            let pause = 150 + (round * 7919 + kills * 104_729) % 700;
            thread::sleep(Duration::from_millis(pause));
            pump.kill();
            kills += 1;
            // Started again at once, as anything that keeps processes alive would: within the TTL.
            pump = PumpProcess::start(folder.path(), "killed", &pipeline(&redis), &[]);
            pump.wait_until(Duration::from_secs(10), "started", |status| status["lanes"].is_array());
            assert!(begin.elapsed() < Duration::from_secs(120), "pushing takes too long");
        }
        pushing.join().expect("pushed");
        drop(purger);
        pump.stop();
        drain(folder.path(), &pipeline(&redis));
        // Shown only when records are lost: whether a list expired before a restarted pump got to it.
        let stats: String =
            redis::cmd("INFO").arg("stats").query(&mut redis.connection()).expect("Redis tells");
        println!("redis: {:?}", stats.lines().find(|line| line.starts_with("expired_keys")));
        let repeated = repeats(&out(&folder), RECORDS);
        assert!(repeated <= kills * LOG_RECORDS, "{repeated} repeats after {kills} kills");
        assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    }
}

#[test]
fn a_redis_that_restarts_with_its_data_loses_nothing() {
    const RECORDS: u64 = 60_000;
    let (mut redis, folder) = (RedisServer::durable(), folder());
    push(&redis.url(), 0, RECORDS / 2, SMALL);
    let mut pump = PumpProcess::start(folder.path(), "only", &pipeline(&redis), &[]);
    pump.wait_until(Duration::from_secs(30), "some delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() > Some(1_000)
    });
    redis.restart();
    push(&redis.url(), RECORDS / 2, RECORDS, SMALL);
    pump.wait_until(Duration::from_secs(60), "all delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() >= Some(RECORDS)
            && status["sources"][0]["records"]["backlog"] == 0
    });
    assert_balanced(&pump.status());
    pump.stop();
    assert!(repeats(&out(&folder), RECORDS) <= LOG_RECORDS);
}

#[test]
fn several_pumps_share_the_work_and_take_over_from_each_other() {
    const RECORDS: u64 = 100_000;
    let (redis, folder) = (RedisServer::start(), folder());
    let mut pumps: Vec<_> = (0..3)
        .map(|number| PumpProcess::start(folder.path(), &format!("pump-{number}"), &pipeline(&redis), &[]))
        .collect();
    for pump in &pumps {
        pump.wait_until(Duration::from_secs(10), "started", |status| status["lanes"].is_array());
    }
    let url = redis.url();
    let pushing = thread::spawn(move || push(&url, 0, RECORDS, SMALL));
    thread::sleep(Duration::from_millis(500));
    pumps[0].kill();
    pushing.join().expect("pushed");
    // What the dead one held is taken over once its lease has passed.
    for pump in &pumps[1..] {
        pump.wait_until(Duration::from_secs(60), "the backlog is gone", |status| {
            status["sources"][0]["records"]["backlog"] == 0
        });
    }
    let delivered: Vec<_> = pumps[1..]
        .iter()
        .map(|pump| pump.status()["lanes"][0]["records"]["delivered"].as_u64().unwrap_or_default())
        .collect();
    assert!(delivered.iter().all(|count| *count > 0), "the work was not shared: {delivered:?}");
    for pump in &mut pumps[1..] {
        assert_balanced(&pump.status());
        pump.stop();
    }
    drain(folder.path(), &pipeline(&redis));
    assert!(repeats(&out(&folder), RECORDS) <= LOG_RECORDS);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

#[test]
fn a_pump_that_is_stopped_past_its_lease_loses_nothing_and_trims_nothing_that_is_not_its_own() {
    const RECORDS: u64 = 60_000;
    let (redis, folder) = (RedisServer::start(), folder());
    let mut slow = PumpProcess::start(folder.path(), "slow", &pipeline(&redis), &[]);
    slow.wait_until(Duration::from_secs(10), "started", |status| status["lanes"].is_array());
    push(&redis.url(), 0, RECORDS / 2, SMALL);
    slow.signal(Signal::STOP);
    let mut other = PumpProcess::start(folder.path(), "other", &pipeline(&redis), &[]);
    push(&redis.url(), RECORDS / 2, RECORDS, SMALL);
    other.wait_until(Duration::from_secs(60), "taken over", |status| {
        status["sources"][0]["records"]["backlog"] == 0
    });
    slow.signal(Signal::CONT);
    slow.wait_until(Duration::from_secs(30), "awake", |status| status["lanes"][0]["records"]["pending"] == 0);
    assert_balanced(&slow.status());
    slow.stop();
    other.stop();
    drain(folder.path(), &pipeline(&redis));
    assert!(repeats(&out(&folder), RECORDS) <= LOG_RECORDS);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

#[test]
fn a_graceful_stop_gives_back_what_was_not_delivered_at_once() {
    let (redis, folder) = (RedisServer::start(), folder());
    push(&redis.url(), 0, 20_000, SMALL);
    let slow = pipeline(&redis).replace("lease: 2s", "lease: 60s") + "\n";
    let slow =
        slow.replace("    kinds: [transaction]\n", "    kinds: [transaction]\n    rate_limit: 2000/s\n");
    let mut pump = PumpProcess::start(folder.path(), "slow", &slow, &[]);
    pump.wait_until(Duration::from_secs(10), "some delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() > Some(0)
    });
    pump.stop();
    // Leases of a minute were released: the next pump does not wait for them.
    let begin = Instant::now();
    drain(folder.path(), &pipeline(&redis).replace("lease: 2s", "lease: 60s"));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(repeats(&out(&folder), 20_000), 0);
}

/// The bound of the architecture: 40 MB, the log, and two batches per delivery in flight.
pub(crate) const BOUND_KIB: u64 = (40 + 32 + 2 * 4 * 2) << 10;

/// Drains so many records of such a size, and watches the memory meanwhile.
fn assert_bounded(records: u64, size: usize, limit: Duration) {
    let (redis, folder) = (RedisServer::start(), folder());
    push(&redis.url(), 0, records, size);
    let pipeline = pipeline(&redis).replace("kinds:", "compression: zstd\n    kinds:");
    let mut pump = PumpProcess::start(folder.path(), "drain", &pipeline, &["--drain"]);
    let (mut peak, mut last) = (0, serde_json::Value::Null);
    let begin = Instant::now();
    while pump.is_running() {
        peak = peak.max(pump.memory_kib("VmHWM"));
        let status = pump.status();
        if status.is_object() {
            assert_balanced(&status);
            last = status;
        }
        assert!(begin.elapsed() < limit, "it takes too long: {last}");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(pump.wait(Duration::from_secs(1)).success());
    eprintln!("peak {} MiB", peak >> 10);
    assert!(peak > 0 && peak <= BOUND_KIB, "peak memory {} MiB of {}", peak >> 10, BOUND_KIB >> 10);
}

#[test]
fn memory_stays_within_its_bound_with_a_million_records_waiting() {
    assert_bounded(1_000_000, SMALL, Duration::from_secs(240));
}

#[test]
#[ignore = "takes 3 GB of memory: `make chaos` runs it"]
fn memory_stays_within_its_bound_with_ten_thousand_huge_records_waiting() {
    assert_bounded(10_000, 268_000, Duration::from_secs(600));
}

/// A key of this name is in the way in the test below.
const BLOCKED: &str = "analytics-tyk-system-analytics_3_protobuf";

/// A pump whose dead letters cannot be kept, or one of whose keys is no list or forbidden, still guards all
/// the others.
#[test]
fn trouble_with_one_thing_lets_no_list_expire() {
    for trouble in ["dead letters", "wrong type", "forbidden", "seldom sealed"] {
        let (redis, folder) = (RedisServer::start(), folder());
        let mut connection = redis.connection();
        let blocked = folder.path().join("letters");
        std::fs::write(&blocked, "no folder").expect("written");
        let mut text = pipeline(&redis) + "dead_letters: { path: letters }\n";
        match trouble {
            "dead letters" => {
                redis::cmd("RPUSH")
                    .arg("analytics-tyk-system-analytics")
                    .arg("rubbish")
                    .exec(&mut connection)
                    .expect("taken");
            }
            "wrong type" => {
                redis::cmd("SET").arg(BLOCKED).arg("x").exec(&mut connection).expect("taken");
            }
            "forbidden" => {
                let mut user = redis::cmd("ACL");
                user.arg(&["SETUSER", "guest", "on", ">secret", "+@all"]);
                let lists = ["", "_protobuf", "_?", "_[0-24-9]_protobuf"].map(|rest| format!("{KEY}{rest}"));
                for list in lists.into_iter().chain(["*uptime-analytics".into()]) {
                    user.arg(format!("~{list}")).arg(format!("~{{{list}}}:pump:*"));
                }
                user.arg("~version-check-pump").exec(&mut connection).expect("made");
                redis::cmd("RPUSH").arg(BLOCKED).arg("hidden").exec(&mut connection).expect("taken");
                text = text.replace("lease: 2s", "lease: 2s\n    username: guest\n    password: secret");
            }
            _ => text = text.replace("lease: 2s", "lease: 2s\n    seal_interval: 1h"),
        }
        let _purger = Purger::start(&redis.url(), Duration::from_secs(2));
        let mut pump = PumpProcess::start(folder.path(), "only", &text, &[]);
        pump.wait_until(Duration::from_secs(10), "started", |status| status["lanes"].is_array());
        for batch in 0..6 {
            push(&redis.url(), batch * 500, (batch + 1) * 500, SMALL);
            thread::sleep(Duration::from_secs(1));
        }
        if ["wrong type", "forbidden"].contains(&trouble) {
            let (code, reasons) = pump.get("/readyz");
            assert_eq!(code, 503);
            assert!(reasons.contains(BLOCKED), "{reasons}");
            redis::cmd("DEL").arg(BLOCKED).exec(&mut connection).expect("gone");
        }
        std::fs::remove_file(&blocked).expect("mended");
        pump.wait_until(Duration::from_secs(60), trouble, |status| {
            status["lanes"][0]["records"]["delivered"] == 3_000
        });
        assert_balanced(&pump.status());
        pump.stop();
        assert_eq!(repeats(&out(&folder), 3_000), 0, "{trouble}");
    }
}

/// A source whose Redis is away holds no room in the log that another one needs.
#[test]
fn an_outage_of_one_redis_stops_no_other_source() {
    let (mut gone, sound, folder) = (RedisServer::start(), RedisServer::start(), folder());
    push(&gone.url(), 0, 20_000, SMALL);
    let second = format!("  second:\n    type: redis_list\n    url: {}\nsinks:", sound.url());
    // The log has room for one reply at a time.
    let text = pipeline(&gone).replace("sinks:", &second) + "log: { type: memory, max_size: 8MiB }\n";
    let text =
        text.replace("    kinds: [transaction]\n", "    kinds: [transaction]\n    rate_limit: 4000/s\n");
    let pump = PumpProcess::start(folder.path(), "two", &text, &[]);
    let delivered = |status: &serde_json::Value| status["lanes"][0]["records"]["delivered"].as_u64();
    pump.wait_until(Duration::from_secs(20), "the first flows", |status| delivered(status) > Some(1_000));
    gone.kill();
    push(&sound.url(), 20_000, 21_000, SMALL);
    pump.wait_until(Duration::from_secs(60), "the second flows", |status| {
        status["sources"].as_array().is_some_and(|sources| {
            sources.iter().any(|source| source["name"] == "second" && source["records"]["read"] == 1_000)
        })
    });
}

/// What fills a Redis is often what waits for a sink: once the sink is there, it is drained, also by a pump
/// that finds it full.
#[test]
fn a_redis_that_is_full_is_drained() {
    let redis = RedisServer::with(RedisOptions { max_memory: 12 << 20, ..RedisOptions::default() });
    let folder = folder();
    push(&redis.url(), 0, 2_000, SMALL);
    let stuck = pipeline(&redis)
        .replace("    kinds: [transaction]\n", "    kinds: [transaction]\n    rate_limit: 1/s\n");
    let mut pump = PumpProcess::start(folder.path(), "stuck", &stuck, &[]);
    pump.wait_until(Duration::from_secs(20), "segments", |_| {
        redis.keys().iter().any(|key| key.contains(":pump:seg:"))
    });
    pump.kill();
    let mut connection = redis.connection();
    let full = (0..1_000).find_map(|number| {
        let mut fill = redis::cmd("SET");
        fill.arg(format!("filler:{number}")).arg(vec![b'x'; 64 << 10]).exec(&mut connection).err()
    });
    assert_eq!(full.as_ref().and_then(redis::RedisError::code), Some("OOM"));
    let mut pump = PumpProcess::start(folder.path(), "sound", &pipeline(&redis), &[]);
    pump.wait_until(Duration::from_secs(30), "drained", |status| {
        status["sources"][0]["records"]["backlog"] == 0 && status["lanes"][0]["records"]["pending"] == 0
    });
    pump.stop();
    assert!(repeats(&out(&folder), 2_000) <= 2_000);
}

/// A failover can lose a segment from its index; a drain knows of it before it says that it is done.
#[test]
fn a_drain_takes_what_is_in_no_index_from_among_many_keys() {
    let (redis, folder) = (RedisServer::start(), folder());
    let mut connection = redis.connection();
    for thousand in 0..60 {
        let mut pipe = redis::pipe();
        (0..1_000).for_each(|key| {
            pipe.set(format!("session:{thousand}:{key}"), "x").ignore();
        });
        pipe.exec(&mut connection).expect("set");
    }
    push(&redis.url(), 0, 1_000, SMALL);
    for list in redis.keys().into_iter().filter(|key| key.contains("analytics")) {
        let segment = format!("{{{list}}}:pump:seg:0192d3a0-0000-7000-8000-000000000000");
        redis::cmd("RENAME").arg(&list).arg(segment).exec(&mut connection).expect("hidden");
    }
    drain(folder.path(), &pipeline(&redis));
    assert_eq!(repeats(&out(&folder), 1_000), 0);
    assert!(!redis.keys().iter().any(|key| key.contains("analytics")), "nothing is left of the lists");
}

/// What a script did stands although its answer was lost: the pump finds out, and does nothing twice.
#[test]
fn lost_answers_lose_nothing_and_repeat_nothing() {
    let scripts = [
        ("seal", include_str!("../../sources/src/redis_list/scripts/seal.lua")),
        ("read", include_str!("../../sources/src/redis_list/scripts/read.lua")),
        ("ack", include_str!("../../sources/src/redis_list/scripts/ack.lua")),
    ];
    for (name, text) in scripts {
        const ROUNDS: u64 = 4;
        let (redis, folder) = (RedisServer::start(), folder());
        let proxy = LossyProxy::start(redis.address());
        let through = pipeline(&redis).replace(&redis.address().to_string(), &proxy.address().to_string());
        let mut pump = PumpProcess::start(folder.path(), "only", &through, &[]);
        pump.wait_until(Duration::from_secs(10), "started", |status| status["lanes"].is_array());
        let hash = redis::Script::new(text).get_hash().to_owned();
        for round in 0..ROUNDS {
            proxy.lose_answer_to(hash.as_bytes());
            push(&redis.url(), round * 1_000, (round + 1) * 1_000, SMALL);
            pump.wait_until(Duration::from_secs(30), name, |status| {
                status["lanes"][0]["records"]["delivered"] == (round + 1) * 1_000
            });
        }
        pump.wait_until(Duration::from_secs(30), "settled", |status| {
            proxy.lost() == ROUNDS && status["sources"][0]["records"]["backlog"] == 0
        });
        assert_balanced(&pump.status());
        pump.stop();
        assert_eq!(repeats(&out(&folder), ROUNDS * 1_000), 0, "{name}");
        assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    }
}
