//! Letters as lines: there and back, and lines that are none of ours.

use proptest::prelude::*;

use super::*;

/// What RFC 3339 and the calendar's arithmetic have in common: the years 0 to 9999.
fn time() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200_i64..253_402_200_000, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn any_letter() -> impl Strategy<Value = DeadLetter> {
    let names = (proptest::option::of(".*"), ".*", ".*", ".*", ".*");
    let rest = (
        proptest::option::of(any::<[u8; 16]>()),
        any::<u64>(),
        proptest::sample::select(Kind::ALL.to_vec()),
        proptest::sample::select(vec![Codec::Msgpack, Codec::Protobuf, Codec::Json]),
        time(),
        any::<Vec<u8>>(),
    );
    (names, rest).prop_map(|(names, (id, position, kind, codec, received, body))| {
        let (sink, reason, detail, source, partition) = names;
        DeadLetter {
            sink: sink.map(Into::into),
            reason: reason.into(),
            detail: detail.into(),
            id: id.map(RecordId),
            source: source.into(),
            partition: partition.into(),
            position,
            kind,
            codec,
            received,
            body: body.into(),
        }
    })
}

proptest! {
    #[test]
    fn a_letter_is_the_same_after_it_was_a_line(letter in any_letter(), at in time()) {
        let line = letter.to_line(at);
        prop_assert!(!line.contains(&b'\n'));
        let (read, read_at) = DeadLetter::from_line(&line).expect("our own line");
        prop_assert_eq!(&read, &letter);
        prop_assert_eq!(read_at, at);
        prop_assert_eq!(read.to_line(at), line);
    }

    #[test]
    fn no_line_makes_the_reader_panic(line in any::<Vec<u8>>()) {
        let _ = DeadLetter::from_line(&line);
    }

    #[test]
    fn a_torn_line_is_no_letter(letter in any_letter(), at in time(), cut in any::<proptest::sample::Index>()) {
        let line = letter.to_line(at);
        let torn = &line[..cut.index(line.len())];
        prop_assert!(matches!(DeadLetter::from_line(torn), Err(LineError::Malformed(_))));
    }
}

fn changed(from: &str, to: &str) -> LineError {
    let line = String::from_utf8(letter(7).to_line(Timestamp::EPOCH)).expect("JSON is UTF-8");
    assert!(line.contains(from), "{line}");
    DeadLetter::from_line(line.replace(from, to).as_bytes()).expect_err("it was changed")
}

#[test]
fn a_line_of_another_version_says_so_whatever_else_is_in_it() {
    for line in [changed("\"v\":1", "\"v\":2"), changed("\"v\":1", "\"v\":2,\"new\":[1]")] {
        assert!(matches!(line, LineError::Version(2)), "{line}");
        assert!(line.to_string().contains("reads version 1"), "{line}");
    }
}

#[test]
fn what_is_no_letter_is_malformed() {
    let wrong = [
        changed("\"v\":1", "\"v\":1,\"new\":1"),
        changed("\"kind\":\"transaction\"", "\"kind\":\"rumour\""),
        changed("1970-01-01T00:00:00Z", "yesterday"),
        changed("\"body\":\"eHh4", "\"body\":\"***"),
        changed("\"position\":7", "\"position\":-7"),
    ];
    for error in wrong {
        assert!(matches!(error, LineError::Malformed(_)), "{error}");
    }
}
