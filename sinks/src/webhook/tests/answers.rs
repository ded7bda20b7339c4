//! What a receiver says, and what becomes of it.

use super::*;

/// What a sink makes of this reply to five records.
async fn met(
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: &'static str,
) -> Result<Answers, SinkError> {
    let server = HttpServer::start(move |_| HttpReaction::Reply(status, headers.clone(), body.into()));
    deliver(&open(config(&server.url())).await).await
}

#[tokio::test]
async fn every_status_means_what_the_page_says() {
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(met(status, Vec::new(), "").await.expect("a yes"), Answers::delivered(5), "{status}");
    }
    for (kind, statuses) in [
        (SinkErrorKind::Retry, &[408, 409, 423, 425, 429, 500, 501, 502, 503, 504][..]),
        (SinkErrorKind::Unavailable, &[300, 401, 402, 403, 404, 405, 407, 410, 411, 415, 421, 431]),
        (SinkErrorKind::TooLarge, &[400, 412, 413, 414, 418, 422, 451]),
    ] {
        for status in statuses {
            let error = met(*status, Vec::new(), "its\r\nreasons").await.expect_err("a no");
            assert_eq!(error.kind(), kind, "{error}");
            let said = format!("status {status}");
            assert!(
                error.to_string().contains(&said) && error.to_string().contains("its  reasons"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_without_words_is_told_by_its_status() {
    let error = met(304, Vec::new(), "").await.expect_err("a no");
    assert!(error.to_string().ends_with("check `url`: status 304"), "{error}");
}

#[tokio::test]
async fn what_a_receiver_asks_us_to_wait_is_waited() {
    for status in [429, 503, 500] {
        let error = met(status, vec![("retry-after", "7".to_owned())], "").await.expect_err("not now");
        assert_eq!(error.wait(), Some(Duration::from_secs(7)));
    }
    assert_eq!(met(503, Vec::new(), "").await.expect_err("not now").wait(), None);
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let other = HttpServer::start(|_| HttpReaction::reply(200, ""));
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/there?token=secret", other.url());
        let error = met(status, vec![("location", to)], "moved").await.expect_err("somewhere else");
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(&other.url()) && !error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn a_batch_of_one_that_is_refused_is_rejected_with_the_receivers_words() {
    let server = HttpServer::start(|_| HttpReaction::reply(422, "no field `x`"));
    let sink = open(config(&server.url())).await;
    let answers = sink.deliver(&batch(&["{}"], ""), Deadline::after(MINUTE)).await.expect("it is answered");
    let detail = "status 422: no field `x`".into();
    assert_eq!(answers.get(0), Some(&Answer::Rejected { code: "refused", detail }));
}

#[tokio::test]
async fn a_long_answer_is_cut_and_an_endless_one_is_not_read() {
    let server = HttpServer::start(|_| HttpReaction::reply(500, vec![b'x'; 8 << 20]));
    let error = deliver(&open(config(&server.url())).await).await.expect_err("a no");
    assert!(error.to_string().len() < 700, "{error}");
    // A yes that promises more than it sends is a yes.
    let server = HttpServer::start(|_| HttpReaction::CutAfter(10, vec![b'x'; 1 << 20]));
    assert_eq!(deliver(&open(config(&server.url())).await).await.expect("a yes"), Answers::delivered(5));
}

#[tokio::test]
async fn an_answer_that_hesitates_after_its_status_is_that_status() {
    let begin = std::time::Instant::now();
    for (status, is_yes) in [(200, true), (503, false)] {
        let server = HttpServer::start(move |_| HttpReaction::Hesitate(status, Duration::from_secs(20)));
        match deliver(&open(config(&server.url())).await).await {
            Ok(answers) => assert!(is_yes && answers == Answers::delivered(5)),
            Err(error) => assert!(!is_yes && error.to_string().ends_with("status 503: wait"), "{error}"),
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_no_answer_is_tried_again() {
    for reaction in [
        HttpReaction::Raw(b"HTTP/1.1 2".to_vec()),
        HttpReaction::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()),
        HttpReaction::Raw(Vec::new()),
    ] {
        let server = HttpServer::start(move |_| reaction.clone());
        let error = deliver(&open(config(&server.url())).await).await.expect_err("no answer");
        assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    }
}

#[tokio::test]
async fn a_receiver_that_says_nothing_costs_its_time_and_no_more() {
    let server = HttpServer::start(|_| HttpReaction::Silence(Duration::from_secs(20)));
    let sink = open(config(&server.url())).await;
    let begin = std::time::Instant::now();
    let deadline = Deadline::after(Duration::from_millis(300));
    let error = sink.deliver(&five(), deadline).await.expect_err("it says nothing");
    assert_eq!(error.kind(), SinkErrorKind::Retry);
    assert!(error.to_string().starts_with("no answer in time"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_unavailable() {
    let sink = open(config("http://nobody.invalid/hook")).await;
    for error in [sink.probe().await.expect_err("nobody"), deliver(&sink).await.expect_err("nobody")] {
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("check `url`"), "{error}");
    }
}

#[tokio::test]
async fn a_probe_asks_for_nothing_but_an_answer() {
    for (status, is_willing) in [(200, true), (404, true), (405, true), (501, true), (401, false)] {
        let server = HttpServer::start(move |_| HttpReaction::reply(status, ""));
        assert_eq!(open(config(&server.url())).await.probe().await.is_ok(), is_willing, "{status}");
        assert_eq!(server.requests()[0].method, "HEAD");
        assert!(server.requests()[0].body.is_empty());
    }
    let server = HttpServer::start(|_| HttpReaction::reply(200, ""));
    let sink = open(config(&server.url())).await;
    drop(server);
    assert_eq!(sink.probe().await.expect_err("nobody is there").kind(), SinkErrorKind::Retry);
}
