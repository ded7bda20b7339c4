use std::fs;
use std::path::Path;

use pump_core::encode::{Additions, Encoder, FullEncoder};
use pump_core::record::{
    Chunk, ChunkHead, Codec, Field, FieldSet, Kind, Partition, Timestamp, Transaction, View,
};
use serde_json::{Value, json};

use super::*;

/// 2026-11-23T04:55:06Z
const RECEIVED: Timestamp = Timestamp { seconds: 1_795_409_706, nanos: 0 };

const PLAIN: TykDocument = TykDocument { is_extended: false, is_stream: false };
const EXTENDED: TykDocument = TykDocument { is_extended: true, is_stream: false };
const FULL: FullDocument = FullDocument { is_stream: false };

fn golden(name: &str) -> Option<Vec<u8>> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tyk").join(name)).ok()
}

fn chunk(kind: Kind, codec: Codec, body: &[u8]) -> Chunk {
    let partition = Partition::new("test");
    let head = ChunkHead { source: "test".into(), partition, kind, codec, received: RECEIVED };
    Chunk::parse(head, body.to_vec().into(), 0..1, [(0, 0..body.len())]).chunk
}

fn encode(encoder: &dyn Encoder, chunk: &Chunk) -> String {
    let mut out = Vec::new();
    let record = chunk.record(0);
    encoder.encode(record, &record.view(), &Additions::default(), &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Tyk Pump's own ids of the records whose files are kept as hashes.
const IDS: [(&str, &str); 2] = [("015", "f6999b52b9f90c7d"), ("028", "7972d6cf70bd7bf7")];

/// The text of one member of a golden file, as it stands there.
fn part<'f>(file: &'f Value, name: &str) -> &'f Value {
    file.get(name).unwrap_or_else(|| panic!("it has {name}"))
}

#[test]
fn every_document_is_the_one_that_tyk_pump_writes() {
    let mut compared = 0;
    for number in 1..=30 {
        let number = format!("{number:03}");
        let body = golden(&format!("{number}.msgpack")).expect("it is there");
        let chunk = chunk(Kind::Transaction, Codec::Msgpack, &body);
        let (plain, extended) = (encode(&PLAIN, &chunk), encode(&EXTENDED, &chunk));
        let Some(file) = golden(&format!("{number}.es.json")) else {
            assert_is_hashed(&number, &plain, &extended);
            compared += 1;
            continue;
        };
        let file = parsed(&String::from_utf8(file).expect("JSON is UTF-8"));
        for (name, actual) in [("default", &plain), ("extended", &extended)] {
            let expected = part(&file, name);
            assert_eq!(&parsed(actual), expected, "{number} {name}");
            // Names in the same order too: the parser keeps it.
            assert_eq!(parsed(actual).to_string(), expected.to_string(), "{number} {name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 30);
}

/// A file too large to keep is there as its SHA-256. It holds both documents, a third one with the
/// payloads decoded, and Tyk Pump's own id; what of it is ours is put together again here.
fn assert_is_hashed(number: &str, plain: &str, extended: &str) {
    use sha2::{Digest, Sha256};
    let hash = golden(&format!("{number}.es.json.sha256")).expect("it is kept as a hash");
    let hash = String::from_utf8(hash).expect("text");
    let id = IDS.iter().find(|(own, _)| *own == number).expect("its id is known").1;
    let decoded = decoded(extended);
    let file = format!(
        "{{\"default\":{plain},\"extended\":{extended},\"extended_decode_base64\":{decoded},\
         \"generated_id_hex\":\"{id}\"}}"
    );
    let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash.trim(), format!("{digest} {}", file.len()), "{number}");
}

/// The third document: payloads decoded up to the first group of four signs that is no base64.
fn decoded(extended: &str) -> String {
    use base64::Engine as _;
    let mut document = extended.to_owned();
    for name in ["raw_request", "raw_response"] {
        let payload = parsed(extended)[name].as_str().expect("a text").to_owned();
        let groups = payload.as_bytes().chunks(4);
        let groups = groups.map_while(|group| base64::engine::general_purpose::STANDARD.decode(group).ok());
        let text = String::from_utf8(groups.flatten().collect()).expect("these payloads are text");
        let text = Value::from(text).to_string();
        document = document.replace(&format!("\"{name}\":\"{payload}\""), &format!("\"{name}\":{text}"));
    }
    document
}

/// `full` JSON as other sinks write it, with what a search engine would refuse or misread taken out.
fn expected_full(chunk: &Chunk) -> Value {
    fn without_empty(value: &mut Value) {
        if let Value::Object(members) = value {
            members.values_mut().for_each(without_empty);
            members.retain(|_, value| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                _ => true,
            });
        }
    }
    let mut full = parsed(&encode(&FullEncoder, chunk));
    let location = full["geo"]["location"].take();
    let (lat, lon) = (&location["latitude"], &location["longitude"]);
    if lat.is_number() && lon.is_number() && (lat.as_f64() != Some(0.0) || lon.as_f64() != Some(0.0)) {
        full["geo"]["location"] = json!({ "lat": lat, "lon": lon });
    }
    full["geo"]["time_zone"] = location["time_zone"].clone();
    if full["geo"]["city"]["geoname_id"] == 0 {
        full["geo"]["city"]["geoname_id"] = Value::Null;
    }
    without_empty(&mut full);
    for (name, empty) in [
        ("graphql_stats", json!({ "OperationType": 0, "HasErrors": false, "IsGraphQL": false })),
        ("mcp_stats", json!({ "is_mcp": false })),
    ] {
        if full[name] == empty {
            full.as_object_mut().expect("an object").remove(name);
        }
    }
    full
}

#[test]
fn a_full_document_has_every_field_that_says_something() {
    for number in 1..=30 {
        for (ending, codec) in [("msgpack", Codec::Msgpack), ("pb", Codec::Protobuf)] {
            let Some(body) = golden(&format!("{number:03}.{ending}")).filter(|body| !body.is_empty()) else {
                continue;
            };
            let chunk = chunk(Kind::Transaction, codec, &body);
            assert_eq!(parsed(&encode(&FULL, &chunk)), expected_full(&chunk), "{number:03}.{ending}");
        }
    }
    for number in ["u01", "u02", "u03"] {
        let body = golden(&format!("{number}.msgpack")).expect("it is there");
        let chunk = chunk(Kind::Uptime, Codec::Msgpack, &body);
        let mut expected = parsed(&encode(&FullEncoder, &chunk));
        let is_null_or_empty = |value: &Value| value.is_null() || value == "";
        expected.as_object_mut().expect("an object").retain(|_, value| !is_null_or_empty(value));
        for encoder in [&FULL as &dyn Encoder, &PLAIN] {
            assert_eq!(parsed(&encode(encoder, &chunk)), expected, "{number}");
        }
    }
}

#[test]
fn what_is_omitted_is_not_in_the_document() {
    let chunk = chunk(Kind::Transaction, Codec::Msgpack, &golden("003.msgpack").expect("it is there"));
    let View::Transaction(transaction) = chunk.record(0).view() else { panic!("a transaction") };
    let omit = |fields: &[Field]| {
        let omitted = fields.iter().fold(FieldSet::EMPTY, |set, field| set.with(*field));
        View::Transaction(Transaction { omitted, ..transaction.clone() })
    };
    let write = |encoder: &dyn Encoder, view: &View<'_>| {
        let mut out = Vec::new();
        encoder.encode(chunk.record(0), view, &Additions::new([("cluster", "eu1")]), &mut out);
        parsed(&String::from_utf8(out).expect("JSON is UTF-8"))
    };
    let view = omit(Field::ALL);
    assert_eq!(write(&EXTENDED, &view), json!({ "cluster": "eu1" }));
    assert_eq!(write(&FULL, &view), json!({ "cluster": "eu1" }));
    let view = omit(&[Field::RawRequest, Field::Timestamp]);
    for (encoder, names) in
        [(&EXTENDED as &dyn Encoder, ["raw_request", "@timestamp"]), (&FULL, ["raw_request", "timestamp"])]
    {
        let document = write(encoder, &view);
        assert!(names.iter().all(|name| document.get(name).is_none()), "{document}");
        assert_eq!(document["cluster"], "eu1");
    }
}

#[test]
fn each_document_of_a_data_stream_has_a_time() {
    let full = FullDocument { is_stream: true };
    let tyk = TykDocument { is_extended: false, is_stream: true };
    let received = "2026-11-23T04:55:06Z";
    let transaction = |number: &str| {
        let body = golden(&format!("{number}.msgpack")).expect("it is there");
        chunk(Kind::Transaction, Codec::Msgpack, &body)
    };
    // The record's own time, in both formats.
    let own = transaction("003");
    assert_eq!(parsed(&encode(&full, &own))["@timestamp"], parsed(&encode(&full, &own))["timestamp"]);
    assert_eq!(encode(&tyk, &own), encode(&PLAIN, &own));
    // No time: when it was received.
    assert_eq!(parsed(&encode(&full, &transaction("001")))["@timestamp"], received);
    for (object, time) in [
        ("{}", received),
        (r#"{"a":1}"#, received),
        (r#"{"time":"2026-11-23T03:00:00Z"}"#, "2026-11-23T03:00:00Z"),
        (r#"{"@timestamp":"2020-01-01T00:00:00Z"}"#, "2020-01-01T00:00:00Z"),
    ] {
        let chunk = chunk(Kind::AppLog, Codec::Json, object.as_bytes());
        for encoder in [&full as &dyn Encoder, &tyk] {
            let text = encode(encoder, &chunk);
            assert_eq!(parsed(&text)["@timestamp"], time, "{text}");
            assert_eq!(text.matches("@timestamp").count(), 1, "{text}");
        }
    }
}
