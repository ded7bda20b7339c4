//! A request for each record.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// The number in a request's record.
fn number(request: &HttpRequest) -> u64 {
    read(&request.body)["n"].as_u64().expect("a number")
}

#[tokio::test]
async fn each_record_is_a_request_under_its_id() {
    let server = HttpServer::start(|_| HttpReaction::reply(200, ""));
    let body = Some(r#"{"text":"number {n}","n":"{n}"}"#.to_owned());
    let sink = open(WebhookConfig { body, ..single(&server.url()) }).await;
    assert_eq!(deliver(&sink).await.expect("they are delivered"), {
        let mut answers = Answers::unset(5);
        (0..5).for_each(|number| answers.set(number, Answer::Delivered));
        answers
    });
    let (mut requests, ids) = (server.requests(), ids().await);
    requests.sort_by_key(number);
    for (n, request) in requests.iter().enumerate() {
        assert_eq!(read(&request.body), json!({ "text": format!("number {n}"), "n": n }));
        assert_eq!(request.header("idempotency-key"), Some(ids[n].as_str()));
    }
}

#[tokio::test]
async fn every_record_has_an_answer_of_its_own() {
    let server = HttpServer::start(|request| match number(request) {
        0 => HttpReaction::reply(400, "bad"),
        1 => HttpReaction::reply(413, ""),
        2 => HttpReaction::reply(500, ""),
        3 => HttpReaction::Raw(Vec::new()),
        _ => HttpReaction::reply(200, ""),
    });
    let answers = deliver(&open(single(&server.url())).await).await.expect("some are answered");
    let expected = Answer::Rejected { code: "refused", detail: "status 400: bad".into() };
    assert_eq!(answers.get(0), Some(&expected));
    assert!(matches!(answers.get(1), Some(Answer::Rejected { code: "too_large", .. })));
    assert_eq!(answers.get(2), Some(&Answer::Retry(None)));
    assert_eq!(answers.get(3), Some(&Answer::Retry(None)));
    assert_eq!(answers.get(4), Some(&Answer::Delivered));
}

/// So many records.
fn many(count: usize) -> Batch {
    let records: Vec<String> = (0..count).map(|number| format!("{{\"n\":{number}}}")).collect();
    batch(&records.iter().map(String::as_str).collect::<Vec<_>>(), "")
}

#[tokio::test]
async fn several_are_under_way_at_once_and_not_more() {
    let (now, most) = (AtomicUsize::new(0), std::sync::Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let server = HttpServer::start(move |_| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        now.fetch_sub(1, Ordering::SeqCst);
        HttpReaction::reply(200, "")
    });
    let sink = open(single(&server.url())).await;
    sink.deliver(&many(40), Deadline::after(MINUTE)).await.expect("they are delivered");
    assert_eq!(server.requests().len(), 40);
    assert_eq!(most.load(Ordering::SeqCst), 8);
    assert!(server.connections() <= 8, "{}", server.connections());
}

#[tokio::test]
async fn what_every_request_would_meet_ends_the_attempt() {
    for (status, kind) in [
        (401, SinkErrorKind::Unavailable),
        (404, SinkErrorKind::Unavailable),
        (307, SinkErrorKind::Unavailable),
        (429, SinkErrorKind::Retry),
    ] {
        let server = HttpServer::start(move |_| HttpReaction::reply(status, ""));
        let sink = open(single(&server.url())).await;
        let error = sink.deliver(&many(100), Deadline::after(MINUTE)).await.expect_err("none is taken");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(server.requests().len() <= 8, "{status}: {}", server.requests().len());
    }
    let server = HttpServer::start(|_| HttpReaction::reply(200, ""));
    let sink = open(single(&server.url())).await;
    drop(server);
    let error = sink.deliver(&many(100), Deadline::after(MINUTE)).await.expect_err("nobody is there");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn what_got_through_before_a_refusal_stays_delivered() {
    let server =
        HttpServer::start(|request| HttpReaction::reply(if number(request) < 30 { 200 } else { 403 }, ""));
    let sink = open(single(&server.url())).await;
    let answers = sink.deliver(&many(100), Deadline::after(MINUTE)).await.expect("some got through");
    for number in 0..100 {
        let is_delivered = answers.get(number) == Some(&Answer::Delivered);
        assert_eq!(is_delivered, number < 30, "{number}: {:?}", answers.get(number));
    }
    assert!(server.requests().len() < 50);
}

#[tokio::test]
async fn answers_that_are_there_survive_the_end_of_the_time() {
    let server = HttpServer::start(|request| match number(request) {
        7 => HttpReaction::Silence(Duration::from_secs(20)),
        _ => HttpReaction::reply(200, ""),
    });
    let sink = open(single(&server.url())).await;
    let limit = Duration::from_secs(2);
    let batch = many(20);
    let attempt = sink.deliver(&batch, Deadline::after(limit));
    let answers =
        tokio::time::timeout(limit, attempt).await.expect("it ends in time").expect("they are answered");
    for number in 0..20 {
        let expected = if number == 7 { Answer::Retry(None) } else { Answer::Delivered };
        assert_eq!(answers.get(number), Some(&expected), "{number}");
    }
}
