use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::edit::{Edits, RedactConfig, Scratch};
use crate::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Object, Partition, Transaction, Uptime};

/// 2026-11-23T04:55:06Z, day 327 of its year.
const TIME: Timestamp = Timestamp { seconds: 1_795_409_706, nanos: 0 };

/// What a template makes of a view, in a chunk of the source `gate/way` that came at [`TIME`].
fn render(template: &str, view: &View<'_>) -> String {
    let head = ChunkHead {
        source: "gate/way".into(),
        partition: Partition::new("p"),
        kind: Kind::AppLog,
        codec: Codec::Json,
        received: TIME,
    };
    let chunk = Chunk::parse(head, Bytes::from_static(b"{}"), 0..1, [(0, 0..2)]).chunk;
    let mut out = String::new();
    Template::parse(template).expect("a template").render(chunk.record(0), view, &mut out);
    out
}

fn transaction(api_id: &str, timestamp: Timestamp) -> View<'_> {
    View::Transaction(Transaction { api_id: api_id.into(), timestamp, ..Default::default() })
}

fn object(body: &str) -> View<'_> {
    View::Object(Object::new(body.as_bytes()))
}

#[test]
fn a_template_is_filled_from_time_and_fields() {
    let view = transaction("a1", TIME);
    assert_eq!(render("/logs/%Y/%m/%d/{api_id}.ndjson", &view), "/logs/2026/11/23/a1.ndjson");
    assert_eq!(render("%y%j-%H:%M:%S-%%-{kind}-{source}", &view), "26327-04:55:06-%-app_log-gate_way");
}

#[test]
fn a_date_that_no_time_fills_is_undated() {
    for time in [
        Timestamp::ZERO,
        Timestamp { seconds: -1, nanos: 0 },
        Timestamp { seconds: TIME.seconds + 86_401, nanos: 0 },
        Timestamp { seconds: i64::MAX, nanos: 0 },
    ] {
        let view = transaction("a1", time);
        assert_eq!(render("/logs/%Y/%m/%d/{api_id}.ndjson", &view), "/logs/undated/a1.ndjson");
        assert_eq!(render("tyk-%Y.%m.%d", &view), "tyk-undated");
        assert_eq!(render("%Y-%m-%dT%H.log", &view), "undated.log");
        assert_eq!(render("%Y/{api_id}/%m%%/%d/x", &view), "undated/a1/undated/x");
    }
    assert_eq!(render("tyk-%Y.%m", &object("{}")), "tyk-undated");
}

#[test]
fn a_template_without_places_is_constant() {
    for (text, constant) in
        [("tyk", Some("tyk")), ("", Some("")), ("a%%b", Some("a%b")), ("%Y", None), ("a{b}", None)]
    {
        let template = Template::parse(text).expect("a template");
        assert_eq!(template.constant(), constant);
        assert_eq!(template.is_constant(), constant.is_some());
    }
    let template = Template::parse("/%Y/{org_id}/x{api_id}").expect("a template");
    assert_eq!(template.fields().collect::<Vec<_>>(), ["org_id", "api_id"]);
}

#[test]
fn every_kind_gives_the_fields_that_it_has() {
    let uptime = View::Uptime(Uptime { url: "http://up".into(), tcp_error: true, ..Default::default() });
    assert_eq!(render("{url}-{tcp_error}-{minute}-{api_id}-{method}", &uptime), "http___up-true-0-none-none");
    let log = object(r#"{"api\u005fid":"\u0061","code":404,"x":null,"list":[1]}"#);
    assert_eq!(render("{api_id}-{code}-{x}-{list}-{y}", &log), "a-404-none-_1_-none");
    let view = transaction("a", TIME);
    assert_eq!(
        render("{response_code}-{track_path}-{timestamp}-{url}-{alias}", &view),
        "0-false-1795409706-none-none"
    );
}

#[test]
fn what_is_redacted_or_omitted_does_not_get_into_a_name() {
    let redact: RedactConfig = serde_json::from_str(r#"{"fields":{"alias":"mask"}}"#).expect("settings");
    let omit = ["api_id".to_owned(), "response_code".to_owned(), "timestamp".to_owned()];
    let edits = Edits::new(&omit, &redact, &IdKey::default()).expect("edits");
    let view = View::Transaction(Transaction {
        api_id: "a".into(),
        alias: "bob".into(),
        response_code: 200,
        timestamp: TIME,
        ..Default::default()
    });
    let mut scratch = Scratch::default();
    let view = edits.apply(view, &mut scratch);
    assert_eq!(render("{api_id}-{alias}-{response_code}-%Y", &view), "none-___-none-undated");
}

#[test]
fn a_value_cannot_leave_its_folder() {
    for (value, expected) in [
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("..", "_."),
        (".", "_"),
        ("/", "_"),
        ("", "none"),
        ("a\\b:c*d?e\"f<g>h|i,j k\0l\nm", "a_b_c_d_e_f_g_h_i_j_k_l_m"),
        ("é", "__"),
        ("a.b-c_D9", "a.b-c_D9"),
    ] {
        assert_eq!(render("{api_id}", &transaction(value, TIME)), expected);
    }
    assert_eq!(render("{api_id}", &transaction(&"x".repeat(1000), TIME)).len(), 128);
}

#[test]
fn an_error_says_what_is_allowed() {
    let error = |text| Template::parse(text).expect_err("no template").to_string();
    insta::assert_snapshot!(error("%Y-%q"), @"`%q` is not known: use %Y %m %d %H %M %S %j %y, or %% for a percent sign");
    insta::assert_snapshot!(error("100%"), @"a percent sign ends the template: write %% for a percent sign");
    insta::assert_snapshot!(error("{api_id"), @"a brace is opened and not closed: write a field as {api_id}");
    insta::assert_snapshot!(error("api_id}"), @"a brace is closed that was not opened: write a field as {api_id}");
    insta::assert_snapshot!(error("{a/b}"), @"`{a/b}` is no field: a name is letters, digits and _, and begins with no digit");
    insta::assert_snapshot!(error("{tags}"), @"`{tags}` has no single value that could be part of a name");
    for text in ["{}", "{1a}", "{{a}", "{%Y}", "{ a}", "%", "%é", "{geo}"] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}

#[test]
fn leap_days_are_where_the_calendar_has_them() {
    assert_eq!(
        civil_text(951_782_399),
        "2000-02-28 059 23:59:59",
        "the last second before a leap day of a year that 100 divides"
    );
    assert_eq!(civil_text(951_782_400), "2000-02-29 060 00:00:00");
    assert_eq!(civil_text(4_107_542_400), "2100-03-01 060 00:00:00");
}

fn civil_text(seconds: i64) -> String {
    let civil = Timestamp { seconds, nanos: 0 }.civil();
    let day_of_year = day_of_year(&civil);
    format!(
        "{:04}-{:02}-{:02} {:03} {:02}:{:02}:{:02}",
        civil.year, civil.month, civil.day, day_of_year, civil.hour, civil.minute, civil.second
    )
}

proptest! {
    #[test]
    fn dates_agree_with_another_calendar(seconds in 0..253_402_300_799i64) {
        let other = jiff::Timestamp::from_second(seconds)?;
        prop_assert_eq!(civil_text(seconds), other.strftime("%Y-%m-%d %j %H:%M:%S").to_string());
    }

    #[test]
    fn any_value_is_one_safe_component(value: Vec<u8>) {
        let view = View::Transaction(Transaction { api_id: Text(&value), ..Default::default() });
        let name = render("/logs/{api_id}", &view);
        let component = name.strip_prefix("/logs/").expect("the literal");
        prop_assert!(!component.is_empty() && component.len() <= 128 && !component.starts_with('.'));
        prop_assert!(component.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)));
    }

    #[test]
    fn any_text_is_a_template_or_an_error(text in "[%{}Ymda_0é/]{0,12}") {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.constant();
        }
    }
}

#[test]
fn a_pattern_has_a_gap_for_each_date_and_field() {
    let pattern = |text| Template::parse(text).expect("it is sound").pattern('*');
    assert_eq!(pattern("tyk-%Y.%m.%d"), "tyk-*");
    assert_eq!(pattern("tyk-{api_id}-%Y%%"), "tyk-*-*%");
    assert_eq!(pattern("tyk"), "tyk");
}

#[test]
fn the_key_of_a_template_is_what_could_have_been_written() {
    for text in ["", "a/%Y-%m-%d/%H%M%S", "100%%/{api_id}/%j-%y", "%Y/{kind}{source}"] {
        let template = Template::parse(text).expect("it is one");
        assert_eq!(template.key(), text);
    }
    let (constant, date) = (Template::constant_of("%Y{a}"), Template::parse("%Y{a}").expect("it is one"));
    assert_ne!(constant.key(), date.key());
}
