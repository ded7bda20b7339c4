//! What each reply comes to.

use pump_core::plugin::Answer;

use super::*;

/// What one delivery of five records comes to when the server reacts so.
async fn outcome(reaction: HttpReaction) -> Result<Answers, SinkError> {
    let server = cluster(move |_| reaction.clone());
    deliver(&open(config(&[server.url()])).await).await
}

#[tokio::test]
async fn each_record_gets_its_own_answer() {
    let body = items(&[
        (201, None),
        (429, Some(("es_rejected_execution_exception", "busy"))),
        (400, Some(("mapper_parsing_exception", "failed to parse \"n\""))),
        (409, Some(("version_conflict_engine_exception", "document already exists"))),
        (503, Some(("unavailable_shards_exception", "no primary"))),
    ]);
    let wait = Some(Duration::from_secs(7));
    let headers = vec![("retry-after", "7".to_owned())];
    let answers = outcome(HttpReaction::Reply(200, headers, body.into_bytes())).await.expect("a reply");
    assert_eq!(answers.get(0), Some(&Answer::Delivered));
    assert_eq!(answers.get(1), Some(&Answer::Retry(wait)));
    let Some(Answer::Rejected { code: "mapping", detail }) = answers.get(2) else { panic!("{answers:?}") };
    assert_eq!(&**detail, "mapper_parsing_exception: failed to parse \"n\"");
    assert_eq!(answers.get(3), Some(&Answer::Duplicate));
    assert_eq!(answers.get(4), Some(&Answer::Retry(wait)));
}

#[tokio::test]
async fn what_is_no_records_fault_makes_the_sink_unavailable() {
    for (status, kind) in [
        (404, "index_not_found_exception"),
        (403, "cluster_block_exception"),
        (429, "cluster_block_exception"),
        (403, "security_exception"),
        (400, "index_closed_exception"),
        (400, "validation_exception"),
        (401, "whatever"),
    ] {
        let body = items(&[(201, None), (status, Some((kind, "because")))]);
        let error = outcome(HttpReaction::reply(200, body)).await.expect_err("unavailable");
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{status} {kind}");
        assert!(error.to_string().contains(&format!("{kind}: because")), "{error}");
        // The same said of the whole request.
        let body =
            format!("{{\"error\":{{\"type\":\"{kind}\",\"reason\":\"because\"}},\"status\":{status}}}");
        let error = outcome(HttpReaction::reply(status, body)).await.expect_err("unavailable");
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{status} {kind}");
        assert!(error.to_string().contains("because"), "{error}");
    }
}

#[tokio::test]
async fn what_a_reason_quotes_of_a_record_says_nothing_of_the_index() {
    let about_the_index = "only write ops with an op_type of create are allowed in data streams";
    let quoting = format!("failed to parse field [n]. Preview of field's value: '{about_the_index}'");
    for (kind, reason, is_unavailable) in [
        ("illegal_argument_exception", about_the_index, true),
        ("illegal_argument_exception", "no write index is defined for alias [a]", true),
        ("illegal_argument_exception", "pipeline with id [p] does not exist", true),
        ("illegal_argument_exception", &quoting, false),
        ("mapper_parsing_exception", about_the_index, false),
        ("mapper_parsing_exception", &quoting, false),
    ] {
        let refused = Some((kind, reason));
        let body = items(&[(201, None), (400, refused), (201, None), (201, None), (201, None)]);
        match outcome(HttpReaction::reply(200, body)).await {
            Err(error) => assert!(is_unavailable && error.kind() == SinkErrorKind::Unavailable, "{error}"),
            Ok(answers) => {
                assert!(!is_unavailable, "{kind}: {reason}");
                assert!(matches!(answers.get(1), Some(Answer::Rejected { .. })), "{answers:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_document_in_a_failure_store_is_not_delivered() {
    let body = r#"{"items":[{"create":{"status":201,"failure_store":"used"}},
        {"create":{"status":201,"failure_store":"not_applicable_or_unknown"}},
        {"create":{"status":201}},{"create":{"status":201}},{"create":{"status":201}}]}"#;
    let answers = outcome(HttpReaction::reply(200, body)).await.expect("a reply");
    let refused =
        |answer: Option<&Answer>| matches!(answer, Some(Answer::Rejected { code: "failure_store", .. }));
    assert!(refused(answers.get(0)), "{answers:?}");
    assert!((1..5).all(|index| answers.get(index) == Some(&Answer::Delivered)), "{answers:?}");
}

#[tokio::test]
async fn no_record_goes_where_a_redirection_points() {
    for status in [301, 302, 307, 308] {
        let elsewhere = cluster(|_| HttpReaction::reply(200, items(&[(201, None); 5])));
        let there = elsewhere.url();
        let server = HttpServer::start(move |request: &HttpRequest| {
            let location = format!("{there}{}", request.path);
            HttpReaction::Reply(status, vec![("location", location)], Vec::new())
        });
        let error = deliver(&open(config(&[server.url()])).await).await.expect_err("it is elsewhere");
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(&elsewhere.url()), "{error}");
        assert!(elsewhere.requests().iter().all(|request| request.body.is_empty()), "{status}");
    }
}

#[tokio::test]
async fn a_busy_cluster_says_how_long_to_wait() {
    for status in [429, 502, 503, 504, 500] {
        let headers = vec![("retry-after", "3".to_owned())];
        let error = outcome(HttpReaction::Reply(status, headers, b"busy".to_vec())).await;
        let error = error.expect_err("refused");
        assert_eq!((error.kind(), error.wait()), (SinkErrorKind::Retry, Some(Duration::from_secs(3))));
        assert!(error.to_string().contains(&format!("status {status}: busy")), "{error}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_to_be_split() {
    let error = outcome(HttpReaction::reply(413, "")).await.expect_err("refused");
    assert_eq!(error.kind(), SinkErrorKind::TooLarge);
}

#[tokio::test]
async fn a_refusal_without_a_known_reason_comes_again() {
    for (status, body) in [(400, "{\"error\":\"odd\"}"), (400, "<html>\r\n"), (418, "")] {
        let error = outcome(HttpReaction::reply(status, body)).await.expect_err("refused");
        assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[tokio::test]
async fn a_reply_that_is_cut_off_answers_nothing() {
    let body = items(&[(201, None); 5]).into_bytes();
    for count in [0, 1, body.len() / 2, body.len() - 1] {
        let error = outcome(HttpReaction::CutAfter(count, body.clone())).await.expect_err("cut off");
        assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
        assert!(error.to_string().contains("cut off"), "{error}");
    }
    for raw in [&b""[..], b"HTTP/1.1 2", b"rubbish\r\n\r\n"] {
        let error = outcome(HttpReaction::Raw(raw.to_vec())).await.expect_err("no reply");
        assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    }
}

#[tokio::test]
async fn a_reply_larger_than_any_sound_one_is_not_read() {
    let raw = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n{\"items\":[".to_vec();
    let error = outcome(HttpReaction::Raw(raw)).await.expect_err("too large");
    assert_eq!(error.kind(), SinkErrorKind::Retry);
    assert!(error.to_string().contains("the reply is too large"), "{error}");
}

#[tokio::test]
async fn records_without_an_item_come_again() {
    let mut truncated = items(&[(201, None); 5]);
    truncated.truncate(truncated.len() - 20);
    for (body, known) in [(items(&[(201, None); 3]), 3), (truncated, 4)] {
        let answers = outcome(HttpReaction::reply(200, body.clone())).await.expect("a part of a reply");
        for index in 0..5 {
            let expected = (index < known).then_some(&Answer::Delivered);
            assert_eq!(answers.get(index), expected, "{index} of {body}");
        }
    }
    for body in ["", "{}", "[]", "null", "{\"items\":{}}", "{\"items\":[{}]}", "{\"items\":[1]}"] {
        let error = outcome(HttpReaction::reply(200, body)).await.expect_err("no reply");
        assert_eq!(error.kind(), SinkErrorKind::Retry, "{body}: {error}");
    }
    let error = outcome(HttpReaction::reply(200, items(&[(201, None); 6]))).await.expect_err("too many");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
}

#[tokio::test]
async fn a_reply_in_chunks_is_read_to_its_end() {
    let body = items(&[(201, None); 5]);
    let (first, second) = body.split_at(30);
    let raw = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nX-elastic-product: Elasticsearch\r\n\r\n\
         {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    let answers = outcome(HttpReaction::Raw(raw.clone().into_bytes())).await.expect("a whole reply");
    assert_eq!(answers, Answers::delivered(5));
    // Without its last chunk it is cut off.
    let cut = raw.trim_end_matches("0\r\n\r\n").to_owned();
    let error = outcome(HttpReaction::Raw(cut.into_bytes())).await.expect_err("cut off");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
}
