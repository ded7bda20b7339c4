use proptest::prelude::*;
use pump_core::testing::batch;
use serde_json::{Value as Json, json};

use super::*;

/// What a template makes of an event.
fn rendered(template: &str, event: &str) -> String {
    let template = RecordTemplate::parse(template).expect("it is a template");
    let batch = batch(&[event], "");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let slice = runtime.block_on(batch.slices().next()).expect("in memory").expect("there is one");
    let entry = slice.entries().next().expect("there is one");
    let mut out = Vec::new();
    template.render(&entry, &mut Scratch::default(), &mut out);
    String::from_utf8(out).expect("it is text")
}

fn read(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_place_that_stands_alone_becomes_the_value_and_among_text_it_becomes_text() {
    let template = r#"{"event":"{record}","kind":"{kind}","from":"{source}","code":"{code}","list":"{list}",
        "text":"{{{kind}}}: {user} got {code}, {nothing}{null}","none":"{nothing}","n":1.5,"is":[true,null,{}]}"#;
    let event = r#"{"code": 200, "user": "a\"b\\", "list": [1, "\u0041"], "null": null}"#;
    let found = rendered(template, event);
    assert!(!found.contains('\n'), "{found}");
    let expected = json!({
        "event": read(event), "kind": "event", "from": "test", "code": 200, "list": [1, "A"],
        "text": "{event}: a\"b\\ got 200, ", "none": null, "n": 1.5, "is": [true, null, {}],
    });
    assert_eq!(read(&found), expected);
}

#[test]
fn an_id_is_32_hexadecimal_digits_and_the_same_each_time() {
    let found = rendered(r#"{"id":"{id}","again":"<{id}>"}"#, "{}");
    let found = read(&found);
    let id = found["id"].as_str().expect("a text");
    assert_eq!(id.len(), 32);
    assert_eq!(found["again"], format!("<{id}>"));
}

#[test]
fn a_template_may_be_one_string() {
    assert_eq!(rendered(r#""{record}""#, "{\"a\":1}"), "{\"a\":1}");
    assert_eq!(rendered(r#""{a}""#, "{\"a\":1}"), "1");
    assert_eq!(rendered("\"}}{a}{{\"", "{\"a\":1}"), "\"}1{\"");
}

#[test]
fn what_is_no_template_is_refused_with_what_to_do() {
    for (text, said) in [
        ("", "no JSON"),
        ("{\"a\":", "no JSON"),
        ("{\"a\":{record}}", "no JSON"),
        (r#"{"a":"{"}"#, "opened and not closed"),
        (r#"{"a":"x}"}"#, "closed that was not opened"),
        (r#"{"a":"{}"}"#, "is no name"),
        (r#"{"a":"{a b}"}"#, "is no name"),
        (r#"{"a":"{1a}"}"#, "is no name"),
        (r#"{"a":"x{record}"}"#, "a string of its own"),
        (r#"{"a":"{records}"}"#, "`{records}` is the array"),
        (r#"{"a":"{geo}"}"#, "is a structure"),
        (r#"{"a":"x {tags}"}"#, "is a list"),
    ] {
        let message = RecordTemplate::parse(text).expect_err(text);
        assert!(message.contains(said), "{text}: {message}");
    }
}

#[test]
fn an_envelope_has_the_records_once_and_nothing_of_a_record() {
    let envelope = Envelope::parse(r#"{"a":[1],"records":"{records}","text":"{{x}}"}"#).expect("it is sound");
    assert_eq!(&*envelope.before, br#"{"a":[1],"records":"#);
    assert_eq!(&*envelope.after, br#","text":"{x}"}"#);
    assert_eq!(Envelope::parse(r#""{records}""#), Ok(Envelope::default()));
    for text in [
        "{}",
        r#""x""#,
        r#"{"a":"x{records}"}"#,
        r#"{"a":"{records}","b":"{records}"}"#,
        r#"{"a":"{records}","b":"{method}"}"#,
        r#"{"a":"{record}"}"#,
    ] {
        assert!(Envelope::parse(text).is_err(), "{text}");
    }
}

proptest! {
    /// Whatever is in a record: what comes out is the template with values in its places.
    #[test]
    fn no_record_breaks_out_of_its_place(text in any::<String>(), name in "[a-z]{1,3}", more in any::<String>()) {
        let event = json!({ name.clone(): text, "more": { more.clone(): [more] } });
        let template = format!(r#"{{"a":"{{{name}}}","b":"<{{{name}}}>","c":"{{more}}","d":"{{record}}","e":1}}"#);
        let found = rendered(&template, &event.to_string());
        prop_assert!(!found.contains('\n'));
        let expected = json!({
            "a": event[&name], "b": format!("<{text}>"), "c": event["more"], "d": event, "e": 1,
        });
        prop_assert_eq!(read(&found), expected);
    }

    /// Whatever is written as a template is one or is refused.
    #[test]
    fn no_text_makes_a_template_panic(text in r#"["{}a-c,:\[\]\\]{0,24}"#) {
        let _ = RecordTemplate::parse(&text);
        let _ = Envelope::parse(&text);
        let quoted = Json::from(text).to_string();
        if let Ok(template) = RecordTemplate::parse(&quoted) {
            prop_assert!(!template.parts.is_empty());
            read(&rendered(&quoted, r#"{"a":"b"}"#));
        }
    }
}
