//! Lanes that change, come and go while the pump runs.

use std::collections::BTreeSet;

use super::*;
use crate::filter::FilterConfig;

/// A follow-mode pump with these lanes over one counting source, and a sink per lane.
fn pump(count: usize, per_chunk: usize, lanes: Vec<LaneBlueprint>) -> (Pump, crate::testing::Settlements) {
    let source = ListSource::counting(count, per_chunk);
    let settlements = source.settlements();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
    plan.lanes = lanes;
    (Pump::new(plan), settlements)
}

fn kept(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Runs the pump while `story` is told, and looks at the books all the time.
async fn tell(pump: Pump, story: impl Future<Output = ()>) -> Books {
    let monitor = pump.monitor();
    let watch = async {
        loop {
            assert!(monitor.books().lanes.iter().all(LaneBooks::is_balanced), "{:?}", monitor.books());
            sleep(Duration::from_millis(7)).await;
        }
    };
    let stop = async {
        tokio::select! { () = story => {}, () = watch => {} }
    };
    timeout(24 * HOUR, pump.run(stop)).await.expect("it ends").expect("nothing failed");
    let books = monitor.books();
    assert!(books.lanes.iter().all(LaneBooks::is_balanced), "{books:?}");
    books
}

fn union(sinks: &[&ScriptedSink]) -> Vec<String> {
    sorted(sinks.iter().flat_map(|sink| sink.delivered()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_changed_sink_goes_on_from_its_cursor_and_nothing_is_sent_again_that_was_delivered() {
    let (old, new) =
        (ScriptedSink::new(|_| Reaction::TakeAfter(Duration::from_millis(300))), ScriptedSink::willing());
    let (pump, settlements) = pump(1_000, 7, vec![lane("only", &old)]);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    let books = tell(pump, async {
        sleep(Duration::from_secs(5)).await;
        let change = Reload { kept: Vec::new(), lanes: vec![lane("only", &new)] };
        let reloaded = reloader.reload(change).await.expect("it is right");
        assert_eq!(reloaded, Reloaded { changed: kept(&["only"]), ..Reloaded::default() });
        until("delivered", || monitor.books().lanes[0].delivered == 1_000).await;
        until("settled", || settlements.last() == 1_000).await;
    })
    .await;
    assert!(old.delivered().len() > 100, "what was in flight was waited for");
    assert_eq!(union(&[&old, &new]), bodies(1_000));
    assert_eq!((books.lanes[0].accepted, books.lanes[0].left_behind), (1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn what_hangs_in_a_sink_that_is_replaced_is_cut_off_and_comes_to_the_new_one() {
    let (dead, sound, new) =
        (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing(), ScriptedSink::willing());
    let (pump, settlements) = pump(50_000, 100, vec![lane("dead", &dead), lane("sound", &sound)]);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    tell(pump, async {
        sleep(Duration::from_secs(20)).await;
        let began = Instant::now();
        let change = Reload { kept: kept(&["sound"]), lanes: vec![lane("dead", &new)] };
        reloader.reload(change).await.expect("it is right");
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for the lane");
        until("delivered", || monitor.books().lanes[0].delivered == 50_000).await;
        until("settled", || settlements.last() == 50_000).await;
    })
    .await;
    assert_eq!(sorted(new.delivered()), bodies(50_000));
    assert_eq!(sorted(sound.delivered()), bodies(50_000));
}

#[tokio::test(start_paused = true)]
async fn a_changed_filter_applies_to_what_is_not_delivered_yet() {
    let (old, new) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let bodies: Vec<Vec<String>> =
        (0..100).map(|n| vec![format!("{{\"n\":{n},\"status\":{}}}", 200 + n % 2)]).collect();
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(ListSource::new(bodies)))]);
    plan.lanes.push(lane("only", &old));
    let pump = Pump::new(plan);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    let books = tell(pump, async {
        until("in flight", || old.attempts().len() == 2).await;
        let mut lane = lane("only", &new);
        lane.filter = Filter::new(&FilterConfig { response_codes: vec![200], ..FilterConfig::default() });
        reloader.reload(Reload { kept: Vec::new(), lanes: vec![lane] }).await.expect("it is right");
        until("closed", || monitor.books().lanes[0].pending() == 0).await;
    })
    .await;
    assert_eq!((books.lanes[0].delivered, books.lanes[0].filtered), (50, 50));
    assert!(new.delivered().iter().all(|body| body.contains("200")));
}

#[tokio::test(start_paused = true)]
async fn a_new_sink_begins_at_the_oldest_record_in_the_log() {
    let (dead, new) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let (pump, _) = pump(1_000, 10, vec![lane("dead", &dead)]);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    tell(pump, async {
        sleep(Duration::from_secs(10)).await;
        let change = Reload { kept: kept(&["dead"]), lanes: vec![lane("new", &new)] };
        let reloaded = reloader.reload(change).await.expect("it is right");
        assert_eq!(reloaded.added, kept(&["new"]));
        until("delivered", || monitor.books().lanes[1].delivered == 1_000).await;
        let labels: Vec<_> = monitor.lanes().map(|(_, label)| label.name).collect();
        assert_eq!(labels, kept(&["dead", "new"]));
    })
    .await;
    assert_eq!(sorted(new.delivered()), bodies(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_taken_out_holds_up_nobody_any_more_and_what_it_left_is_counted() {
    let (dead, sound) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let (pump, settlements) = pump(50_000, 100, vec![lane("dead", &dead), lane("sound", &sound)]);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    let books = tell(pump, async {
        sleep(Duration::from_secs(100)).await;
        assert!(sound.delivered().len() < 50_000, "the log is full");
        let change = Reload { kept: kept(&["sound"]), lanes: Vec::new() };
        let reloaded = reloader.reload(change).await.expect("it is right");
        assert_eq!(reloaded.removed, kept(&["dead"]));
        until("delivered", || monitor.books().lanes[1].delivered == 50_000).await;
        until("settled", || settlements.last() == 50_000).await;
        until("closed", || monitor.books().lanes[0].pending() == 0).await;
        assert!(monitor.lanes().next().is_some_and(|(_, label)| label.is_removed));
    })
    .await;
    let removed = &books.lanes[0];
    assert_eq!((removed.accepted, removed.pending()), (removed.left_behind, 0));
    assert!(removed.accepted > 0 && removed.accepted < 50_000, "{removed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_to_a_sink_that_is_taken_out_may_end() {
    let slow = ScriptedSink::new(|_| Reaction::TakeAfter(Duration::from_secs(2)));
    let sound = ScriptedSink::willing();
    let (pump, settlements) = pump(1_000, 10, vec![lane("slow", &slow), lane("sound", &sound)]);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    let books = tell(pump, async {
        sleep(Duration::from_secs(1)).await;
        reloader.reload(Reload { kept: kept(&["sound"]), lanes: Vec::new() }).await.expect("it is right");
        until("settled", || settlements.last() == 1_000).await;
        until("closed", || monitor.books().lanes[0].pending() == 0).await;
    })
    .await;
    assert_eq!((slow.delivered().len(), books.lanes[0].delivered, books.lanes[0].left_behind), (20, 20, 980));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_comes_back_goes_on_where_it_left_in_the_same_books() {
    let (first, second, dead) =
        (ScriptedSink::willing(), ScriptedSink::willing(), ScriptedSink::new(|_| Reaction::Hang));
    let (pump, _) = pump(1_000, 10, vec![lane("only", &first), lane("dead", &dead)]);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    let books = tell(pump, async {
        until("delivered", || first.delivered().len() == 1_000).await;
        reloader.reload(Reload { kept: kept(&["dead"]), lanes: Vec::new() }).await.expect("it is right");
        sleep(Duration::from_secs(10)).await;
        let back = Reload { kept: kept(&["dead"]), lanes: vec![lane("only", &second)] };
        let reloaded = reloader.reload(back).await.expect("it is right");
        assert_eq!(reloaded.added, kept(&["only"]));
        sleep(Duration::from_secs(10)).await;
        assert!(monitor.lanes().all(|(_, label)| !label.is_removed));
    })
    .await;
    assert_eq!(second.delivered(), Vec::<String>::new(), "it had them all");
    assert_eq!((books.lanes.len(), books.lanes[0].delivered), (2, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_changed_twice_at_once_is_the_last_one_in_the_end() {
    let slow = ScriptedSink::new(|_| Reaction::TakeAfter(Duration::from_secs(3)));
    let (second, third) = (ScriptedSink::willing(), ScriptedSink::willing());
    let (pump, settlements) = pump(1_000, 10, vec![lane("only", &slow)]);
    let reloader = pump.reloader();
    tell(pump, async {
        sleep(Duration::from_secs(1)).await;
        for sink in [&second, &third] {
            let change = Reload { kept: Vec::new(), lanes: vec![lane("only", sink)] };
            reloader.reload(change).await.expect("it is right");
        }
        until("settled", || settlements.last() == 1_000).await;
    })
    .await;
    assert_eq!(slow.delivered().len(), 20);
    assert_eq!(union(&[&slow, &second, &third]), bodies(1_000));
    assert!(!third.delivered().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_reload_changes_nothing() {
    let (sink, other) = (ScriptedSink::willing(), ScriptedSink::willing());
    let (pump, settlements) = pump(1_000, 10, vec![lane("only", &sink)]);
    let reloader = pump.reloader();
    tell(pump, async {
        let unknown = Reload { kept: kept(&["nobody"]), lanes: vec![lane("only", &other)] };
        assert_eq!(reloader.reload(unknown).await, Err(ReloadError::NotThere("nobody".into())));
        let twice = Reload { kept: kept(&["only"]), lanes: vec![lane("only", &other)] };
        assert_eq!(reloader.reload(twice).await, Err(ReloadError::Twice("only".into())));
        until("settled", || settlements.last() == 1_000).await;
    })
    .await;
    assert_eq!(sorted(sink.delivered()), bodies(1_000));
    assert!(other.attempts().is_empty());
    let ended = reloader.reload(Reload::default()).await;
    assert_eq!(ended, Err(ReloadError::Ends));
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_does_not_take_any_more_is_left_behind_and_holds_up_no_source() {
    let (dead, new, sound) =
        (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing(), ScriptedSink::willing());
    let (first, second) = (ListSource::counting(300, 10), ListSource::counting(500, 10));
    let settlements = [first.settlements(), second.settlements()];
    let mut plan = blueprint(Mode::Follow, vec![("first", Box::new(first)), ("second", Box::new(second))]);
    plan.lanes = vec![lane("changes", &dead), lane("sound", &sound)];
    plan.lanes[0].sources = Some(vec!["first".into()]);
    let pump = Pump::new(plan);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    let books = tell(pump, async {
        sleep(Duration::from_secs(10)).await;
        assert_eq!((settlements[0].last(), settlements[1].last()), (0, 500));
        let mut lane = lane("changes", &new);
        lane.sources = Some(vec!["second".into()]);
        reloader.reload(Reload { kept: kept(&["sound"]), lanes: vec![lane] }).await.expect("it is right");
        until("settled", || settlements[0].last() == 300).await;
        until("closed", || monitor.books().lanes[0].pending() == 0).await;
    })
    .await;
    assert_eq!(books.lanes[0].left_behind, 300);
    // The other source's were closed by everybody else, so the log has none of them any more.
    assert_eq!((books.lanes[0].delivered, new.delivered().len()), (0, 0));
    assert_eq!(books.lanes[1].delivered, 800);
}

#[tokio::test(start_paused = true)]
async fn a_dead_sink_that_becomes_best_effort_holds_up_nobody_any_more() {
    let (dead, sound) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let (pump, settlements) = pump(50_000, 100, vec![lane("dead", &dead), lane("sound", &sound)]);
    let (reloader, monitor) = (pump.reloader(), pump.monitor());
    let books = tell(pump, async {
        sleep(Duration::from_secs(20)).await;
        let mut lane = lane("dead", &dead);
        lane.is_required = false;
        reloader.reload(Reload { kept: kept(&["sound"]), lanes: vec![lane] }).await.expect("it is right");
        until("delivered", || monitor.books().lanes[1].delivered == 50_000).await;
        until("settled", || settlements.last() == 50_000).await;
    })
    .await;
    assert!(books.lanes[0].left_behind > 10_000, "{books:?}");
}

/// The sink that is to take over has read what the old one never closed: it is not safe yet.
#[tokio::test(start_paused = true)]
async fn a_best_effort_sink_that_becomes_required_is_waited_for_with_what_it_has_read() {
    let (old, new) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::new(|_| Reaction::Hang));
    let mut best_effort = lane("new", &new);
    best_effort.is_required = false;
    let (pump, settlements) = pump(1_000, 100, vec![lane("old", &old), best_effort]);
    let reloader = pump.reloader();
    let books = tell(pump, async {
        until("both have read", || !new.attempts().is_empty() && !old.attempts().is_empty()).await;
        let change = Reload { kept: Vec::new(), lanes: vec![lane("new", &new)] };
        reloader.reload(change).await.expect("it is right");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(settlements.last(), 0, "nobody has delivered anything");
        let willing = ScriptedSink::willing();
        let change = Reload { kept: Vec::new(), lanes: vec![lane("new", &willing)] };
        reloader.reload(change).await.expect("it is right");
        until("settled", || settlements.last() == 1_000).await;
        assert_eq!(willing.delivered().len(), 1_000);
    })
    .await;
    assert_eq!(books.lanes[1].delivered, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_change_that_is_under_way() {
    let (dead, new) = (ScriptedSink::new(|_| Reaction::Hang), ScriptedSink::willing());
    let (pump, settlements) = pump(1_000, 10, vec![lane("only", &dead)]);
    let reloader = pump.reloader();
    tell(pump, async {
        sleep(Duration::from_secs(1)).await;
        let change = Reload { kept: Vec::new(), lanes: vec![lane("only", &new)] };
        reloader.reload(change).await.expect("it is right");
    })
    .await;
    assert_eq!((settlements.last(), new.attempts().len()), (0, 0));
}

/// What is told at one moment.
#[derive(Debug, Clone)]
struct Moment {
    wait: u16,
    /// Per lane: stays, changes, or is there at all.
    draws: [u8; 3],
    is_required: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever sinks do and however often they are changed: a lane that is there all the time gets
    /// every record, delivered, as a duplicate or as a dead letter; everything is settled; the books
    /// balance at every look.
    #[test]
    fn whatever_is_reloaded_nothing_is_lost_and_the_books_balance(
        acts in prop::collection::vec(prop::collection::vec(act(), 0..30), 1..12),
        moments in prop::collection::vec(
            (0..5_000u16, any::<[u8; 3]>(), any::<bool>())
                .prop_map(|(wait, draws, is_required)| Moment { wait, draws, is_required }),
            1..8,
        ),
        count in 1..400usize,
        per_chunk in 1..50usize,
        max_in_flight in 1..5usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let store = MemoryStore::default();
            let source = ListSource::counting(count, per_chunk);
            let settlements = source.settlements();
            let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
            plan.log = LogBlueprint::Memory { max_size: 4_000 };
            plan.dead_letters = Arc::new(store.clone());
            let mut acts = acts.into_iter().cycle();
            let sinks: Mutex<Vec<(&str, ScriptedSink)>> = Mutex::default();
            let seen: Arc<Mutex<BTreeSet<(String, String)>>> = Arc::default();
            let mut make = |name: &'static str, is_required| {
                let mut acts = acts.next().expect("it goes round").into_iter();
                let seen = seen.clone();
                let sink = ScriptedSink::new(move |bodies| {
                    let reaction = acts.next().map_or(Reaction::Take, |act| react(&act, bodies.len()));
                    if let Reaction::Answer(answers) = &reaction {
                        for (number, body) in bodies.iter().enumerate() {
                            if answers.get(number) == Some(&Answer::Duplicate) {
                                seen.lock().expect("no panics").insert((name.into(), body.clone()));
                            }
                        }
                    }
                    reaction
                });
                let mut lane = lane(name, &sink);
                lane.settings.max_in_flight = max_in_flight;
                // It changes with each reload.
                lane.settings.is_adaptive = sinks.lock().expect("no panics").len() % 2 == 1;
                lane.is_required = is_required;
                sinks.lock().expect("no panics").push((name, sink));
                lane
            };
            // The first stays as it is, the second is there all the time, the third comes and goes.
            plan.lanes = vec![make("stays", true), make("changes", true)];
            let pump = Pump::new(plan);
            let (reloader, monitor) = (pump.reloader(), pump.monitor());
            tell(pump, async {
                let mut is_there = false;
                for Moment { wait, draws, is_required } in moments {
                    sleep(Duration::from_millis(wait.into())).await;
                    let mut reload = Reload { kept: kept(&["stays"]), lanes: Vec::new() };
                    match draws[0] % 2 {
                        0 => reload.kept.push("changes".into()),
                        _ => reload.lanes.push(make("changes", true)),
                    }
                    match draws[1] % 3 {
                        0 if is_there => reload.kept.push("comes and goes".into()),
                        1 => reload.lanes.push(make("comes and goes", is_required)),
                        _ => {}
                    }
                    is_there = reload.kept.len() + reload.lanes.len() == 3;
                    reloader.reload(reload).await.expect("it is right");
                }
                until("settled", || settlements.last() == count as u64).await;
                until("closed", || monitor.books().lanes.iter().all(|lane| lane.pending() == 0)).await;
            })
            .await;
            assert!(settlements.all().is_sorted());
            let mut seen = seen.lock().expect("no panics").clone();
            for letter in store.letters() {
                let body = String::from_utf8_lossy(&letter.body).into_owned();
                seen.insert((letter.sink.expect("a sink refused it").to_string(), body));
            }
            for (name, sink) in sinks.lock().expect("no panics").iter() {
                seen.extend(sink.delivered().into_iter().map(|body| ((*name).to_owned(), body)));
            }
            for name in ["stays", "changes"] {
                for body in bodies(count) {
                    assert!(seen.contains(&(name.into(), body.clone())), "{name} misses {body}");
                }
            }
            let books = monitor.books();
            assert_eq!((books.lanes[0].accepted, books.lanes[0].left_behind), (count as u64, 0));
            assert_eq!((books.lanes[1].accepted, books.lanes[1].left_behind), (count as u64, 0));
        });
    }
}
