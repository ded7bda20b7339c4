//! A preview is what the lane does, record by record.

use std::sync::Arc;

use super::{Outcome, Preview, PreviewParts, Sample};
use crate::edit::{Edits, RedactConfig, Scratch};
use crate::encode::{Additions, FullEncoder};
use crate::filter::Filter;
use crate::plugin::Body;
use crate::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, Timestamp, View};
use crate::template::Template;

fn sample(bodies: &[&str]) -> Sample {
    let head = ChunkHead {
        source: "s".into(),
        partition: Partition::new("0"),
        kind: Kind::Event,
        codec: Codec::Json,
        received: Timestamp { seconds: 1_764_000_000, nanos: 0 },
    };
    let mut end = 0;
    let entries = bodies.iter().enumerate().map(|(index, body)| {
        end += body.len();
        (index as u64, end - body.len()..end)
    });
    let parsed = Chunk::parse(head, bodies.concat().into(), 0..bodies.len() as u64, entries);
    assert!(parsed.undecodable.is_empty());
    Sample::new(parsed.chunk)
}

fn preview(filter: &str, has_body: bool) -> Preview {
    let id_key = IdKey::default();
    Preview::new(PreviewParts {
        sources: vec!["s".into()],
        kinds: vec![Kind::Event],
        filter: Filter::new(&serde_json::from_str(filter).expect("a filter")),
        edits: Edits::new(&["secret".into()], &RedactConfig::default(), &id_key).expect("edits"),
        additions: Additions::new([("zone", "a")]),
        body: has_body.then(|| Body { encoder: Arc::new(FullEncoder), terminator: b"\n" }),
        route: Template::parse("{api_id}/{secret}").expect("a template"),
        id_key: id_key.into(),
    })
}

/// `- by` for a filtered record; else route, size and body.
fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Filtered { by } => format!("- {by}"),
        Outcome::Sent(sent) => {
            let body = sent.body().map(|body| String::from_utf8_lossy(body).into_owned());
            format!("{} {} {}", sent.route(), sent.size(), body.unwrap_or_default())
        }
    }
}

const BODIES: [&str; 3] =
    [r#"{"api_id":"a","secret":1}"#, r#"{"api_id":"b"}"#, r#"{"api_id":"c","secret":2}"#];

#[test]
fn each_record_has_its_outcome_in_order() {
    let outcomes = preview(r#"{"skip_api_ids":["b"]}"#, true).outcomes(&sample(&BODIES));
    let outcomes: Vec<_> = outcomes.iter().map(describe).collect();
    assert_eq!(
        outcomes,
        [
            "a/none 26 {\"api_id\":\"a\",\"zone\":\"a\"}",
            "- skip_api_ids",
            "c/none 26 {\"api_id\":\"c\",\"zone\":\"a\"}"
        ]
    );
}

#[test]
fn other_sources_and_kinds_are_not_taken() {
    let (sample, preview) = (sample(&BODIES), preview("{}", true));
    let head = sample.chunk().head();
    assert!(preview.takes(head));
    assert!(!preview.takes(&ChunkHead { source: "other".into(), ..head.clone() }));
    assert!(!preview.takes(&ChunkHead { kind: Kind::Audit, ..head.clone() }));
}

#[test]
fn a_sink_without_bodies_has_fields_after_edits() {
    let sample = sample(&BODIES);
    let outcomes = preview("{}", false).outcomes(&sample);
    let Outcome::Sent(sent) = &outcomes[2] else { panic!("nothing is filtered") };
    assert_eq!((sent.body(), sent.size()), (None, BODIES[2].len()));
    assert_eq!(sent.id(), sample.chunk().record(2).id(&IdKey::default()));
    let mut scratch = Scratch::default();
    let View::Object(object) = sent.view(&mut scratch) else { panic!("an event is an object") };
    assert_eq!(object.bytes(), br#"{"api_id":"c"}"#);
}

#[test]
fn more_routes_than_a_lane_keeps_open_are_all_shown() {
    let bodies: Vec<String> = (0..200).map(|number| format!("{{\"api_id\":\"n{number}\"}}")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let outcomes = preview("{}", true).outcomes(&sample(&bodies));
    assert!(describe(&outcomes[199]).starts_with("n199/none "));
}
