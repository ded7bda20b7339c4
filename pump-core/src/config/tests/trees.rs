use super::{root, tree};
use crate::config::{MAX_NESTING, Node, Value, read};

fn message_of(text: &str) -> (String, u32, u32) {
    let errors = tree(text).errors;
    let first = errors.first().unwrap_or_else(|| panic!("{text:?} was taken"));
    let place = first.location().expect("it has a place");
    (first.message().to_owned(), place.line, place.column)
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    let typed = |text: &str| root(text).value;
    for text in ["", "~", "null", "Null", "NULL"] {
        assert!(typed(text) == Value::Null, "{text}");
    }
    assert!(typed("true") == Value::Bool(true) && typed("FALSE") == Value::Bool(false));
    for text in
        ["yes", "no", "on", "off", "tRue", "0x", "0o8", "1_000", "1:30", "inf", "nan", "1e", "+", ".", "0x-1"]
    {
        assert!(typed(text) == Value::String(text.to_owned()), "{text}");
    }
    for (text, number) in [("012", 12), ("-7", -7), ("+7", 7), ("0x1F", 31), ("0o17", 15), ("0", 0)] {
        assert!(typed(text) == Value::Int(number), "{text}");
    }
    for (text, number) in
        [("1.5", 1.5), (".5", 0.5), ("-1e3", -1000.0), ("5.", 5.0), ("-.inf", f64::NEG_INFINITY)]
    {
        assert!(typed(text) == Value::Float(number), "{text}");
    }
    assert!(matches!(typed(".nan"), Value::Float(number) if number.is_nan()));
    assert!(typed("'7'") == Value::String("7".to_owned()));
    assert!(matches!(typed(&"9".repeat(60)), Value::Float(_)));
}

#[test]
fn every_value_and_key_has_its_place() {
    let node = root("a:\n  - x\n  - { ü: \"y\" }\n");
    let a = &node.as_mapping().expect("it is one").entries[0];
    assert_eq!((a.location.line, a.location.column, a.location.width), (1, 1, 1));
    let Value::Sequence(items) = &a.value.value else { panic!("it is a list") };
    assert_eq!((items[0].location.line, items[0].location.column), (2, 5));
    let inner = &items[1].as_mapping().expect("it is one").entries[0];
    assert_eq!((inner.location.line, inner.location.column), (3, 7));
    assert_eq!((inner.value.location.line, inner.value.location.column), (3, 10));
}

#[test]
fn json_is_yaml() {
    let node = root("{\"a\": [1, true, null, \"x\\u00e9\"], \"b\": {}}");
    let read: serde_json::Value =
        serde::Deserialize::deserialize(crate::config::deserialize::Reader(&node)).expect("it is sound");
    assert_eq!(read, serde_json::json!({ "a": [1, true, null, "xé"], "b": {} }));
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(root("\u{feff}a: 1").as_mapping().map(|mapping| mapping.entries[0].location.column), Some(1));
}

#[test]
fn an_alias_stands_for_its_anchor() {
    assert_eq!(read::<Vec<String>>(&root("[&a x, *a, *a]")), Ok(vec!["x".to_owned(); 3]));
    assert!(!tree("&a [*a]").errors.is_empty());
    assert!(!tree("[*nobody]").errors.is_empty());
}

#[test]
fn aliases_cannot_make_a_small_file_large() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let last = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![last; 8].join(", "));
    }
    assert_eq!(message_of(&text).0, "aliases make the file too large");
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100].join(", "));
    assert_eq!(message_of(&long).0, "aliases make the file too large");
}

#[test]
fn nesting_has_a_bound_also_through_aliases() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(tree(&nested(MAX_NESTING)).errors, []);
    assert!(!tree(&nested(MAX_NESTING + 1)).errors.is_empty());
    assert!(!tree(&"[".repeat(200_000)).errors.is_empty());
    assert!(!tree(&"- ".repeat(200_000)).errors.is_empty());
    let half = MAX_NESTING / 2;
    let hidden = format!("a: &a {}\nb: {}*a{}\n", nested(half), "[".repeat(half), "]".repeat(half));
    assert!(message_of(&hidden).0.contains("deep"));
}

#[test]
fn what_a_pipeline_file_has_no_use_for_is_refused() {
    assert_eq!(message_of("a: 1\nb: 2\na: 3\n"), ("the key `a` is used twice".to_owned(), 3, 1));
    assert_eq!(message_of("a: !!str 1"), ("tags are not part of a pipeline file".to_owned(), 1, 4));
    assert_eq!(message_of("a: !x {}").0, "tags are not part of a pipeline file");
    assert_eq!(message_of("a: 1\n---\nb: 2\n"), ("a pipeline file is one document".to_owned(), 2, 1));
    assert_eq!(message_of("? [a]\n: b").0, "a key must be a plain word");
    assert_eq!(message_of("a: &x b\n*x : c").0, "a key must be a plain word");
    assert_eq!(message_of("a:\n  x\0"), ("there is a control character in the file".to_owned(), 2, 4));
    assert!(message_of(&" ".repeat((1 << 20) + 1)).0.contains("larger than"));
}

#[test]
fn the_second_of_two_equal_keys_hides_nothing() {
    let document = tree("a: { x: 1 }\na: { x: 2, x: 3 }\n");
    assert_eq!(document.errors.len(), 2);
    assert_eq!(
        document.root.as_ref().and_then(Node::as_mapping).map(|mapping| mapping.entries.len()),
        Some(1)
    );
}

#[test]
fn large_files_are_read_in_good_time() {
    // Each of these takes minutes where something looks at every key for every key.
    let keys: String = (0..100_000).map(|number| format!("k{number}: 1\n")).collect();
    assert_eq!(tree(&keys).errors, []);
    assert!(super::load(&keys).is_err());
    assert!(super::load(&format!("sinks: {{{}}}", keys.replace('\n', ","))).is_err());
    let sink: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    assert!(super::load_sink(&sink).is_err());
}
