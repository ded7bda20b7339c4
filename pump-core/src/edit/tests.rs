use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::record::{Object, Shape, Text, Timestamp, Value};

fn edits(omit: &[&str], redact: &str) -> Edits {
    try_edits(omit, redact).expect("sound settings")
}

fn try_edits(omit: &[&str], redact: &str) -> Result<Edits, EditError> {
    let omit: Vec<_> = omit.iter().map(|name| (*name).to_owned()).collect();
    let redact = serde_json::from_str(redact).expect("a redact section");
    Edits::new(&omit, &redact, &IdKey::default())
}

/// What edits make of a transaction, as far as these tests look at it.
struct Seen {
    api_key: String,
    raw_request: String,
    tags: Vec<String>,
    omitted: Vec<&'static str>,
}

fn seen(edits: &Edits, transaction: Transaction<'_>) -> Seen {
    let mut scratch = Scratch::default();
    let View::Transaction(edited) = edits.apply(View::Transaction(transaction), &mut scratch) else {
        panic!("a transaction stays one");
    };
    Seen {
        api_key: edited.api_key.to_str().into_owned(),
        raw_request: edited.raw_request.to_str().into_owned(),
        tags: edited.tags.iter().map(|tag| tag.to_str().into_owned()).collect(),
        omitted: edited.omitted.iter().map(Field::name).collect(),
    }
}

fn with_key<'a>(api_key: &'a str, tags: &'a [Text<'a>]) -> Transaction<'a> {
    Transaction { api_key: api_key.into(), tags: TextList::Texts(tags), ..Default::default() }
}

/// A recorded request after headers were redacted; `None` if it was left out.
fn redacted(headers: &str, request: &[u8]) -> Option<Vec<u8>> {
    let encoded = STANDARD.encode(request);
    let edits = edits(&[], &format!(r#"{{"headers":{headers}}}"#));
    let transaction = Transaction { raw_request: Text(encoded.as_bytes()), ..Default::default() };
    let seen = seen(&edits, transaction);
    if seen.omitted == ["raw_request"] {
        assert_eq!(seen.raw_request, "");
        return None;
    }
    Some(STANDARD.decode(seen.raw_request).expect("base64"))
}

fn object(edits: &Edits, body: &str) -> String {
    let mut scratch = Scratch::default();
    match edits.apply(View::Object(Object::new(body.as_bytes())), &mut scratch) {
        View::Object(object) => Text(object.bytes()).to_str().into_owned(),
        _ => panic!("an object stays one"),
    }
}

#[test]
fn an_omitted_field_is_zero_and_named() {
    let names: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
    let edits = edits(&names, "{}");
    let tags = [Text(b"a")];
    let mut transaction = Transaction {
        content_length: 1,
        day: 1,
        month: 1,
        year: 1,
        hour: 1,
        response_code: 1,
        timestamp: Timestamp::EPOCH,
        request_time: 1,
        tags: TextList::Texts(&tags),
        track_path: true,
        expire_at: Timestamp::EPOCH,
        ..Default::default()
    };
    transaction.geo.iso_code = "UA".into();
    transaction.network.bytes_in = 1;
    transaction.latency.total = 1;
    transaction.graphql_stats.is_graphql = true;
    transaction.mcp_stats.is_mcp = true;
    for field in Field::ALL {
        if let Some(text) = fields::text_mut(&mut transaction, *field) {
            *text = "x".into();
        }
    }
    let mut scratch = Scratch::default();
    let View::Transaction(edited) = edits.apply(View::Transaction(transaction), &mut scratch) else {
        panic!("a transaction stays one");
    };
    assert_eq!(edited.omitted.iter().count(), Field::ALL.len());
    let empty = Transaction { omitted: edited.omitted, ..Default::default() };
    assert_eq!(format!("{edited:?}"), format!("{empty:?}"));
}

#[test]
fn every_text_field_can_be_masked() {
    for field in Field::ALL.iter().filter(|field| field.shape() == Shape::Text) {
        let edits = edits(&[], &format!(r#"{{"fields":{{"{}":"mask"}}}}"#, field.name()));
        let mut transaction = Transaction::default();
        *fields::text_mut(&mut transaction, *field).expect("a text field") = "x".into();
        let mut scratch = Scratch::default();
        let View::Transaction(edited) = edits.apply(View::Transaction(transaction), &mut scratch) else {
            panic!("a transaction stays one");
        };
        assert!(matches!(edited.get(*field), Value::Text(Text(b"***"))), "{field:?}");
    }
}

#[test]
fn a_health_check_is_edited_as_a_transaction_is() {
    let edits = edits(
        &["minute", "timestamp", "method"],
        r#"{"fields":{"url":"mask","api_id":"hash","org_id":"remove"}}"#,
    );
    let uptime = Uptime {
        url: "http://up".into(),
        api_id: "a".into(),
        org_id: "o".into(),
        minute: 5,
        timestamp: Timestamp::EPOCH,
        hour: 7,
        ..Default::default()
    };
    let mut scratch = Scratch::default();
    let View::Uptime(edited) = edits.apply(View::Uptime(uptime), &mut scratch) else {
        panic!("a health check stays one");
    };
    assert_eq!(edited.url, Text(b"***"));
    assert_eq!(edited.api_id.bytes().len(), 16);
    assert_eq!(
        (edited.org_id, edited.minute, edited.timestamp, edited.hour),
        (Text(b""), 0, Timestamp::ZERO, 7)
    );
    let omitted: Vec<_> = edited.omitted.iter().map(UptimeField::name).collect();
    assert_eq!(omitted, ["minute", "timestamp", "org_id"]);
}

#[test]
fn a_hash_is_the_same_for_the_same_value_and_key_only() {
    let hash = edits(&[], r#"{"fields":{"api_key":"hash"}}"#);
    let first = seen(&hash, with_key("secret", &[])).api_key;
    assert_eq!(first.len(), 16);
    assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(seen(&hash, with_key("secret", &[])).api_key, first);
    assert_ne!(seen(&hash, with_key("secrets", &[])).api_key, first);
    assert_eq!(object(&hash, r#"{"api_key":"se\u0063ret"}"#), format!(r#"{{"api_key":"{first}"}}"#));

    let redact = serde_json::from_str(r#"{"fields":{"api_key":"hash"}}"#).expect("a redact section");
    let other = Edits::new(&[], &redact, &IdKey::new(Some(b"other"))).expect("sound settings");
    assert_ne!(seen(&other, with_key("secret", &[])).api_key, first);
    assert_ne!(other.key(), hash.key());
}

#[test]
fn the_tag_with_the_key_follows_the_key() {
    let long = format!("key-{}", "k".repeat(300));
    let tags = ["org-o", "key-secret", "KEY-secret", "monkey-secret", "key-", &long].map(Text::from);
    let tags_after = |edits: Edits| seen(&edits, with_key("secret", &tags)).tags;

    let hash = edits(&[], r#"{"fields":{"api_key":"hash"}}"#);
    let hashed = format!("key-{}", seen(&hash, with_key("secret", &tags)).api_key);
    assert_eq!(tags_after(hash)[..2], ["org-o".to_owned(), hashed]);
    assert_eq!(
        tags_after(edits(&[], r#"{"fields":{"api_key":"mask"}}"#)),
        ["org-o", "key-***", "KEY-***", "monkey-secret", "key-", "key-***"]
    );
    for edits in [edits(&["api_key"], "{}"), edits(&[], r#"{"fields":{"api_key":"remove"}}"#)] {
        assert_eq!(tags_after(edits), ["org-o", "monkey-secret"]);
    }
}

#[test]
fn tags_of_every_length_outlast_an_edit() {
    let texts = [0, 31, 32, 255, 256, 65_535, 65_536].map(|length| "t".repeat(length));
    let tags: Vec<_> = texts.iter().map(|text| Text::from(text.as_str())).chain([Text(b"key-k")]).collect();
    let seen = seen(&edits(&["api_key"], "{}"), with_key("k", &tags));
    assert_eq!(seen.tags, texts);
}

#[test]
fn a_tag_with_a_redacted_headers_value_is_masked() {
    let tags = ["authorization-Bearer x", "X-Token-abc", "x-tokens"].map(Text::from);
    let edits = edits(&[], r#"{"headers":["Authorization","x-token"]}"#);
    assert_eq!(seen(&edits, with_key("k", &tags)).tags, ["authorization-***", "X-Token-***", "x-tokens"]);
}

#[test]
fn tags_can_be_masked_one_by_one_or_left_out() {
    let tags = ["key-k", "b"].map(Text::from);
    let masked = seen(&edits(&[], r#"{"fields":{"tags":"mask","api_key":"remove"}}"#), with_key("k", &tags));
    assert_eq!(masked.tags, ["***", "***"]);
    let omitted = seen(&edits(&["tags", "api_key"], "{}"), with_key("k", &tags));
    assert_eq!((omitted.tags.len(), omitted.omitted), (0, vec!["api_key", "tags"]));
}

#[test]
fn a_redacted_header_stays_and_its_value_goes() {
    let request =
        b"POST /pay HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nCOOKIE:a=b\r\nAuthorization:\r\n\
                    X: authorization: y\r\n\r\nauthorization: in the body\0\n";
    let expected =
        b"POST /pay HTTP/1.1\r\nHost: a\r\nAuthorization: ***\r\nCOOKIE: ***\r\nAuthorization: ***\r\n\
                     X: authorization: y\r\n\r\nauthorization: in the body\0\n";
    let after = redacted(r#"["authorization","Cookie"]"#, request).expect("a sound request");
    assert_eq!(Text(&after), Text(expected));
}

#[test]
fn the_folded_lines_of_a_redacted_header_go_with_it() {
    let request = b"GET / HTTP/1.1\r\nX: 1\r\n 2\r\nCookie: a\r\n b\r\n\tc\r\nY: 3\r\n\t4\r\n\r\n";
    let expected = b"GET / HTTP/1.1\r\nX: 1\r\n 2\r\nCookie: ***\r\nY: 3\r\n\t4\r\n\r\n";
    assert_eq!(Text(&redacted(r#"["cookie"]"#, request).expect("a sound request")), Text(expected));
}

#[test]
fn an_answer_is_edited_too() {
    let answer = STANDARD.encode("HTTP/0.0 200 OK\r\nSet-Cookie: s\r\n\r\n{}");
    let edits = edits(&[], r#"{"headers":["set-cookie"]}"#);
    let transaction = Transaction { raw_response: answer.as_str().into(), ..Default::default() };
    let mut scratch = Scratch::default();
    let View::Transaction(edited) = edits.apply(View::Transaction(transaction), &mut scratch) else {
        panic!("a transaction stays one");
    };
    let expected = STANDARD.encode("HTTP/0.0 200 OK\r\nSet-Cookie: ***\r\n\r\n{}");
    assert_eq!(edited.raw_response, Text(expected.as_bytes()));
    assert!(edited.omitted.is_empty());
}

#[test]
fn what_has_none_of_the_headers_stays_as_it_is() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(redacted(r#"["cookie"]"#, request).as_deref(), Some(&request[..]));
    assert_eq!(redacted(r#"["cookie"]"#, b"").as_deref(), Some(&b""[..]));
}

#[test]
fn what_cannot_be_read_is_left_out_as_a_whole() {
    for request in [
        "no request at all",
        "GET / HTTP/1.1\r\nCookie: a\r\n",
        "GET / HTTP/1.1\r\nCookie: a",
        "GET / HTTP/1.1\nCookie: a\n\n",
        "GET / HTTP/1.1\r\nX: a\nCookie: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\rCookie: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\n\nCookie: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nCookie : a\r\n\r\n",
        "GET / HTTP/1.1\r\n Cookie: a\r\n\r\n",
        "GET / HTTP/1.1\r\nCookie\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "Cookie: a HTTP/1.1\r\n\r\n",
        "Cookie: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nCookie: a\r\n\r\n",
        "GET /\r\nCookie: a\r\n\r\n",
    ] {
        assert_eq!(redacted(r#"["cookie"]"#, request.as_bytes()), None, "{request:?}");
    }
    for not_base64 in ["*", "QQ", "QQ=", "QR==", "Q Q=", "QQ==\n", "-_-_"] {
        let transaction = Transaction { raw_request: not_base64.into(), ..Default::default() };
        let seen = seen(&edits(&[], r#"{"headers":["cookie"]}"#), transaction);
        assert_eq!((seen.raw_request.as_str(), &*seen.omitted), ("", &["raw_request"][..]), "{not_base64}");
    }
}

#[test]
fn a_masked_request_is_not_read_for_headers() {
    let edits = edits(&[], r#"{"headers":["cookie"],"fields":{"raw_request":"mask"}}"#);
    let transaction = Transaction { raw_request: "not base64!".into(), ..Default::default() };
    let seen = seen(&edits, transaction);
    assert_eq!((seen.raw_request.as_str(), seen.omitted.len()), ("***", 0));
}

#[test]
fn an_objects_members_are_edited_by_what_their_names_say() {
    let edits = edits(&["a"], r#"{"fields":{"key":"mask","z":"remove"}}"#);
    assert_eq!(
        object(
            &edits,
            "{ \"a\" : 1, \"key\": \"s\\u0065cret\", \"b\": {\"key\": 1},\n\"\\u007a\":[2],\"k\\u0065y\":7 }"
        ),
        r#"{"key":"***","b":{"key": 1},"k\u0065y":"***"}"#
    );
    assert_eq!(object(&edits, r#"{"a":1,"z":2}"#), "{}");
    assert_eq!(object(&edits, r#"{"key":"","key":null}"#), r#"{"key":"","key":null}"#);
    assert_eq!(object(&edits, r#"{ "b" : 1 }"#), r#"{ "b" : 1 }"#);
}

#[test]
fn only_text_can_be_hashed_or_masked() {
    for name in ["latency", "response_code", "timestamp", "track_path", "tcp_error", "minute"] {
        let error = try_edits(&[], &format!(r#"{{"fields":{{"{name}":"hash"}}}}"#)).expect_err("not text");
        assert_eq!(
            error.to_string(),
            format!("`{name}` is not text, so it cannot be hashed or masked: use `omit: [{name}]`")
        );
        assert!(try_edits(&[name], &format!(r#"{{"fields":{{"{name}":"remove"}}}}"#)).is_ok());
    }
    let error = try_edits(&[], r#"{"headers":["set cookie"]}"#).expect_err("not a header");
    assert_eq!(error.to_string(), "`set cookie` cannot be the name of an HTTP header");
    assert!(serde_json::from_str::<RedactConfig>(r#"{"header":[]}"#).is_err());
    assert!(serde_json::from_str::<RedactConfig>(r#"{"fields":{"api_key":"blank"}}"#).is_err());
}

#[test]
fn names_that_no_transaction_has_are_told_apart() {
    let edits = edits(&["apikey", "url", "method"], r#"{"fields":{"key":"hash"}}"#);
    assert_eq!(edits.unknown_names(), ["apikey".into(), "key".into()]);
}

#[test]
fn edits_that_do_the_same_have_the_same_key() {
    let redact =
        r#"{"headers":["cookie","Authorization","COOKIE"],"fields":{"alias":"remove","method":"mask"}}"#;
    let one = edits(&["tags"], redact);
    let same = edits(
        &["alias", "tags", "tags"],
        r#"{"headers":["authorization","cookie"],"fields":{"tags":"hash","method":"mask"}}"#,
    );
    assert_eq!(one.key(), same.key());
    assert!(!one.is_empty());
    for (omit, redact) in [(&["tags", "a"][..], redact), (&[], redact), (&["tags"], "{}")] {
        assert_ne!(one.key(), edits(omit, redact).key());
    }
    let none = edits(&[], "{}");
    assert!(none.is_empty() && none.key().is_empty());
}

#[test]
fn the_buffers_are_kept_for_the_next_record() {
    let request = STANDARD.encode("GET / HTTP/1.1\r\nCookie: a\r\n\r\nbody");
    let tags = [Text(b"key-k"), Text(b"b")];
    let edits = edits(&["method"], r#"{"headers":["cookie"],"fields":{"api_key":"hash"}}"#);
    let mut scratch = Scratch::default();
    let mut capacities = Vec::new();
    for _ in 0..3 {
        let transaction = Transaction { raw_request: request.as_str().into(), ..with_key("k", &tags) };
        edits.apply(View::Transaction(transaction), &mut scratch);
        capacities.push(scratch.capacities());
    }
    assert_eq!(capacities[1], capacities[0]);
    assert_eq!(capacities[2], capacities[0]);

    let huge = STANDARD.encode(format!("GET / HTTP/1.1\r\nCookie: a\r\n\r\n{}", "b".repeat(1 << 20)));
    let transaction = Transaction { raw_request: huge.as_str().into(), ..Default::default() };
    edits.apply(View::Transaction(transaction), &mut scratch);
    edits.apply(View::Transaction(with_key("k", &tags)), &mut scratch);
    assert!(scratch.capacities().iter().all(|capacity| *capacity <= 256 << 10));
}

/// Lines with a secret only behind a redacted header's name, put together as clients might.
fn hostile_message() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "HTTP/1.1 200 OK",
        "Host: a",
        "Cookie: S3CRET",
        "COOKIE:S3CRET",
        "cookie:",
        " S3CRET",
        "\tS3CRET",
        "Cookie : S3CRET",
        "Cookie\0: S3CRET",
    ]);
    let end = prop_oneof![12 => Just("\r\n"), 1 => prop::sample::select(vec!["\n", "\r", "\0"])];
    let start = prop_oneof![8 => Just("GET / HTTP/1.1\r\n"), 1 => Just("")];
    (start, prop::collection::vec((line, end), 0..6)).prop_map(|(start, lines)| {
        let mut message = start.to_owned();
        let mut is_secret_header = false;
        for (line, end) in lines {
            // A folded line is secret only behind a secret header.
            if line.starts_with([' ', '\t']) && !is_secret_header {
                continue;
            }
            is_secret_header =
                line.to_ascii_lowercase().starts_with("cookie") || line.starts_with([' ', '\t']);
            message.push_str(line);
            message.push_str(end);
        }
        message.push_str("\r\nbody");
        message.into_bytes()
    })
}

/// How a lenient reader would find a header's values: any line end, white space before the colon.
fn values_for_anybody(message: &[u8]) -> Vec<Vec<u8>> {
    let lower = message.to_ascii_lowercase();
    let head = &lower[..lower.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(lower.len())];
    head.split(|byte| matches!(byte, b'\r' | b'\n'))
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            (line[..colon].trim_ascii() == b"cookie").then(|| line[colon + 1..].trim_ascii().to_vec())
        })
        .collect()
}

proptest! {
    #[test]
    fn no_secret_outlasts_a_redacted_header(message in hostile_message()) {
        if let Some(after) = redacted(r#"["cookie"]"#, &message) {
            prop_assert!(!after.windows(6).any(|window| window == b"S3CRET"), "{}", after.escape_ascii());
        }
    }

    #[test]
    fn every_value_of_a_redacted_header_is_masked(
        message in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "(GET / HTTP/1.1\r\n){0,1}((cookie:|Cookie: |x:| )[a-z: ]{0,5}(\r\n|\r\n|\r\n|\n|\r)){0,5}\r\nbody".prop_map(String::into_bytes),
        ]
    ) {
        if let Some(after) = redacted(r#"["cookie"]"#, &message) {
            for value in values_for_anybody(&after) {
                prop_assert_eq!(Text(&value), Text(b"***"));
            }
        }
    }

    #[test]
    fn any_text_in_a_recorded_message_is_base64_afterwards(raw in "[A-Za-z0-9+/=*\n]{0,40}") {
        let edits = edits(&[], r#"{"headers":["cookie"]}"#);
        let seen = seen(&edits, Transaction { raw_request: raw.as_str().into(), ..Default::default() });
        prop_assert!(STANDARD.decode(&seen.raw_request).is_ok());
    }

    #[test]
    fn an_edited_object_is_an_object(
        map in prop::collection::btree_map("[abk\"\\\\]{0,2}", any::<(String, Option<i64>)>(), 0..6),
    ) {
        let body = serde_json::to_string_pretty(&map)?;
        let edits = edits(&["a"], r#"{"fields":{"b":"hash","k":"mask"}}"#);
        let after: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&object(&edits, &body))?;
        let names: Vec<_> = map.keys().filter(|name| *name != "a").collect();
        prop_assert_eq!(after.keys().collect::<Vec<_>>(), names);
        for (name, value) in &after {
            match name.as_str() {
                "b" => prop_assert_eq!(value.as_str().map(str::len), Some(16)),
                "k" => prop_assert_eq!(value.as_str(), Some("***")),
                _ => prop_assert_eq!(value, &serde_json::to_value(&map[name])?),
            }
        }
    }
}
