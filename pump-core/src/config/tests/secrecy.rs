//! The word `hunter2` is a secret in all of these files.

use super::{load, load_sink};

fn shows_nothing(text: &str) {
    let errors = load(text).expect_err("the file is wrong");
    let shown = format!("{errors}{errors:?}");
    assert!(!shown.contains("hunter2"), "{text}\n{shown}");
}

#[test]
fn a_secret_written_in_the_file_is_not_shown() {
    for wrong in [
        "password: { hunter2: x }",
        "password: [hunter2]",
        "{ password: hunter2, cuont: 1 }",
        "{ cuont: 1, password: hunter2 } # hunter2",
        "{ password: hunter2, password: hunter2 }",
        "{ pasword: hunter2, count: x }",
        "{ passphrase: hunter2 }",
        "{ url: 'redis://:hunter2@', count: x }",
        "{ url: 'redis://:hunter2@h', count: x }",
        "{ url: 'redis://:hunter2@${MISSING}', count: x }",
        "{ url: '${NUMBER:-redis://:hunter2@h}', count: x }",
        "{ count: x, password: \"hunter2\n      hunter2\", cuont: 2 }",
        "{ password: hunter2",
        "password: \"hunter2",
        "password: hunter2: hunter2",
    ] {
        let keys = wrong.strip_prefix('{').map_or_else(
            || format!("    type: demo\n    {wrong}\n    cuont: 1\n"),
            |rest| format!("    {{ type: demo, {rest}\n"),
        );
        shows_nothing(&format!("sources:\n  a:\n{keys}sinks: {{ out: {{ type: 'null' }} }}\n"));
    }
    shows_nothing("record_id: hunter2\n");
    shows_nothing("record_id: { keys: hunter2 }\n");
    shows_nothing("recordid: { key: hunter2 }\n");
    shows_nothing("hunter: hunter2\nsources: hunter2\nsinks: [hunter2]\n");
}

#[test]
fn a_secret_is_hidden_where_its_anchor_is_also_used_in_the_open() {
    shows_nothing(
        "sources:\n  a: { type: demo, name: &p hunter2, cuont: 1, password: *p }\nsinks: { out: { type: 'null' } }\n",
    );
}

#[test]
fn a_secret_is_hidden_where_a_carriage_return_alone_ends_a_line() {
    shows_nothing(
        "# a\r# b\nsources: { a: { type: demo } }\nsinks:\n  out:\n    type: 'null'\n    count: x\n    password: hunter2\n",
    );
}

#[test]
fn a_value_from_a_reference_is_not_shown() {
    for keys in [
        "    count: ${WORD}\n",
        "    share: ${WORD}\n",
        "    timeout: ${WORD}\n    format: ${WORD}\n    required: ${WORD}\n    add: ${WORD}\n    kinds: [\"${WORD}\"]\n",
        "    sources: [\"${WORD}\"]\n",
        "    batch: { max_bytes: \"a${WORD}\", max_records: \"${WORD}\" }\n",
        "    filter: ${WORD}\n    redact: { fields: { api_key: \"${WORD}\" } }\n",
    ] {
        let errors = load_sink(keys).expect_err("it is wrong").to_string();
        assert!(!errors.contains("hunter2") && errors.contains("${WORD}"), "{errors}");
    }
    let errors = load_sink("    share: ${NUMBER}\n").expect_err("it is wrong").to_string();
    assert!(
        errors.contains("the value (from ${NUMBER}) does not fit here") && !errors.contains('7'),
        "{errors}"
    );
}

#[test]
fn a_pipeline_does_not_show_its_values_when_printed() {
    let text = "sources: { a: { type: demo, password: hunter2 } }\nrecord_id: { key: hunter2 }\n\
                sinks: { out: { type: 'null', add: { a: '${WORD}' }, password: hunter2 } }\n";
    let shown = format!("{:?}", load(text).expect("it is sound"));
    assert!(shown.contains("out") && !shown.contains("hunter2"), "{shown}");
}
