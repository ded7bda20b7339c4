use proptest::prelude::*;

use super::walk_object;

fn code(body: &[u8]) -> &'static str {
    walk_object(body).map_or_else(|error| error.code, |_| "sound")
}

#[test]
fn the_range_is_the_object_without_the_white_space_around_it() {
    let body = b"\n\n \t{ \"a\" : [ 1 , {} ] }\r\n\n";
    let range = walk_object(body).expect("an object");
    assert_eq!(&body[range], b"{ \"a\" : [ 1 , {} ] }");
}

#[test]
fn every_form_of_value_is_taken() {
    for body in [
        r#"{}"#,
        r#"{"a":"","b":"x\"\\\/\b\f\n\r\té😀"}"#,
        r#"{"a":0,"b":-0,"c":-1.50,"d":1e5,"e":2E-10,"f":0.1e+3,"g":12345678901234567890123}"#,
        r#"{"a":true,"b":false,"c":null,"d":[],"e":{},"f":[[],[{}]],"":1}"#,
        r#"{"a":1,"a":2}"#,
    ] {
        assert_eq!(code(body.as_bytes()), "sound", "{body}");
    }
}

#[test]
fn text_that_is_no_utf8_and_half_surrogates_are_taken() {
    assert_eq!(code(b"{\"a\":\"\xff\xc3\"}"), "sound");
    assert_eq!(code(br#"{"a":"\ud800","b":"\udfff\ud800x"}"#), "sound");
}

#[test]
fn the_code_says_what_is_wrong() {
    for (body, expected) in [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("[]", "wrong_type"),
        ("level=info msg=x", "wrong_type"),
        ("\u{feff}{}", "wrong_type"),
        ("{", "truncated"),
        (r#"{"a"#, "truncated"),
        (r#"{"a\"#, "truncated"),
        (r#"{"a\u12"#, "truncated"),
        (r#"{"a""#, "truncated"),
        (r#"{"a":tru"#, "truncated"),
        (r#"{"a":-"#, "truncated"),
        (r#"{"a":[1,"#, "truncated"),
        ("{}{}", "malformed"),
        ("{} x", "malformed"),
        ("{]", "malformed"),
        (r#"{"a":[1}"#, "malformed"),
        (r#"{"a":{]}"#, "malformed"),
        (r#"{"a":1,}"#, "malformed"),
        (r#"{,"a":1}"#, "malformed"),
        (r#"{"a":[1,]}"#, "malformed"),
        (r#"{"a" 1}"#, "malformed"),
        (r#"{a:1}"#, "malformed"),
        (r#"{'a':1}"#, "malformed"),
        (r#"{"a":01}"#, "malformed"),
        (r#"{"a":+1}"#, "malformed"),
        (r#"{"a":1.}"#, "malformed"),
        (r#"{"a":.5}"#, "malformed"),
        (r#"{"a":1e}"#, "malformed"),
        (r#"{"a":NaN}"#, "malformed"),
        (r#"{"a":nulll}"#, "malformed"),
        (r#"{"a":"\x41"}"#, "malformed"),
        (r#"{"a":"\u12g4"}"#, "malformed"),
        ("{\"a\":\"\n\"}", "malformed"),
        ("{\"a\":\"\0\"}", "malformed"),
        ("{\u{a0}}", "malformed"),
    ] {
        assert_eq!(code(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn an_error_says_where() {
    let error = walk_object(b"\n{\"a\": 1,}").expect_err("a trailing comma");
    assert_eq!(error.to_string(), "malformed: a member's name is expected (at byte 9)");
}

#[test]
fn values_may_nest_to_the_bound_and_no_deeper() {
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert_eq!(code(nested(32).as_bytes()), "sound");
    assert_eq!(code(nested(33).as_bytes()), "too_deep");
    assert_eq!(code(format!("{{\"a\":{}", "[".repeat(1_000_000)).as_bytes()), "too_deep");
}

/// Bytes that meet the grammar's states more often than arbitrary ones do.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"a\":", "\\", "\\u00e9", "\\n", "0", "-1.5e3", "true",
        "null", " ", "\n", "é", "\u{1}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_walk_agrees_with_another_parser(body in json_like()) {
        let is_object = serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|value| value.is_object());
        prop_assert_eq!(walk_object(&body).is_ok(), is_object);
    }

    #[test]
    fn any_bytes_are_walked_or_refused(body: Vec<u8>) {
        let _ = walk_object(&body);
    }
}
