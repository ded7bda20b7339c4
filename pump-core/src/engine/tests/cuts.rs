//! A sink that names what it writes by the records in it, over crashes, with the disk log in a real directory.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use async_trait::async_trait;

use super::*;
use crate::log::disk::{Directory, DiskSettings, Opened};
use crate::plugin::{Batch, BatchDigest, DynSink};

/// What becomes of one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Answered,
    /// It is there, and nobody hears of it.
    Unheard,
    /// Cut off in the middle: nothing is there.
    CutOff,
}

/// Objects by their names. A handle.
#[derive(Clone, Default)]
struct Bucket(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    /// What becomes of the next uploads; of those after them, they are answered.
    script: Vec<Upload>,
    /// Nobody hears until then that what has that body is there.
    unheard_of: Option<(String, Instant)>,
    /// More records are too large.
    most: Option<usize>,
    attempts: Vec<BatchDigest>,
    objects: BTreeMap<BatchDigest, Vec<String>>,
}

impl Bucket {
    fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

#[async_trait]
impl DynSink for Bucket {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut bodies = Vec::new();
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            bodies.extend(slice.entries().map(|entry| String::from_utf8_lossy(entry.body()).into_owned()));
        }
        let upload = {
            let mut contents = self.contents();
            if contents.most.is_some_and(|most| bodies.len() > most) {
                return Err(SinkError::too_large("too many records"));
            }
            let unheard_of = contents.unheard_of.as_ref();
            let upload = match unheard_of
                .is_some_and(|(body, until)| bodies.contains(body) && Instant::now() < *until)
            {
                true => Upload::Unheard,
                false => contents.script.get(contents.attempts.len()).copied().unwrap_or(Upload::Answered),
            };
            contents.attempts.push(batch.digest());
            if upload != Upload::CutOff {
                let before = contents.objects.insert(batch.digest(), bodies.clone());
                assert!(before.is_none_or(|before| before == bodies), "one name is one content");
            }
            upload
        };
        match upload {
            Upload::Answered => Ok(Answers::delivered(bodies.len())),
            Upload::Unheard | Upload::CutOff => std::future::pending().await,
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

const RECORDS: usize = 100;

async fn plan(
    folder: &Path,
    bucket: &Bucket,
    source: ListSource,
    mode: Mode,
    max_records: usize,
) -> Blueprint {
    let storage = Arc::new(Directory::lock(folder).expect("nobody else has it"));
    let opened = Opened::open(storage, DiskSettings::new(64 << 20)).await.expect("it is sound");
    let mut plan = blueprint(mode, vec![("list", Box::new(source))]);
    plan.log = LogBlueprint::Disk(Box::new(opened));
    let mut lane = lane("bucket", &ScriptedSink::willing());
    (lane.sink, lane.repeats_batches) = (Arc::new(bucket.clone()), true);
    lane.settings.batch.max_records = max_records;
    plan.lanes.push(lane);
    plan
}

/// Runs a pump until everything is in the log and so many uploads have begun, and then nothing of it any more: as `kill -9` does.
fn run_and_kill(folder: &Path, bucket: &Bucket, records: usize, max_records: usize, attempts: usize) {
    let source = ListSource::counting(records, 7);
    let settlements = source.settlements();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let pump = Pump::new(plan(folder, bucket, source, Mode::Follow, max_records).await);
        let enough = async {
            while bucket.contents().attempts.len() < attempts || settlements.last() < records as u64 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            ended = pump.run(std::future::pending()) => panic!("{ended:?}"),
            () = enough => {}
            () = sleep(Duration::from_secs(30)) => panic!("{:?}", bucket.contents().attempts),
        }
    });
}

/// Two crashes, each in the middle of uploads; batches of another size each time, where none is repeated.
fn crashes_and_drain(first: &[Upload], second: &[Upload]) -> Bucket {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::default();
    bucket.contents().script = [first, second].concat();
    run_and_kill(folder.path(), &bucket, RECORDS, 10, first.len());
    run_and_kill(folder.path(), &bucket, 0, 7, first.len() + second.len());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let books = runtime.block_on(async {
        let pump = Pump::new(plan(folder.path(), &bucket, ListSource::counting(0, 7), Mode::Drain, 9).await);
        let monitor = pump.monitor();
        let drained = timeout(Duration::from_secs(30), pump.run(std::future::pending())).await;
        drained.expect("it ends").expect("nothing failed");
        monitor.books()
    });
    assert!(books.lanes[0].is_balanced(), "{books:?}");
    bucket
}

#[test]
fn what_was_being_uploaded_when_the_pump_was_killed_is_uploaded_again_under_the_same_name() {
    use Upload::{Answered, CutOff, Unheard};
    for (first, second) in [
        (&[Answered, Unheard, CutOff][..], &[CutOff, Unheard][..]),
        (&[Unheard, Answered, CutOff], &[Unheard, Answered, Answered, Unheard]),
        (&[CutOff, Answered, Answered, Answered, Unheard], &[CutOff, Answered, CutOff]),
        (&[Unheard, Unheard], &[Unheard, CutOff]),
    ] {
        let bucket = crashes_and_drain(first, second);
        let contents = bucket.contents();
        let bodies_there = contents.objects.values().flatten().cloned().collect();
        assert_eq!(sorted(bodies_there), bodies(RECORDS), "each record once: {first:?} {second:?}");
        let tried: HashSet<_> = contents.attempts.iter().collect();
        let there: HashSet<_> = contents.objects.keys().collect();
        assert_eq!(tried, there, "whatever was begun is finished under its name: {first:?} {second:?}");
    }
}

/// A drain of so many records, ten a second, into a bucket of which the log is in memory.
async fn drain_slowly(bucket: &Bucket, records: usize) -> Books {
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(records, 10)))]);
    let mut lane = lane("bucket", &ScriptedSink::willing());
    (lane.sink, lane.repeats_batches) = (Arc::new(bucket.clone()), true);
    (lane.settings.batch.max_records, lane.settings.rate_limit) = (10, Some(10.0));
    plan.lanes.push(lane);
    drain(plan).await
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_may_be_written_is_tried_again_as_it_is_for_as_long_as_it_takes() {
    let bucket = Bucket::default();
    let until = Instant::now() + Duration::from_secs(300);
    bucket.contents().unheard_of = Some((body(23), until));
    let books = drain_slowly(&bucket, 5_000).await;
    assert!(Instant::now() > until, "others got through all the while");
    assert_eq!((books.lanes[0].delivered, books.lanes[0].dead_lettered), (5_000, 0));
    let contents = bucket.contents();
    assert!(contents.attempts.len() > 505, "it was tried again and again: {}", contents.attempts.len());
    let bodies_there = contents.objects.values().flatten().cloned().collect();
    assert_eq!(sorted(bodies_there), bodies(5_000), "each record in one object");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_was_not_written_and_is_halved() {
    let bucket = Bucket::default();
    bucket.contents().most = Some(3);
    let books = drain_slowly(&bucket, 100).await;
    assert_eq!((books.lanes[0].delivered, books.lanes[0].dead_lettered), (100, 0));
    let contents = bucket.contents();
    assert!(contents.objects.values().all(|object| object.len() <= 3));
    let bodies_there = contents.objects.values().flatten().cloned().collect();
    assert_eq!(sorted(bodies_there), bodies(100), "each record in one object");
}
