use proptest::prelude::*;

use super::super::json::walk_object;
use super::*;

fn object(body: &str) -> Object<'_> {
    let range = walk_object(body.as_bytes()).expect("a sound object");
    Object::new(&body.as_bytes()[range])
}

fn members(body: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    object(body).members().map(|member| (text(member.name), text(member.value))).collect()
}

fn time(body: &str) -> Option<(i64, u32)> {
    object(body).time().map(|time| (time.seconds, time.nanos))
}

#[test]
fn members_come_in_order_as_they_are_written() {
    let body = "\n{ \"a\" : \"x, \\\"}\" ,\"b\":[1, {\"c\":\"]\"} ],\n\"a\": -1.5e3 , \"\":{}, \"n\":null }";
    let expected = [
        ("\"a\"", "\"x, \\\"}\""),
        ("\"b\"", "[1, {\"c\":\"]\"} ]"),
        ("\"a\"", "-1.5e3"),
        ("\"\"", "{}"),
        ("\"n\"", "null"),
    ];
    let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(members(body), expected);
    assert!(members(" { } ").is_empty());
}

#[test]
fn the_last_of_members_with_one_name_counts() {
    let object = object(r#"{"a":1,"\u0061":"two\n"}"#);
    assert_eq!(object.get("a"), Some(Text(br#""two\n""#)));
    assert_eq!(object.text("a").as_deref(), Some("two\n"));
    assert_eq!(object.get("b"), None);
}

#[test]
fn text_is_what_a_string_says_and_other_values_as_written() {
    let object = object(r#"{"s":"é","n":12,"b":true,"z":null,"o":{"x": 1}}"#);
    assert_eq!(object.text("s").as_deref(), Some("é"));
    assert_eq!(object.text("n").as_deref(), Some("12"));
    assert_eq!(object.text("z").as_deref(), Some("null"));
    assert_eq!(object.text("o").as_deref(), Some("{\"x\": 1}"));
}

#[test]
fn a_log_lines_time_is_rfc_3339() {
    assert_eq!(time(r#"{"time":"2026-11-23T04:55:06Z"}"#), Some((1_795_409_706, 0)));
    assert_eq!(time(r#"{"time":"2026-11-23T05:55:06.25+01:00"}"#), Some((1_795_409_706, 250_000_000)));
    assert_eq!(time(r#"{"time":"1969-12-31T23:59:59.5Z"}"#), Some((-1, 500_000_000)));
}

#[test]
fn a_timestamp_is_seconds_or_milliseconds_or_rfc_3339() {
    assert_eq!(time(r#"{"timestamp":1795409706}"#), Some((1_795_409_706, 0)));
    assert_eq!(time(r#"{"timestamp":1795409706250}"#), Some((1_795_409_706, 250_000_000)));
    assert_eq!(time(r#"{"timestamp":1795409706.25}"#), Some((1_795_409_706, 250_000_000)));
    assert_eq!(time(r#"{"timestamp":1.795409706e9}"#), Some((1_795_409_706, 0)));
    assert_eq!(time(r#"{"timestamp":-1.5}"#), Some((-2, 500_000_000)));
    assert_eq!(time(r#"{"timestamp":"2026-11-23T04:55:06Z"}"#), Some((1_795_409_706, 0)));
}

#[test]
fn an_audit_entrys_date_is_rfc_1123() {
    assert_eq!(time(r#"{"date":"Mon, 23 Nov 2026 04:55:06 GMT"}"#), Some((1_795_409_706, 0)));
    assert_eq!(time(r#"{"date":"Mon, 23 Nov 2026 04:55:06 UTC"}"#), Some((1_795_409_706, 0)));
    assert_eq!(time(r#"{"date":"Mon, 23 Nov 2026 05:55:06 +0100"}"#), Some((1_795_409_706, 0)));
}

#[test]
fn the_first_time_that_can_be_read_counts() {
    assert_eq!(time(r#"{"timestamp":2,"time":"1970-01-01T00:00:01Z"}"#), Some((1, 0)));
    assert_eq!(time(r#"{"time":"soon","timestamp":2}"#), Some((2, 0)));
    assert_eq!(time(r#"{"time":7,"timestamp":[],"date":"Thu, 01 Jan 1970 00:00:03 GMT"}"#), Some((3, 0)));
    assert_eq!(time(r#"{"time":"soon","timestamp":1e999,"date":4}"#), None);
    assert_eq!(time(r#"{"event":"AuthFailure"}"#), None);
}

proptest! {
    #[test]
    fn every_member_that_another_writer_wrote_is_found(
        map in prop::collection::btree_map(any::<String>(), any::<(String, i64)>(), 0..6),
    ) {
        let body = serde_json::to_string_pretty(&map)?;
        let found: Vec<_> = object(&body).members().collect();
        prop_assert_eq!(found.len(), map.len());
        for ((name, value), member) in map.iter().zip(found) {
            prop_assert!(member.is_named(name));
            let read: serde_json::Value = serde_json::from_slice(member.value)?;
            prop_assert_eq!(read, serde_json::to_value(value)?);
        }
    }

    #[test]
    fn a_body_that_is_not_sound_does_no_harm(body: Vec<u8>) {
        let _ = Object::new(&body).members().count();
        let _ = Object::new(&body).time();
    }
}

/// The bodies that a real gateway's webhook handler posted.
fn webhook_bodies() -> Vec<String> {
    let requests = include_str!("../../../../fixtures/real/webhooks.jsonl");
    let body = |line: &str| object(line).text("body").expect("a request has a body").into_owned();
    requests.lines().map(body).collect()
}

// The gateway escapes values for HTML, not for JSON: a key that ends in a backslash, or holds `\"`, makes
// an event that is no JSON.
#[test]
fn a_real_gateways_events_are_objects_save_those_with_a_backslash_in_a_value() {
    let bodies = webhook_bodies();
    let (sound, malformed): (Vec<_>, Vec<_>) =
        bodies.iter().partition(|body| walk_object(body.as_bytes()).is_ok());
    assert_eq!((sound.len(), malformed.len()), (60, 4));
    assert!(sound.iter().all(|body| object(body).text("event").is_some()));
    assert!(malformed.iter().all(|body| body.contains(r"\&#34;")));
}

#[test]
fn a_real_gateways_log_lines_have_a_level_and_a_time() {
    let lines = include_str!("../../../../fixtures/real/app-log.functional.jsonl");
    for line in lines.lines() {
        assert!(object(line).get("level").is_some(), "{line}");
        assert!(object(line).time().is_some(), "{line}");
    }
}
