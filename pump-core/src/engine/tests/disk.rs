//! The promise with the disk log, in a real directory.

use std::path::Path;

use super::*;
use crate::log::disk::{Directory, DiskSettings, KeptSource, Opened, ReadOnly, kept};
use crate::record::Timestamp;

async fn opened(path: &Path) -> LogBlueprint {
    opened_with(path, DiskSettings::new(64 << 20)).await
}

async fn opened_with(path: &Path, settings: DiskSettings) -> LogBlueprint {
    let storage = Arc::new(Directory::lock(path).expect("nobody else has it"));
    let opened = Opened::open(storage, settings).await.expect("it is sound");
    LogBlueprint::Disk(Box::new(opened))
}

/// A sink that is away; the rest of the pipeline goes on, and what it did not get is there for the next process.
#[tokio::test]
async fn what_a_dead_sink_did_not_get_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = ListSource::counting(1_000, 7);
    let settlements = source.settlements();
    let (live, dead) = (ScriptedSink::willing(), ScriptedSink::new(|_| Reaction::Hang));
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
    plan.shutdown_timeout = Duration::from_millis(100);
    plan.log = opened(folder.path()).await;
    plan.lanes.extend([lane("live", &live), lane("dead", &dead)]);
    let pump = Pump::new(plan);
    let seen = (live.clone(), settlements.clone());
    let stop = async move {
        while seen.0.delivered().len() < 1_000 || seen.1.last() < 1_000 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), pump.run(stop)).await.expect("it ends").expect("nothing failed");
    assert_eq!(sorted(live.delivered()), bodies(1_000));

    let back = ScriptedSink::willing();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(1_000, 11)))]);
    plan.log = opened(folder.path()).await;
    plan.lanes.extend([lane("live", &live), lane("dead", &back)]);
    let books = drain(plan).await;
    assert_eq!(sorted(back.delivered()), bodies(1_000));
    assert_eq!(live.delivered().len(), 1_000, "the source gave everything again, and the log had it");
    assert_eq!(books.sources[0].already_held, 1_000);
    assert!(books.sources[0].is_balanced());
    assert_eq!((books.lanes[0].accepted, books.lanes[1].accepted), (0, 1_000));
}

/// Whoever drops a running pump can start another one with the same log.
#[tokio::test]
async fn a_pump_that_is_dropped_leaves_no_task_that_holds_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(ListSource::counting(100, 7)))]);
    plan.log = opened(folder.path()).await;
    plan.lanes.push(lane("only", &ScriptedSink::willing()));
    let run = Pump::new(plan).run(std::future::pending());
    timeout(Duration::from_millis(100), run).await.expect_err("it runs until it is dropped");
    let is_free = async {
        while Directory::lock(folder.path()).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), is_free).await.expect("nothing holds the log any more");
}

/// A lane that ended in the middle of a chunk goes on there.
#[tokio::test]
async fn a_cursor_inside_a_chunk_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = ScriptedSink::new({
        let mut attempts = 0;
        move |_| {
            attempts += 1;
            if attempts <= 3 { Reaction::Take } else { Reaction::Hang }
        }
    });
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(ListSource::counting(100, 100)))]);
    plan.shutdown_timeout = Duration::from_millis(100);
    plan.log = opened(folder.path()).await;
    plan.lanes.push(lane("only", &sink));
    let pump = Pump::new(plan);
    let seen = sink.clone();
    let stop = async move {
        while seen.delivered().len() < 30 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), pump.run(stop)).await.expect("it ends").expect("nothing failed");
    let back = ScriptedSink::willing();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::new(Vec::new())))]);
    plan.log = opened(folder.path()).await;
    plan.lanes.push(lane("only", &back));
    let books = drain(plan).await;
    assert_eq!(sorted(back.delivered()), bodies(100).split_off(30));
    assert_eq!(books.lanes[0].accepted, 70);
}

/// A sink that knows ids has what is sent again once.
#[tokio::test]
async fn what_the_log_has_kept_goes_through_another_engine_with_the_origins_and_ids_that_it_had() {
    let folder = tempfile::tempdir().expect("a folder");
    // Letters say where a record came from, and its id.
    let letters = |store: &MemoryStore| {
        let letters = store.letters().into_iter();
        let mut letters: Vec<_> = letters
            .map(|letter| (letter.source, letter.partition, letter.position, letter.id, letter.body))
            .collect();
        letters.sort();
        letters
    };
    let (first, again) = (MemoryStore::default(), MemoryStore::default());
    let sources: Vec<(&str, Box<dyn DynSource>)> =
        vec![("a", Box::new(ListSource::counting(300, 7))), ("b", Box::new(ListSource::counting(200, 11)))];
    let mut plan = blueprint(Mode::Drain, sources);
    plan.dead_letters = Arc::new(first.clone());
    plan.log = opened_with(folder.path(), DiskSettings { retain: HOUR, ..DiskSettings::new(64 << 20) }).await;
    plan.lanes.push(lane("only", &rejecting(|_| true)));
    drain(plan).await;
    assert_eq!(letters(&first).len(), 500);

    let storage = Arc::new(ReadOnly::open(folder.path()).expect("the pump has ended"));
    let there = kept(&*storage, Timestamp::EPOCH).await.expect("it can be read");
    assert_eq!(there.records.total(), 500, "{there:?}");
    let source = |from| Box::new(KeptSource::new(storage.clone(), from, vec![Kind::Event]));
    let mut plan =
        blueprint(Mode::Drain, vec![("a", source(Timestamp::EPOCH)), ("b", source(Timestamp::EPOCH))]);
    plan.dead_letters = Arc::new(again.clone());
    plan.lanes.push(lane("only", &rejecting(|_| true)));
    drain(plan).await;
    assert_eq!(letters(&again), letters(&first));

    let sink = ScriptedSink::willing();
    let mut plan =
        blueprint(Mode::Drain, vec![("a", source(Timestamp::now())), ("b", source(Timestamp::EPOCH))]);
    plan.lanes.push(lane("only", &sink));
    drain(plan).await;
    assert_eq!(sorted(sink.delivered()), bodies(200), "of the other nothing was received so late");
}

/// What a log wrote compressed it reads whatever it is told to write, and the other way round.
#[cfg(feature = "zstd")]
#[tokio::test]
async fn a_compressed_log_takes_less_and_gives_the_same() {
    use crate::log::disk::Compression;

    let folder = tempfile::tempdir().expect("a folder");
    let with = |compression| DiskSettings { compression, ..DiskSettings::new(64 << 20) };
    for (compression, is_smaller) in [(Compression::Zstd, true), (Compression::None, false)] {
        let path = folder.path().join(format!("{compression:?}"));
        let hanging = ScriptedSink::new(|_| Reaction::Hang);
        let source = ListSource::counting(1_000, 1_000);
        let settlements = source.settlements();
        let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(source))]);
        plan.shutdown_timeout = Duration::from_millis(100);
        let storage = Arc::new(Directory::lock(&path).expect("nobody else has it"));
        let log = Opened::open(storage.clone(), with(compression)).await.expect("it is sound");
        plan.log = LogBlueprint::Disk(Box::new(log));
        plan.lanes.push(lane("only", &hanging));
        let stop = async move {
            while settlements.last() < 1_000 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let pump = Pump::new(plan);
        let monitor = pump.monitor();
        timeout(Duration::from_secs(30), pump.run(stop)).await.expect("it ends").expect("nothing failed");
        // The bodies alone are 9,890 bytes, their spans 12,000.
        assert_eq!(monitor.log_size() < 20_000, is_smaller, "{compression:?}: {}", monitor.log_size());
        drop(storage);
        drop(monitor);

        let back = ScriptedSink::willing();
        let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::new(Vec::new())))]);
        plan.log = opened(&path).await;
        plan.lanes.push(lane("only", &back));
        drain(plan).await;
        assert_eq!(sorted(back.delivered()), bodies(1_000));
    }
}
