//! Each golden file, byte for byte where we do not mean to differ, and with a reason where we do. A
//! listed deviation that no longer deviates fails these tests too.

use std::collections::BTreeMap;

use pump_core::encode::{CSV_HEADER, CsvEncoder, FullEncoder, TykRecordEncoder, TykStdoutEncoder};
use pump_core::record::{Codec, Kind, View};
use serde_json::Value;

use crate::fixture::{
    assert_golden, differences, encode, encode_first, folder, golden, json, numbers, parse,
};

const YEAR_OVER_9999: &str = "JSON has no such year: the field is null, where Tyk Pump gives up the record";
const LOST_BY_TYK_PUMP: &str = "on the wire, and lost by Tyk Pump when it reads protobuf";

#[test]
fn every_msgpack_record_is_the_json_that_tyk_pump_makes_of_it() {
    for number in numbers() {
        let body = golden(&format!("{number}.msgpack")).expect("it is there");
        let actual = encode(&FullEncoder, Kind::Transaction, Codec::Msgpack, &body);
        if golden(&format!("{number}.json.err")).is_none() {
            assert_golden(&format!("{number}.json"), &actual);
            continue;
        }
        let actual = json(&actual);
        assert_eq!(actual["timestamp"], "9999-12-31T23:59:59Z", "{number}");
        assert_eq!(actual["expireAt"], Value::Null, "{number}: {YEAR_OVER_9999}");
    }
}

/// Where our JSON of a protobuf record differs from Tyk Pump's, and why.
const PROTOBUF: [(&str, &str, &str); 5] = [
    ("003", "/geo/city/names", LOST_BY_TYK_PUMP),
    ("006", "/geo/city/names", LOST_BY_TYK_PUMP),
    ("022", "/expireAt", LOST_BY_TYK_PUMP),
    ("022", "/timestamp", LOST_BY_TYK_PUMP),
    ("023", "", YEAR_OVER_9999),
];

#[test]
fn every_protobuf_record_is_the_json_that_tyk_pump_makes_of_it_and_what_it_loses() {
    let mut seen = Vec::new();
    let mut compared = 0;
    for number in numbers() {
        let Some(body) = golden(&format!("{number}.pb")) else { continue };
        if body.is_empty() {
            continue;
        }
        let actual = json(&encode(&FullEncoder, Kind::Transaction, Codec::Protobuf, &body));
        let expected = golden(&format!("{number}.pb.json")).or_else(|| golden(&format!("{number}.json")));
        let Some(expected) = expected else {
            assert_eq!(actual["expireAt"], Value::Null, "{number}: {YEAR_OVER_9999}");
            seen.push((number, String::new()));
            continue;
        };
        compared += 1;
        seen.extend(differences(&actual, &json(&expected)).into_iter().map(|path| (number.clone(), path)));
        if number == "022" {
            assert_eq!(actual["timestamp"], "2025-11-24T16:00:00.123456789Z");
        }
    }
    assert!(compared >= 26, "only {compared} files were compared");
    let expected = PROTOBUF.map(|(number, path, _)| (number.to_owned(), path.to_owned()));
    assert_eq!(seen, expected);
}

/// The columns in which our csv differs from Tyk Pump's, by its listed bugs.
fn csv_bugs() -> BTreeMap<&'static str, Vec<&'static str>> {
    let places = vec!["GeoData.Location.Latitude", "GeoData.Location.Longitude"];
    BTreeMap::from([
        // Coordinates are cut to whole numbers, and negative ones wrap.
        ("003", places.clone()),
        ("005", places.clone()),
        ("006", places),
        // Negative numbers wrap.
        ("024", vec!["ContentLength", "ResponseCode", "RequestTime"]),
        ("025", vec!["RequestTime", "NetworkStats.OpenConnections", "NetworkStats.ClosedConnection"]),
    ])
}

#[test]
fn every_csv_row_is_tyk_pumps_but_for_its_bugs() {
    let mut seen = BTreeMap::new();
    for number in numbers() {
        let body = golden(&format!("{number}.msgpack")).expect("it is there");
        let row = encode(&CsvEncoder, Kind::Transaction, Codec::Msgpack, &body);
        let actual = [CSV_HEADER, &row].concat();
        let Some(expected) = golden(&format!("{number}.csv")) else {
            assert_golden(&format!("{number}.csv"), &actual);
            continue;
        };
        if actual == expected.strip_suffix(b"\n").unwrap_or(&expected) {
            continue;
        }
        let (actual, expected) = (cells(&actual), cells(&expected));
        assert_eq!(actual.len(), expected.len(), "{number}");
        let header =
            String::from_utf8_lossy(CSV_HEADER).trim_end().split(',').map(str::to_owned).collect::<Vec<_>>();
        let columns: Vec<_> =
            (42..84).filter(|at| actual[*at] != expected[*at]).map(|at| header[at - 42].clone()).collect();
        seen.insert(number, columns);
    }
    let bugs = csv_bugs();
    assert_eq!(format!("{seen:?}"), format!("{bugs:?}"));
}

/// The cells of a csv file, one after the other.
fn cells(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in text.trim_end_matches('\n').chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' | '\n' if !is_quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells.push(cell);
    cells
}

#[test]
fn right_numbers_stand_where_tyk_pumps_csv_has_wrong_ones() {
    let body = golden("006.msgpack").expect("it is there");
    let row = String::from_utf8(encode(&CsvEncoder, Kind::Transaction, Codec::Msgpack, &body)).expect("text");
    assert!(row.contains(",-23.5475,-46.6361,"), "{row}");
    let body = golden("024.msgpack").expect("it is there");
    let row = String::from_utf8(encode(&CsvEncoder, Kind::Transaction, Codec::Msgpack, &body)).expect("text");
    assert!(row.contains(",-1,curl/8.5.0,"), "{row}");
}

/// Where our line differs from Tyk Pump's, and why.
const STDOUT: [(&str, &str, &str); 1] = [(
    "008",
    "/tyk-analytics-record/tags",
    "an empty list of tags stays one; Tyk Pump's stdout makes it null",
)];

#[test]
fn every_line_on_standard_output_is_tyk_pumps() {
    let mut seen = Vec::new();
    for number in numbers() {
        let body = golden(&format!("{number}.msgpack")).expect("it is there");
        let line = encode(&TykStdoutEncoder, Kind::Transaction, Codec::Msgpack, &body);
        let line = String::from_utf8(line).expect("JSON is UTF-8");
        let line = line.replace("\"time\":\"2025-11-24T16:00:00Z\"", "\"time\":\"<now>\"");
        let Some(expected) = golden(&format!("{number}.stdout")) else {
            // The file is kept as a hash of all its lines; the record in it is the one in the JSON.
            assert_golden(
                &format!("{number}.json"),
                &encode(&TykRecordEncoder, Kind::Transaction, Codec::Msgpack, &body),
            );
            continue;
        };
        let expected = String::from_utf8(expected).expect("JSON is UTF-8");
        let expected = expected.lines().next().unwrap_or_default();
        if golden(&format!("{number}.json.err")).is_some() {
            assert_eq!(
                json(line.as_bytes())["tyk-analytics-record"]["expireAt"],
                Value::Null,
                "{YEAR_OVER_9999}"
            );
            continue;
        }
        if line != expected {
            let places = differences(&json(line.as_bytes()), &json(expected.as_bytes()));
            assert!(!places.is_empty(), "{number}: {line} is not {expected}");
            seen.extend(places.into_iter().map(|path| (number.clone(), path)));
        }
    }
    assert_eq!(seen, STDOUT.map(|(number, path, _)| (number.to_owned(), path.to_owned())));
}

#[test]
fn every_uptime_record_is_the_json_that_tyk_pump_makes_of_it() {
    for number in ["u01", "u02", "u03"] {
        let body = golden(&format!("{number}.msgpack")).expect("it is there");
        let actual = json(&encode(&FullEncoder, Kind::Uptime, Codec::Msgpack, &body));
        let expected = json(&golden(&format!("{number}.json")).expect("it is there"));
        // The id of a database's row, always empty.
        assert_eq!(differences(&actual, &expected), ["/_id"]);
    }
}

/// Where an odd or malformed entry ends differently here than in Tyk Pump, and why.
const ODD: [(&str, Codec, &str); 5] = [
    ("m30", Codec::Msgpack, "nesting over 32 is refused"),
    ("v13", Codec::Msgpack, "two records in one entry are both kept"),
    ("v17", Codec::Protobuf, "sub-messages may be absent; Tyk Pump crashes"),
    ("v18", Codec::Protobuf, LOST_BY_TYK_PUMP),
    ("v19", Codec::Protobuf, LOST_BY_TYK_PUMP),
];

#[test]
fn every_odd_and_malformed_entry_ends_as_in_tyk_pump_or_as_we_chose() {
    let mut seen = Vec::new();
    let mut names: Vec<_> = std::fs::read_dir(folder("tyk"))
        .expect("the fixtures are there")
        .filter_map(|entry| {
            let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
            name.strip_suffix(".expect.json").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert_eq!(names.len(), 19 + 40);
    for name in names {
        let body = golden(&format!("{name}.bin")).expect("it is there");
        let expect = json(&golden(&format!("{name}.expect.json")).expect("it is there"));
        for (codec, key) in [(Codec::Msgpack, "msgpack"), (Codec::Protobuf, "protobuf")] {
            let expect = &expect[key];
            let parsed = parse(Kind::Transaction, codec, &body);
            let is_as_expected = match (expect["ok"].as_bool(), parsed.chunk.len()) {
                (Some(true), 1) => {
                    let actual = json(&encode_first(&FullEncoder, &parsed.chunk));
                    expect.get("record").is_none_or(|expected| differences(&actual, expected).is_empty())
                }
                (Some(false), 0) => {
                    assert_eq!(&parsed.undecodable[0].body[..], &body[..], "a dead letter has its bytes");
                    assert!(!parsed.undecodable[0].error.to_string().is_empty());
                    true
                }
                _ => false,
            };
            if !is_as_expected {
                seen.push((name.clone(), codec));
            }
        }
    }
    let expected = ODD.map(|(name, codec, _)| (name.to_owned(), codec));
    assert_eq!(seen, expected);
}

#[test]
fn two_records_in_one_entry_are_both_kept_at_one_position() {
    let parsed = parse(Kind::Transaction, Codec::Msgpack, &golden("v13.bin").expect("it is there"));
    assert_eq!(parsed.chunk.len(), 2);
    for record in parsed.chunk.records() {
        assert_eq!(record.position(), 0);
        let View::Transaction(transaction) = record.view() else { panic!("a transaction") };
        assert_eq!(transaction.method.bytes(), b"GET");
    }
}
