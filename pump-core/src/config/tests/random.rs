//! No input makes the loader panic, and what it says fits on the screen.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::load;

/// Pieces from which nearly sound files come about, more often than from letters.
const PIECES: &[&str] = &[
    "sources:",
    "sinks:",
    "log:",
    "admin:",
    "dead_letters:",
    "record_id:",
    "a:",
    "type:",
    "demo",
    "'null'",
    "timeout:",
    "batch:",
    "max_bytes:",
    "kinds:",
    "add:",
    "4MiB",
    "1s",
    "1",
    "-1",
    "1.5",
    "true",
    "~",
    "${WORD}",
    "${MISSING}",
    "${",
    "$$",
    "}",
    "{",
    "[",
    "]",
    ",",
    ": ",
    "- ",
    "? ",
    "&a ",
    "*a",
    "!x ",
    "!!str ",
    "\n",
    "\n  ",
    "\n    ",
    "\n      ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "<<:",
    "é",
    "\t",
    "\r\n",
    "\\u0000",
    "\u{feff}",
    "\u{85}",
    " ",
];

fn pieces() -> impl Strategy<Value = String> {
    vec(select(PIECES), 0..60).prop_map(|pieces| pieces.concat())
}

/// A sound file with one piece of it exchanged.
fn nearly_sound() -> impl Strategy<Value = String> {
    const SOUND: &str = "sources:\n  a: { type: demo, count: 5, password: \"${WORD}\" }\nsinks:\n  out:\n    type: 'null'\n    \
        batch: { max_bytes: 4MiB }\n    sources: [a]\n    add: { x: y }\nlog: { max_size: 1MiB }\n";
    (0..SOUND.len(), 0..20usize, select(PIECES)).prop_map(|(start, length, piece)| {
        let end = (start + length).min(SOUND.len());
        format!("{}{piece}{}", &SOUND[..start], &SOUND[end..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_file_makes_the_loader_panic(text in prop_oneof![pieces(), nearly_sound(), "\\PC{0,40}", ".{0,40}"]) {
        if let Err(errors) = load(&text) {
            prop_assert!(!errors.0.is_empty());
            let shown = errors.to_string();
            prop_assert!(!shown.contains("hunter2"));
            prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        }
    }
}
