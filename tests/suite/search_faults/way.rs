//! Faults on the way to the server.

use std::thread;
use std::time::{Duration, Instant};

use pump_testing::{Fault, FaultyProxy};

use super::{Scene, counted, wait, wait_for_reason, wait_until_all_is_answered};
use crate::redis_list::BOUND_KIB;

/// Longer than the sink's `timeout`.
const TOO_LATE: Duration = Duration::from_millis(2_500);

/// Each of them, and what `/readyz` says meanwhile.
const FAULTS: [(Fault, &str); 7] = [
    (Fault::Down, "the cluster cannot be reached"),
    (Fault::Reset, "the reply was cut off"),
    (Fault::Silent, "no answer"),
    (Fault::Slow(TOO_LATE), "no answer"),
    (Fault::Truncated, "the reply is none to a bulk request"),
    (Fault::Refused(503, 1), "status 503: told to refuse"),
    (Fault::Refused(429, 1), "status 429: told to refuse"),
];

#[test]
fn whatever_fails_on_the_way_every_record_is_there_once() {
    whatever_fails_on_the_way(&Scene::new("way"));
}

#[test]
fn whatever_fails_on_the_way_every_record_of_a_log_on_disk_is_there_once() {
    whatever_fails_on_the_way(&Scene::with_disk_log("way-disk"));
}

fn whatever_fails_on_the_way(scene: &Scene) {
    let proxy = FaultyProxy::start(scene.search.address());
    let pump = scene.start(&[&proxy.url()]);
    wait("it is ready", || pump.get("/readyz").0 == 200);
    let mut pushed = 0;
    let mut push = |count| {
        scene.push(pushed, pushed + count);
        pushed += count;
        pushed
    };
    // One by one, each until it was met and told, and mended before the next.
    for (fault, reason) in FAULTS {
        proxy.set(Some(fault));
        push(1_500);
        if fault != Fault::Down {
            wait(&format!("{fault:?} is met"), || proxy.met() >= 2);
        }
        wait_for_reason(&pump, reason);
        proxy.set(None);
        wait_until_all_is_answered(&pump, push(1_000));
        wait(&format!("it is ready after {fault:?}"), || pump.get("/readyz").0 == 200);
    }
    // One upon the other, while records come.
    for (fault, _) in FAULTS {
        proxy.set(Some(fault));
        push(500);
        thread::sleep(Duration::from_millis(300));
    }
    proxy.set(None);
    let count = push(500);
    let status = wait_until_all_is_answered(&pump, count);
    // What the server did although its reply was lost is found there, and not counted as new.
    assert!(counted(&status, "duplicate") > 0, "{status}");
    assert_eq!(counted(&status, "delivered") + counted(&status, "duplicate"), count);
    assert_eq!(scene.letters(), Vec::<serde_json::Value>::new());
    scene.assert_each_is_there_once(count);
}

#[test]
fn what_fails_at_one_node_the_others_deliver_meanwhile() {
    let scene = Scene::new("nodes");
    let proxy = FaultyProxy::start(scene.search.address());
    let pump = scene.start(&[&proxy.url(), &scene.search.url()]);
    let mut count = 0;
    for fault in [Fault::Down, Fault::Silent, Fault::Refused(503, 0)] {
        proxy.set(Some(fault));
        scene.push(count, count + 2_000);
        count += 2_000;
        // The fault stays: nobody waits for its end.
        wait_until_all_is_answered(&pump, count);
        assert!(proxy.met() < 10, "{fault:?}: a node that fails is asked {} times", proxy.met());
        proxy.set(None);
    }
    assert_eq!(scene.letters(), Vec::<serde_json::Value>::new());
    scene.assert_each_is_there_once(count);
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let scene = Scene::new("asks-for-time");
    let proxy = FaultyProxy::start(scene.search.address());
    let pump = scene.start(&[&proxy.url()]);
    wait("it is ready", || pump.get("/readyz").0 == 200);
    for status in [429, 503] {
        // More than ten times what the pump would wait of its own accord.
        proxy.set(Some(Fault::Refused(status, 4)));
        scene.push(u64::from(status), u64::from(status) + 1);
        // A probe that is refused would pause the lane: this is a delivery.
        pump.wait_until(super::LIMIT, "it is refused", |status| status["lanes"][0]["state"] == "retrying");
        let begin = Instant::now();
        proxy.set(None);
        pump.wait_until(super::LIMIT, "it is answered", |status| counted(status, "pending") == 0);
        assert!(begin.elapsed() > Duration::from_millis(3_500), "{status}: {:?}", begin.elapsed());
    }
}

#[test]
fn an_outage_that_the_log_cannot_hold_is_waited_out_in_redis() {
    const COUNT: u64 = 6_000;
    // With 8 KiB each, half as much again as the log takes.
    const LARGE: usize = 8 << 10;
    let scene = Scene::new("outage");
    let proxy = FaultyProxy::start(scene.search.address());
    proxy.set(Some(Fault::Down));
    let pump = scene.start(&[&proxy.url()]);
    crate::gateway::push(&scene.redis.url(), 0, COUNT, LARGE);
    pump.wait_until(super::LIMIT, "the log is full", |status| {
        let log = &status["log"];
        log["bytes"].as_u64() > log["max_bytes"].as_u64().map(|max| max / 2)
    });
    // Time to read on, if it would.
    thread::sleep(Duration::from_secs(2));
    let status = pump.status();
    assert!(status["log"]["bytes"].as_u64() <= status["log"]["max_bytes"].as_u64(), "{status}");
    assert!(counted(&status, "accepted") < COUNT, "{status}");
    assert!(status["sources"][0]["records"]["backlog"].as_u64() > Some(0), "{status}");
    wait_for_reason(&pump, "the cluster cannot be reached");
    proxy.set(None);
    let status = wait_until_all_is_answered(&pump, COUNT);
    assert_eq!(counted(&status, "delivered"), COUNT, "{status}");
    let peak = pump.memory_kib("VmHWM");
    assert!(peak > 0 && peak <= BOUND_KIB, "peak memory {} MiB of {}", peak >> 10, BOUND_KIB >> 10);
    assert_eq!(scene.letters(), Vec::<serde_json::Value>::new());
    scene.assert_each_is_there_once(COUNT);
}
