//! Kills and stops of the pump while the way to the server fails too.

use std::thread;
use std::time::{Duration, Instant};

use pump_testing::{Fault, FaultyProxy};

use super::{LIMIT, Scene, wait_for_reason, wait_until_all_is_answered};
use crate::process::PumpProcess;

/// Between two kills.
const PAUSE: Duration = Duration::from_secs(1);
/// Pushed between two kills.
const PER_KILL: u64 = 1_500;

/// One after the other, three in each pump's short life: so each pump meets others, and each fault is
/// met at each age. Nothing is wrong in between, so that there are deliveries to be killed in.
const FAULTS: [Option<Fault>; 8] = [
    Some(Fault::Down),
    Some(Fault::Slow(Duration::from_millis(300))),
    None,
    Some(Fault::Reset),
    Some(Fault::Truncated),
    None,
    Some(Fault::Silent),
    Some(Fault::Refused(503, 0)),
];

#[test]
fn kills_in_the_middle_of_faults_lose_nothing_and_leave_nothing_twice() {
    kill_in_the_middle_of_faults(&Scene::new("kills"));
}

#[test]
fn kills_in_the_middle_of_faults_lose_nothing_of_a_log_on_disk() {
    kill_in_the_middle_of_faults(&Scene::with_disk_log("kills-disk"));
}

/// How often is `PUMP_TEST_SEARCH_KILLS` (10 without it).
fn kill_in_the_middle_of_faults(scene: &Scene) {
    let kills: u64 =
        std::env::var("PUMP_TEST_SEARCH_KILLS").map_or(10, |kills| kills.parse().expect("a number"));
    let proxy = FaultyProxy::start(scene.search.address());
    let mut faults = FAULTS.into_iter().cycle();
    let mut delivered_before_kills = 0;
    for kill in 0..kills {
        let mut pump = scene.start(&[&proxy.url()]);
        scene.push(kill * PER_KILL, (kill + 1) * PER_KILL);
        for fault in faults.by_ref().take(3) {
            proxy.set(fault);
            thread::sleep(PAUSE / 3);
        }
        delivered_before_kills += super::counted(&pump.status(), "delivered");
        pump.kill();
    }
    // Otherwise the kills have hit nothing.
    assert!(delivered_before_kills > 0, "no pump lived long enough to deliver anything");
    proxy.set(None);
    let mut pump =
        PumpProcess::start(scene.folder.path(), "drain", &scene.pipeline(&[&proxy.url()]), &["--drain"]);
    assert!(pump.wait(LIMIT).success(), "the drain failed");
    assert_eq!(scene.redis.keys(), Vec::<String>::new(), "nothing is left in Redis");
    assert_eq!(scene.letters(), Vec::<serde_json::Value>::new());
    scene.assert_each_is_there_once(kills * PER_KILL);
}

#[test]
fn a_stop_in_the_middle_of_a_fault_is_quick_and_gives_everything_back() {
    let scene = Scene::new("stops");
    let proxy = FaultyProxy::start(scene.search.address());
    let mut count = 0;
    // A wait that the server asks for is no reason to stay.
    for fault in [Fault::Down, Fault::Silent, Fault::Refused(503, 3_600)] {
        proxy.set(Some(fault));
        let mut pump = scene.start(&[&proxy.url()]);
        scene.push(count, count + 500);
        pump.wait_until(LIMIT, "they are read", |status| super::counted(status, "pending") == 500);
        wait_for_reason(&pump, "");
        let begin = Instant::now();
        pump.stop();
        assert!(begin.elapsed() < Duration::from_secs(10), "{fault:?}: {:?}", begin.elapsed());
        proxy.set(None);
        let mut pump = scene.start(&[&proxy.url()]);
        wait_until_all_is_answered(&pump, 500);
        pump.stop();
        count += 500;
    }
    scene.assert_each_is_there_once(count);
}
