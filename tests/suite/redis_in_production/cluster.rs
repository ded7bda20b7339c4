//! A Cluster of three: drained, and with slots that move under load.

use std::thread;
use std::time::Duration;

use pump_testing::{Certificates, RedisCluster, RedisOptions, RedisServer};

use super::permissions::{allow, rule};
use super::{LOG_RECORDS, SMALL, drain, folder, pipeline, wait_for};
use crate::gateway::{KEY, push_over, repeats};
use crate::process::PumpProcess;

const PASSWORD: &str = "hunter2";

fn start(options: &RedisOptions) -> RedisCluster {
    let redis = RedisCluster::start(options);
    redis.servers.iter().for_each(allow_pump);
    redis
}

fn allow_pump(server: &RedisServer) {
    allow(server, &[rule("ACL SETUSER pump on", ""), rule("ACL SETUSER pump", "+cluster|slots")]);
}

/// One node is enough to find the others.
fn keys(redis: &RedisCluster) -> String {
    let node = &redis.nodes()[1];
    format!("mode: cluster\nnodes: [\"{node}\"]\nusername: pump\npassword: {PASSWORD}")
}

#[test]
fn a_cluster_is_drained_by_several_pumps() {
    let (redis, folder) = (start(&RedisOptions::default()), folder());
    let pumps: Vec<_> = ["one", "two"]
        .map(|name| PumpProcess::start(folder.path(), name, &pipeline(&keys(&redis)), &[]))
        .into();
    push_over(&mut redis.connection(), 0, 40_000, SMALL);
    for pump in &pumps {
        pump.wait_until(Duration::from_secs(60), "the backlog is gone", |status| {
            status["sources"][0]["records"]["backlog"] == 0
        });
    }
    assert_eq!(repeats(&folder.path().join("out"), 40_000), 0);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}

#[test]
fn a_cluster_with_tls_is_drained() {
    let certificates = Certificates::make();
    let options = RedisOptions { tls: Some(certificates.clone()), ..RedisOptions::default() };
    let (redis, folder) = (start(&options), folder());
    push_over(&mut redis.connection(), 0, 5_000, SMALL);
    let file = |name| certificates.path(name).display().to_string();
    let keys = format!(
        "{}\ntls:\n  ca_file: {}\n  cert_file: {}\n  key_file: {}",
        keys(&redis),
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    drain(folder.path(), &keys);
    assert_eq!(repeats(&folder.path().join("out"), 5_000), 0);
}

#[test]
fn a_server_of_a_cluster_that_restarts_with_its_data_is_found_again() {
    const RECORDS: u64 = 60_000;
    let options = RedisOptions { is_durable: true, ..RedisOptions::default() };
    let (mut redis, folder) = (start(&options), folder());
    push_over(&mut redis.connection(), 0, RECORDS, SMALL);
    let pump = PumpProcess::start(folder.path(), "only", &pipeline(&keys(&redis)), &[]);
    pump.wait_until(Duration::from_secs(30), "some delivered", |status| {
        status["lanes"][0]["records"]["delivered"].as_u64() > Some(0)
    });
    // One with a third of the slots that is not the one named in the pipeline file, and that one.
    for number in [0, 1] {
        redis.servers[number].restart();
        // Users that are in no file are forgotten.
        allow_pump(&redis.servers[number]);
    }
    wait_for(&pump, RECORDS);
    assert!(repeats(&folder.path().join("out"), RECORDS) <= LOG_RECORDS);
}

/// A slot moves with its list, its segments and their books, key by key, while gateways push and the
/// pump takes. For a while each script is refused, because its keys lie on two servers.
#[test]
fn a_slot_that_moves_under_load_loses_nothing() {
    const RECORDS: u64 = 120_000;
    let (redis, folder) = (start(&RedisOptions::default()), folder());
    let mut pump = PumpProcess::start(folder.path(), "only", &pipeline(&keys(&redis)), &[]);
    pump.wait_until(Duration::from_secs(20), "started", |status| status["lanes"].is_array());
    let moved = thread::scope(|scope| {
        let pushing = scope.spawn(|| push_over(&mut redis.connection(), 0, RECORDS, SMALL));
        thread::sleep(Duration::from_millis(500));
        let moved: usize = ["", "_1", "_2", "_3"]
            .map(|number| redis.move_slot_of(&format!("{KEY}{number}"), Duration::from_secs(1)))
            .iter()
            .sum();
        pushing.join().expect("pushed");
        moved
    });
    assert!(moved > 0, "there was nothing in the slots");
    wait_for(&pump, RECORDS);
    pump.stop();
    assert!(repeats(&folder.path().join("out"), RECORDS) <= LOG_RECORDS);
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
}
