use proptest::prelude::*;

use super::*;

fn read(reply: &[u8], count: usize) -> Result<Answers, SinkError> {
    answers(reply, count, Op::Create, None)
}

/// An item as the text in a reply, and what is to be made of it.
fn item() -> impl Strategy<Value = (String, Option<&'static str>)> {
    prop_oneof![
        4 => Just((r#"{"create":{"status":201}}"#.to_owned(), Some("delivered"))),
        1 => Just((r#"{"index":{"_id":"a","status":200,"x":[1,{}]}}"#.to_owned(), Some("delivered"))),
        1 => Just((r#"{"create":{"status":409}}"#.to_owned(), Some("duplicate"))),
        1 => Just((r#"{"create":{"error":{"type":"busy","reason":"\u0041"},"status":429}}"#.to_owned(), Some("retry"))),
        1 => Just((r#"{"create":{"status":400,"error":{"type":"mapper_parsing_exception"}}}"#.to_owned(), Some("rejected"))),
    ]
}

fn name(answer: Option<&Answer>) -> Option<&'static str> {
    answer.map(|answer| match answer {
        Answer::Delivered => "delivered",
        Answer::Duplicate => "duplicate",
        Answer::Retry(_) => "retry",
        Answer::Rejected { .. } => "rejected",
    })
}

proptest! {
    /// Wherever a reply ends, records before that have the answer of their item and others none.
    #[test]
    fn a_cut_reply_answers_for_whole_items_only(
        items in prop::collection::vec(item(), 1..20),
        missing in 0..3usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let count = items.len() + missing;
        let mut text = r#"{"took":3,"items":["#.to_owned();
        let mut ends = Vec::new();
        for (index, (item, _)) in items.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(item);
            ends.push(text.len());
        }
        text.push_str("],\"errors\":true}");
        let cut = cut.index(text.len() + 1);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        match read(&text.as_bytes()[..cut], count) {
            Err(_) => prop_assert_eq!(whole, 0),
            Ok(answers) => {
                let expected = items[..whole].iter().map(|(_, expected)| *expected);
                let expected: Vec<_> = expected.chain(std::iter::repeat(None)).take(count).collect();
                let actual: Vec<_> = (0..count).map(|index| name(answers.get(index))).collect();
                prop_assert_eq!(actual, expected);
            }
        }
    }

    #[test]
    fn no_reply_panics(reply in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
        let _ = (read(&reply, 3), read(text.as_bytes(), 3));
        let _ = read(format!("{{\"items\":[{text}]}}").as_bytes(), 3);
    }
}

#[test]
fn a_second_list_of_items_is_not_taken() {
    let text = r#"{"items":[{"create":{"status":201}}],"items":[{"create":{"status":201}}]}"#;
    let answers = read(text.as_bytes(), 2).expect("the first list is sound");
    assert_eq!((answers.get(0), answers.get(1)), (Some(&Answer::Delivered), None));
}

#[test]
fn a_servers_words_are_short_and_on_one_line() {
    let reason = format!("line\\nline {}", "\u{e9}".repeat(2_000));
    let text =
        format!(r#"{{"items":[{{"create":{{"status":400,"error":{{"type":"t","reason":"{reason}"}}}}}}]}}"#);
    let answers = read(text.as_bytes(), 1).expect("a reply");
    let Some(Answer::Rejected { code: "refused", detail }) = answers.get(0) else { panic!("{answers:?}") };
    assert!(detail.len() < 600 && detail.starts_with("t: line line") && !detail.contains('\n'), "{detail}");
}

#[test]
fn replies_with_op_index_have_no_duplicates() {
    let text = br#"{"items":[{"index":{"status":409}}]}"#;
    let answers = answers(text, 1, Op::Index, None).expect("a reply");
    assert_eq!(answers.get(0), Some(&Answer::Retry(None)));
}
