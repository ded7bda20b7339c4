//! What is told by content, and that nothing panics whatever the file holds.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).expect("a fixture")
}

fn told(bytes: &[u8]) -> Option<Form> {
    Form::tell(bytes, None, None).ok()
}

fn parse(bytes: &[u8], form: Form) -> Input {
    let source = "gateway".into();
    Input::parse(&Bytes::copy_from_slice(bytes), form, Some(&source), usize::MAX, &IdKey::default())
}

fn records(input: &Input) -> usize {
    input.lots.iter().map(|lot| lot.sample.chunk().len()).sum()
}

#[test]
fn the_form_is_told_by_content() {
    let lengths = Form::Lengths;
    assert_eq!(
        told(&fixture("real/transactions.msgpack.lp")),
        Some(lengths(Kind::Transaction, Codec::Msgpack))
    );
    assert_eq!(
        told(&fixture("real/transactions.protobuf.lp")),
        Some(lengths(Kind::Transaction, Codec::Protobuf))
    );
    assert_eq!(told(&fixture("real/uptime.msgpack.lp")), Some(lengths(Kind::Uptime, Codec::Msgpack)));
    assert_eq!(told(&fixture("tyk/002.msgpack")), Some(Form::Msgpack(Kind::Transaction)));
    assert_eq!(told(&fixture("tyk/u01.msgpack")), Some(Form::Msgpack(Kind::Uptime)));
    assert_eq!(told(&fixture("tyk/002.pb")), Some(Form::Protobuf));
    assert_eq!(told(b"{\"event\":1}"), None, "the kind of lines must be said");
    assert_eq!(Form::tell(b"[]", Some(Kind::Audit), None).ok(), Some(Form::Lines(Kind::Audit)));
}

#[test]
fn one_letter_among_other_lines_makes_them_letters() {
    let letter = br#"{"v":1,"at":"2026-01-01T00:00:00Z","reason":"empty","detail":"d","source":"s","partition":"p","position":18446744073709551615,"kind":"event","codec":"json","received":"2026-01-01T00:00:00Z","body":"e30="}"#;
    let bytes = [b"{\"torn\n\n", &letter[..], b"\r\n"].concat();
    assert_eq!(told(&bytes), Some(Form::Letters));
    let input = parse(&bytes, Form::Letters);
    assert_eq!((input.entries, input.flaws.len(), records(&input)), (2, 1, 1));
    assert_eq!(input.flaws[0].0, 1);
    assert_eq!((input.lots[0].first, input.lots[0].has_places), (2, true));
    assert_eq!(told(br#"{"v":9}"#), Some(Form::Letters), "a letter of another release");
}

#[test]
fn lines_lose_their_ends_and_blank_ones() {
    let text = b"a\r\n\n \nbc\n\r\nd";
    let found: Vec<&[u8]> = lines(text).map(|range| &text[range]).collect();
    assert_eq!(found, [b"a", &b"bc"[..], b"d"]);
}

#[test]
fn what_is_cut_off_behind_a_length_is_an_entry_as_far_as_it_goes() {
    let cut = |bytes: &'static [u8]| with_lengths(bytes).map(|range| &bytes[range]).collect::<Vec<_>>();
    assert_eq!(cut(b"\0\0\0\x02ab\0\0\0\0\0\0\0\x05c"), [&b"ab"[..], b"", b"c"]);
    assert_eq!(cut(b"\0\0\0\x01a\0\0"), [&b"a"[..], b"\0\0"]);
}

#[test]
fn a_large_file_is_cut_into_lots_whose_numbers_go_on() {
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(300_000));
    let input = parse(line.repeat(7).as_bytes(), Form::Lines(Kind::Event));
    let firsts: Vec<_> = input.lots.iter().map(|lot| lot.first).collect();
    assert_eq!((firsts, records(&input)), (vec![1, 4, 7], 7));
}

proptest! {
    #[test]
    fn no_file_makes_it_panic_and_every_entry_is_accounted_for(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            proptest::collection::vec(prop::sample::select(&b"\x80\x81\xa1a\0\x01\x05{}\"\n:,\xdf\x0a"[..]), 0..200),
        ],
    ) {
        let forms = [
            Form::Letters,
            Form::Lines(Kind::Event),
            Form::Msgpack(Kind::Transaction),
            Form::Msgpack(Kind::Uptime),
            Form::Lengths(Kind::Transaction, Codec::Protobuf),
            Form::Protobuf,
        ];
        for form in forms.into_iter().chain(told(&bytes)) {
            let input = parse(&bytes, form);
            prop_assert!((records(&input) + input.flaws.len()) as u64 >= input.entries);
            prop_assert!(input.flaws.iter().all(|(number, _)| (1..=input.entries).contains(number)));
        }
    }
}
