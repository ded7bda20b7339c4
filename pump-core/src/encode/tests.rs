//! What golden files cannot show: additions, omitted fields, objects, floats and odd text.

use proptest::prelude::*;

use super::{Additions, CsvEncoder, Encoder, FullEncoder, TykStdoutEncoder, json};
use crate::record::{
    Chunk, ChunkHead, Codec, Field, FieldSet, Kind, Partition, Text, Timestamp, Transaction, Uptime,
    UptimeField, UptimeFieldSet, View,
};

fn chunk(kind: Kind, codec: Codec, body: &[u8]) -> Chunk {
    let head = ChunkHead {
        source: "test".into(),
        partition: Partition::new("0"),
        kind,
        codec,
        received: Timestamp { seconds: 1_764_000_000, nanos: 0 },
    };
    let parsed = Chunk::parse(head, body.to_vec().into(), 0..1, [(0, 0..body.len())]);
    assert!(parsed.undecodable.is_empty(), "{:?}", parsed.undecodable);
    parsed.chunk
}

fn encode(encoder: &dyn Encoder, kind: Kind, codec: Codec, body: &[u8], additions: &Additions) -> String {
    let chunk = chunk(kind, codec, body);
    let record = chunk.record(0);
    let mut out = Vec::new();
    encoder.encode(record, &record.view(), additions, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn view_as(encoder: &dyn Encoder, view: &View<'_>, additions: &Additions) -> String {
    let chunk = chunk(Kind::Event, Codec::Json, b"{}");
    let mut out = Vec::new();
    encoder.encode(chunk.record(0), view, additions, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn event(body: &[u8], additions: &Additions) -> String {
    encode(&FullEncoder, Kind::Event, Codec::Json, body, additions)
}

#[test]
fn additions_stand_at_the_end_of_every_kind() {
    let additions = Additions::new([("cluster", "eu \"1\""), ("zone", "a")]);
    let end = ",\"cluster\":\"eu \\\"1\\\"\",\"zone\":\"a\"}";
    let transaction = view_as(&FullEncoder, &View::Transaction(Transaction::default()), &additions);
    let uptime = view_as(&FullEncoder, &View::Uptime(Uptime::default()), &additions);
    for text in [transaction, uptime, event(b"{\"a\":1}", &additions)] {
        assert!(text.ends_with(end), "{text}");
        serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON");
    }
    let stdout = view_as(&TykStdoutEncoder, &View::Transaction(Transaction::default()), &additions);
    assert!(stdout.ends_with(&format!("{end}}}")), "{stdout}");
}

#[test]
fn an_addition_wins_over_a_member_of_its_name_however_it_is_written() {
    let additions = Additions::new([("cluster", "eu1")]);
    let text = event(br#"{"cluster":"forged","a":1,"clu\u0073ter":{"b":[2]}}"#, &additions);
    assert_eq!(text, r#"{"a":1,"cluster":"eu1"}"#);
    assert_eq!(event(b"{}", &additions), r#"{"cluster":"eu1"}"#);
}

#[test]
fn an_object_is_written_on_one_line_and_otherwise_as_it_came() {
    let body = b"\n\n {\n\t\"b\" : [ 1.50 , {\"c\":\"a \\\" b\"} ] ,\r\n \"a\" : \"x  y\"\n}\n";
    assert_eq!(event(body, &Additions::default()), "{\"b\":[1.50,{\"c\":\"a \\\" b\"}],\"a\":\"x  y\"}");
    assert_eq!(event(b"{\"a\":\"\xff\xfe\"}", &Additions::default()), "{\"a\":\"\u{fffd}\u{fffd}\"}");
}

#[test]
fn omitted_fields_leave_no_key_in_json_and_an_empty_cell_in_csv() {
    let omitted = Field::ALL.iter().fold(FieldSet::EMPTY, |set, field| set.with(*field));
    let all = View::Transaction(Transaction { omitted, ..Transaction::default() });
    assert_eq!(view_as(&FullEncoder, &all, &Additions::default()), "{}");
    assert_eq!(view_as(&CsvEncoder, &all, &Additions::default()), ",".repeat(41));
    let without = FieldSet::EMPTY.with(Field::Method).with(Field::Geo);
    let some = View::Transaction(Transaction { omitted: without, ..Transaction::default() });
    let text = view_as(&FullEncoder, &some, &Additions::default());
    assert!(text.starts_with("{\"host\":") && !text.contains("\"geo\""), "{text}");
    let omitted = UptimeField::ALL.iter().fold(UptimeFieldSet::EMPTY, |set, field| set.with(*field));
    let uptime = View::Uptime(Uptime { omitted, ..Uptime::default() });
    assert_eq!(view_as(&FullEncoder, &uptime, &Additions::default()), "{}");
}

#[test]
fn floats_are_written_as_go_writes_them() {
    for (number, expected) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (50.4501, "50.4501"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-2.5e-9, "-2.5e-9"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ] {
        let mut out = Vec::new();
        json::float(number, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}

#[test]
fn a_cell_is_quoted_where_a_reader_would_misread_it() {
    for (value, expected) in [
        ("plain", "plain"),
        ("a,b", "\"a,b\""),
        ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ("two\nlines", "\"two\nlines\""),
        (" leading", "\" leading\""),
        ("\u{a0}leading", "\"\u{a0}leading\""),
        ("\\.", "\"\\.\""),
        ("\"", "\"\"\"\""),
    ] {
        let view = View::Transaction(Transaction { method: value.into(), ..Transaction::default() });
        let row = view_as(&CsvEncoder, &view, &Additions::default());
        assert!(row.starts_with(&format!("{expected},,")), "{row}");
    }
}

proptest! {
    /// Whatever the bytes, the string is JSON, and says what they say where they are UTF-8.
    #[test]
    fn any_text_becomes_a_json_string(bytes: Vec<u8>) {
        let mut out = Vec::new();
        json::string(Text(&bytes), &mut out);
        let read: String = serde_json::from_slice(&out).expect("it is JSON");
        prop_assert_eq!(read, Text(&bytes).to_str().into_owned());
        prop_assert!(!out.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')));
    }

    /// Quoting a cell and reading it back gives the cell.
    #[test]
    fn any_cell_is_read_back(value in "[a-z,\"\n\r\\\\. ]{0,20}") {
        let view = View::Transaction(Transaction { method: value.as_str().into(), ..Transaction::default() });
        let row = view_as(&CsvEncoder, &view, &Additions::default());
        let cell = match row.strip_prefix('"') {
            None => row.split(',').next().unwrap_or_default().to_owned(),
            Some(rest) => {
                let end = rest.replace("\"\"", "\u{1}\u{1}").find('"').expect("the quote is closed");
                rest[..end].replace("\"\"", "\"")
            }
        };
        prop_assert_eq!(cell, value);
    }
}
