//! The least that a pump must be allowed to do is what the document says: the test reads it there.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use pump_testing::RedisServer;

use super::{PAGE, SMALL, drain, folder, pipeline, wait_for_trouble};
use crate::gateway::{KEY, push, repeats};
use crate::process::PumpProcess;

const PASSWORD: &str = "hunter2";

/// The line of the page that begins and goes on like this, with the test's own password.
pub(super) fn rule(beginning: &str, has: &str) -> String {
    let mut lines = PAGE.lines().filter(|line| line.starts_with(beginning) && line.contains(has));
    let line = lines.next().unwrap_or_else(|| panic!("the page has no line `{beginning}…{has}`"));
    line.replace("SECRET", PASSWORD)
}

/// Does what lines of the page say: `ACL SETUSER …`.
pub(super) fn allow(redis: &RedisServer, lines: &[String]) {
    for line in lines {
        let mut words = line.split_whitespace();
        let mut command = redis::cmd(words.next().expect("a command"));
        command.arg(words.collect::<Vec<_>>()).exec(&mut redis.connection()).expect("redis takes the rule");
    }
}

/// The commands that a rule allows.
fn allowed(line: &str) -> BTreeSet<String> {
    line.split_whitespace().filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect()
}

#[test]
fn the_least_that_the_page_names_is_enough_and_no_more_than_is_used() {
    let (redis, folder) = (RedisServer::start(), folder());
    let line = rule("ACL SETUSER pump on", "");
    allow(&redis, std::slice::from_ref(&line));
    push(&redis.url(), 0, 5_000, SMALL);
    redis::cmd("RPUSH")
        .arg("host-checker:tyk-uptime-analytics")
        .arg("rubbish")
        .exec(&mut redis.connection())
        .expect("taken");
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut redis.connection()).expect("done");
    let keys = format!("url: redis://{}\nusername: pump\npassword: {PASSWORD}", redis.address());
    let all_kinds = pipeline(&keys).replace("    kinds: [transaction]\n", "");
    std::fs::write(folder.path().join("check.yaml"), &all_kinds).expect("written");
    let mut check = Command::new(env!("CARGO_BIN_EXE_pump"));
    check.args(["check", "--connect", "-c", "check.yaml"]).current_dir(folder.path());
    assert!(check.status().expect("it runs").success());
    let slow = all_kinds.replace("    path:", "    rate_limit: 2000/s\n    path:");
    // One that stops before it is done, so that the other takes over what it gives back.
    let mut first = PumpProcess::start(folder.path(), "first", &slow, &[]);
    first.wait_until(Duration::from_secs(20), "some delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() > Some(0)
    });
    first.stop();
    let mut second = PumpProcess::start(folder.path(), "second", &all_kinds, &["--drain"]);
    assert!(second.wait(Duration::from_secs(60)).success());
    let statistics: String =
        redis::cmd("INFO").arg("commandstats").query(&mut redis.connection()).expect("redis answers");
    let used: BTreeSet<String> = statistics
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'))
        .map(|(name, _)| name.to_owned())
        // Anybody may log in; and the test itself has reset the statistics.
        .filter(|name| name != "auth" && name != "config|resetstat")
        .collect();
    assert_eq!(used, allowed(&line), "what is used, and what the page allows");
    assert_eq!(repeats(&folder.path().join("out"), 5_000), 0);
    let denied: Vec<redis::Value> =
        redis::cmd("ACL").arg("LOG").query(&mut redis.connection()).expect("redis answers");
    assert!(denied.is_empty(), "redis refused something: {denied:?}");
}

#[test]
fn dead_letters_in_a_list_need_what_the_page_names() {
    let (redis, folder) = (RedisServer::start(), folder());
    allow(&redis, &[rule("ACL SETUSER pump on", ""), rule("ACL SETUSER pump ~dead-letters", "")]);
    redis::cmd("RPUSH").arg(KEY).arg("rubbish").exec(&mut redis.connection()).expect("taken");
    let keys = format!("url: redis://{}\nusername: pump\npassword: {PASSWORD}", redis.address());
    let letters = keys.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let text = pipeline(&keys) + "dead_letters:\n  type: redis_list\n  key: dead-letters\n" + &letters;
    let mut pump = PumpProcess::start(folder.path(), "only", &text, &["--drain"]);
    assert!(pump.wait(Duration::from_secs(30)).success());
    assert_eq!(redis.keys(), ["dead-letters", "{dead-letters}:bytes"]);
}

#[test]
fn what_is_not_allowed_is_named() {
    let (redis, folder) = (RedisServer::start(), folder());
    let line = rule("ACL SETUSER pump on", "").replace("+evalsha ", "");
    allow(&redis, &[line]);
    push(&redis.url(), 0, 200, SMALL);
    let keys = format!("url: redis://{}\nusername: pump\npassword: {PASSWORD}", redis.address());
    let pump = PumpProcess::start(folder.path(), "only", &pipeline(&keys), &[]);
    wait_for_trouble(&pump, &["evalsha"]);
    drop(pump);
    // Once it is allowed, nothing is lost.
    allow(&redis, &["ACL SETUSER pump +evalsha".to_owned()]);
    drain(folder.path(), &keys);
    assert_eq!(repeats(&folder.path().join("out"), 200), 0);
}
