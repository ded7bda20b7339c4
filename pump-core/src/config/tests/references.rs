use std::io::Write;

use super::{environment, root};
use crate::config::reference::Resolver;
use crate::config::{ConfigError, Node, Value, read};

fn resolved(text: &str) -> (Node, Vec<ConfigError>) {
    let mut node = root(text);
    let mut resolver = Resolver::new(&environment);
    resolver.resolve(&mut node, "");
    (node, resolver.errors)
}

fn text_of(written: &str) -> String {
    let (node, errors) = resolved(written);
    assert_eq!(errors, []);
    node.as_str().expect("it is text").to_owned()
}

fn message_of(written: &str) -> String {
    let (node, errors) = resolved(written);
    assert!(node.value == Value::Unresolved && errors.len() == 1, "{written}");
    errors[0].message().to_owned()
}

#[test]
fn variables_are_replaced_within_values() {
    assert_eq!(text_of("${WORD}"), "hunter2");
    assert_eq!(text_of("a-${WORD}-b-${NUMBER}"), "a-hunter2-b-7");
    assert_eq!(text_of("'${WORD}'"), "hunter2");
    assert_eq!(text_of("${EMPTY}x"), "x");
}

#[test]
fn a_default_stands_in_for_a_missing_or_empty_variable() {
    assert_eq!(text_of("${MISSING:-a b}"), "a b");
    assert_eq!(text_of("${EMPTY:-x}"), "x");
    assert_eq!(text_of("${WORD:-x}"), "hunter2");
    assert_eq!(text_of("a${MISSING:-}"), "a");
}

#[test]
fn two_dollars_are_one() {
    assert_eq!(text_of("$${WORD}"), "${WORD}");
    assert_eq!(text_of("a$$b"), "a$b");
    assert_eq!(text_of("cost: 5$".split_once(": ").expect("there is one").1), "5$");
    assert_eq!(text_of("$WORD"), "$WORD");
    assert_eq!(text_of("$$$${WORD}"), "$${WORD}");
    assert_eq!(text_of("$$${WORD}"), "$hunter2");
}

#[test]
fn what_a_reference_brings_in_is_not_searched_again() {
    assert_eq!(text_of("${DOLLAR}"), "${WORD}$$");
}

#[test]
fn a_file_is_read_without_its_last_newline() {
    let mut file = tempfile::NamedTempFile::new().expect("there is room");
    for (content, expected) in [("s3cret\n", "s3cret"), ("a\n\n", "a\n"), ("a\r\n", "a"), ("", "")] {
        file.as_file().set_len(0).expect("it can be cut");
        std::io::Seek::rewind(&mut file).expect("it can be rewound");
        file.write_all(content.as_bytes()).expect("it can be written");
        assert_eq!(text_of(&format!("'${{file:{}}}'", file.path().display())), expected);
    }
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_refused() {
    let mut file = tempfile::NamedTempFile::new().expect("there is room");
    file.write_all(b"\xff\xfe").expect("it can be written");
    let written = format!("'${{file:{}}}'", file.path().display());
    assert!(message_of(&written).ends_with("is not UTF-8 text"));
    file.as_file().set_len(2 << 20).expect("it can grow");
    assert!(message_of(&written).ends_with("is larger than 1 MiB"));
}

#[test]
fn what_cannot_be_resolved_is_named() {
    assert_eq!(message_of("${MISSING}"), "the environment variable `MISSING` is not set");
    assert_eq!(message_of("a${WORD"), "a reference has no end");
    assert_eq!(message_of("${}"), "this is no name of an environment variable");
    assert_eq!(message_of("${A B}"), "this is no name of an environment variable");
    assert!(message_of("'${file:/nonexistent}'").starts_with("the file `/nonexistent` cannot be read"));
    let (_, errors) = resolved("a: { b: [x, '${MISSING}'] }");
    assert_eq!(errors[0].path(), "a.b[1]");
    assert_eq!(errors[0].location().map(|place| (place.line, place.column)), Some((1, 13)));
}

#[test]
fn a_whole_reference_takes_the_type_that_is_wanted() {
    for written in ["${NUMBER}", "'${NUMBER}'"] {
        let (node, _) = resolved(written);
        assert_eq!(read::<u32>(&node), Ok(7));
        assert_eq!(read::<String>(&node), Ok("7".to_owned()));
        assert_eq!(read::<Option<f64>>(&node), Ok(Some(7.0)));
    }
    assert!(read::<u32>(&resolved("1${NUMBER}").0).is_err());
    assert_eq!(read::<Option<u32>>(&resolved("${EMPTY}").0), Ok(None));
    assert_eq!(read::<String>(&resolved("${EMPTY}").0), Ok(String::new()));
}

#[test]
fn keys_are_left_as_they_are() {
    let (node, errors) = resolved("{ \"${MISSING}\": 1 }");
    assert_eq!(errors, []);
    assert!(node.as_mapping().expect("it is one").get("${MISSING}").is_some());
}

#[test]
fn references_cannot_bring_in_without_bound() {
    let large = |_: &str| Some("x".repeat(3 << 20));
    let mut node = root("[\"${A}\", \"${A}\"]");
    let mut resolver = Resolver::new(&large);
    resolver.resolve(&mut node, "");
    assert_eq!(resolver.errors.len(), 1);
}
