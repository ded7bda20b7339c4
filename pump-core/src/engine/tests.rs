//! The promise, line by line, against plugins that do as they are told. Time is paused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::accounting::LaneBooks;
use crate::plugin::{Answer, Answers, SinkError};
use crate::statistics::LaneState;
use crate::testing::{ListSource, MemoryStore, Reaction, ScriptedSink, blueprint, lane};

mod concurrency;
mod cuts;
mod disk;
mod encodings;
mod reload;

const HOUR: Duration = Duration::from_secs(3_600);

fn body(n: usize) -> String {
    format!("{{\"n\":{n}}}")
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(body).collect()
}

/// Drains the sources into the lanes, for an hour at most, and returns the books.
async fn drain(blueprint: Blueprint) -> Books {
    let pump = Pump::new(blueprint);
    let monitor = pump.monitor();
    timeout(HOUR, pump.run(std::future::pending())).await.expect("a drain ends").expect("nothing failed");
    let books = monitor.books();
    assert!(books.lanes.iter().all(LaneBooks::is_balanced), "{books:?}");
    books
}

fn sorted(mut bodies: Vec<String>) -> Vec<String> {
    bodies.sort_by_key(|body| (body.len(), body.clone()));
    bodies
}

#[tokio::test(start_paused = true)]
async fn every_record_arrives_once_and_is_settled() {
    let source = ListSource::counting(1_000, 7);
    let settlements = source.settlements();
    let sink = ScriptedSink::willing();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("only", &sink));
    let books = drain(plan).await;
    assert_eq!(sorted(sink.delivered()), bodies(1_000));
    assert_eq!(settlements.last(), 1_000);
    assert_eq!((books.lanes[0].accepted, books.lanes[0].delivered), (1_000, 1_000));
    assert!(books.sources[0].is_balanced());
}

#[tokio::test(start_paused = true)]
async fn one_delivery_at_a_time_keeps_the_order_of_the_log() {
    let sink = ScriptedSink::new({
        let mut attempt = 0;
        move |bodies| {
            attempt += 1;
            if attempt % 3 == 0 {
                Reaction::Fail(SinkError::retry("not now", "later"))
            } else if bodies.len() > 4 {
                // Its halves wait together, and one of them fails again.
                Reaction::Fail(SinkError::too_large("more than four"))
            } else {
                Reaction::Take
            }
        }
    });
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(200, 7)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.max_in_flight = 1;
    drain(plan).await;
    assert_eq!(sink.delivered(), bodies(200));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_answer_in_time_is_made_again() {
    let mut is_first = true;
    let sink = ScriptedSink::new(
        move |_| {
            if std::mem::take(&mut is_first) { Reaction::Hang } else { Reaction::Take }
        },
    );
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(10, 10)))]);
    plan.lanes.push(lane("only", &sink));
    drain(plan).await;
    assert_eq!(sink.delivered(), bodies(10));
    assert_eq!(sink.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_never_set_means_again() {
    let mut is_first = true;
    let sink = ScriptedSink::new(move |bodies| {
        if std::mem::take(&mut is_first) {
            let mut answers = Answers::unset(bodies.len() / 2);
            answers.set(0, Answer::Delivered);
            answers.set(99, Answer::Delivered);
            Reaction::Answer(answers)
        } else {
            Reaction::Take
        }
    });
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(10, 10)))]);
    plan.lanes.push(lane("only", &sink));
    let books = drain(plan).await;
    assert_eq!(sorted(sink.delivered()), bodies(10));
    assert_eq!(sink.attempts()[1].len(), 9);
    assert_eq!(books.lanes[0].delivered, 10);
}

fn rejecting(is_rejected: impl Fn(&str) -> bool + Send + 'static) -> ScriptedSink {
    ScriptedSink::new(move |bodies| {
        let mut answers = Answers::delivered(bodies.len());
        for (number, body) in bodies.iter().enumerate() {
            if is_rejected(body) {
                answers
                    .set(number, Answer::Rejected { code: "odd", detail: "odd numbers are refused".into() });
            }
        }
        Reaction::Answer(answers)
    })
}

#[tokio::test(start_paused = true)]
async fn a_rejected_record_becomes_a_dead_letter_with_its_reason_and_bytes() {
    let sink = rejecting(|body| body == "{\"n\":3}");
    let store = MemoryStore::default();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(20, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.dead_letters = Arc::new(store.clone());
    let books = drain(plan).await;
    let letters = store.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!((&*letters[0].reason, &*letters[0].detail), ("odd", "odd numbers are refused"));
    assert_eq!((&letters[0].body[..], letters[0].position), (b"{\"n\":3}".as_slice(), 3));
    assert_eq!((books.lanes[0].delivered, books.lanes[0].dead_lettered), (19, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_not_closed_before_its_dead_letter_is_safe() {
    let sink = rejecting(|body| body == "{\"n\":3}");
    let store = MemoryStore::default();
    store.fail(20);
    let source = ListSource::counting(10, 10);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("only", &sink));
    plan.dead_letters = Arc::new(store.clone());
    let pump = Pump::new(plan);
    let monitor = pump.monitor();
    let stop = async {
        sleep(Duration::from_secs(10)).await;
        assert_eq!((settlements.last(), store.letters().len()), (0, 0));
        assert!(monitor.statistics().dead_letters().trouble.is_some());
        sleep(HOUR).await;
        assert_eq!((settlements.last(), store.letters().len()), (10, 1));
        assert!(monitor.statistics().dead_letters().trouble.is_none());
    };
    pump.run(stop).await.expect("nothing failed");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_rejects_everything_does_not_empty_the_log_into_dead_letters() {
    let is_mended = Arc::new(AtomicBool::new(false));
    let sink = rejecting({
        let is_mended = is_mended.clone();
        move |_| !is_mended.load(Ordering::Relaxed)
    });
    let store = MemoryStore::default();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(5_000, 100)))]);
    plan.lanes.push(lane("only", &sink));
    plan.dead_letters = Arc::new(store.clone());
    let pump = Pump::new(plan);
    let monitor = pump.monitor();
    let mend = async {
        sleep(Duration::from_secs(300)).await;
        let lane = monitor.statistics().lane(LaneId::new(0));
        assert_ne!(lane.state, LaneState::Delivering);
        assert!(lane.last_error.is_some_and(|error| error.contains("were all rejected")));
        is_mended.store(true, Ordering::Relaxed);
        sleep(HOUR).await;
    };
    let run = pump.run(std::future::pending());
    tokio::select! { done = run => done.expect("nothing failed"), () = mend => panic!("the drain never ends") }
    assert!(store.letters().len() < 1_000, "{}", store.letters().len());
    let books = &monitor.books().lanes[0];
    assert_eq!(books.delivered + books.dead_lettered, 5_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_together_is_split_and_alone_given_up() {
    let store = MemoryStore::default();
    let sink = ScriptedSink::new(|bodies| {
        let has_large = bodies.iter().any(|body| body == "{\"n\":5}");
        if bodies.len() > 3 || has_large {
            Reaction::Fail(SinkError::too_large("413"))
        } else {
            Reaction::Take
        }
    });
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(40, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.dead_letters = Arc::new(store.clone());
    let books = drain(plan).await;
    assert_eq!(books.lanes[0].delivered, 39);
    assert_eq!(store.letters().iter().map(|letter| letter.reason.clone()).collect::<Vec<_>>(), ["too_large"]);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_sink_pauses_its_lane_and_burns_nothing() {
    let store = MemoryStore::default();
    let sink = ScriptedSink::willing();
    sink.set_reachable(false);
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(100, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.retry.max_age = None;
    plan.dead_letters = Arc::new(store.clone());
    let pump = Pump::new(plan);
    let monitor = pump.monitor();
    let mend = async {
        sleep(HOUR).await;
        assert_eq!(monitor.statistics().lane(LaneId::new(0)).state, LaneState::Unavailable);
        assert!(sink.attempts().len() <= 2, "{}", sink.attempts().len());
        sink.set_reachable(true);
        sleep(HOUR).await;
    };
    let run = pump.run(std::future::pending());
    tokio::select! { done = run => done.expect("nothing failed"), () = mend => panic!("the drain never ends") }
    assert_eq!(sorted(sink.delivered()), bodies(100));
    assert!(store.letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_sink_stops_the_others_only_once_the_log_is_full() {
    let (dead, sound) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(ListSource::counting(50_000, 100)))]);
    plan.lanes.push(lane("dead", &dead));
    plan.lanes.push(lane("sound", &sound));
    plan.log = LogBlueprint::Memory { max_size: 100_000 };
    let pump = Pump::new(plan);
    let monitor = pump.monitor();
    let stop = async {
        sleep(Duration::from_secs(100)).await;
        let delivered = sound.delivered().len();
        assert!(delivered > 1_000 && delivered < 50_000, "{delivered}");
        // The source reserves for bodies; a chunk's own bookkeeping comes on top, once.
        assert!(monitor.log_size() <= 104_000);
    };
    pump.run(stop).await.expect("nothing failed");
}

#[tokio::test(start_paused = true)]
async fn a_best_effort_sink_never_stops_the_others_and_what_it_missed_is_counted() {
    let (dead, sound) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let source = ListSource::counting(50_000, 100);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("dead", &dead));
    plan.lanes.push(lane("sound", &sound));
    plan.lanes[0].is_required = false;
    plan.log = LogBlueprint::Memory { max_size: 100_000 };
    let books = drain(plan).await;
    assert_eq!((books.lanes[1].delivered, settlements.last()), (50_000, 50_000));
    assert!(books.lanes[0].left_behind > 40_000, "{books:?}");
    assert!(books.lanes[0].is_balanced());
}

#[tokio::test(start_paused = true)]
async fn two_sources_settle_without_waiting_for_each_others_sinks() {
    let (dead, sound) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let (slow, fast) = (ListSource::counting(100, 10), ListSource::counting(10_000, 10));
    let settlements = fast.settlements();
    let mut plan = blueprint(Mode::Follow, vec![("slow", Box::new(slow)), ("fast", Box::new(fast))]);
    plan.lanes.push(lane("dead", &dead));
    plan.lanes.push(lane("sound", &sound));
    plan.lanes[0].sources = Some(vec!["slow".into()]);
    plan.lanes[1].sources = Some(vec!["fast".into()]);
    plan.log = LogBlueprint::Memory { max_size: 50_000 };
    let stop = sleep(Duration::from_secs(60));
    Pump::new(plan).run(stop).await.expect("nothing failed");
    assert_eq!(settlements.last(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_in_flight_and_settles_nothing_else() {
    let sink = ScriptedSink::new(|_| Reaction::TakeAfter(Duration::from_secs(3)));
    let source = ListSource::counting(1_000, 10);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("only", &sink));
    let pump = Pump::new(plan);
    let monitor = pump.monitor();
    pump.run(sleep(Duration::from_secs(1))).await.expect("nothing failed");
    assert_eq!(sink.delivered().len(), 20);
    assert_eq!(settlements.last(), 20);
    let books = &monitor.books().lanes[0];
    assert!(books.is_balanced());
    assert_eq!(books.delivered, 20);
}

#[tokio::test(start_paused = true)]
async fn a_stop_settles_a_chunk_that_was_delivered_in_part() {
    let sink = ScriptedSink::new(|_| Reaction::TakeAfter(Duration::from_secs(3)));
    let source = ListSource::counting(1_000, 100);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("only", &sink));
    Pump::new(plan).run(sleep(Duration::from_secs(4))).await.expect("nothing failed");
    assert_eq!(sink.delivered().len(), 40);
    assert_eq!(settlements.all(), [40]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_longer_than_it_may() {
    let sink = ScriptedSink::new(|_| Reaction::Hang);
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(ListSource::counting(100, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.timeout = HOUR;
    let began = Instant::now();
    Pump::new(plan).run(sleep(Duration::from_secs(1))).await.expect("nothing failed");
    assert_eq!(began.elapsed().as_secs(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_a_source_lost_is_neither_delivered_nor_settled() {
    let sink = ScriptedSink::new(|_| Reaction::TakeAfter(Duration::from_secs(5)));
    let source = ListSource::counting(1_000, 10).revoked_after(50);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("only", &sink));
    let books = drain(plan).await;
    assert_eq!(books.lanes[0].accepted, 500);
    assert!(books.lanes[0].revoked >= 470, "{books:?}");
    assert_eq!(books.lanes[0].revoked + books.lanes[0].delivered, 500);
    assert_eq!(settlements.last(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_nobody_can_take_is_given_up_while_others_get_through() {
    let store = MemoryStore::default();
    let sink = ScriptedSink::new(|bodies| {
        let mut answers = Answers::delivered(bodies.len());
        if let Some(number) = bodies.iter().position(|body| body == "{\"n\":3}") {
            answers.set(number, Answer::Retry(None));
        }
        Reaction::Answer(answers)
    });
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(2_000, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.rate_limit = Some(2.0);
    plan.dead_letters = Arc::new(store.clone());
    let books = drain(plan).await;
    assert_eq!(books.lanes[0].delivered, 1_999);
    assert_eq!(store.letters().iter().map(|letter| letter.reason.clone()).collect::<Vec<_>>(), ["stuck"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_one_record_is_halved_down_to_it() {
    let store = MemoryStore::default();
    let sink = ScriptedSink::new(|bodies| {
        if bodies.iter().any(|body| body == "{\"n\":3}") {
            Reaction::Fail(SinkError::retry("internal error", "500"))
        } else {
            Reaction::Take
        }
    });
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(2_000, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.rate_limit = Some(1.0);
    plan.dead_letters = Arc::new(store.clone());
    let books = drain(plan).await;
    assert_eq!(books.lanes[0].delivered, 1_999);
    assert_eq!(store.letters().len(), 1);
    assert_eq!(&store.letters()[0].body[..], b"{\"n\":3}");
}

#[tokio::test(start_paused = true)]
async fn with_a_maximum_age_what_cannot_be_delivered_is_given_up() {
    let store = MemoryStore::default();
    let sink = ScriptedSink::new(|_| Reaction::Fail(SinkError::retry("down", "down")));
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(20, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.retry.max_age = Some(Duration::from_secs(60));
    plan.dead_letters = Arc::new(store.clone());
    let books = drain(plan).await;
    assert_eq!(books.lanes[0].dead_lettered, 20);
    assert!(store.letters().iter().all(|letter| letter.reason == "expired"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_stopped_before_its_end_says_so() {
    let sink = ScriptedSink::new(|_| Reaction::Hang);
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(100, 10)))]);
    plan.lanes.push(lane("only", &sink));
    let outcome = Pump::new(plan).run(sleep(Duration::from_secs(1))).await;
    assert!(matches!(outcome, Err(PumpError::NotDrained)));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_below_a_batch_makes_smaller_batches() {
    let sink = ScriptedSink::willing();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(ListSource::counting(1_000, 100)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.rate_limit = Some(3.0);
    Pump::new(plan).run(sleep(Duration::from_secs(10))).await.expect("nothing failed");
    assert!(sink.attempts().iter().all(|batch| batch.len() <= 3));
    assert!((28..=36).contains(&sink.delivered().len()), "{}", sink.delivered().len());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_holds() {
    let sink = ScriptedSink::willing();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(1_000, 10)))]);
    plan.lanes.push(lane("only", &sink));
    plan.lanes[0].settings.rate_limit = Some(100.0);
    let began = Instant::now();
    drain(plan).await;
    let took = began.elapsed().as_secs_f64();
    assert!((8.5..11.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn an_open_batch_is_cut_when_it_is_old_enough() {
    let sink = ScriptedSink::willing();
    let source = ListSource::counting(3, 10);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("only", &sink));
    let stop = async {
        sleep(Duration::from_millis(900)).await;
        assert_eq!(settlements.last(), 0);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(settlements.last(), 3);
    };
    Pump::new(plan).run(stop).await.expect("nothing failed");
}

#[tokio::test(start_paused = true)]
async fn an_undecodable_entry_is_a_dead_letter_once_and_does_not_hold_up_its_partition() {
    let store = MemoryStore::default();
    let chunks = vec![vec![body(0), "no object".into(), body(2)], vec!["neither".into()], vec![body(4)]];
    let source = ListSource::new(chunks);
    let settlements = source.settlements();
    let (left, right) = (ScriptedSink::willing(), ScriptedSink::willing());
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(source))]);
    plan.lanes.extend([lane("left", &left), lane("right", &right)]);
    plan.dead_letters = Arc::new(store.clone());
    let books = drain(plan).await;
    assert_eq!(store.letters().len(), 2);
    assert_eq!(&store.letters()[0].body[..], b"no object");
    assert_eq!(settlements.last(), 5);
    assert_eq!((books.sources[0].read, books.sources[0].dead_lettered), (5, 2));
    assert_eq!(left.delivered(), right.delivered());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_sink_ends_the_pump_with_an_error() {
    let sink = ScriptedSink::new(|_| Reaction::Panic);
    let source = ListSource::counting(10, 10);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
    plan.lanes.push(lane("only", &sink));
    let outcome = timeout(HOUR, Pump::new(plan).run(std::future::pending())).await.expect("it ends");
    assert!(matches!(outcome, Err(PumpError::Panicked { .. })));
    assert_eq!(settlements.last(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_pumps_own_news_go_where_they_are_asked_for_and_nowhere_else() {
    let (all, news) = (ScriptedSink::willing(), ScriptedSink::willing());
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(10, 10)))]);
    plan.lanes.push(lane("all", &all));
    plan.lanes.push(lane("news", &news));
    plan.lanes[1].sources = Some(vec![news::SOURCE.into()]);
    drain(plan).await;
    assert_eq!(all.delivered(), bodies(10));
    let events: Vec<serde_json::Value> =
        news.delivered().iter().map(|body| serde_json::from_str(body).expect("news are JSON")).collect();
    assert_eq!(events.iter().map(|event| &event["event"]).collect::<Vec<_>>(), ["start", "stop"]);
}

#[tokio::test(start_paused = true)]
async fn lanes_that_write_the_same_share_one_encoding() {
    struct Counting(Arc<Mutex<usize>>);
    impl crate::encode::Encoder for Counting {
        fn key(&self) -> &str {
            "counting"
        }
        fn encode(
            &self,
            record: crate::record::Record<'_>,
            _: &crate::record::View<'_>,
            _: &Additions,
            out: &mut Vec<u8>,
        ) {
            *self.0.lock().expect("no panics") += 1;
            out.extend_from_slice(record.body());
        }
    }
    let count = Arc::new(Mutex::new(0));
    let (left, right) = (ScriptedSink::willing(), ScriptedSink::willing());
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(10, 10)))]);
    plan.lanes.extend([lane("left", &left), lane("right", &right)]);
    for lane in &mut plan.lanes {
        lane.body = Some(Body { encoder: Arc::new(Counting(count.clone())), terminator: b"" });
    }
    drain(plan).await;
    assert_eq!(left.delivered(), right.delivered());
    assert_eq!(*count.lock().expect("no panics"), 10);
}

/// What a sink does with one attempt, drawn at random.
#[derive(Debug, Clone)]
enum Act {
    Take,
    TakeLate(u8),
    Some(Vec<u8>),
    Retry,
    Unavailable,
    TooLarge,
    Hang,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Take),
        2 => any::<u8>().prop_map(Act::TakeLate),
        3 => prop::collection::vec(0..5u8, 10).prop_map(Act::Some),
        1 => Just(Act::Retry),
        1 => Just(Act::Unavailable),
        1 => Just(Act::TooLarge),
        1 => Just(Act::Hang),
    ]
}

fn react(act: &Act, count: usize) -> Reaction {
    match act {
        Act::Take => Reaction::Take,
        Act::TakeLate(wait) => Reaction::TakeAfter(Duration::from_millis(u64::from(*wait) * 10)),
        Act::Retry => Reaction::Fail(SinkError::retry("drawn", "retry")),
        Act::Unavailable => Reaction::Fail(SinkError::unavailable("drawn", "unavailable")),
        Act::TooLarge => Reaction::Fail(SinkError::too_large("drawn")),
        Act::Hang => Reaction::Hang,
        Act::Some(draws) => {
            let mut answers = Answers::unset(count);
            for (number, draw) in draws.iter().enumerate() {
                match draw {
                    0 => answers.set(number, Answer::Delivered),
                    1 => answers.set(number, Answer::Duplicate),
                    2 => answers.set(number, Answer::Retry(Some(Duration::from_millis(50)))),
                    3 => answers.set(number, Answer::Rejected { code: "drawn", detail: "drawn".into() }),
                    _ => {}
                }
            }
            Reaction::Answer(answers)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever sinks do, each record ends in each required lane exactly once, as delivered,
    /// duplicate or dead letter; the books balance at every look; everything is settled.
    #[test]
    fn whatever_sinks_do_nothing_is_lost_and_the_books_balance(
        acts in prop::collection::vec(prop::collection::vec(act(), 0..40), 1..4),
        count in 1..400usize,
        per_chunk in 1..50usize,
        max_in_flight in 1..5usize,
        is_adaptive in any::<bool>(),
        best_effort in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let store = MemoryStore::default();
            let source = ListSource::counting(count, per_chunk);
            let settlements = source.settlements();
            let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(source))]);
            plan.log = LogBlueprint::Memory { max_size: 4_000 };
            plan.dead_letters = Arc::new(store.clone());
            let lanes = acts.len();
            for (index, acts) in acts.into_iter().enumerate() {
                let mut acts = acts.into_iter();
                let sink = ScriptedSink::new(move |bodies| {
                    acts.next().map_or(Reaction::Take, |act| react(&act, bodies.len()))
                });
                let mut lane = lane(&format!("lane-{index}"), &sink);
                lane.settings.max_in_flight = max_in_flight;
                lane.settings.is_adaptive = is_adaptive;
                lane.is_required = index == 0 || !best_effort;
                plan.lanes.push(lane);
            }
            let pump = Pump::new(plan);
            let monitor = pump.monitor();
            let watch = async {
                loop {
                    let books = monitor.books();
                    assert!(books.lanes.iter().all(LaneBooks::is_balanced), "{books:?}");
                    sleep(Duration::from_millis(77)).await;
                }
            };
            tokio::select! {
                done = pump.run(std::future::pending()) => done.expect("nothing failed"),
                () = watch => {}
                () = sleep(24 * HOUR) => panic!("the drain never ends: {:?}", monitor.books()),
            }
            assert_eq!(settlements.last(), count as u64);
            assert!(settlements.all().is_sorted());
            let books = monitor.books();
            let mut buried: HashMap<String, usize> = HashMap::new();
            for letter in store.letters() {
                *buried.entry(letter.sink.expect("rejected by a sink").to_string()).or_default() += 1;
            }
            for (index, lane) in books.lanes.iter().enumerate().take(lanes) {
                assert!(lane.is_balanced());
                assert_eq!(lane.accepted, count as u64);
                assert_eq!(lane.dead_lettered, buried.get(&format!("lane-{index}")).copied().unwrap_or(0) as u64);
                if index == 0 || !best_effort {
                    assert_eq!((lane.pending(), lane.left_behind), (0, 0));
                }
            }
        });
    }
}
