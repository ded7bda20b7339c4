//! `max_in_flight: auto` in a lane, against a destination that serves so many deliveries at once.

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;
use crate::plugin::{Batch, DynSink};

/// Serves a few at once, the others wait. A handle.
#[derive(Clone)]
struct Counter(Arc<Inner>);

struct Inner {
    served: Semaphore,
    is_open: AtomicBool,
    under_way: Mutex<(usize, usize)>,
}

impl Counter {
    fn serving(count: usize) -> Self {
        let served = Semaphore::new(count);
        Self(Arc::new(Inner { served, is_open: AtomicBool::new(true), under_way: Mutex::default() }))
    }

    /// How many were under way at once, at most, since this was asked before.
    fn take_most(&self) -> usize {
        let mut under_way = self.0.under_way.lock().expect("nothing panics while it holds this lock");
        let (now, most) = *under_way;
        under_way.1 = now;
        most
    }

    fn count(&self, change: impl FnOnce(&mut usize)) {
        let mut under_way = self.0.under_way.lock().expect("nothing panics while it holds this lock");
        change(&mut under_way.0);
        under_way.1 = under_way.1.max(under_way.0);
    }
}

#[async_trait]
impl DynSink for Counter {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        self.count(|under_way| *under_way += 1);
        if self.0.is_open.load(Ordering::SeqCst) {
            let _served = self.0.served.acquire().await;
            sleep(Duration::from_millis(50)).await;
        }
        self.count(|under_way| *under_way -= 1);
        self.probe().await.map(|()| Answers::delivered(batch.len()))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        match self.0.is_open.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(SinkError::unavailable("closed", "the script said so")),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn counting_lane(counter: &Counter, max_in_flight: usize, is_adaptive: bool) -> LaneBlueprint {
    let mut lane = lane("only", &ScriptedSink::willing());
    lane.sink = Arc::new(counter.clone());
    (lane.settings.max_in_flight, lane.settings.is_adaptive) = (max_in_flight, is_adaptive);
    lane
}

/// A pump that has enough to do for all of a story.
fn busy(lane: LaneBlueprint) -> Pump {
    let mut plan = blueprint(Mode::Follow, vec![("list", Box::new(ListSource::counting(1_000_000, 100)))]);
    plan.lanes.push(lane);
    Pump::new(plan)
}

async fn tell(pump: Pump, story: impl Future<Output = ()>) {
    timeout(HOUR, pump.run(story)).await.expect("it ends").expect("nothing failed");
}

#[tokio::test(start_paused = true)]
async fn a_lane_finds_out_how_many_deliveries_keep_its_destination_busy() {
    let counter = Counter::serving(12);
    let pump = busy(counting_lane(&counter, 64, true));
    let monitor = pump.monitor();
    tell(pump, async {
        sleep(Duration::from_secs(10)).await;
        counter.take_most();
        let before = monitor.books().lanes[0].delivered;
        sleep(Duration::from_secs(20)).await;
        let rate = (monitor.books().lanes[0].delivered - before) as f64 / 20.0;
        // Batches have ten records.
        assert!(rate >= 0.95 * 12.0 * 10.0 / 0.050, "{rate} records a second");
        let most = counter.take_most();
        assert!((12..=27).contains(&most), "{most} under way");
        let (_, label) = monitor.lanes().next().expect("there is one");
        assert_eq!(&*label.name, "only");
        let shown = monitor.statistics().lane(LaneId::new(0)).max_in_flight;
        assert!((6..=27).contains(&shown), "{shown} are shown");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_from_an_outage_is_not_stormed() {
    let counter = Counter::serving(32);
    let pump = busy(counting_lane(&counter, 64, true));
    let monitor = pump.monitor();
    tell(pump, async {
        sleep(Duration::from_secs(10)).await;
        assert!(counter.take_most() >= 32);
        counter.0.is_open.store(false, Ordering::SeqCst);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(monitor.statistics().lane(LaneId::new(0)).max_in_flight, 2);
        counter.take_most();
        counter.0.is_open.store(true, Ordering::SeqCst);
        while monitor.statistics().lane(LaneId::new(0)).state != LaneState::Delivering {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(counter.take_most() <= 2);
        sleep(Duration::from_secs(10)).await;
        assert!(counter.take_most() >= 32);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_from_a_number_to_auto_and_back_keeps_the_lane_going() {
    let counter = Counter::serving(12);
    let pump = busy(counting_lane(&counter, 3, false));
    let (monitor, reloader) = (pump.monitor(), pump.reloader());
    tell(pump, async {
        for (max_in_flight, is_adaptive, expected) in [(64, true, 12..=27), (5, false, 5..=5)] {
            sleep(Duration::from_secs(10)).await;
            let before = monitor.books().lanes[0].delivered;
            assert!(before > 0);
            let lanes = vec![counting_lane(&counter, max_in_flight, is_adaptive)];
            reloader.reload(Reload { kept: Vec::new(), lanes }).await.expect("it is right");
            sleep(Duration::from_secs(1)).await;
            counter.take_most();
            sleep(Duration::from_secs(10)).await;
            let most = counter.take_most();
            assert!(expected.contains(&most), "{most} under way, of {expected:?}");
            assert!(monitor.books().lanes[0].delivered > before + 5_000);
        }
    })
    .await;
    let books = monitor.books();
    assert!(books.lanes[0].is_balanced() && books.lanes[0].duplicate == 0, "{books:?}");
}
