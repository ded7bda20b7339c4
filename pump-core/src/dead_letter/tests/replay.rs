//! Letters sent again through a real engine, with a walk that does as it is told. Time is paused.

use std::sync::Mutex;

use super::*;
use crate::accounting::LaneBooks;
use crate::engine::{Pump, PumpError};
use crate::plugin::{Answer, Answers, Mode, SinkError};
use crate::testing::{ListSource, MemoryStore, Reaction, ScriptedSink, blueprint, lane};

/// A walk over portions; a handle, which tells what was taken out.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    portions: Vec<Vec<Bytes>>,
    next: usize,
    /// The portion and the numbers in it.
    removed: Vec<(usize, Vec<usize>)>,
    is_failing: bool,
    /// How many new letters there were at each removal.
    new_letters: Vec<usize>,
    new: MemoryStore,
}

impl Lines {
    fn of(letters: &[DeadLetter], per_portion: usize) -> Self {
        let lines: Vec<Bytes> =
            letters.iter().map(|letter| letter.to_line(Timestamp::now()).into()).collect();
        let lines_of = Self::default();
        lines_of.state().portions = lines.chunks(per_portion).map(<[Bytes]>::to_vec).collect();
        lines_of
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }

    fn removed(&self) -> Vec<(usize, Vec<usize>)> {
        self.state().removed.clone()
    }
}

#[async_trait]
impl Walk for Lines {
    async fn next(&mut self) -> Result<Option<Portion>, StoreError> {
        let mut state = self.state();
        state.next += 1;
        let lines = state.portions.get(state.next - 1).cloned();
        Ok(lines.map(|lines| Portion { place: "here".into(), first: 1, lines }))
    }

    async fn remove(&mut self, numbers: &[usize]) -> Result<usize, StoreError> {
        let mut state = self.state();
        if state.is_failing {
            return Err(StoreError::Unremovable("the test said so".into()));
        }
        let portion = state.next - 1;
        let new_letters = state.new.letters().len();
        state.removed.push((portion, numbers.to_vec()));
        state.new_letters.push(new_letters);
        Ok(numbers.len())
    }

    fn rewind(&mut self) {
        self.state().next = 0;
    }
}

/// A sink that refuses what the test says.
fn refusing(is_refused: impl Fn(&str) -> bool + Send + 'static) -> ScriptedSink {
    ScriptedSink::new(move |bodies| {
        let mut answers = Answers::delivered(bodies.len());
        for (number, _) in bodies.iter().enumerate().filter(|(_, body)| is_refused(body)) {
            answers.set(number, Answer::Rejected { code: "odd", detail: "as the test said".into() });
        }
        Reaction::Answer(answers)
    })
}

/// What a sink refused of so many events.
async fn refused(count: usize) -> Vec<DeadLetter> {
    let store = MemoryStore::default();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(count, 7)))]);
    plan.lanes.push(lane("only", &refusing(|_| true)));
    plan.dead_letters = Arc::new(store.clone());
    Pump::new(plan).run(std::future::pending()).await.expect("drained");
    let mut letters = store.letters();
    letters.sort_by_key(|letter| letter.position);
    assert_eq!(letters.len(), count);
    letters
}

struct Replayed {
    outcome: Result<(), PumpError>,
    counts: ReplayCounts,
    books: LaneBooks,
    new: Vec<DeadLetter>,
}

async fn replay(lines: &Lines, sink: &ScriptedSink, source: &str, key: IdKey) -> Replayed {
    replay_until(lines, sink, source, key, std::future::pending()).await
}

async fn replay_until(
    lines: &Lines,
    sink: &ScriptedSink,
    source: &str,
    key: IdKey,
    stop: impl Future<Output = ()>,
) -> Replayed {
    let key = Arc::new(key);
    let letters =
        ReplaySource::new(Box::new(lines.clone()), Box::new(|_, _| true), vec![Kind::Event], key.clone());
    let counts = letters.counts();
    let new = lines.state().new.clone();
    let mut plan = blueprint(Mode::Drain, vec![(source, Box::new(letters))]);
    plan.lanes.push(lane("only", sink));
    plan.lanes[0].sources = Some(vec![source.into()]);
    (plan.dead_letters, plan.id_key) = (Arc::new(new.clone()), key);
    let pump = Pump::new(plan);
    let monitor = pump.monitor();
    let outcome = pump.run(stop).await;
    let counts = *counts.lock().expect("nothing panics while it holds this lock");
    Replayed { outcome, counts, books: monitor.books().lanes[0], new: new.letters() }
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_leaves_portion_by_portion() {
    let lines = Lines::of(&refused(5).await, 3);
    let sink = ScriptedSink::willing();
    let replayed = replay(&lines, &sink, "list", IdKey::default()).await;
    replayed.outcome.expect("drained");
    assert_eq!(lines.removed(), [(0, vec![0, 1, 2]), (1, vec![0, 1])]);
    assert_eq!(sink.delivered().len(), 5);
    assert_eq!(replayed.counts, ReplayCounts { sent: 5, removed: 5, ..ReplayCounts::default() });
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_again_is_the_same_letter_and_the_new_one_is_safe_first() {
    let letters = refused(20).await;
    let lines = Lines::of(&letters, 100);
    let replayed = replay(&lines, &refusing(|_| true), "list", IdKey::default()).await;
    replayed.outcome.expect("drained");
    let mut new = replayed.new;
    new.sort_by_key(|letter| letter.position);
    assert_eq!(new, letters, "with its source, partition, position and id");
    assert_eq!(lines.state().new_letters, [20]);
    assert_eq!((replayed.books.dead_lettered, replayed.counts.removed), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_settled_stays_when_the_replay_is_stopped() {
    let lines = Lines::of(&refused(30).await, 100);
    // Batches have ten records, two at once: the first gets through, the others get no answer.
    let mut attempts = 0;
    let sink = ScriptedSink::new(move |_| {
        attempts += 1;
        if attempts == 1 { Reaction::Take } else { Reaction::Hang }
    });
    let watched = sink.clone();
    let told = async {
        while watched.attempts().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let replayed = replay_until(&lines, &sink, "list", IdKey::default(), told).await;
    assert!(matches!(replayed.outcome, Err(PumpError::NotDrained)));
    assert_eq!(sink.delivered().len(), 10);
    assert_eq!(lines.removed(), [(0, (0..10).collect())]);
}

#[tokio::test(start_paused = true)]
async fn another_key_stops_the_replay_before_anything_is_sent() {
    let lines = Lines::of(&refused(3).await, 100);
    let sink = ScriptedSink::willing();
    let replayed = replay(&lines, &sink, "list", IdKey::new(Some(b"another"))).await;
    let Err(PumpError::Source { error, .. }) = replayed.outcome else { panic!("it went on") };
    assert!(error.to_string().contains("set record_id.key"), "{error}");
    assert!(sink.attempts().is_empty());
    assert_eq!(lines.removed(), [(0, vec![])]);
}

#[tokio::test(start_paused = true)]
async fn the_pumps_own_news_keep_the_ids_that_they_brought() {
    let mut letters = refused(1).await;
    (letters[0].source, letters[0].id) = (crate::news::SOURCE.into(), Some(RecordId([7; 16])));
    let lines = Lines::of(&letters, 100);
    let refuse = refusing(|body| body.starts_with("{\"n\""));
    let replayed = replay(&lines, &refuse, crate::news::SOURCE, IdKey::default()).await;
    replayed.outcome.expect("drained");
    assert_eq!(replayed.new, letters);
    assert_eq!(replayed.counts.removed, 1);
}

#[tokio::test(start_paused = true)]
async fn letters_that_nobody_can_take_stay() {
    let mut letters = refused(4).await;
    letters[0].kind = Kind::Audit;
    (letters[1].body, letters[1].id) = (Bytes::from_static(b"{\"torn"), None);
    letters[2].source = "another".into();
    let lines = Lines::of(&letters, 100);
    lines.state().portions[0].push(Bytes::from_static(b"no letter"));
    let replayed = replay(&lines, &ScriptedSink::willing(), "list", IdKey::default()).await;
    replayed.outcome.expect("drained");
    assert_eq!(lines.removed(), [(0, vec![3])]);
    assert_eq!(replayed.counts, ReplayCounts { sent: 1, removed: 1, undecodable: 1, unwanted: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_store_that_gives_nothing_up_ends_the_replay_with_an_error() {
    let lines = Lines::of(&refused(3).await, 100);
    lines.state().is_failing = true;
    let replayed = replay(&lines, &ScriptedSink::willing(), "list", IdKey::default()).await;
    assert!(matches!(replayed.outcome, Err(PumpError::Source { .. })));
    assert_eq!(replayed.counts.removed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_a_while_delays_and_loses_nothing() {
    let lines = Lines::of(&refused(30).await, 10);
    let mut attempts = 0;
    let sink = ScriptedSink::new(move |_| {
        attempts += 1;
        match attempts % 3 {
            0 => Reaction::Take,
            _ => Reaction::Fail(SinkError::retry("away", "the test said so")),
        }
    });
    let replayed = replay(&lines, &sink, "list", IdKey::default()).await;
    replayed.outcome.expect("drained");
    assert_eq!(sink.delivered().len(), 30);
    assert_eq!(replayed.counts.removed, 30);
}
