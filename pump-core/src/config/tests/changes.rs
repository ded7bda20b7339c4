//! What counts as a change.

use super::*;

fn sinks_are_same(left: &str, right: &str) -> bool {
    let [left, right] = [left, right].map(|keys| load_sink(keys).expect("it is right"));
    left.sinks[0].is_same(&right.sinks[0])
}

#[test]
fn a_sink_that_says_the_same_in_other_words_is_no_change() {
    let keys = "    name: x\n    count: 7\n    password: ${WORD}\n";
    assert!(sinks_are_same(keys, "    password: ${WORD}\n\n    # why\n    count: 7\n    name: \"x\"\n"));
    for other in [
        "    name: y\n    count: 7\n    password: ${WORD}\n",
        "    name: x\n    password: ${WORD}\n",
        "    name: x\n    count: 7\n    password: ${EMPTY}\n",
        "    name: x\n    count: 7\n    password: ${WORD}\n    required: true\n    max_in_flight: 3\n",
    ] {
        assert!(!sinks_are_same(keys, other), "{other}");
    }
}

#[test]
fn sections_that_need_a_restart_are_named_and_kept() {
    let sinks = "sinks: { out: { type: \"null\" }, own: { type: \"null\", sources: [a] } }\n";
    let before = load(&format!("sources: {{ a: {{ type: demo }} }}\n{sinks}")).expect("it is right");
    let after = load(&format!(
        "sources: {{ a: {{ type: demo }}, b: {{ type: demo }} }}\n{sinks}log: {{ max_size: 64MiB }}\nshutdown_timeout: 3s\n"
    ));
    let after = after.expect("it is right");
    assert_eq!(before.needs_restart(&after), ["sources", "log", "shutdown_timeout"]);
    assert_eq!(before.needs_restart(&before), Vec::<&str>::new());
    let merged = before.with_sinks_of(&after);
    assert_eq!((&merged.log, merged.sources.len()), (&before.log, 1));
    assert!(merged.sinks.iter().zip(&before.sinks).all(|(merged, before)| merged.is_same(before)));
    assert_eq!(before.needs_restart(&merged), Vec::<&str>::new());
}
