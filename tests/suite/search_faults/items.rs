//! What a server says of records, of an index and of us.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pump_core::record::Codec;
use pump_testing::{HttpReaction, HttpRequest, HttpServer};
use serde_json::{Value, json};

use super::{PER_BATCH, SMALL, Scene, counted, wait, wait_for_reason, wait_until_all_is_answered};
use crate::gateway::{KEY, batches};

#[test]
fn what_the_server_cannot_index_is_a_dead_letter_in_its_words_and_the_others_are_there() {
    const COUNT: u64 = 3_000;
    let scene = Scene::new("items");
    // A byte ends at 127: slow calls do not fit.
    let mappings = json!({ "dynamic": false, "properties": { "request_time": { "type": "byte" } } });
    scene.ask("PUT", "/items", &json!({ "mappings": mappings }));
    let bodies: Vec<_> = batches(0, COUNT, SMALL).flat_map(|(_, bodies)| bodies).collect();
    let records = crate::search::records(Codec::Msgpack, &bodies);
    let is_refused = |record: &Value| record["request_time"].as_i64() > Some(127);
    let refused: BTreeSet<_> =
        records.iter().filter(|(_, record)| is_refused(record)).map(|(id, _)| id.as_str()).collect();
    assert!(refused.len() > 50 && refused.len() < 2_000, "{} of {COUNT}", refused.len());

    let pump = scene.start(&[&scene.search.url()]);
    crate::real_gateway::push(&scene.redis, KEY, &bodies);
    let status = wait_until_all_is_answered(&pump, COUNT);
    assert_eq!(counted(&status, "dead_lettered"), refused.len() as u64);
    assert_eq!(counted(&status, "delivered"), COUNT - refused.len() as u64);
    let letters = scene.letters();
    for letter in &letters {
        let detail = letter["detail"].as_str().expect("a text");
        assert!(
            detail.starts_with("mapper_parsing_exception: failed to parse field [request_time]"),
            "{detail}"
        );
        assert!(detail.contains("is out of range for a byte"), "{detail}");
        assert_eq!((&letter["sink"], &letter["reason"]), (&json!("search"), &json!("mapping")));
    }
    let ids: BTreeSet<_> = letters.iter().map(|letter| letter["id"].as_str().expect("an id")).collect();
    assert_eq!((letters.len(), ids), (refused.len(), refused));
    assert_eq!(scene.documents().len() as u64, COUNT - letters.len() as u64);
}

/// Pushes a gateway's records without a pause while `work` is done; how many in all.
fn under_load(scene: &Scene, from: u64, work: impl FnOnce()) -> u64 {
    let (is_over, end) = (AtomicBool::new(false), AtomicU64::new(from));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let next = end.load(Ordering::Relaxed) + 100;
                scene.push(next - 100, next);
                end.store(next, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(50));
            }
        });
        // Ends the pushing also when `work` fails.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _over = Over(&is_over);
        work();
    });
    end.into_inner()
}

#[test]
fn an_index_that_is_blocked_now_and_then_under_load_loses_nothing() {
    let scene = Scene::new("blocked-now-and-then");
    let pump = scene.start(&[&scene.search.url()]);
    scene.push(0, 200);
    wait_until_all_is_answered(&pump, 200);
    let block = |is_blocked: bool| {
        let body = json!({ "index": { "blocks": { "write": is_blocked } } });
        scene.ask("PUT", "/blocked-now-and-then/_settings", &body);
    };
    let count = under_load(&scene, 200, || {
        for _ in 0..3 {
            block(true);
            wait_for_reason(&pump, "cluster_block_exception");
            block(false);
            wait("it is ready again", || pump.get("/readyz").0 == 200);
        }
    });
    let status = wait_until_all_is_answered(&pump, count);
    assert_eq!(counted(&status, "delivered") + counted(&status, "duplicate"), count);
    assert_eq!(scene.letters(), Vec::<Value>::new());
    scene.assert_each_is_there_once(count);
}

#[test]
fn an_index_that_is_deleted_under_load_has_everything_that_comes_after() {
    let scene = Scene::new("deleted");
    let pump = scene.start(&[&scene.search.url()]);
    scene.push(0, 1_000);
    wait_until_all_is_answered(&pump, 1_000);
    let mut answered_before = 0;
    let during = under_load(&scene, 1_000, || {
        thread::sleep(Duration::from_millis(500));
        scene.ask("DELETE", "/deleted", &Value::Null);
        answered_before = counted(&pump.status(), "delivered");
        thread::sleep(Duration::from_millis(500));
    });
    let count = during + 1_000;
    scene.push(during, count);
    let status = wait_until_all_is_answered(&pump, count);
    let (delivered, duplicate) = (counted(&status, "delivered"), counted(&status, "duplicate"));
    assert_eq!(delivered + duplicate, count, "{status}");
    assert_eq!(scene.letters(), Vec::<Value>::new());
    let seen = scene.documents();
    assert!(seen.values().all(|times| *times == 1));
    assert!(seen.keys().all(|number| *number >= 1_000), "what was deleted is gone");
    assert!((during..count).all(|number| seen.contains_key(&number)), "what came after it is there");
    // Of what was under way at that moment, the server may have done a part before it.
    let under_way = 2 * PER_BATCH;
    let (there, expected) = (seen.len() as u64, count - answered_before);
    assert!(there + under_way >= expected, "{there} of {expected} are there");
}

/// A search server that keeps ids only, and whoever asks is refused until `is_mended`.
fn guarded(ids: Arc<Mutex<BTreeSet<String>>>, is_mended: Arc<AtomicBool>) -> HttpServer {
    HttpServer::start(move |request: &HttpRequest| {
        if !is_mended.load(Ordering::Relaxed) {
            return HttpReaction::reply(
                401,
                r#"{"error":{"type":"security_exception","reason":"wrong password"}}"#,
            );
        }
        match request.method.as_str() {
            "GET" => {
                HttpReaction::reply(200, r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#)
            }
            "POST" => {
                let body = String::from_utf8_lossy(&request.body);
                let id = |line: &str| Some(line.strip_prefix("{\"create\":{\"_id\":\"")?[..32].to_owned());
                let mut ids = ids.lock().expect("nothing panics with it");
                let items = body.lines().step_by(2).map(|line| {
                    let is_new = ids.insert(id(line).expect("an action"));
                    format!("{{\"create\":{{\"status\":{}}}}}", if is_new { 201 } else { 409 })
                });
                let items: Vec<_> = items.collect();
                HttpReaction::reply(200, format!("{{\"items\":[{}]}}", items.join(",")))
            }
            _ => HttpReaction::reply(200, ""),
        }
    })
}

#[test]
fn a_wrong_password_pauses_the_lane_and_once_it_is_right_everything_is_delivered() {
    let (redis, folder) = (pump_testing::RedisServer::start(), tempfile::TempDir::new().expect("a folder"));
    let (ids, is_mended) = (Arc::default(), Arc::new(AtomicBool::new(true)));
    let server = guarded(Arc::clone(&ids), is_mended.clone());
    let auth = "    auth: { basic: { username: pump, password: hunter2 } }\n    index:";
    let pipeline = super::pipeline(&redis, &[&server.url()], "guarded").replace("    index:", auth);
    let pump = crate::process::PumpProcess::start(folder.path(), "only", &pipeline, &[]);
    let mut count = 0;
    for _ in 0..2 {
        crate::gateway::push(&redis.url(), count, count + 1_000, SMALL);
        wait_until_all_is_answered(&pump, count + 1_000);
        is_mended.store(false, Ordering::Relaxed);
        crate::gateway::push(&redis.url(), count + 1_000, count + 3_000, SMALL);
        wait_for_reason(&pump, "the credentials are refused: check `auth`");
        assert_eq!(pump.status()["lanes"][0]["state"], "unavailable");
        is_mended.store(true, Ordering::Relaxed);
        count += 3_000;
        let status = wait_until_all_is_answered(&pump, count);
        assert_eq!(counted(&status, "delivered"), count, "{status}");
        assert_eq!(ids.lock().expect("nothing panics with it").len() as u64, count);
    }
    let log = std::fs::read_to_string(folder.path().join("pump-only.log")).expect("text");
    assert!(!log.contains("hunter2"), "the password is in the log");
}
