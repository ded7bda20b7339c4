//! One encoding for all lanes that write the same, counted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio::sync::Barrier;

use super::*;
use crate::edit::RedactConfig;
use crate::encode::Encoder;
use crate::filter::FilterConfig;
use crate::plugin::{Batch, DynSink};
use crate::record::{Record, View};

/// Writes the body as it came, and counts how often it does.
struct Counted {
    name: &'static str,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Encoder for Counted {
    fn key(&self) -> &str {
        self.name
    }

    fn encode(&self, record: Record<'_>, view: &View<'_>, additions: &Additions, out: &mut Vec<u8>) {
        let key = format!("{}{}", self.name, String::from_utf8_lossy(additions.members()));
        *self.counts.lock().expect("no panics").entry(key).or_default() += 1;
        match view {
            View::Object(_) => out.extend_from_slice(record.body()),
            other => panic!("only events come here, not {other:?}"),
        }
    }
}

/// Takes what comes, at the pace of the slowest of them all.
#[derive(Clone)]
struct InStep {
    others: Arc<Barrier>,
    framed: Arc<Mutex<String>>,
}

impl InStep {
    fn with(others: &Arc<Barrier>) -> Self {
        Self { others: others.clone(), framed: Arc::default() }
    }

    fn framed(&self) -> String {
        self.framed.lock().expect("no panics").clone()
    }
}

#[async_trait]
impl DynSink for InStep {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            for bytes in slice.framed() {
                self.framed.lock().expect("no panics").push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        self.others.wait().await;
        Ok(Answers::delivered(batch.len()))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

const RECORDS: usize = 200;

/// Drains 200 records through so many lanes that keep step; `shape` makes each lane what it is to be. Gives what
/// each lane wrote, and how often which encoding was made.
async fn through(
    lanes: usize,
    shape: impl Fn(usize, &mut LaneBlueprint, Box<dyn Fn(&'static str, &'static [u8]) -> Body>),
) -> (Vec<String>, BTreeMap<String, usize>) {
    let (counts, barrier) = (Arc::default(), Arc::new(Barrier::new(lanes)));
    let sinks: Vec<_> = (0..lanes).map(|_| InStep::with(&barrier)).collect();
    let mut plan = blueprint(Mode::Drain, vec![("list", Box::new(ListSource::counting(RECORDS, 10)))]);
    for (number, sink) in sinks.iter().enumerate() {
        let mut lane = lane(&format!("lane-{number}"), &ScriptedSink::willing());
        (lane.sink, lane.settings.max_in_flight) = (Arc::new(sink.clone()), 1);
        let counts = Arc::clone(&counts);
        let body = move |name, terminator| {
            let encoder = Arc::new(Counted { name, counts: Arc::clone(&counts) });
            Body { encoder, terminator }
        };
        lane.body = Some(body("wire", b"\n"));
        shape(number, &mut lane, Box::new(body));
        plan.lanes.push(lane);
    }
    drain(plan).await;
    let counts = counts.lock().expect("no panics").clone();
    (sinks.iter().map(InStep::framed).collect(), counts)
}

fn lines(terminator: &str) -> String {
    bodies(RECORDS).iter().map(|body| format!("{body}{terminator}")).collect()
}

fn times(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn lanes_that_write_the_same_cost_one_encoding() {
    for lanes in [1, 2, 4] {
        let (written, counts) = through(lanes, |_, _, _| {}).await;
        assert_eq!(written, vec![lines("\n"); lanes]);
        assert_eq!(counts, times(&[("wire", RECORDS)]), "{lanes} lanes");
    }
}

#[tokio::test(start_paused = true)]
async fn what_differs_in_one_thing_is_written_by_itself() {
    let redact = RedactConfig { headers: vec!["authorization".into()], ..RedactConfig::default() };
    let (written, counts) = through(6, |number, lane, body| match number {
        0 | 1 => {}
        2 => lane.additions = Additions::new([("lane", "two")]),
        3 => {
            lane.edits = Edits::new(&["alias".into()], &RedactConfig::default(), &IdKey::default())
                .expect("it is right")
        }
        4 => lane.edits = Edits::new(&[], &redact, &IdKey::default()).expect("it is right"),
        _ => lane.body = Some(body("other", b"\n")),
    })
    .await;
    assert_eq!(written, vec![lines("\n"); 6]);
    let expected = [("wire", 3 * RECORDS), ("wire,\"lane\":\"two\"", RECORDS), ("other", RECORDS)];
    assert_eq!(counts, times(&expected));
}

#[tokio::test(start_paused = true)]
async fn each_lane_has_its_own_terminator() {
    let terminators: [&[u8]; 3] = [b"\n", b"", b";\n"];
    let (written, counts) =
        through(3, |number, lane, body| lane.body = Some(body("wire", terminators[number]))).await;
    assert_eq!(written, [lines("\n"), lines(""), lines(";\n")]);
    assert_eq!(counts, times(&[("wire", 3 * RECORDS)]));
}

#[tokio::test(start_paused = true)]
async fn a_lane_with_a_filter_writes_what_it_wants_and_does_not_disturb_the_others() {
    let filter = FilterConfig { skip_api_ids: vec!["none has it".into()], ..FilterConfig::default() };
    let (written, counts) = through(3, |number, lane, _| {
        if number == 0 {
            lane.filter = Filter::new(&filter);
        }
    })
    .await;
    assert_eq!(written, vec![lines("\n"); 3]);
    assert_eq!(counts, times(&[("wire", 2 * RECORDS)]), "once for the filtered one, once for the others");
}
