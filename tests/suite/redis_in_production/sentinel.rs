//! Sentinels: a failover under load, with a user of the least rights everywhere.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pump_testing::{RedisOptions, RedisSentinels, RedisServer};
use redis::ErrorKind;
use tempfile::TempDir;

use super::permissions::{allow, rule};
use super::{SMALL, drain, folder, pipeline, wait_for, wait_for_trouble};
use crate::gateway::{batches, numbers_in, push_over, repeats};
use crate::process::PumpProcess;

const PASSWORD: &str = "hunter2";
const PATIENCE: Duration = Duration::from_secs(1);

fn start() -> (RedisSentinels, RedisServer, RedisServer) {
    let options = RedisOptions { password: "default", is_durable: true, ..RedisOptions::default() };
    let (redis, primary, replica) = RedisSentinels::start(&rule("user pump on", "sentinel"), &options);
    for server in [&primary, &replica] {
        allow_pump(server);
    }
    (redis, primary, replica)
}

fn allow_pump(server: &RedisServer) {
    allow(server, &[rule("ACL SETUSER pump on", ""), rule("ACL SETUSER pump", "+role")]);
}

fn keys(redis: &RedisSentinels) -> String {
    format!(
        "mode: sentinel\nmaster: {}\nnodes: {:?}\nusername: pump\npassword: {PASSWORD}\n\
         sentinel_username: pump\nsentinel_password: {PASSWORD}",
        redis.master(),
        redis.nodes()
    )
}

/// A gateway does not wait for ever either.
fn connect(address: SocketAddr) -> Option<redis::Connection> {
    let client = redis::Client::open(format!("redis://:default@{address}/0")).ok()?;
    let connection = client.get_connection_with_timeout(PATIENCE).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    Some(connection)
}

struct EndsWhenDropped<'a>(&'a AtomicBool);

impl Drop for EndsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pushes until told to stop. Returns the numbers that the replica had confirmed, and how many were
/// tried.
fn push_confirmed(redis: &RedisSentinels, is_over: &AtomicBool) -> (BTreeSet<u64>, u64) {
    let mut confirmed = BTreeSet::new();
    let mut number = 0;
    let mut connection: Option<redis::Connection> = None;
    while !is_over.load(Ordering::Relaxed) {
        let Some(open) = &mut connection else {
            connection = redis.primary().and_then(connect);
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let (key, bodies) = batches(number, number + 100, SMALL).next().expect("there is one");
        let push = |open: &mut redis::Connection| {
            redis::cmd("RPUSH").arg(key).arg(bodies).exec(open)?;
            redis::cmd("WAIT").arg(1).arg(500).query::<u32>(open)
        };
        match push(open) {
            Ok(1..) => confirmed.extend(number..number + 100),
            // No replica has it: the new primary need not have kept it.
            Ok(0) => {}
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::UnexpectedReturnType, "{error}");
                connection = None;
            }
        }
        number += 100;
        std::thread::sleep(Duration::from_millis(2));
    }
    (confirmed, number)
}

fn assert_all_there(folder: &TempDir, confirmed: &BTreeSet<u64>) {
    let seen = numbers_in(&folder.path().join("out"));
    let missing: Vec<_> = confirmed.iter().filter(|number| !seen.contains_key(number)).collect();
    assert!(
        missing.is_empty(),
        "{} of {} are lost, such as {:?}",
        missing.len(),
        confirmed.len(),
        missing[0]
    );
}

/// What happens to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Killed,
    Hanging,
    /// It is well, and told to be a replica.
    Demoted,
}

/// The primary dies, hangs or is demoted while a gateway pushes and the pump takes.
#[test]
fn a_failover_under_load_loses_nothing_that_the_new_primary_kept() {
    for failure in [Failure::Killed, Failure::Hanging, Failure::Demoted] {
        let ((redis, mut old, new), folder) = (start(), folder());
        let pump = PumpProcess::start(folder.path(), "only", &pipeline(&keys(&redis)), &[]);
        let delivered = |status: &serde_json::Value| status["lanes"][0]["records"]["delivered"].as_u64();
        let is_over = AtomicBool::new(false);
        let (confirmed, tried) = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| push_confirmed(&redis, &is_over));
            // What fails here must not leave the pusher running for ever.
            let end = EndsWhenDropped(&is_over);
            pump.wait_until(Duration::from_secs(30), "some delivered", |status| {
                delivered(status) > Some(2_000)
            });
            match failure {
                Failure::Killed => old.kill(),
                Failure::Hanging => old.pause(),
                Failure::Demoted => redis.fail_over(),
            }
            redis.wait_for_failover(&new);
            let before = delivered(&pump.status());
            pump.wait_until(Duration::from_secs(60), "delivered from the new primary", |status| {
                delivered(status) > before.map(|count| count + 2_000)
            });
            // The old one comes back and is made a replica of the new one.
            match failure {
                Failure::Killed => old.restart(),
                Failure::Hanging => old.resume(),
                Failure::Demoted => {}
            }
            allow_pump(&old);
            std::thread::sleep(Duration::from_secs(2));
            drop(end);
            let pushed = pushing.join().expect("pushed");
            pump.wait_until(Duration::from_secs(60), "the backlog is gone", |status| {
                status["sources"][0]["records"]["backlog"] == 0
            });
            pushed
        });
        drop(pump);
        drain(folder.path(), &keys(&redis));
        assert!(confirmed.len() > 2_000, "{failure:?}: {} of {tried} are confirmed", confirmed.len());
        assert_all_there(&folder, &confirmed);
    }
}

/// A primary that was cut off from its Sentinels, and replaced, goes on answering: nothing fails.
#[test]
fn a_primary_that_was_replaced_without_its_knowledge_is_left() {
    let ((redis, old, _replica), folder) = (start(), folder());
    let new = RedisServer::with(RedisOptions { password: "default", ..RedisOptions::default() });
    allow_pump(&new);
    let pump = PumpProcess::start(folder.path(), "only", &pipeline(&keys(&redis)), &[]);
    push_over(&mut old.connection(), 0, 1_000, SMALL);
    wait_for(&pump, 1_000);
    redis.name_another(&new);
    push_over(&mut new.connection(), 1_000, 2_000, SMALL);
    wait_for(&pump, 2_000);
    assert_eq!(repeats(&folder.path().join("out"), 2_000), 0);
}

#[test]
fn what_is_wrong_with_sentinels_is_said_with_what_to_do() {
    let (redis, _primary, _replica) = start();
    let right = keys(&redis);
    for (keys, words) in [
        (
            right.replace("master: gateway", "master: other"),
            ["knows no primary `other`", "is `master` right?"],
        ),
        (
            right.replace("sentinel_password: hunter2", "sentinel_password: wrong"),
            ["the Sentinel", "authentication failed"],
        ),
        (
            right.replace("\npassword: hunter2", "\npassword: wrong"),
            ["the primary as the Sentinels say", "authentication failed"],
        ),
    ] {
        let folder = folder();
        let pump = PumpProcess::start(folder.path(), "wrong", &pipeline(&keys), &[]);
        wait_for_trouble(&pump, &words);
    }
}
